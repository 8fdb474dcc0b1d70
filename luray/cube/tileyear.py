"""One tile-year computed against the stores: what a worker does when the engine asks, with no engine in sight.

Sums that other tiles need travel as strips, finished maps as edges; both follow `Tiling.exchanges`. Everything a worker
keeps is a cache: what is missing is read from the product, which is the checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from luray.blending import Rectangle, Taper, add_strip, decide, frame, window_weights
from luray.cube.kept import Kept
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

KEPT_BYTES = 2**31
"""Bytes of the inputs of tiles that a worker keeps, and four times those of the maps."""

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
class Chain:
    """Years that follow from each other, in the direction of travel, beginning with the observed year."""

    direction: Direction
    years: tuple[int, ...]


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

    @property
    def chains(self) -> tuple[Chain, ...]:
        """What follows from what."""
        return tuple(Chain(direction, years) for direction, years in self.product.span.chains.items())


def settle(run: Run, sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int,
           box: Box) -> tuple[U8, U8, Shortfall]:
    """Class indices and confidence of a box from its sums, its change what the scenario demands where it is imposed."""
    if run.scenario is None:
        return *decide(sums_KHW, land_HW), Shortfall()
    change_GYX = run.scenario.change(year, prior_year, box, land_HW)
    return constrain(sums_KHW, prior_HW, land_HW, change_GYX, block=run.scenario.block, groups=run.scenario.groups,
                     strength=run.strength)


@dataclass(frozen=True)
class Pending:
    """A predicted tile-year that waits for its neighbours: sums where their windows reach, and the map elsewhere."""

    bands: tuple[Rectangle, ...]
    """Disjoint rectangles that the strips of neighbours fall into."""
    sums: tuple[I32, ...]
    """Sums of each band, (K, height, width)."""
    classes: U8
    confidence: U8
    land: Bool
    prior: U8


class TileYears:
    """Computes tile-years of a run, keeping the inputs of the tiles it has seen and the sums it has not yet reduced.

    `reduce` may run in one thread while `predict` of another tile-year runs in a second one.
    """

    def __init__(self, run: Run, *, device: str = "cpu") -> None:
        self.run, self.geometry, self.tiling, self._device = run, run.geometry, run.geometry.tiling, device
        self._weights = window_weights(self.tiling, taper=run.taper)
        self._predictors: dict[Direction, Predictor] = {}
        self._regions: Kept[tuple[Region, Bool]] = Kept(most_bytes=KEPT_BYTES)
        self._maps: Kept[tuple[int, U8]] = Kept(most_bytes=KEPT_BYTES // 4)
        self._pending: dict[tuple[Tile, int], tuple[int, Pending]] = {}

    def copy(self, tile: Tile, years: Sequence[int]) -> None:
        """Copy observed years of a tile into the product."""
        for year in years:
            classes = self.run.cube.state(year, self.tiling.tile_box(tile))
            self.run.product.write(year, tile, classes, np.where(classes == OUTSIDE, 0, 100).astype(np.uint8))

    def predict(self, tile: Tile, chain: int, step: int, *edges: Edges | None) -> list[I32]:
        """Predict a tile in a step of a chain (`Run.chains`); returns the strip for each of `Geometry.outbound`.

        `edges` are those of `Geometry.around`, in its order, of the step before; None where they have to be read.
        Strips are int32 (K, height, width).
        """
        torch.set_num_threads(self.run.threads)  # counts for the thread that calls it
        direction, years = self.run.chains[chain].direction, self.run.chains[chain].years
        prior_year, year = years[step : step + 2]
        region, land = self._region(tile)
        box = self.tiling.tile_box(tile)
        prior = self._prior(tile, chain, prior_year, edges)
        cores = self.tiling.active_cores(box, land)
        sums = self._predictor(direction).predict(cores, prior, region, year=year, prior_year=prior_year, box=box)
        own = box.slices(origin=self.tiling.padded(box))
        self._pending[tile, chain] = year, self._settled_inside(sums[(slice(None), *own)], prior[own], land)
        return [sums[(slice(None), *e.padded)].copy() for e in self.geometry.outbound(tile)]

    def _settled_inside(self, sums_KHW: I32, prior: U8, land: Bool) -> Pending:
        """A predicted tile, its map decided where no neighbour's window reaches: of most cells the sums need not stay.

        A demand looks at all cells of a coarse cell, and so at all of the tile.
        """
        inside, bands = frame(land.shape, self.tiling.margin)
        classes, confidence = np.full(land.shape, OUTSIDE, np.uint8), np.zeros(land.shape, np.uint8)
        if self.run.scenario is not None:
            inside, bands = frame(land.shape, max(land.shape))
        classes[inside], confidence[inside] = decide(sums_KHW[(slice(None), *inside)], land[inside])
        return Pending(bands, tuple(sums_KHW[(slice(None), *band)].copy() for band in bands), classes, confidence, land,
                       prior.copy())

    def reduce(self, tile: Tile, chain: int, step: int, *strips: I32) -> tuple[Edges, Shortfall]:
        """Add the strips of `Geometry.inbound`, settle the map, write shard and receipt.

        Returns the tile's edges, and by how much the map misses what the scenario demands. Raises SumsLost when this
        worker has not predicted the tile-year.
        """
        prior_year, year = self.run.chains[chain].years[step : step + 2]
        predicted, pending = self._pending.pop((tile, chain), (None, None))
        if pending is None or predicted != year:
            raise SumsLost(f"tile {tile} year {year} was not predicted here")
        inbound, shortfall = self.geometry.inbound(tile), Shortfall()
        for band, sums in zip(pending.bands, pending.sums, strict=True):
            for arrival, strip in zip(inbound, strips, strict=True):
                add_strip(sums, strip, band=band, at=arrival.own)
            pending.classes[band], pending.confidence[band], missed = settle(
                self.run, sums, pending.prior[band], pending.land[band], year=year, prior_year=prior_year,
                box=self.tiling.tile_box(tile))
            shortfall += missed
        self.run.product.write(year, tile, pending.classes, pending.confidence)
        self._maps.put((tile, chain), (year, pending.classes), n_bytes=pending.classes.nbytes)
        return tuple(pending.classes[arrival.own] for arrival in inbound), shortfall

    def _prior(self, tile: Tile, chain: int, year: int, edges: Sequence[Edges | None]) -> U8:
        """Class indices of the prior year over a tile and its margin."""
        box = self.tiling.tile_box(tile)
        padded = self.tiling.padded(box)
        kept_year, own = self._maps.get((tile, chain)) or (None, None)
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
        kept = self._regions.get(tile)
        if kept is None:
            box = self.tiling.tile_box(tile)
            kept = self.run.cube.region(self.tiling.padded(box)), self.run.cube.land(box)
            self._regions.put(tile, kept, n_bytes=kept[0].n_bytes + kept[1].nbytes)
        return kept

    def _predictor(self, direction: Direction) -> Predictor:
        if direction not in self._predictors:
            model, card = load_model(self.run.models[direction])
            check_fits(card, self.run.cube.features, legend=self.run.cube.legend.name, direction=direction)
            self._predictors[direction] = Predictor(frozen(model), self.run.cube.features, self.tiling, self._weights,
                                                    self.run.batch, card.points[self.run.point])
        return self._predictors[direction]
