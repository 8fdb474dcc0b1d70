"""The windows that a region needs, and the cells that they see.

A cell's probabilities are an average over all windows that reach it, and some of these belong to
the cells around the region. So a region's windows are all whose cells meet it, and its domain is
the box of their cores.

Shapes: H W the region; Y X the domain with the margin of its windows.
"""

from dataclasses import dataclass

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.grid import ALIGNMENT, Grid
from luray.core.tiling import Box, Core, Tiling
from luray.core.types import U8, Bool
from luray.cube.cube import Cube


@dataclass(frozen=True)
class Domain:
    """A region of the run grid and the windows that reach it."""

    tiling: Tiling
    region: Box
    cores: tuple[Core, ...]
    """Cores of the windows with land; across the dateline they lie beyond the grid."""
    box: Box
    """Box of whole strides around the cores of all windows, those of the ocean too."""
    land_HW: Bool
    """Land mask of the region."""
    n_land_around: int
    """Land cells outside the region that the windows see."""

    @classmethod
    def of(cls, cube: Cube, region: Box, *, window: int, stride: int) -> "Domain":
        """Find the windows of a region of a cube."""
        tiling = cube.tiling(window=window, stride=stride, tile=stride)
        n_core_rows = ceil_div(tiling.n_lat, stride)
        n_core_cols = ceil_div(tiling.n_lon, stride)

        # Cores of the windows that reach the region. There are none beyond the poles; beyond the
        # dateline there are where the grid spans the globe.
        rows = _meeting(region.row, region.height, tiling)
        rows = range(max(rows.start, 0), min(rows.stop, n_core_rows))
        cols = _meeting(region.col, region.width, tiling)
        if not tiling.periodic:
            cols = range(max(cols.start, 0), min(cols.stop, n_core_cols))
        box = Box(rows.start * stride, cols.start * stride, len(rows) * stride, len(cols) * stride)

        # Windows without land in their core are not computed, and see nothing.
        padded = tiling.padded(box)
        land_YX = cube.land(padded)
        cores = []
        seen_YX = np.zeros(padded.shape, np.bool_)
        for row in rows:
            for col in cols:
                core_box = Box(row * stride, col * stride, stride, stride)
                if land_YX[core_box.slices(origin=padded)].any():
                    core = Core(row, col)
                    window_box = tiling.window_box(core)
                    cores.append(core)
                    seen_YX[window_box.slices(origin=padded)] = True

        around_YX = seen_YX & land_YX
        for in_padded, _ in _pieces(region, padded, tiling):
            around_YX[in_padded] = False
        return cls(tiling, region, tuple(cores), box, cube.land(region), int(around_YX.sum()))

    @property
    def padded(self) -> Box:
        """All cells that the windows see."""
        return self.tiling.padded(self.box)

    @property
    def windows(self) -> list[Box]:
        """The windows, in the order of `cores`."""
        return [self.tiling.window_box(core) for core in self.cores]

    @property
    def in_padded(self) -> tuple[slice, slice]:
        """Index of the region in an array over `padded`."""
        return self.region.slices(origin=self.padded)

    def with_surroundings(self, classes_HW: U8, around_YX: U8) -> U8:
        """Return the map that the windows see: the region's own, and what is around it."""
        map_YX = around_YX.copy()
        for in_padded, in_region in _pieces(self.region, self.padded, self.tiling):
            map_YX[in_padded] = classes_HW[in_region]
        return map_YX


def _meeting(first: int, n_cells: int, tiling: Tiling) -> range:
    """Return the lattice positions along an axis whose windows meet some cells."""
    lowest = (first + tiling.margin - tiling.window) // tiling.stride + 1
    highest = ceil_div(first + n_cells + tiling.margin, tiling.stride) - 1
    return range(lowest, highest + 1)


Index = tuple[slice, slice]


def _pieces(region: Box, padded: Box, tiling: Tiling) -> list[tuple[Index, Index]]:
    """Return where a region lies in a box, and which of its cells lie there.

    It lies there once, and on a globe perhaps again beyond the dateline.
    """
    turns = (-1, 0, 1) if tiling.periodic else (0,)
    pieces = []
    for turn in turns:
        turned = region._replace(col=region.col + turn * tiling.n_lon)
        shared = turned.intersection(padded)
        if shared is not None:
            pieces.append((shared.slices(origin=padded), shared.slices(origin=turned)))
    return pieces


def region_box(grid: Grid, region: tuple[float, float, float, float] | None) -> Box:
    """Return the cells of a region in degrees.

    Parameters
    ----------
    grid : Grid
        The run grid.
    region : tuple of float, optional
        West, south, east and north; by default all of the grid.

    Raises
    ------
    ValueError
        If the edges are not those of cells, or lie outside the grid.

    Examples
    --------
    >>> region_box(Grid(52, 4, 0.5, 10, 20), (5.0, 50.0, 7.0, 51.0))
    Box(row=2, col=2, height=2, width=4)
    """
    if region is None:
        return Box(0, 0, *grid.shape)
    west, south, east, north = region
    rows = [(grid.north - edge) / grid.step for edge in (north, south)]
    cols = [(edge - grid.west) / grid.step for edge in (west, east)]
    misfit = max(abs(edge - round(edge)) for edge in (*rows, *cols))
    top, bottom = (round(edge) for edge in rows)
    left, right = (round(edge) for edge in cols)
    inside = 0 <= top < bottom <= grid.n_lat and 0 <= left < right <= grid.n_lon
    if misfit > ALIGNMENT or not inside:
        raise ValueError(
            f"region {region} (west, south, east, north), expected edges of cells of {grid.step:g} "
            f"degrees within {grid.west:g}, {grid.south:g}, {grid.east:g}, {grid.north:g}; correct "
            "it"
        )
    return Box(top, left, bottom - top, right - left)
