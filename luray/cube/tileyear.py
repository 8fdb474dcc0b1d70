"""One tile-year computed against the stores: what a worker does when the engine asks, with no engine in sight.

Sums that other tiles need travel as strips, finished maps as edges; both follow `Tiling.exchanges`. Everything a worker
keeps is a cache: what is missing is read from the product, which is the checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from luray.blending import Taper, decide, window_weights
from luray.cube.product import Product
from luray.cube.regions import Cube, Region
from luray.cube.scenario import Scenario
from luray.demand import Shortfall, constrain
from luray.inference import Predictor
from luray.model.calibration import OperatingPoint
from luray.model.checkpoint import check_fits, load_model
from luray.model.unet import frozen
from luray.schema import I32, OUTSIDE, U8, Bool, Direction
from luray.windows import Box, Exchange, Tile, Tiling

Edges = tuple[U8, ...]
"""Cells of a finished tile that its neighbours' windows see, in the order of `Geometry.inbound`."""


class SumsLost(RuntimeError):
    """The sums of a tile-year are not in this worker: its prediction has to run again."""


@dataclass(frozen=True)
class Inbound:
    """A strip that arrives at a tile: whose windows it comes from, which of their exchanges, and where it goes."""

    source: Tile
    index: int
    own: tuple[slice, slice]


@dataclass(frozen=True)
class Geometry:
    """Which tiles have land and what they exchange."""

    tiling: Tiling
    tiles: tuple[Tile, ...]
    """Tiles with land, row by row."""

    @classmethod
    def of(cls, cube: Cube, tiling: Tiling) -> "Geometry":
        """Geometry of a cube, its land mask read tile by tile."""
        return cls(tiling, tuple(t for t in tiling.tiles() if cube.land(tiling.tile_box(t)).any()))

    @cached_property
    def _land(self) -> frozenset[Tile]:
        return frozenset(self.tiles)

    def outbound(self, tile: Tile) -> list[Exchange]:
        """Exchanges of a tile with neighbours that have land."""
        return [e for e in self.tiling.exchanges(tile) if e.neighbour in self._land]

    def around(self, tile: Tile) -> list[Tile]:
        """Neighbours with land, sorted; the tile itself only where it wraps onto itself."""
        return sorted({e.neighbour for e in self.outbound(tile)})

    def inbound(self, tile: Tile) -> list[Inbound]:
        """Strips that arrive at a tile, in a fixed order."""
        return [Inbound(source, i, e.own) for source in self.around(tile)
                for i, e in enumerate(self.outbound(source)) if e.neighbour == tile]


@dataclass(frozen=True)
class Run:
    """Everything a worker needs to know; small, sent once."""

    cube: Cube
    product: Product
    geometry: Geometry
    models: dict[Direction, str]
    """Folder of each direction's model."""
    taper: Taper
    batch: int
    threads: int
    point: OperatingPoint = "cautious"
    scenario: Scenario | None = None
    """What demands a change of the maps; None where nothing does."""
    strength: float = 0.0
    """How far it is imposed."""


def settle(run: Run, sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int,
           box: Box) -> tuple[U8, U8, Shortfall]:
    """Class indices and confidence of a box from its sums, its change what the scenario demands where it is imposed."""
    if run.scenario is None:
        return *decide(sums_KHW, land_HW), Shortfall()
    change_GYX = run.scenario.change(year, prior_year, box, land_HW)
    return constrain(sums_KHW, prior_HW, land_HW, change_GYX, block=run.scenario.block, groups=run.scenario.groups,
                     strength=run.strength)


