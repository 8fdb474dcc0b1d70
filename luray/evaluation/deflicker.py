"""Removal of flicker from yearly maps: a class that lasts a year or two and then is undone.

In the observed maps many cells go A -> B -> A. Part of that is no change of the land but an error
of classification, so the scores are also given against maps without it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def deflicker(maps: NDArray[Any], *, within: int = 2) -> NDArray[Any]:
    """Return yearly maps in which every change A -> B -> A is removed.

    A cell that leaves class A, and is A again at most `within` years after it was last A, keeps A
    in between. The first map never changes, nor the last.

    Parameters
    ----------
    maps : array, shape (year, lat, lon)
        Codes or class indices of consecutive years, of any type.
    within : int
        Years after which a return still counts as flicker. With 2, a class that lasts one year is
        removed.

    Returns
    -------
    array, shape (year, lat, lon)
        The maps without flicker, of the same type.

    Raises
    ------
    ValueError
        If `maps` has no year axis.

    Examples
    --------
    >>> years = np.array([1, 2, 1, 3, 3]).reshape(5, 1, 1)
    >>> deflicker(years).ravel()
    array([1, 1, 1, 3, 3])
    """
    if maps.ndim != 3:
        raise ValueError(
            f"maps of shape {maps.shape}, expected (year, lat, lon); stack the yearly maps"
        )

    # In the order of the years, and against the deflickered year before: A B A B A B ends as
    # A A A A A B, and nothing is left to remove.
    deflickered = maps.copy()
    for year in range(1, len(maps)):
        class_before = deflickered[year - 1]
        returns = np.zeros(class_before.shape, bool)
        for later_year in range(year + 1, min(year + within, len(maps))):
            returns |= maps[later_year] == class_before
        deflickered[year] = np.where(returns, class_before, maps[year])
    return deflickered
