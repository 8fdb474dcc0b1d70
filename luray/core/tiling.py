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

from luray.core.arithmetic import ceil_div
from luray.core.config import Config
from luray.core.legend import OUTSIDE
from luray.core.types import U8, Bool


class Box(NamedTuple):
    """Half-open rectangle of cells: first row and column, height and width.

    It may reach past the grid: rows and columns are whole numbers of any sign.

    Examples
    --------
    >>> box = Box(row=-2, col=3, height=6, width=4)
    >>> box.clip((10, 5))
    Box(row=0, col=3, height=4, width=2)
    >>> box.expand(1).shape
    (8, 6)
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
        """Return the box with `margin` more cells on every side."""
        return Box(
            self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin
        )

    def coarsened(self, block: int) -> "Box":
        """Return the coarse cells that the box has, where each is `block` x `block` cells.

        The box begins with a whole one. Its last row and column may be a part of one.

        Examples
        --------
        >>> Box(row=8, col=4, height=5, width=4).coarsened(4)
        Box(row=2, col=1, height=2, width=1)
        """
        height = ceil_div(self.height, block)
        width = ceil_div(self.width, block)
        assert self.row % block == self.col % block == 0, f"{self} begins inside a coarse cell"
        return Box(self.row // block, self.col // block, height, width)

    def intersection(self, other: "Box") -> "Box | None":
        """Return the cells that both boxes have, None where they have none in common."""
        row = max(self.row, other.row)
        col = max(self.col, other.col)
        height = min(self.row + self.height, other.row + other.height) - row
        width = min(self.col + self.width, other.col + other.width) - col
        return Box(row, col, height, width) if height > 0 and width > 0 else None

    def clip(self, shape: tuple[int, int]) -> "Box | None":
        """Return the cells inside a grid of `shape` (n_lat, n_lon), None where there are none."""
        return self.intersection(Box(0, 0, *shape))

    def slices(self, *, origin: "Box") -> tuple[slice, slice]:
        """Return the index of this box in an array that begins with the first cell of `origin`."""
        row = self.row - origin.row
        col = self.col - origin.col
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
    """A rectangle that a tile's padded box and its neighbour share, seen from both."""

    neighbour: Tile
    padded: tuple[slice, slice]
    """Index in the padded array of the tile, see `Tiling.padded`."""
    own: tuple[slice, slice]
    """Index in the unpadded array of the neighbour."""


class TilingConfig(Config):
    """Geometry of windows and tiles, in fine cells; a tile is also a shard of the product."""

    window: int = 256
    stride: int = 200
    tile: int = 2000


