"""Maps without flicker equal a scan of each cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.evaluation.deflicker import deflicker
from tests import reference


@given(st.lists(st.sampled_from([0, 1, 2, OUTSIDE]), min_size=1, max_size=12), st.integers(1, 4))
def test_deflicker_equals_a_scan_of_one_cell(series, within):
    maps = np.array(series, np.uint8).reshape(-1, 1, 1)
    calm = deflicker(maps, within=within)
    assert calm[:, 0, 0].tolist() == reference.deflicker(series, within)
    assert (calm[0], calm[-1]) == (maps[0], maps[-1])
    np.testing.assert_array_equal(deflicker(calm, within=within), calm)
    flat = calm[:, 0, 0].tolist()
    for year in range(1, len(flat)):
        if flat[year] != flat[year - 1]:
            assert flat[year - 1] not in flat[year + 1 : year + within]


def test_deflicker_undoes_one_year_and_keeps_two():
    year = np.array([[1, 1, 1], [2, 2, 2], [1, 2, 3], [1, 1, 3]], np.uint8)[:, None, :]
    np.testing.assert_array_equal(
        deflicker(year)[:, 0].T, [[1, 1, 1, 1], [1, 2, 2, 1], [1, 2, 3, 3]]
    )
    with pytest.raises(ValueError, match="year, lat, lon"):
        deflicker(year[0])
