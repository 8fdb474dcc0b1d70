"""Tiles that own the output and windows that feed the model, on one global lattice.

The lattice has a core of `stride` x `stride` cells at every multiple of the stride, counted from
the north-west corner. A *window* is a core and `margin` cells around it; a *tile* is a rectangle of
whole cores. Neither the lattice nor which windows are active depends on tiles, workers or
scheduling.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from luray.core.config import Config
from luray.core.legend import OUTSIDE
from luray.core.types import U8, Bool


class Box(NamedTuple):
    """Half-open rectangle of cells: first row and column, height and width. It may reach past the
    grid.
    """

    row: int
    col: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def expand(self, margin: int) -> "Box":
        """The box with `margin` more cells on every side."""
        return Box(
            self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin
        )

    def intersection(self, other: "Box") -> "Box | None":
        """The cells that both have, None where they have none in common."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row + self.height, other.row + other.height) - row
        width = min(self.col + self.width, other.col + other.width) - col
        return Box(row, col, height, width) if height > 0 and width > 0 else None

    def clip(self, shape: tuple[int, int]) -> "Box | None":
        """The cells inside a grid of `shape` (n_lat, n_lon), None where there are none."""
        return self.intersection(Box(0, 0, *shape))

    def slices(self, *, origin: "Box") -> tuple[slice, slice]:
        """Index of this box in an array whose first cell is the first cell of `origin`."""
        row, col = self.row - origin.row, self.col - origin.col
        assert min(row, col) >= 0, f"{self} is not inside {origin}"
        return slice(row, row + self.height), slice(col, col + self.width)


class Core(NamedTuple):
    """Lattice position of a window: row and column of its core, counted in strides."""

    row: int
    col: int


class Tile(NamedTuple):
    """Lattice position of a tile, counted in tiles from the north-west."""

    row: int
    col: int


class Exchange(NamedTuple):
    """A rectangle shared by a tile's padded box and its neighbour: the same cells, seen from each."""

    neighbour: Tile
    padded: tuple[slice, slice]
    """Index in the padded array of the tile, see `Tiling.padded`."""
    own: tuple[slice, slice]
    """Index in the unpadded array of the neighbour."""


class TilingConfig(Config):
    """Window geometry in fine cells; the tile is also the shard of the product."""

    window: int = 256
    stride: int = 200
    tile: int = 2000