@dataclass(frozen=True)
class Tiling:
    """Windows and tiles over a grid.

    Parameters
    ----------
    n_lat, n_lon : int
        Rows and columns of the grid.
    window : int
        Rows, and columns, of a window.
    stride : int
        Rows, and columns, of its core: the distance of two windows.
    tile : int
        Rows, and columns, of a tile, a multiple of the stride.
    periodic : bool
        Whether the first and the last column are neighbours.

    Raises
    ------
    ValueError
        For numbers that do not go together, naming some that do.

    Examples
    --------
    >>> tiling = Tiling(n_lat=8, n_lon=12, window=6, stride=4, tile=4, periodic=True)
    >>> tiling.margin
    1
    >>> tiling.window_box(Core(0, 1))
    Box(row=-1, col=3, height=6, width=6)
    >>> sorted(tiling.neighbours(Tile(0, 0)))[:2]
    [Tile(row=0, col=1), Tile(row=0, col=2)]
    """

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
                f"cells, half on each side; set window = {self.stride + self.stride // 4 // 2 * 2}"
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
                "globe; set a tile that does, or another grid.step"
            )
        if self.periodic and self.n_lon < self.window:
            raise ValueError(
                f"window {self.window} is wider than the {self.n_lon} columns of the globe; "
                "set a smaller window or grid.step"
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
        """Yield every tile, row by row."""
        n_rows, n_cols = self._tile_counts
        for row, col in product(range(n_rows), range(n_cols)):
            yield Tile(row, col)

    @property
    def _tile_counts(self) -> tuple[int, int]:
        """Rows and columns of tiles; the last ones are cut by the grid's edge."""
        return ceil_div(self.n_lat, self.tile), ceil_div(self.n_lon, self.tile)

    def tile_box(self, tile: Tile) -> Box:
        """Return the cells that a tile owns, cut at the grid's edge."""
        row = tile.row * self.tile
        col = tile.col * self.tile
        return Box(row, col, min(self.tile, self.n_lat - row), min(self.tile, self.n_lon - col))

    def core_box(self, core: Core) -> Box:
        """Return the cells of a window's core, cut at the grid's edge."""
        row = core.row * self.stride
        col = core.col * self.stride
        return Box(row, col, min(self.stride, self.n_lat - row), min(self.stride, self.n_lon - col))

    def window_box(self, core: Core) -> Box:
        """Return the cells of a window, which reaches past the grid at its edges."""
        return Box(
            core.row * self.stride - self.margin,
            core.col * self.stride - self.margin,
            self.window,
            self.window,
        )

    def padded(self, box: Box) -> Box:
        """Return the cells that the windows of a box see.

        These are the box, filled up to whole strides where the grid's edge cuts it, and a margin
        around it.
        """
        height = ceil_div(box.height, self.stride) * self.stride
        width = ceil_div(box.width, self.stride) * self.stride
        return Box(box.row, box.col, height, width).expand(self.margin)

    def cores(self, box: Box) -> Iterator[Core]:
        """Yield the cores that begin inside a box of whole strides, row by row."""
        # Rounded up: a core that begins before the box is not in it.
        first_row = ceil_div(box.row, self.stride)
        first_col = ceil_div(box.col, self.stride)
        end_row = ceil_div(box.row + box.height, self.stride)
        end_col = ceil_div(box.col + box.width, self.stride)
        for row, col in product(range(first_row, end_row), range(first_col, end_col)):
            yield Core(row, col)

    def active_cores(self, box: Box, land: Bool) -> list[Core]:
        """Return the cores of a box that have land in them.

        Every land cell lies in an active core, so its total weight is positive; the rest of the
        globe costs nothing.

        Parameters
        ----------
        box : Box
            Of whole strides.
        land : bool array, shape (box.height, box.width)
            The land mask of that box.
        """

        def has_land(core: Core) -> bool:
            return bool(land[self.core_box(core).slices(origin=box)].any())

        return [core for core in self.cores(box) if has_land(core)]

    @cache  # noqa: B019 - a Tiling is a small value that lives as long as the run
    def exchanges(self, tile: Tile) -> tuple[Exchange, ...]:
        """Return the rectangles of a tile's padded box that its neighbours own, in a fixed order.

        There are up to 8 neighbours. Sums travel along the rectangles from `padded` to `own`; edges
        of the finished map travel back.
        """
        padded = self.padded(self.tile_box(tile))
        n_rows, n_cols = self._tile_counts
        exchanges = []
        for d_row, d_col in product((-1, 0, 1), repeat=2):
            row = tile.row + d_row
            col = tile.col + d_col
            on_grid = 0 <= row < n_rows and (self.periodic or 0 <= col < n_cols)
            if (d_row, d_col) == (0, 0) or not on_grid:
                continue

            # Across the dateline the neighbour's own box lies at the other end of the grid. It is
            # moved beside this tile, where the padded box sees it. On a globe that is one tile
            # wide a tile is its own neighbour, on both sides.
            neighbour = Tile(row, col % n_cols)
            box = self.tile_box(neighbour)
            beside = box._replace(col=box.col + (col - neighbour.col) * self.tile)
            shared = padded.intersection(beside)
            if shared is not None:
                in_padded = shared.slices(origin=padded)
                in_neighbour = shared.slices(origin=beside)
                exchanges.append(Exchange(neighbour, in_padded, in_neighbour))
        return tuple(exchanges)

    def neighbours(self, tile: Tile) -> frozenset[Tile]:
        """Return the tiles that a tile's windows reach.

        The tile itself is among them where the globe is one tile wide.
        """
        return frozenset(exchange.neighbour for exchange in self.exchanges(tile))


def hull(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all of some boxes.

    Examples
    --------
    >>> hull([Box(0, 0, 2, 2), Box(5, 1, 1, 4)])
    Box(row=0, col=0, height=6, width=5)
    """
    first_row = min(box.row for box in boxes)
    first_col = min(box.col for box in boxes)
    end_row = max(box.row + box.height for box in boxes)
    end_col = max(box.col + box.width for box in boxes)
    return Box(first_row, first_col, end_row - first_row, end_col - first_col)


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

    Examples
    --------
    >>> for piece in pieces_on_grid(Box(0, 10, 2, 4), (7, 12), periodic=True):
    ...     print(piece.on_grid)
    Box(row=0, col=10, height=2, width=2)
    Box(row=0, col=0, height=2, width=2)
    """
    # a box that reaches past the grid by less than its width meets at most three copies of it
    n_lon = shape[1]
    turns = (-1, 0, 1) if periodic else (0,)
    for turn in turns:
        on_grid = box._replace(col=box.col - turn * n_lon).clip(shape)
        if on_grid is not None:
            yield GridPiece(on_grid._replace(col=on_grid.col + turn * n_lon), on_grid)


def padded_map(classes: U8, box: Box, *, periodic: bool) -> U8:
    """Cut a box out of a class map.

    Parameters
    ----------
    classes : uint8 array, shape (n_lat, n_lon)
        Class indices of a whole grid.
    box : Box
        Cells that may reach past the grid.
    periodic : bool
        Whether the longitude wraps.

    Returns
    -------
    uint8 array, shape (box.height, box.width)
        `OUTSIDE` beyond the map.

    Examples
    --------
    >>> padded_map(np.array([[1, 2, 3]], np.uint8), Box(0, 2, 2, 2), periodic=True).tolist()
    [[3, 1], [255, 255]]
    """
    n_lat, n_lon = classes.shape
    row_H = np.arange(box.row, box.row + box.height)
    col_W = np.arange(box.col, box.col + box.width)
    row_is_on_map_H1 = ((row_H >= 0) & (row_H < n_lat))[:, None]
    col_is_on_map_W = (col_W >= 0) & (col_W < n_lon) | periodic

    # Cells beyond the map are read from somewhere on it, and replaced afterwards.
    nearest_row_H1 = np.clip(row_H, 0, n_lat - 1)[:, None]
    values_HW = classes[nearest_row_H1, col_W % n_lon]
    return np.where(row_is_on_map_H1 & col_is_on_map_W, values_HW, np.uint8(OUTSIDE))