class TileYears:
    """Computes tile-years of a run, keeping the inputs of the tiles it has seen and the sums it has not yet reduced."""

    def __init__(self, run: Run) -> None:
        torch.set_num_threads(run.threads)
        self.run, self.geometry, self.tiling = run, run.geometry, run.geometry.tiling
        self._weights = window_weights(self.tiling, taper=run.taper)
        self._predictors: dict[Direction, Predictor] = {}
        self._regions: dict[Tile, tuple[Region, Bool]] = {}
        self._sums: dict[tuple[Tile, int], tuple[I32, U8]] = {}
        self._maps: dict[tuple[Tile, Direction], tuple[int, U8]] = {}

    def copy(self, tile: Tile, years: Sequence[int]) -> None:
        """Copy observed years of a tile into the product."""
        for year in years:
            classes = self.run.cube.state(year, self.tiling.tile_box(tile))
            self.run.product.write(year, tile, classes, np.where(classes == OUTSIDE, 0, 100).astype(np.uint8))

    def predict(self, tile: Tile, direction: Direction, year: int, prior_year: int, *edges: Edges | None) -> list[I32]:
        """Sums of a tile's windows; returns the strip for each of `Geometry.outbound`, int32 (K, height, width).

        `edges` are those of `Geometry.around`, in its order, of the prior year; None where they have to be read.
        """
        region, land = self._region(tile)
        box = self.tiling.tile_box(tile)
        prior = self._prior(tile, direction, prior_year, edges)
        cores = self.tiling.active_cores(box, land)
        sums = self._predictor(direction).predict(cores, prior, region, year=year, prior_year=prior_year, box=box)
        own = box.slices(origin=self.tiling.padded(box))
        self._sums[tile, year] = sums[(slice(None), *own)].copy(), prior[own].copy()
        return [sums[(slice(None), *e.padded)].copy() for e in self.geometry.outbound(tile)]

    def reduce(self, tile: Tile, direction: Direction, year: int, *strips: I32) -> tuple[Edges, Shortfall]:
        """Add the strips of `Geometry.inbound`, settle the map, write shard and receipt.

        Returns the tile's edges, and by how much the map misses what the scenario demands. Raises SumsLost when this
        worker has not predicted the tile-year.
        """
        if (tile, year) not in self._sums:
            raise SumsLost(f"tile {tile} year {year} was not predicted here")
        sums, prior = self._sums.pop((tile, year))
        inbound = self.geometry.inbound(tile)
        for arrival, strip in zip(inbound, strips, strict=True):
            sums[(slice(None), *arrival.own)] += strip
        prior_year = year - 1 if direction == "forward" else year + 1
        classes, confidence, shortfall = settle(self.run, sums, prior, self._region(tile)[1], year=year,
                                                prior_year=prior_year, box=self.tiling.tile_box(tile))
        self.run.product.write(year, tile, classes, confidence)
        self._maps[tile, direction] = year, classes
        return tuple(classes[arrival.own] for arrival in inbound), shortfall

    def _prior(self, tile: Tile, direction: Direction, year: int, edges: Sequence[Edges | None]) -> U8:
        """Class indices of the prior year over a tile and its margin."""
        box = self.tiling.tile_box(tile)
        padded = self.tiling.padded(box)
        kept_year, own = self._maps.get((tile, direction), (None, None))
        if self.run.product.span.observed[0] <= year <= self.run.product.span.observed[1]:
            return self.run.cube.state(year, padded)
        if own is None or kept_year != year or any(e is None for e in edges):
            return self.run.product.read(year, padded)
        prior = np.full(padded.shape, OUTSIDE, np.uint8)
        prior[box.slices(origin=padded)] = own
        pieces = {(arrival.source, arrival.index, neighbour): piece
                  for neighbour, arrived in zip(self.geometry.around(tile), edges, strict=True) if arrived is not None
                  for arrival, piece in zip(self.geometry.inbound(neighbour), arrived, strict=True)}
        for i, exchange in enumerate(self.geometry.outbound(tile)):
            prior[exchange.padded] = pieces[tile, i, exchange.neighbour]
        return prior

    def _region(self, tile: Tile) -> tuple[Region, Bool]:
        if tile not in self._regions:
            box = self.tiling.tile_box(tile)
            self._regions[tile] = self.run.cube.region(self.tiling.padded(box)), self.run.cube.land(box)
        return self._regions[tile]

    def _predictor(self, direction: Direction) -> Predictor:
        if direction not in self._predictors:
            model, card = load_model(self.run.models[direction])
            check_fits(card, self.run.cube.features, legend=self.run.cube.legend.name, direction=direction)
            self._predictors[direction] = Predictor(frozen(model), self.run.cube.features, self.tiling, self._weights,
                                                    self.run.batch, card.points[self.run.point])
        return self._predictors[direction]
