"""Workload of an inference: tiles with land, their windows, and the inputs read for them.

Counts follow from tiling, land and years and are exact.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.tiling import Box, Tile, Tiling
from luray.core.types import Bool
from luray.cube.cube import Cube, Layer
from luray.cube.region import Region
from luray.cube.schema import native_layout
from luray.product.store import Product
from luray.product.trajectories import Trajectory


class Reading(NamedTuple):
    """Whole chunks that are read: their decoded bytes and their number."""

    n_bytes: int = 0
    chunks: int = 0


@dataclass(frozen=True)
class TileLoad:
    """Work of an inference for one tile with land."""

    tile: Tile
    cells: int
    windows: int
    land: int
    """Cells with land."""
    static: Reading
    """Read when a worker has not cached it."""
    forcing: Reading
    """Read for each year that is predicted."""


def tile_loads(
    cube: Cube,
    tiling: Tiling,
    tiles: Iterable[Tile],
    land_of: Callable[[Box], Bool],
    *,
    window: float,
) -> tuple[TileLoad, ...]:
    """Count what inference has to do for each tile with land.

    Parameters
    ----------
    cube : Cube
        Of which only metadata count; nothing is read.
    tiling : Tiling
        Windows and tiles of the inference.
    tiles : iterable of Tile
        Tiles that may have land.
    land_of : callable
        Land mask of a box.
    window : float
        Degrees of a training window, which the chunks of the cube are made for.
    """
    loads = []
    for tile in tiles:
        box = tiling.tile_box(tile)
        land = land_of(box)
        cores = tiling.active_cores(box, land)
        if not cores:
            continue
        region = Region(cube, tiling.padded(box))
        static = [_reading(layer, region, window) for layer in cube.static]
        forcing = [_reading(layer, region, window) for layer in cube.forcing]
        n_land = int(land.sum())
        loads.append(TileLoad(tile, land.size, len(cores), n_land, _total(static), _total(forcing)))
    return tuple(loads)


def _reading(layer: Layer, region: Region, window: float) -> Reading:
    """Count the chunks of a layer under a region; one that two pieces need is read for each."""
    chunk = native_layout(layer.grid, layer.variables, window=window).chunk
    chunks_along = []  # rows, and columns
    for pieces, side in zip(region.pieces[layer.path], chunk, strict=True):
        n_chunks = 0
        for piece in pieces:
            end = ceil_div(piece.stop, side)
            n_chunks += end - piece.start // side
        chunks_along.append(n_chunks)
    n_chunks = chunks_along[0] * chunks_along[1]
    return Reading(n_chunks * chunk[0] * chunk[1] * cell_bytes(layer), n_chunks)


def _total(readings: Sequence[Reading]) -> Reading:
    n_bytes = sum(reading.n_bytes for reading in readings)
    return Reading(n_bytes, sum(reading.chunks for reading in readings))


def cell_bytes(layer: Layer) -> int:
    """Return the bytes of all variables of a layer in one native cell."""
    return sum(np.dtype(v.dtype).itemsize for v in layer.variables)


def cube_bytes(cube: Cube) -> int:
    """Return the size of a cube before compression: maps, land, each source on its native grid."""
    layers = [*cube.forcing, *cube.static]
    for view in cube.scenarios.values():
        layers += view

    # Scenarios share the values of a layer: those of all of them are counted on by one index.
    steps: dict[str, int] = {}
    for layer in layers:
        last = max(layer.steps.values(), default=0)
        steps[layer.path] = max(steps.get(layer.path, 0), last + 1)

    total = (len(cube.years) + 1) * cube.grid.n_lat * cube.grid.n_lon
    for layer in {layer.path: layer for layer in layers}.values():
        native_cells = layer.grid.n_lat * layer.grid.n_lon
        total += steps[layer.path] * cell_bytes(layer) * native_cells
    return total


@dataclass(frozen=True)
class Workload:
    """Everything that an inference computes."""

    product: Product
    loads: tuple[TileLoad, ...]

    @property
    def tiling(self) -> Tiling:
        """Windows and tiles."""
        return self.product.tiling

    @cached_property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """What is computed once."""
        return self.product.trajectories

    @property
    def tiles(self) -> int:
        """Tiles with land."""
        return len(self.loads)

    @cached_property
    def windows(self) -> int:
        """Windows of a year."""
        return sum(load.windows for load in self.loads)

    @cached_property
    def cells(self) -> int:
        """Cells of all tiles with land."""
        return sum(load.cells for load in self.loads)

    @cached_property
    def land(self) -> int:
        """Cells with land."""
        return sum(load.land for load in self.loads)

    @property
    def steps(self) -> int:
        """Predicted years of all trajectories."""
        return sum(len(trajectory.years) - 1 for trajectory in self.trajectories)

    @property
    def predictions(self) -> int:
        """Tile-years that are predicted; a map that several scenarios share is predicted once."""
        return self.steps * self.tiles

    @cached_property
    def static(self) -> Reading:
        """Static inputs under all tiles."""
        return _total([load.static for load in self.loads])

    @cached_property
    def forcing(self) -> Reading:
        """Forcing of one year under all tiles."""
        return _total([load.forcing for load in self.loads])
