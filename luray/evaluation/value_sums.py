"""Sums over the cells of maps of values, from which every score of a continuous target follows.

Every number that is summed is whole, so tiles that are merged in any order, and tiles of any size,
give the same sums to the last bit:

- Values are counted in parts of a level of the scale, `PARTS` of them, as a mean over some years is
  no whole level. `NONE` stands where there is no value.
- A cell counts by its area in units of `AREA_UNIT`, and at least one.

The land of the Earth has 1.5e12 units, and an error is below 250 levels. So no sum over the land of
one time step can reach 2^63, and int64 holds it. Over several steps they are added as Python's
integers (`pooled`).

Shapes: H W cells of a tile; R rows, the model and the null models; Z zones; C sums; N blocks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.compiled import compiled
from luray.core.types import F64, I16, I64, U8
from luray.core.value_scale import MOST_LEVELS

PARTS = 8
"""Parts of a level in which values are counted."""

NONE = -1
"""Stands for no value among values in parts."""

AREA_UNIT = 100.0
"""m2 of a unit of area."""

SUMS = 9
(
    AREA,
    TRUE,
    TRUE_SQUARE,
    ERROR,
    ABSOLUTE_ERROR,
    SQUARE_ERROR,
    TRUE_ANOMALY_SQUARE,
    ANOMALY_SQUARE,
    ANOMALY_PRODUCT,
) = range(SUMS)
"""Columns of the sums. The area, then products of the area of a cell with its true value; with
predicted minus true; and with their differences from the cell's climatology, anomalies.
"""

SPREADS = 251
"""Spreads that a product stores: 0 .. 250 steps of the scale."""

SPREAD_SUMS = 4
SPREAD_AREA, WITHIN_ONE, WITHIN_TWO, SPREAD_SQUARE_ERROR = range(SPREAD_SUMS)
"""Columns of the sums by spread: area, and that with an error of at most one and two spreads;
squared error of the model.
"""

Pooled = NDArray[Any]
"""Sums of several steps: Python's integers, which have no bound, in an array of objects."""


def in_parts(levels: U8) -> I16:
    """Return the values of levels in parts, same shape; `NONE` for what is no level.

    That is 254, land whose value is unknown, and 255, no land.

    Examples
    --------
    >>> in_parts(np.array([0, 3, 254, 255], np.uint8)).tolist()
    [0, 24, -1, -1]
    """
    parts = levels.astype(np.int16) * np.int16(PARTS)
    parts[levels >= MOST_LEVELS] = NONE
    return parts


def area_units(cell_area: F64) -> I64:
    """Return areas in m2 in whole units, at least one."""
    units: I64 = np.maximum(1, np.rint(cell_area / AREA_UNIT)).astype(np.int64)
    return units


@dataclass(frozen=True, eq=False)
class BlockSquares:
    """Squared errors block by block of the map, from which intervals are drawn.

    `BlockSquares()` is the zero: no block. Blocks are counted from the corner of the grid, see
    `block_sums.block_side`.
    """

    side: int = 0
    """Cells along a side of a block."""
    places_N2: I64 = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """Row and column of each block with a value, in ascending order."""
    square_error_NR: Pooled = field(default_factory=lambda: np.zeros((0, 0), object))
    """Sum of area times squared error of each row."""

    def __add__(self, other: "BlockSquares") -> "BlockSquares":
        if not self.side or not other.side:
            return self if self.side else other
        if self.side != other.side:
            raise ValueError(
                f"blocks of {self.side} and of {other.side} cells cannot be merged; evaluate every "
                "tile with the same blocks"
            )
        stacked = np.concatenate([self.places_N2, other.places_N2])
        places_N2, number = np.unique(stacked, axis=0, return_inverse=True)
        total_NR = np.zeros((len(places_N2), self.square_error_NR.shape[1]), object)
        n_self = len(self.places_N2)
        total_NR[number[:n_self]] += self.square_error_NR
        total_NR[number[n_self:]] += other.square_error_NR
        return BlockSquares(self.side, places_N2, total_NR)