@dataclass(frozen=True)
class Tiling:
    """Windows and tiles over a grid of `n_lat` x `n_lon` cells; `periodic` wraps the longitude."""

    n_lat: int
    n_lon: int
    window: int
    stride: int
    tile: int
    periodic: bool = False

    def __post_init__(self) -> None:
        if self.stride < 1 or self.window < self.stride or (self.window - self.stride) % 2:
            raise ValueError(
                f"window {self.window} must exceed the stride {self.stride} by an even number of "
                "cells, "
                f"half on each side; set window = {self.stride + self.stride // 4 // 2 * 2}"
            )
        if self.tile < 1 or self.tile % self.stride:
            raise ValueError(
                f"tile {self.tile} must be a multiple of the stride {self.stride}; "
                f"set tile = {max(1, round(self.tile / self.stride)) * self.stride}"
            )
        if self.margin > self.tile:
            raise ValueError(
                f"margin {self.margin} reaches past the neighbouring tile of {self.tile} cells; "
                "set a larger tile or a smaller window"
            )
        if self.periodic and self.n_lon % self.tile:
            raise ValueError(
                f"tile {self.tile} must divide the {self.n_lon} columns of a grid that spans the "
                "globe"
            )
        if self.periodic and self.n_lon < self.window:
            raise ValueError(
                f"window {self.window} is wider than the {self.n_lon} columns of the globe"
            )

    @property
    def margin(self) -> int:
        """Cells by which a window exceeds its core on every side."""
        return (self.window - self.stride) // 2

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of the whole grid, (n_lat, n_lon)."""
        return self.n_lat, self.n_lon

    @property
    def everything(self) -> Box:
        """The whole grid as one box."""
        return Box(0, 0, self.n_lat, self.n_lon)

    def tiles(self) -> Iterator[Tile]:
        """Every tile, row by row."""
        rows, cols = range(-(-self.n_lat // self.tile)), range(-(-self.n_lon // self.tile))
        yield from (Tile(r, c) for r, c in product(rows, cols))

    def tile_box(self, tile: Tile) -> Box:
        """Cells that a tile owns, cut at the grid's edge."""
        row, col = tile.row * self.tile, tile.col * self.tile
        return Box(row, col, min(self.tile, self.n_lat - row), min(self.tile, self.n_lon - col))

    def core_box(self, core: Core) -> Box:
        """Cells of a window's core, cut at the grid's edge."""
        row, col = core.row * self.stride, core.col * self.stride
        return Box(row, col, min(self.stride, self.n_lat - row), min(self.stride, self.n_lon - col))

    def window_box(self, core: Core) -> Box:
        """Cells of a window: `window` x `window`, reaching past the grid at its edges."""
        return Box(
            core.row * self.stride - self.margin,
            core.col * self.stride - self.margin,
            self.window,
            self.window,
        )

    def padded(self, box: Box) -> Box:
        """Cells that the windows of a box see: the box, filled up to whole strides where the grid's
        edge cuts it, and a margin around it.
        """
        height, width = (-(-n // self.stride) * self.stride for n in box.shape)
        return Box(box.row, box.col, height, width).expand(self.margin)

    def cores(self, box: Box) -> Iterator[Core]:
        """Cores that begin inside a box of whole strides, row by row."""
        rows = range(-(-box.row // self.stride), -(-(box.row + box.height) // self.stride))
        cols = range(-(-box.col // self.stride), -(-(box.col + box.width) // self.stride))
        yield from (Core(r, c) for r, c in product(rows, cols))

    def active_cores(self, box: Box, land: Bool) -> list[Core]:
        """Cores in `box` with land in them, given the land mask of that box, shape (height, width).

        Every land cell lies in an active core, so its total weight is positive; the rest of the
        globe costs nothing.
        """
        return [
            core for core in self.cores(box) if land[self.core_box(core).slices(origin=box)].any()
        ]

    @cache  # noqa: B019 - a Tiling is a small value that lives as long as the run
    def exchanges(self, tile: Tile) -> tuple[Exchange, ...]:
        """Rectangles of a tile's padded box that its up to 8 neighbours own, in a fixed order.

        Sums travel along them from `padded` to `own`; edges of the finished map travel back.
        """
        box = self.tile_box(tile)
        padded = self.padded(box)
        found = []
        for d_row, d_col in product((-1, 0, 1), repeat=2):
            row, col = tile.row + d_row, tile.col + d_col
            n_rows, n_cols = -(-self.n_lat // self.tile), -(-self.n_lon // self.tile)
            if (
                (d_row, d_col) == (0, 0)
                or not 0 <= row < n_rows
                or not (self.periodic or 0 <= col < n_cols)
            ):
                continue
            neighbour = Tile(row, col % n_cols)
            home = self.tile_box(neighbour)
            seen = home._replace(col=home.col + (col - neighbour.col) * self.tile)
            shared = padded.intersection(seen)
            if shared:
                found.append(
                    Exchange(neighbour, shared.slices(origin=padded), shared.slices(origin=seen))
                )
        return tuple(found)

    def neighbours(self, tile: Tile) -> frozenset[Tile]:
        """Tiles that a tile's windows reach, itself excluded unless the globe is one tile wide."""
        return frozenset(e.neighbour for e in self.exchanges(tile))


def hull(boxes: Sequence[Box]) -> Box:
    """The smallest box around some."""
    rows, cols = min(b.row for b in boxes), min(b.col for b in boxes)
    return Box(
        rows,
        cols,
        max(b.row + b.height for b in boxes) - rows,
        max(b.col + b.width for b in boxes) - cols,
    )


class GridPiece(NamedTuple):
    """A part of a box that lies on the grid, seen from both."""

    in_box: Box
    """In the coordinates of the box, whose columns may lie beyond the dateline."""
    on_grid: Box
    """The same cells with their longitude wrapped."""


def pieces_on_grid(box: Box, shape: tuple[int, int], *, periodic: bool) -> Iterator[GridPiece]:
    """Cut a box at the edges of a grid.

    Parameters
    ----------
    box : Box
        Cells that may reach past the grid, by less than its width.
    shape : tuple of int
        (n_lat, n_lon) of the grid.
    periodic : bool
        Whether the first and the last column are neighbours.

    Yields
    ------
    GridPiece
        Each part that lies on the grid, from west to east: one, or several across the dateline.
        What lies beyond the poles, or beyond a grid that does not span the globe, is in none.
    """
    n_lon = shape[1]
    for turn in (-1, 0, 1) if periodic else (0,):
        on_grid = box._replace(col=box.col - turn * n_lon).clip(shape)
        if on_grid is not None:
            yield GridPiece(on_grid._replace(col=on_grid.col + turn * n_lon), on_grid)


def padded_map(classes: U8, box: Box, *, periodic: bool) -> U8:
    """Cells of `box` from a class map (lat, lon): longitude wraps when periodic, beyond the map is
    `OUTSIDE`.
    """
    n_lat, n_lon = classes.shape
    rows, cols = np.arange(box.row, box.row + box.height), np.arange(box.col, box.col + box.width)
    in_rows, in_cols = (rows >= 0) & (rows < n_lat), (cols >= 0) & (cols < n_lon) | periodic
    cut = classes[np.clip(rows, 0, n_lat - 1)[:, None], cols % n_lon]
    return np.where(in_rows[:, None] & in_cols, cut, np.uint8(OUTSIDE))
