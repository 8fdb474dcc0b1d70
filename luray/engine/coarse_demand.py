"""The change that the coarse scenario of a cube demands of a tile.

A demand is the change of each group's share in blocks of fine cells, one block a coarse cell.

Shapes: G groups of classes, Y X blocks of b x b fine cells, V variables of the coarse layer.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.grid import ALIGNMENT
from luray.core.tiling import Box
from luray.core.types import F32, I64, Bool
from luray.cube.cube import Cube, Layer
from luray.evaluation.demand_agreement import DemandedChange


@dataclass(frozen=True)
class CoarseDemand:
    """The forcing layer whose variables are shares of classes, and how it lies on the run grid."""

    cube: Cube
    layer: Layer
    block: int
    """Fine cells along a side of a coarse one."""
    first: tuple[int, int]
    """Native row and column of the coarse cell at the run grid's north-west corner."""

    @classmethod
    def of(cls, cube: Cube, *, tile: int) -> "CoarseDemand":
        """Find the demand of a cube.

        Parameters
        ----------
        cube : Cube
            As one scenario sees it, see `Cube.of_scenario`.
        tile : int
            Cells along a side of a tile.

        Raises
        ------
        ValueError
            Unless exactly one layer has shares of classes, and its cells are whole blocks of the
            run grid and of its tiles.
        """
        layers = cube.share_layers
        if len(layers) != 1:
            raise ValueError(
                f"{cube.url} has {len(layers)} sources of coarse class shares, expected one (luh2 "
                "or aggregated); correct [[sources]] or set demand.strength = 0"
            )
        [layer] = layers

        ratio = layer.grid.step / cube.grid.step
        first_row = (layer.grid.north - cube.grid.north) / layer.grid.step
        first_col = (cube.grid.west - layer.grid.west) / layer.grid.step
        misfit = max(abs(x - round(x)) for x in (ratio, first_row, first_col))
        if misfit > ALIGNMENT or tile % round(ratio):
            raise ValueError(
                f"cells of {layer.path} are {ratio:.3f} fine cells wide and begin "
                f"{first_row:.3f} rows and {first_col:.3f} columns before the run grid; a demand "
                f"needs whole numbers, and tiling.tile {tile} a multiple of {round(ratio)}: "
                "correct [grid] and [tiling], or set demand.strength = 0"
            )
        return cls(cube, layer, round(ratio), (round(first_row), round(first_col)))

    @cached_property
    def groups_of_codes(self) -> tuple[tuple[int, ...], ...]:
        """Published class codes of each group; several variables may be parts of one group."""
        return tuple(dict.fromkeys(v.classes for v in self.layer.variables if v.classes))

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Class indices of each group, in the order of the layer's variables."""
        index = self.cube.legend.index
        return tuple(tuple(map(index, codes)) for codes in self.groups_of_codes)

    def change(self, year: int, prior_year: int, box: Box, land: Bool) -> F32:
        """Return the change of each group's share of a tile's land since the prior year.

        Parameters
        ----------
        year, prior_year : int
            Years of the scenario.
        box : Box
            The tile.
        land : array, bool, shape (height, width)
            Land mask of the tile.

        Returns
        -------
        array, float32, shape (G, Y, X)
            Share of a block's land cells; NaN where the scenario has no value or the block no land.
        """
        change_GYX: F32 = self.shares(year, box) - self.shares(prior_year, box)

        # A share of the whole coarse cell is a larger share of the land in it.
        land_cells_YX = _land_cells(land, self.block)
        whole_cells = self.block**2 if self.is_share_of_cell else land_cells_YX
        with np.errstate(divide="ignore", invalid="ignore"):  # blocks without land become NaN
            whole_by_land_YX = whole_cells / land_cells_YX
            share_of_land_GYX: F32 = (change_GYX * whole_by_land_YX).astype(np.float32)
        return np.where(land_cells_YX > 0, share_of_land_GYX, np.float32(np.nan))

    @property
    def is_share_of_cell(self) -> bool:
        """Whether shares are of the whole coarse cell, not of the land in it."""
        return next(v.share_of for v in self.layer.variables if v.classes) == "cell"

    def shares(self, year: int, box: Box) -> F32:
        """Return the share of each group in the coarse cells of a box.

        Parameters
        ----------
        year : int
            Of the scenario.
        box : Box
            Of fine cells; it begins with a whole coarse one.

        Returns
        -------
        array, float32, shape (G, Y, X)
            See `is_share_of_cell`; NaN where the scenario has no value.
        """
        first_row, first_col = self.first
        top = box.row // self.block + first_row
        left = box.col // self.block + first_col
        n_rows = ceil_div(box.height, self.block)
        n_cols = ceil_div(box.width, self.block)
        pieces = [slice(top, top + n_rows)], [slice(left, left + n_cols)]
        values_VYX = self.cube.native(self.layer, self.layer.lead(year), pieces)

        # Several states of LUH2 may be parts of one group, such as its five kinds of crops.
        shares = []
        for codes in self.groups_of_codes:
            is_part = [v.classes == codes for v in self.layer.variables]
            shares.append(values_VYX[is_part].sum(axis=0))
        return np.stack(shares)


def demanded_since(
    cube: Cube, box: Box, *, tile: int, start: int, years: Iterable[int]
) -> dict[int, DemandedChange]:
    """Return the change that the first scenario demands of a tile since a year.

    The result has an entry for each later or earlier year that the scenario has, and none at all
    where the cube has no coarse shares of classes whose cells are whole blocks of the run grid.

    Parameters
    ----------
    cube : Cube
        Has the scenario.
    box : Box
        The tile.
    tile : int
        Cells along a side of a tile.
    start : int
        Year from which change is counted.
    years : iterable of int
        Years up to which it is counted.

    Returns
    -------
    dict of int to DemandedChange
        By year.
    """
    view = cube.of_scenario("")
    try:
        demand = CoarseDemand.of(view, tile=tile)
    except ValueError:  # no demand could be imposed either, and none was
        return {}
    if start not in demand.layer.steps:
        return {}
    land = view.land(box)
    demanded = {}
    for year in years:
        if year in demand.layer.steps:
            change_GYX = demand.change(year, start, box, land)
            demanded[year] = DemandedChange(demand.groups, demand.block, change_GYX)
    return demanded


def why_not_demanded(cube: Cube, *, tile: int, start: int, years: Collection[int]) -> str:
    """Explain why `demanded_since` returns nothing for any of some years.

    Parameters are those of `demanded_since`. Returns an empty string where it returns something.
    """
    view = cube.of_scenario("")
    n_layers = len(view.share_layers)
    if n_layers != 1:
        return f"the cube has {n_layers or 'no'} sources of coarse shares of classes, expected one"
    try:
        demand = CoarseDemand.of(view, tile=tile)
    except ValueError:
        return "the coarse cells are no whole blocks of the run's cells and tiles"
    if start not in demand.layer.steps:
        return f"the coarse scenario has no values for {start}, from which change is counted"
    if not any(year in demand.layer.steps for year in years):
        return "the coarse scenario has no values for the years that are scored"
    return ""


def _land_cells(land: Bool, block: int) -> I64:
    """Land cells of each block, int64 (Y, X); blocks at the far edges may be cut."""
    height, width = land.shape
    n_rows = ceil_div(height, block)
    n_cols = ceil_div(width, block)
    padded = np.zeros((n_rows * block, n_cols * block), np.int64)
    padded[:height, :width] = land
    blocks_YbXb = padded.reshape(n_rows, block, n_cols, block)
    land_cells_YX: I64 = blocks_YbXb.sum(axis=(1, 3))
    return land_cells_YX