@dataclass(frozen=True, eq=False)
class ValueSums:
    """Sums over the cells of one time step that have a true value; `+` merges two sets of cells."""

    by_zone_ZRC: I64
    """Sums of each zone, the last of cells in no zone; columns as `AREA` and those after it."""
    by_spread_P4: I64
    """Sums by the spread of the model, shape (251, 4); zeros where it has none."""
    blocks: BlockSquares

    def __add__(self, other: "ValueSums") -> "ValueSums":
        if self.by_zone_ZRC.shape != other.by_zone_ZRC.shape:
            raise ValueError(
                f"sums of zones, rows and columns {self.by_zone_ZRC.shape} and "
                f"{other.by_zone_ZRC.shape} cannot be merged; evaluate every tile alike"
            )
        return ValueSums(
            self.by_zone_ZRC + other.by_zone_ZRC,
            self.by_spread_P4 + other.by_spread_P4,
            self.blocks + other.blocks,
        )

    @property
    def all_land_RC(self) -> I64:
        """Sums of all zones."""
        total_RC: I64 = self.by_zone_ZRC.sum(axis=0)
        return total_RC


ValueTally = Mapping[int, ValueSums]
"""Sums by time step."""


def merge_values(tallies: Iterable[ValueTally]) -> dict[int, ValueSums]:
    """Return the sums of all tiles together, step by step; their order does not matter."""
    steps: dict[int, ValueSums] = {}
    for tally in tallies:
        for step, sums in tally.items():
            steps[step] = steps[step] + sums if step in steps else sums
    return steps


def pooled(arrays: Iterable[I64]) -> Pooled:
    """Return the sum of arrays of one shape, one or more, as integers without a bound."""
    first, *others = (array.astype(object) for array in arrays)
    total = first
    for array in others:
        total = total + array
    return total


def value_sums(
    truth_HW: I16,
    predicted_RHW: I16,
    climatology_HW: I16,
    *,
    spread_HW: U8 | None,
    zone_HW: U8,
    n_zones: int,
    cell_area: F64,
    corner: tuple[int, int],
    side: int,
) -> ValueSums:
    """Sum up one tile and time step.

    Parameters
    ----------
    truth_HW : array of int16
        True values in parts of a level. A cell without one counts nowhere.
    predicted_RHW : array of int16
        Values of the model, then of each null model, in parts of a level.
    climatology_HW : array of int16
        What anomalies are differences from, in parts of a level.
    spread_HW : array of uint8, optional
        Spread of the model in steps of the scale, 255 where it has none.
    zone_HW : array of uint8
        Number of the zone of each cell, `n_zones` where it is in none.
    n_zones : int
        Number of zones.
    cell_area : array, shape (H,)
        Area of a cell of each row in m2.
    corner : tuple of int
        Row and column of the tile's first cell in the grid.
    side : int
        Cells along a side of a block, see `block_sums.block_side`.

    Raises
    ------
    ValueError
        If a cell has a true value but no predicted one, or no climatology.

    Examples
    --------
    One cell of 100 m2 with the true level 3, of which the model predicts 4:

    >>> sums = value_sums(
    ...     np.array([[24, NONE]], np.int16),
    ...     np.array([[[32, 32]]], np.int16),
    ...     np.array([[20, 20]], np.int16),
    ...     spread_HW=np.array([[1, 1]], np.uint8),
    ...     zone_HW=np.zeros((1, 2), np.uint8),
    ...     n_zones=0,
    ...     cell_area=np.array([100.0]),
    ...     corner=(0, 0),
    ...     side=2,
    ... )
    >>> sums.all_land_RC.tolist()
    [[1, 24, 576, 8, 8, 64, 16, 144, 48]]
    >>> sums.by_spread_P4[1].tolist()
    [1, 1, 1, 64]
    """
    has_truth_HW = truth_HW != NONE
    lacking = (predicted_RHW == NONE).any(axis=0) | (climatology_HW == NONE)
    n_lacking = int((lacking & has_truth_HW).sum())
    if n_lacking:
        raise ValueError(
            f"{n_lacking} cells from row {corner[0]}, column {corner[1]} have an observed value "
            "but no predicted one, expected one on all land; run `luray verify --repair`, then "
            "`luray infer`"
        )

    # Blocks that the tile touches, and that of each of its rows and columns among them.
    n_rows, n_cols = truth_HW.shape
    first_row = corner[0] // side
    first_col = corner[1] // side
    block_row_H = (corner[0] + np.arange(n_rows)) // side - first_row
    block_col_W = (corner[1] + np.arange(n_cols)) // side - first_col
    area_H = area_units(cell_area)
    by_zone_ZRC, square_error_YXR, area_YX = _sums_of_cells(
        truth_HW,
        predicted_RHW,
        climatology_HW,
        np.minimum(zone_HW, np.uint8(n_zones)),
        area_H,
        block_row_H,
        block_col_W,
        n_zones,
    )
    with_value_N2 = np.nonzero(area_YX)
    block_row_N, block_col_N = with_value_N2
    places_N2 = np.stack([first_row + block_row_N, first_col + block_col_N], axis=1)
    blocks = BlockSquares(side, places_N2, square_error_YXR[with_value_N2].astype(object))

    by_spread_P4 = np.zeros((SPREADS, SPREAD_SUMS), np.int64)
    if spread_HW is not None:
        _add_by_spread(by_spread_P4, truth_HW, predicted_RHW[0], spread_HW, area_H)
    return ValueSums(by_zone_ZRC, by_spread_P4, blocks)


