"""What an inference will take, counted and estimated before it runs: windows, bytes, objects,
memory, time and cost.

Pure: no engine, no stores, and nothing is measured here. Counts follow from tiling, land and years
and are exact; seconds follow from a rate that is handed in and from what was measured of the
engine, and are ranges.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import NamedTuple

import numpy as np

from luray.core.tiling import Box, Tile, Tiling
from luray.core.types import Bool, Direction
from luray.cube.chunks import STRIP_BYTES
from luray.cube.cube import Cube, Layer
from luray.cube.region import Region
from luray.cube.schema import native_layout
from luray.engine.scheduler import CACHED_TILES
from luray.engine.tile_year import MAPS_BYTES
from luray.model.unet import UNetConfig
from luray.planning.build import WORKER_BYTES
from luray.planning.prices import DevicePrice, StoragePrice
from luray.product.store import Product
from luray.product.trajectories import Trajectory

STEM_SECONDS = 2.5e-9
"""Of one thread, for an output of a cell of a window's first layer (all the constants of time:
luray/DESIGN.md).
"""
SUMS_SECONDS = 11.5e-9
"""To calibrate a cell of a window and add it to the sums."""
TILE_SECONDS = 15e-9
"""For each cell of a tile: prior, bands, strips, class and confidence of a tile-year; and to read
an observed map.
"""
WRITE_SECONDS = 15e-9
"""For each cell of a tile: to reduce and write a map."""
READ_RATE = 1e9
"""Decoded bytes of static inputs that are read, in whole chunks, and prepared in a second: 0.6 s
for a tile.
"""
YEARS_KEPT = 4
"""Years that a tile may be predicted in while a worker keeps it: as many as are in flight."""
DRIVER_SECONDS = 0.0023
"""Of the driver, for each predicted tile-year: there is one driver, however many workers."""
REQUESTS = 2
"""To the store for each shard that is written, its old index and itself, one after the other; a
receipt is one more.
"""
MOST = 10**6
"""Workers that are looked at, at most."""


@dataclass(frozen=True)
class Range:
    """From the least to the most that is to be expected."""

    low: float
    high: float

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> "Range":
        return Range(self.low * factor, self.high * factor)

    def at_least(self, other: "Range") -> "Range":
        """The larger of both, at either end."""
        return Range(max(self.low, other.low), max(self.high, other.high))


EFFICIENCY = 0.83
"""Share of the ideal that the scheduler reached at 2.5 tiles a worker; with more of them it is
nearer to it.
"""
STORED = {"land_use": Range(0.07, 0.20), "copied": Range(0.006, 0.04), "percent": Range(0.15, 0.42)}
"""Compressed bytes a land cell, measured on the products of the globe, Brazil and the demo: of a
map, of the confidence of an observed year, and of that of a predicted year or a probability.
"""


class Reading(NamedTuple):
    """Whole chunks under a tile: their decoded bytes and their number."""

    n_bytes: int = 0
    chunks: int = 0


@dataclass(frozen=True)
class Load:
    """A tile with land, as inference sees it."""

    tile: Tile
    cells: int
    windows: int
    land: int
    """Cells with land."""
    static: Reading
    """Read when a worker has not kept it."""
    forcing: Reading
    """Read for each year that is predicted."""


def loads(
    cube: Cube,
    tiling: Tiling,
    tiles: Iterable[Tile],
    land_of: Callable[[Box], Bool],
    *,
    window: float,
) -> tuple[Load, ...]:
    """The tiles with land, row by row; of the cube only metadata count, its chunks made for
    `window` degrees.
    """
    found = []
    for tile in tiles:
        box = tiling.tile_box(tile)
        land = land_of(box)
        cores = tiling.active_cores(box, land)
        if cores:
            region = Region(cube, tiling.padded(box))
            static, forcing = (
                [_reading(layer, region, window) for layer in layers]
                for layers in (cube.static, cube.forcing)
            )
            found.append(
                Load(tile, land.size, len(cores), int(land.sum()), _sum(static), _sum(forcing))
            )
    return tuple(found)


def _reading(layer: Layer, region: Region, window: float) -> Reading:
    chunk = native_layout(layer.grid, layer.variables, window=window).chunk
    chunks = [
        sum(-(-piece.stop // side) - piece.start // side for piece in axis)
        for axis, side in zip(region.pieces[layer.path], chunk, strict=True)
    ]
    return Reading(
        chunks[0] * chunks[1] * chunk[0] * chunk[1] * _cell_bytes(layer), chunks[0] * chunks[1]
    )


def _sum(readings: Sequence[Reading]) -> Reading:
    return Reading(*(sum(part) for part in zip(*readings, strict=True))) if readings else Reading()


def _cell_bytes(layer: Layer) -> int:
    return sum(np.dtype(v.dtype).itemsize for v in layer.variables)


@dataclass(frozen=True)
class Rate:
    """Seconds of a worker for a window, and where the number comes from."""

    window: Range
    source: str

    @classmethod
    def of_cpu(cls, trunk: float, tiling: Tiling, width: int, source: str) -> "Rate":
        """From the measured seconds of a trunk, its stem and its sums beside it."""
        seconds = trunk + _host(tiling, width)
        return cls(Range(seconds, seconds), source)

    @classmethod
    def of_gpu(cls, device: DevicePrice, flops: int, tiling: Tiling, width: int) -> "Rate":
        """From operations and copies of the first layer, or from the host, which does stems and
        sums in one thread.

        Both go on at once: the slower counts.
        """
        copied = 4 * width * tiling.window**2 / (device.link * 1e9)
        worst, best = device.utilisation
        pure = flops / (device.tflops * 1e12)
        forward, host = Range(pure / best + copied, pure / worst + copied), _host(tiling, width)
        return cls(
            forward.at_least(Range(host, host)),
            (
                f"not measured: {flops / 1e9:.1f} GFLOP at {worst:.0%}-{best:.0%} of "
                f"{device.tflops:g} TFLOP/s and a copy "
                f"at {device.link:g} GB/s are {1000 * forward.low:.1f}-{1000 * forward.high:.1f} "
                "ms, stem and sums "
                f"{1000 * host:.1f} ms of the host"
            ),
        )


def _host(tiling: Tiling, width: int) -> float:
    return (STEM_SECONDS * width + SUMS_SECONDS) * tiling.window**2


@dataclass(frozen=True)
class InferencePlan:
    """An inference by some workers; sizes are bytes, times seconds, costs dollars."""

    title: str
    product: Product
    cube: Cube
    """Metadata of the inputs, built or expected."""
    loads: tuple[Load, ...]
    seen: str
    """Where the land comes from, in words."""
    model: UNetConfig
    rate: Rate
    workers: int
    on_cpu: bool
    threads: int
    batch: int
    device: DevicePrice
    storage: StoragePrice
    as_of: str

    @property
    def tiling(self) -> Tiling:
        """Windows and tiles."""
        return self.product.tiling

    @property
    def windows(self) -> int:
        """Windows of a year."""
        return sum(load.windows for load in self.loads)

    @cached_property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """What is computed once."""
        return self.product.trajectories

    @property
    def steps(self) -> int:
        """Predicted years of all courses."""
        return sum(len(trajectory.years) - 1 for trajectory in self.trajectories)

    @property
    def predictions(self) -> int:
        """Tile-years that are predicted; a map that several scenarios share is predicted once."""
        return self.steps * len(self.loads)

    @property
    def written(self) -> int:
        """Tile-years with a receipt."""
        return len(self.loads) * len(self.product.span.years) * self.product.dims.receipts

    @cached_property
    def fields(self) -> dict[str, int]:
        """Shards of a tile by what is in them (see `STORED`), each as many cells as the tile, of
        all years.
        """
        dims, span = self.product.dims, self.product.span
        member_indices, classes, years = (
            len(self.product.member_indices),
            len(self.cube.legend),
            len(span.years),
        )
        across = member_indices // dims.members * years if dims.members else 0
        return {
            "land_use": member_indices * years,
            "copied": member_indices * len(span.copied),
            "percent": member_indices * (years - len(span.copied))
            + across * (classes + 1)
            + member_indices * len(dims.probability_years) * classes,
        }

    @property
    def shards(self) -> int:
        """Shards; all classes of a probability are in one, and an entropy of 0, in observed years,
        is not written.
        """
        dims, span, member_indices = (
            self.product.dims,
            self.product.span,
            len(self.product.member_indices),
        )
        across = (
            member_indices // dims.members * (2 * len(span.years) - len(span.copied))
            if dims.members
            else 0
        )
        return len(self.loads) * (
            2 * member_indices * len(span.years)
            + across
            + member_indices * len(dims.probability_years)
        )

    @property
    def objects(self) -> int:
        """Shards, receipts and metadata of the finished product."""
        dims = self.product.dims
        arrays = 2 + 2 * bool(dims.members) + bool(dims.probability_years)
        coordinates = (
            4
            + bool(dims.members)
            + bool(dims.probability_years)
            + bool(dims.scenarios)
            + bool(dims.members or dims.probability_years)
        )
        return self.shards + self.written + 1 + arrays + 2 * coordinates

    @property
    def bytes_out(self) -> int:
        """Of the product before compression."""
        return sum(self.fields.values()) * sum(load.cells for load in self.loads)

    @property
    def stored(self) -> Range:
        """The same compressed."""
        land = sum(load.land for load in self.loads)
        parts = [STORED[name] * (n * land) for name, n in self.fields.items()]
        return sum(parts, Range(0, 0))

    @property
    def cube_bytes(self) -> int:
        """Of the cube before compression: maps, land, and each source on its native grid."""
        cube = self.cube
        total = (len(cube.years) + 1) * cube.grid.n_lat * cube.grid.n_lon
        views = [cube.forcing, *cube.scenarios.values(), cube.static]
        for alike in {layer.path: layer for view in views for layer in view}.values():
            ends = [
                max(layer.steps.values(), default=0) + 1
                for view in views
                for layer in view
                if layer.path == alike.path
            ]
            total += max(ends) * _cell_bytes(alike) * alike.grid.n_lat * alike.grid.n_lon
        return total

    @property
    def ground_bytes(self) -> int:
        """Static inputs of the largest tile while they are read."""
        kept = sum(2 if v.categories else 4 for v in self.cube.features.static)
        side = self.tiling.tile + 2 * self.tiling.margin
        return kept * side**2

    @property
    def kept_bytes(self) -> int:
        """What a worker keeps of the static inputs of the largest tile, see `cube.tile_inputs`."""
        return (
            2
            * self.model.width
            * self.tiling.window**2
            * max((load.windows for load in self.loads), default=0)
        )

    @cached_property
    def kept_tiles(self) -> int:
        """Tiles whose static inputs a worker keeps, for one direction each."""
        return CACHED_TILES

    @property
    def reads(self) -> Range:
        """How often the static inputs of a tile are read, over all tiles, given what workers keep.

        A worker predicts the courses of a tile and direction one after the other. At best each is
        read once where there is room for all, and else is kept for a few years; at worst it moves,
        or is dropped, before every year, and workers that are more than tiles read it beside each
        other.
        """
        tiles, years = len(self.loads), dict[Direction, int]()
        for trajectory in self.trajectories:
            years[trajectory.direction] = max(
                years.get(trajectory.direction, 0), len(trajectory.years) - 1
            )
        inputs = tiles * len(years)
        if self.kept_tiles >= inputs:
            return Range(inputs, min(self.predictions, inputs * self.workers))
        missed = max(0.0, 1 - self.kept_tiles * self.workers / inputs)
        once = tiles * sum(years.values())
        most = min(self.predictions, once * ceil(self.workers / tiles))
        return Range(min(most, max(inputs, once * missed / YEARS_KEPT)), most)

    @property
    def _inputs(self) -> tuple[Reading, Reading]:
        """Static inputs and forcing of one year under all tiles."""
        return _sum([load.static for load in self.loads]), _sum(
            [load.forcing for load in self.loads]
        )

    @property
    def bytes_in(self) -> Range:
        """Decoded: static inputs and forcing in whole chunks, observed maps and land."""
        static, forcing = self._inputs
        maps = (
            sum(load.cells for load in self.loads)
            * 2
            * (len(self.product.span.copied) + len(self.trajectories))
        )
        return self.reads * (static.n_bytes / len(self.loads)) + Range(1, 1) * (
            forcing.n_bytes * self.steps + maps
        )

    @property
    def gets(self) -> Range:
        """Requests that read, one a chunk."""
        static, forcing = self._inputs
        return self.reads * (static.chunks / len(self.loads)) + Range(1, 1) * (
            forcing.chunks * self.steps
        )

    @property
    def memory(self) -> dict[str, float]:
        """Bytes of a worker by what they are for; of a batch on a GPU only its first layer is in
        memory.
        """
        window, padded = self.tiling.window**2, (self.tiling.tile + 2 * self.tiling.margin) ** 2
        width, batch = self.model.width, max(2, self.batch)
        # on a CPU one window more, and beside the first layer its skip, what is added to it, and
        # what follows
        floats = (batch + 1) * 5 * width if self.on_cpu else 2 * batch * width
        return {
            "process": WORKER_BYTES,
            "a batch": 4.0 * window * floats,
            "sums": 2 * 4.0 * len(self.cube.legend) * padded,
            "inputs kept": min(CACHED_TILES, len(self.loads)) * self.kept_bytes,
            "inputs read": self.ground_bytes + STRIP_BYTES,
            "maps and chunks kept": MAPS_BYTES + Cube.CACHE_BYTES,
        }

    def reduce_seconds(self, trajectory: Trajectory, cells: int) -> Range:
        """To settle a tile-year of a course and write it to its lanes, without and with a slow
        store.
        """
        waiting = Range(*self.storage.seconds_a_request) * (2 * REQUESTS + 1)
        return (Range(1, 1) * (WRITE_SECONDS * cells) + waiting) * len(trajectory.member_indices)

    def predict_seconds(self, load: Load) -> Range:
        """To predict a tile-year whose static inputs are there."""
        return self.rate.window * load.windows + Range(1, 1) * (TILE_SECONDS * load.cells)

    @property
    def critical(self) -> Range:
        """The longest chain of tile-years that wait for each other: the dearest tile in every year
        of a course.

        A tile waits for the last year of its neighbours, none of which is dearer than the dearest.
        """
        paths = [
            (self.predict_seconds(load) + self.reduce_seconds(trajectory, load.cells))
            * (len(trajectory.years) - 1)
            + Range(1, 1) * (load.static.n_bytes / READ_RATE)
            for load in self.loads
            for trajectory in self.trajectories
        ]
        return Range(
            max((p.low for p in paths), default=0), max((p.high for p in paths), default=0)
        )

    @property
    def parts(self) -> dict[str, Range]:
        """Seconds of workers by what they do. Reductions run beside predictions: while they wait,
        nothing does.
        """
        cells, tiles, member_indices = (
            sum(load.cells for load in self.loads),
            len(self.loads),
            len(self.product.member_indices),
        )
        years = sum(
            (len(trajectory.years) - 1) * len(trajectory.member_indices)
            for trajectory in self.trajectories
        )
        fixed = cells * (TILE_SECONDS * self.steps + WRITE_SECONDS * years)
        copied = Range(1, 1) * (cells * (TILE_SECONDS + WRITE_SECONDS * member_indices))
        copied += Range(*self.storage.seconds_a_request) * (
            tiles * member_indices * (2 * REQUESTS + 1)
        )
        static = self._inputs[0].n_bytes / tiles / READ_RATE
        return {
            "windows": self.rate.window * (self.windows * self.steps),
            "maps": Range(fixed, fixed),
            "static inputs": self.reads * static,
            "copies": copied * len(self.product.span.copied),
        }

    @property
    def work(self) -> Range:
        """Seconds of one worker."""
        return sum(self.parts.values(), Range(0, 0))

    @property
    def driver(self) -> float:
        """Seconds of the driver, below which no number of workers brings the run."""
        return DRIVER_SECONDS * self.predictions

    @property
    def wall(self) -> Range:
        """From the ideal to the measured efficiency, or to Graham's bound where that is less."""
        shared, chain = self.work * (1 / self.workers), self.critical
        worst = min(shared.high + chain.high, max(shared.high, chain.high) / EFFICIENCY)
        return Range(max(chain.low, shared.low), worst).at_least(Range(self.driver, self.driver))

    @property
    def most_workers(self) -> int:
        """Workers beyond which the critical path or the driver is all that is left."""
        bound = max(self.critical.low, self.driver)
        return 1 + bisect_left(
            range(1, MOST), True, key=lambda n: replace(self, workers=n).work.low <= n * bound
        )

    @property
    def compute_dollars(self) -> Range:
        """Workers for the whole time: spot prices if all goes well, on demand if not."""
        wall, (spot, listed) = self.wall, self.device.dollars
        hours = self.workers * (self.threads if self.on_cpu else 1) / 3600
        return Range(wall.low * spot * hours, wall.high * listed * hours)

    @property
    def request_dollars(self) -> Range:
        """Requests to an object store."""
        writes = self.objects * self.storage.per_1000_writes / 1000
        return self.gets * (self.storage.per_1000_reads / 1000) + Range(writes, writes)

    @property
    def month_dollars(self) -> Range:
        """The product on an object store for a month."""
        low, high = self.storage.gb_month
        return Range(self.stored.low * low / 1e9, self.stored.high * high / 1e9)
