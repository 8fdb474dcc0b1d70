"""The coarse cells of which a product has fractions and transitions.

Shapes: K classes; H W fine cells of a box; Y X coarse cells under it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import F32, I64, U8
from luray.product.fractions import (
    as_fraction,
    class_sums,
    coarse_grid,
    row_shares,
    transition_sums,
)

DEFAULT_STEP = 0.25
"""Size of a coarse cell in degrees where a run names none: that of LUH2."""


@dataclass(frozen=True)
class CoarseCells:
    """Coarse cells over the grid of the maps, each a whole block of fine cells."""

    fine: Grid
    grid: Grid

    @classmethod
    def of(cls, fine: Grid, step: float, *, tile: int) -> Self:
        """Return the coarse cells of a size.

        Parameters
        ----------
        fine : Grid
            Of the maps.
        step : float
            Size of a coarse cell in degrees.
        tile : int
            Cells along a side of a tile, which has to hold whole coarse cells.

        Raises
        ------
        ValueError
            Where coarse cells do not nest in the grid or in its tiles.

        Examples
        --------
        >>> crete = Grid(north=35.75, west=23.25, step=0.01, n_lat=100, n_lon=325)
        >>> CoarseCells.of(crete, 0.25, tile=100).block
        25
        """
        cells = cls(fine, coarse_grid(fine, step))
        if tile % cells.block:
            raise ValueError(
                f"tiles of {tile} cells hold {tile / cells.block:.2f} coarse cells of {step} "
                f"degrees, expected a whole number; set tiling.tile to a multiple of {cells.block}"
            )
        return cells

    @property
    def block(self) -> int:
        """Fine cells along a side of a coarse cell."""
        return round(self.grid.step / self.fine.step)

    @cached_property
    def _share_H(self) -> I64:
        return row_shares(self.fine, self.grid)

    def fractions(self, classes_HW: U8, *, box: Box, n_classes: int) -> F32:
        """Return the share of each coarse cell that each class covers, (K, Y, X).

        Parameters
        ----------
        classes_HW : array, uint8
            Class indices of a box; what is no index of a class is no land.
        box : Box
            Fine cells, which begin with a whole coarse one.
        n_classes : int
            K.
        """
        share_H = self._share_H[box.row : box.row + box.height]
        return as_fraction(class_sums(classes_HW, share_H, self.block, n_classes))

    def transitions(self, before_HW: U8, after_HW: U8, *, box: Box, n_classes: int) -> F32:
        """Return the share of each coarse cell that goes from class to class, (K, K, Y, X).

        Parameters
        ----------
        before_HW, after_HW : array, uint8
            The maps of two consecutive years, see `fractions`.
        box, n_classes
            As those of `fractions`.
        """
        share_H = self._share_H[box.row : box.row + box.height]
        return as_fraction(transition_sums(before_HW, after_HW, share_H, self.block, n_classes))
