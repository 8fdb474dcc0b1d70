"""TO BE WRITTEN."""

import numpy as np

from luray.core.types import I32, I64, U8


def percent(part: I32, total: I64) -> U8:
    """Share of the total in percent, rounded half up, same shape; 0 of nothing."""
    share: I64 = (200 * part.astype(np.int64) + total) // np.maximum(2 * total, 1)
    return share.astype(np.uint8)
