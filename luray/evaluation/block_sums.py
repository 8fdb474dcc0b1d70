"""Sums by block of the map, from which `significance` resamples.

Blocks of a map are counted from the corner of its grid. Sums are whole m2 and belong to cells, so
those of tiles add up to those of the whole map, whatever the tiles are.

Shapes: N blocks with scored land, K classes, C sums of each class, H W cells of a tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from luray.core.types import F64, I64, U8, Bool
from luray.evaluation.cell_sums import change_by_block

BLOCKS_ALONG = 30
"""Fewest blocks along the shorter side of a grid, where coarse cells are small enough for that."""

SUMS = 5
LAND, HITS, WRONG_GAIN, MISSES, FALSE_ALARMS = range(SUMS)
"""Columns of the sums. The last four are those of `metrics.change_parts`."""

CHANGE_PARTS = slice(HITS, None)
"""The last four columns."""

CLASS_SUMS = 8
(
    UNCHANGED,
    LOST,
    GAINED,
    PREDICTED,
    RIGHT,
    CHANGED_PREDICTED,
    CHANGED_RIGHT,
    GAIN_PREDICTED,
) = range(CLASS_SUMS)
"""Columns of the sums of a class.

Unchanged, lost, gained: by the observed maps. Predicted: whatever the cell was. Right: predicted
and observed. Changed: on cells that are observed to change. Gain predicted: on cells that began as
another class.
"""


def block_side(shape: tuple[int, int], *, coarse: int) -> int:
    """Return the cells along a side of a block.

    Cells of one coarse cell see the same forcing and err together, so a block is whole coarse
    cells. It is as many of them as leave `BLOCKS_ALONG` blocks along the shorter side of the grid,
    and at least one.

    Parameters
    ----------
    shape : tuple of int
        (n_lat, n_lon) of the fine grid.
    coarse : int
        Cells along a side of the coarsest forcing's cell.

    Examples
    --------
    The globe at 0.01 degrees with population at 0.5 degrees, and a region of 1 x 3 degrees with
    forcing at 0.25 degrees:

    >>> block_side((18000, 36000), coarse=50)
    600
    >>> block_side((100, 325), coarse=25)
    25
    """
    return coarse * max(1, min(shape) // BLOCKS_ALONG // coarse)


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums over the scored cells of one year, block by block; `+` merges two sets of cells.

    `BlockSums()` is the zero: no block.
    """

    side: int = 0
    """Cells along a side of a block; blocks are counted from the grid's corner."""
    places_N2: I64 = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """Row and column of each block, in ascending order."""
    sums_N5: F64 = field(default_factory=lambda: np.zeros((0, SUMS)))
    """Scored land, hits, wrong gain, misses and false alarms in m2."""
    class_sums_NKC: F64 = field(default_factory=lambda: np.zeros((0, 0, CLASS_SUMS)))
    """Areas of each class in m2, columns as `UNCHANGED` and those after it."""

    def __add__(self, other: "BlockSums") -> "BlockSums":
        if not self.side or not other.side:
            return self if self.side else other
        if self.side != other.side:
            raise ValueError(
                f"blocks of {self.side} and of {other.side} cells cannot be merged; evaluate every "
                "tile with the same blocks"
            )
        places_N2, sums_YN5, class_sums_YNKC = aligned([self, other])
        return BlockSums(self.side, places_N2, sums_YN5.sum(axis=0), class_sums_YNKC.sum(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Return the sums ready for JSON."""
        return {
            "side": self.side,
            "places": self.places_N2.tolist(),
            "sums": self.sums_N5.tolist(),
            "class_sums": self.class_sums_NKC.tolist(),
        }

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> "BlockSums":
        """Return the sums of which `to_dict` gave the entry.

        Raises
        ------
        ValueError
            If places and sums are not of the same blocks.
        """
        places_N2 = np.asarray(entry["places"], np.int64).reshape(-1, 2)
        sums_N5 = np.asarray(entry["sums"], np.float64).reshape(-1, SUMS)
        n_blocks = len(sums_N5)
        class_sums_NKC = np.asarray(entry["class_sums"], np.float64)
        if not n_blocks:
            class_sums_NKC = np.zeros((0, 0, CLASS_SUMS))
        if not len(places_N2) == len(class_sums_NKC) == n_blocks:
            raise ValueError(
                f"{len(places_N2)} places of blocks and sums by class of {len(class_sums_NKC)}, "
                f"expected {n_blocks} of both"
            )
        return cls(int(entry["side"]), places_N2, sums_N5, class_sums_NKC)

    def of_persistence(self) -> "BlockSums":
        """Return the sums of the null model, which misses all that was observed to change."""
        sums_N5 = np.zeros_like(self.sums_N5)
        sums_N5[:, LAND] = self.sums_N5[:, LAND]
        sums_N5[:, MISSES] = self.sums_N5[:, [HITS, WRONG_GAIN, MISSES]].sum(axis=1)
        class_sums_NKC = class_sums_of_persistence(self.class_sums_NKC)
        return BlockSums(self.side, self.places_N2, sums_N5, class_sums_NKC)


def class_sums_of_persistence(class_sums: F64) -> F64:
    """Return the sums by class of the null model on the same cells.

    It predicts the initial class: what is unchanged is right, what is lost is predicted still.

    Parameters
    ----------
    class_sums : array, shape (..., K, C)
        Sums of a prediction.
    """
    null = np.zeros_like(class_sums)
    observed = [UNCHANGED, LOST, GAINED]
    null[..., observed] = class_sums[..., observed]
    null[..., PREDICTED] = class_sums[..., UNCHANGED] + class_sums[..., LOST]
    null[..., RIGHT] = class_sums[..., UNCHANGED]
    null[..., CHANGED_PREDICTED] = class_sums[..., LOST]
    return null


def aligned(years: Sequence[BlockSums]) -> tuple[I64, F64, F64]:
    """Bring the sums of several years, or parts of the map, to the same blocks.

    Returns
    -------
    places_N2 : array
        Row and column of all blocks that any of them has, in ascending order.
    sums_YN5 : array, shape (Y, N, 5)
        Sums of each in all of these blocks, 0 where it has none.
    class_sums_YNKC : array, shape (Y, N, K, C)
        The same by class.
    """
    stacked = np.concatenate([year.places_N2 for year in years])
    places_N2, number = np.unique(stacked, axis=0, return_inverse=True)
    n_blocks = len(places_N2)
    n_classes = max(year.class_sums_NKC.shape[1] for year in years)

    sums_YN5 = np.zeros((len(years), n_blocks, SUMS))
    class_sums_YNKC = np.zeros((len(years), n_blocks, n_classes, CLASS_SUMS))
    first = 0
    for y, year in enumerate(years):
        last = first + len(year.places_N2)
        sums_YN5[y, number[first:last]] = year.sums_N5
        if last > first:
            class_sums_YNKC[y, number[first:last]] = year.class_sums_NKC
        first = last
    return places_N2, sums_YN5, class_sums_YNKC


def block_sums(
    initial: U8,
    truth: U8,
    predicted: U8,
    *,
    scored: Bool,
    cell_area: F64,
    n_classes: int,
    corner: tuple[int, int],
    side: int,
) -> BlockSums:
    """Sum up one tile and year by blocks; a tile may hold parts of blocks.

    Parameters
    ----------
    initial, truth, predicted : array of uint8, shape (H, W)
        Class indices.
    scored : bool array, shape (H, W)
        Cells that count, see `statistics.scored_cells`.
    cell_area : array, shape (H,)
        Area of a cell of each row in m2.
    n_classes : int
        Number of classes K of the legend.
    corner : tuple of int
        Row and column of the tile's first cell in the grid.
    side : int
        Cells along a side of a block, see `block_side`.

    Examples
    --------
    Two blocks of 2 x 2 cells of 100 m2, in one of which a change is foreseen:

    >>> initial = np.zeros((2, 4), np.uint8)
    >>> truth = np.array([[0, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    >>> sums = block_sums(
    ...     initial,
    ...     truth,
    ...     truth,
    ...     scored=initial == 0,
    ...     cell_area=np.full(2, 100.0),
    ...     n_classes=2,
    ...     corner=(0, 0),
    ...     side=2,
    ... )
    >>> sums.sums_N5[:, [LAND, HITS]].tolist()
    [[400.0, 100.0], [400.0, 0.0]]
    >>> sums.class_sums_NKC[0, :, [UNCHANGED, GAINED]].tolist()
    [[300.0, 0.0], [0.0, 100.0]]
    """
    n_rows, n_cols = scored.shape

    # Blocks that the tile touches, and that of each of its rows and columns among them.
    first_row = corner[0] // side
    first_col = corner[1] // side
    block_row_H = (corner[0] + np.arange(n_rows)) // side - first_row
    block_col_W = (corner[1] + np.arange(n_cols)) // side - first_col
    sums_YX5, class_sums_YXKC = change_by_block(
        initial, truth, predicted, scored, np.rint(cell_area), block_row_H, block_col_W, n_classes
    )
    with_land_N2 = np.nonzero(sums_YX5[..., LAND])
    block_row_N, block_col_N = with_land_N2
    places_N2 = np.stack([first_row + block_row_N, first_col + block_col_N], axis=1)
    return BlockSums(side, places_N2, sums_YX5[with_land_N2], class_sums_YXKC[with_land_N2])