@compiled
def _sums_of_cells(
    truth_HW: I16,
    predicted_RHW: I16,
    climatology_HW: I16,
    zone_HW: U8,
    area_H: I64,
    block_row_H: I64,
    block_col_W: I64,
    n_zones: int,
) -> tuple[I64, I64, I64]:
    """Sums by zone and row, squared errors by block and row, and area by block."""
    n_rows = predicted_RHW.shape[0]
    n_down = block_row_H[-1] + 1
    n_across = block_col_W[-1] + 1
    by_zone_ZRC = np.zeros((n_zones + 1, n_rows, SUMS), np.int64)
    square_error_YXR = np.zeros((n_down, n_across, n_rows), np.int64)
    area_YX = np.zeros((n_down, n_across), np.int64)
    for row in range(truth_HW.shape[0]):
        area = area_H[row]
        for col in range(truth_HW.shape[1]):
            if truth_HW[row, col] == NONE:
                continue
            y = block_row_H[row]
            x = block_col_W[col]
            area_YX[y, x] += area
            truth = np.int64(truth_HW[row, col])
            climatology = np.int64(climatology_HW[row, col])
            true_anomaly = truth - climatology
            for r in range(n_rows):
                predicted = np.int64(predicted_RHW[r, row, col])
                error = predicted - truth
                anomaly = predicted - climatology
                sums_C = by_zone_ZRC[zone_HW[row, col], r]
                sums_C[AREA] += area
                sums_C[TRUE] += area * truth
                sums_C[TRUE_SQUARE] += area * truth * truth
                sums_C[ERROR] += area * error
                sums_C[ABSOLUTE_ERROR] += area * abs(error)
                sums_C[SQUARE_ERROR] += area * error * error
                sums_C[TRUE_ANOMALY_SQUARE] += area * true_anomaly * true_anomaly
                sums_C[ANOMALY_SQUARE] += area * anomaly * anomaly
                sums_C[ANOMALY_PRODUCT] += area * anomaly * true_anomaly
                square_error_YXR[y, x, r] += area * error * error
    return by_zone_ZRC, square_error_YXR, area_YX


@compiled
def _add_by_spread(
    by_spread_P4: I64, truth_HW: I16, predicted_HW: I16, spread_HW: U8, area_H: I64
) -> None:
    """Add the cells with a true value and a spread to the sums by spread."""
    for row in range(truth_HW.shape[0]):
        for col in range(truth_HW.shape[1]):
            spread = np.int64(spread_HW[row, col])
            if truth_HW[row, col] == NONE or spread >= SPREADS:
                continue
            error = np.int64(predicted_HW[row, col]) - np.int64(truth_HW[row, col])
            area = area_H[row]
            by_spread_P4[spread, SPREAD_AREA] += area
            if abs(error) <= spread * PARTS:
                by_spread_P4[spread, WITHIN_ONE] += area
            if abs(error) <= 2 * spread * PARTS:
                by_spread_P4[spread, WITHIN_TWO] += area
            by_spread_P4[spread, SPREAD_SQUARE_ERROR] += area * error * error
