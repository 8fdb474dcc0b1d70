"""What the coarse scenario of a cube demands of a tile: the change of each group's share in blocks
of fine cells.

Shapes: G groups of classes, Y X blocks of b x b fine cells, V variables of the coarse layer.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from luray.core.grid import ALIGNMENT
from luray.core.tiling import Box
from luray.core.types import F32, Bool
from luray.cube.cube import Cube, Layer


@dataclass(frozen=True)
class CoarseDemand:
    """The one forcing layer of a cube whose variables are shares of classes, and how its cells lie
    on the run grid.
    """

    cube: Cube
    layer: Layer
    block: int
    """Fine cells along a side of a coarse one."""
    first: tuple[int, int]
    """Native row and column of the coarse cell at the run grid's north-west corner."""

    @classmethod
    def of(cls, cube: Cube, *, tile: int) -> "CoarseDemand":
        """The scenario of a cube, for tiles of `tile` cells.

        Raises ValueError unless exactly one layer has shares of classes and its cells are whole
        blocks of the run grid and of its tiles.
        """
        found = [layer for layer in cube.forcing if any(v.classes for v in layer.variables)]
        if len(found) != 1:
            raise ValueError(
                f"{cube.url} has {len(found)} sources of coarse class shares, expected one (luh2 "
                "or "
                "aggregated); correct [[sources]] or set demand.strength = 0"
            )
        [layer] = found
        ratio = layer.grid.step / cube.grid.step
        row, col = (
            (layer.grid.north - cube.grid.north) / layer.grid.step,
            (cube.grid.west - layer.grid.west) / layer.grid.step,
        )
        if max(abs(x - round(x)) for x in (ratio, row, col)) > ALIGNMENT or tile % round(ratio):
            raise ValueError(
                f"cells of {layer.path} are {ratio:.3f} fine cells wide and begin {row:.3f} rows "
                "and "
                f"{col:.3f} columns before the run grid; a demand needs whole numbers, and "
                "tiling.tile "
                f"{tile} a multiple of {round(ratio)}: correct [grid] and [tiling], or set "
                "demand.strength = 0"
            )
        return cls(cube, layer, round(ratio), (round(row), round(col)))

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Class indices of each group, in the order of the layer's variables."""
        codes = dict.fromkeys(v.classes for v in self.layer.variables if v.classes)
        return tuple(tuple(self.cube.legend.index(code) for code in group) for group in codes)

    def change(self, year: int, prior_year: int, box: Box, land: Bool) -> F32:
        """Change of each group's share of the land of the blocks of a tile since the prior year,
        float32 (G, Y, X).

        NaN where the scenario has no value or the block no land. Shares of the whole cell are
        turned into shares of its `land`, the mask of the tile.
        """
        now, before = (self._shares(y, box) for y in (year, prior_year))
        change: F32 = now - before
        cells = _count(land, self.block)
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = self.block**2 if self._of_cell else cells
            scaled: F32 = (change * (whole / cells)).astype(np.float32)
        return np.where(cells > 0, scaled, np.float32(np.nan))

    @property
    def _of_cell(self) -> bool:
        return next(v.share_of for v in self.layer.variables if v.classes) == "cell"

    def _shares(self, year: int, box: Box) -> F32:
        """Share of each group in a year, float32 (G, Y, X)."""
        top, left = box.row // self.block + self.first[0], box.col // self.block + self.first[1]
        rows, cols = -(-box.height // self.block), -(-box.width // self.block)
        pieces = [slice(top, top + rows)], [slice(left, left + cols)]
        values_VYX = self.cube.native(self.layer, self.layer.lead(year), pieces)
        groups = dict.fromkeys(v.classes for v in self.layer.variables if v.classes)
        return np.stack(
            [
                values_VYX[[v.classes == group for v in self.layer.variables]].sum(axis=0)
                for group in groups
            ]
        )


def _count(land: Bool, block: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Land cells of each block, the far ones cut, int64 (Y, X)."""
    height, width = (-(-n // block) * block for n in land.shape)
    padded = np.zeros((height, width), np.int64)
    padded[: land.shape[0], : land.shape[1]] = land
    counted: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = padded.reshape(
        height // block, block, width // block, block
    ).sum(axis=(1, 3))
    return counted
