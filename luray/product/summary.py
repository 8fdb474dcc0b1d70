"""Summary of the members of an ensemble: the share of each class, and the entropy of the shares.

Shapes: K classes; H W cells of a tile.
"""

from collections.abc import Iterable

import numpy as np

from luray.core.legend import OUTSIDE
from luray.core.percent import percent
from luray.core.types import U8


def member_summary(
    maps: Iterable[U8], *, shape: tuple[int, int], members: int, n_classes: int
) -> tuple[U8, U8]:
    """Sum up the maps of all members.

    Parameters
    ----------
    maps : iterable of arrays, shape (H, W)
        Class indices of each member; `OUTSIDE` is in the same cells of all. One is held at a time.
    shape : tuple of int
        H, W.
    members : int
        How many maps there are.
    n_classes : int
        K.

    Returns
    -------
    class_probability : array of uint8, shape (K, H, W)
        Share of the members that have the class, in percent.
    entropy : array of uint8, shape (H, W)
        Shannon entropy of the shares, in percent of its largest value log K; 0 outside land.
    """
    counts_KHW = np.zeros((n_classes, *shape), np.int32)
    classes_K11 = np.arange(n_classes, dtype=np.uint8)[:, None, None]
    land_HW = np.zeros(shape, np.bool_)
    for map_HW in maps:
        counts_KHW += map_HW == classes_K11
        land_HW = map_HW != OUTSIDE

    all_members_HW = np.full(shape, members)
    shares_KHW = np.stack([percent(counts_HW, all_members_HW) for counts_HW in counts_KHW])

    # A share p is one of members + 1 numbers, so -p log p is looked up. Where p is 0 the logarithm
    # of another number stands in for log 0, and is multiplied by 0: that is the limit.
    share = np.arange(members + 1) / members
    surprise = -share * np.log(np.maximum(share, 1 / members)) * 100 / np.log(n_classes)
    entropy_HW = np.zeros(shape)
    for counts_HW in counts_KHW:
        entropy_HW += surprise[counts_HW]
    rounded_HW = np.rint(entropy_HW)
    return shares_KHW, np.where(land_HW, rounded_HW, 0).astype(np.uint8)
