"""Climatologies, null models of a continuous target: what a cell, or a class of cells, usually has.

A climatology is the mean of observed maps of the same step of the year. Maps without a value in a
cell carry no weight there. Values are in parts of a level, see `value_sums`.

Shapes: H W cells of a tile; Z zones (classes), and one more for cells that are in none; K steps of
a year.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from luray.core.types import F64, I16, I32, I64, U8
from luray.evaluation.value_sums import NONE, area_units, in_parts

CLASS_SUMS = 2
CLASS_AREA, CLASS_VALUE = range(CLASS_SUMS)
"""Columns of the sums by class: area, and area times value."""


class CellMean:
    """The mean of maps of one tile, cell by cell."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._total_HW: I32 = np.zeros(shape, np.int32)
        self._count_HW: I32 = np.zeros(shape, np.int32)

    def add(self, levels_HW: U8) -> None:
        """Add a map."""
        parts_HW = in_parts(levels_HW)
        known_HW = parts_HW != NONE
        self._total_HW += np.where(known_HW, parts_HW, 0)
        self._count_HW += known_HW

    @property
    def parts_HW(self) -> I16:
        """The mean in parts of a level, rounded to whole ones; `NONE` where no map has a value."""
        count_HW = np.maximum(self._count_HW, 1)
        rounded_HW = (2 * self._total_HW + count_HW) // (2 * count_HW)
        return np.where(self._count_HW > 0, rounded_HW, NONE).astype(np.int16)


def sums_by_class(levels_HW: U8, zone_HW: U8, *, n_zones: int, cell_area: F64) -> I64:
    """Return the sums of one map by class of its cells.

    Parameters
    ----------
    levels_HW : array of uint8
        Levels; cells without a value count nowhere.
    zone_HW : array of uint8
        Number of the class of each cell, `n_zones` where it is in none.
    n_zones : int
        Number of classes, Z.
    cell_area : array, shape (H,)
        Area of a cell of each row in m2.

    Returns
    -------
    array of int64, shape (Z + 1, 2)
        Area, and area times value; the last row is of cells in no class.
    """
    parts_HW = in_parts(levels_HW)
    row, col = np.nonzero(parts_HW != NONE)
    area_N = area_units(cell_area)[row]
    zone_N = np.minimum(zone_HW[row, col], n_zones)
    sums_Z2 = np.zeros((n_zones + 1, CLASS_SUMS), np.int64)
    np.add.at(sums_Z2[:, CLASS_AREA], zone_N, area_N)
    np.add.at(sums_Z2[:, CLASS_VALUE], zone_N, area_N * parts_HW[row, col])
    return sums_Z2


@dataclass(frozen=True, eq=False)
class ClassClimatology:
    """The mean value of each class, and of all land, in each step of the year."""

    parts_KZ: I16
    """In parts of a level; the last column is of all land, and stands for cells in no class. A
    class without a value in a step of the year has that of all land.
    """

    @classmethod
    def of(cls, sums_KZ2: I64) -> "ClassClimatology":
        """Return the climatology of sums by step of the year.

        Steps without a value on any land have `NONE`, and must not be asked for.
        """
        means_KZ = np.full(sums_KZ2.shape[:2], NONE, np.int16)
        for k, sums_Z2 in enumerate(sums_KZ2):
            of_land = _mean(sums_Z2.astype(object).sum(axis=0))
            for z, sums_2 in enumerate(sums_Z2):
                mean = _mean(sums_2)
                is_land = z == len(sums_Z2) - 1
                means_KZ[k, z] = of_land if is_land or mean == NONE else mean
        return cls(means_KZ)

    def map_of(self, k: int, zone_HW: U8) -> I16:
        """Return the climatology of step k of the year for the class of each cell, (H, W)."""
        all_land = self.parts_KZ.shape[1] - 1
        means_HW: I16 = self.parts_KZ[k][np.minimum(zone_HW, all_land)]
        return means_HW


def _mean(sums_2: Iterable[int]) -> int:
    """Value over area, rounded to a whole part; `NONE` for no area."""
    area, value = map(int, sums_2)  # Python's integers, which have no bound
    return (2 * value + area) // (2 * area) if area else NONE


def filled(parts_HW: I16, *fallbacks: I16) -> I16:
    """Return values with those of the first fallback that has one where they are `NONE`.

    Examples
    --------
    >>> filled(np.array([3, NONE, NONE]), np.array([5, 6, NONE]), np.array([7, 7, 7])).tolist()
    [3, 6, 7]
    """
    result = parts_HW.copy()
    for fallback_HW in fallbacks:
        np.copyto(result, fallback_HW, where=result == NONE)
    return result
