"""Shares in percent as one byte each, from whole numbers only: the same on every machine."""

import numpy as np

from luray.core.types import I32, I64, U8


def percent(part: I32, total: I64) -> U8:
    """Express parts of totals in percent, rounded half up.

    Parameters
    ----------
    part : int32 array
        Any shape; each at most its total.
    total : int64 array
        Of a shape that broadcasts against `part`.

    Returns
    -------
    uint8 array
        0 to 100, same shape as `part`; 0 where the total is 0.

    Examples
    --------
    >>> percent(np.array([1, 2, 0], np.int32), np.array([200, 3, 0])).tolist()
    [1, 67, 0]
    """
    # floor((100 p / t) + 1/2) = (200 p + t) // 2 t, without a float between
    share: I64 = (200 * part.astype(np.int64) + total) // np.maximum(2 * total, 1)
    return share.astype(np.uint8)
