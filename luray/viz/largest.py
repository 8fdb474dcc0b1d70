"""Long legends in pictures: the classes that are named, and shortened names."""

from collections.abc import Sequence

import numpy as np

from luray.core.types import F64


def largest(values_K: Sequence[float] | F64, most: int) -> list[int]:
    """Return the positions of the classes that are named, ascending.

    Parameters
    ----------
    values_K : array, shape (K,)
        How large each class is.
    most : int
        How many there is room for. Where K is no more, all are named, absent ones too.

    Examples
    --------
    >>> largest([5.0, 0.0, 1.0, 3.0], 4)
    [0, 1, 2, 3]
    >>> largest([5.0, 0.0, 1.0, 3.0], 2)
    [0, 3]
    """
    values = np.asarray(values_K, float)
    if values.size <= most:
        return list(range(values.size))
    by_size = np.argsort(-values, kind="stable")[:most]
    return sorted(int(k) for k in by_size if values[k] > 0)


def shortened(name: str, most: int) -> str:
    """Return a name of at most so many letters, cut behind a word where it is longer.

    Examples
    --------
    >>> shortened("tree broadleaved deciduous closed to open", 27)
    'tree broadleaved deciduous…'
    >>> shortened("grassland", 27)
    'grassland'
    """
    if len(name) <= most:
        return name
    whole_words = name[:most].rpartition(" ")[0]
    return (whole_words or name[: most - 1]) + "…"
