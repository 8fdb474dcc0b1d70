"""Means over ranges of depth; what files say of their layers is tested with PNNL's, which have
them.
"""

import numpy as np
import pytest

from luray.sources.soil_layers import depth_mean


def test_missing_layers_do_not_count():
    values = np.array([4, np.nan, 8], np.float32)[:, None, None]
    assert depth_mean(values, (0, 10, 20, 40), top=0, bottom=30) == pytest.approx(
        (4 * 10 + 8 * 10) / 20
    )
    assert np.isnan(depth_mean(values[1:2], (0, 10), top=0, bottom=30)).all()
