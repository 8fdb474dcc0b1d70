"""One tile-year computed against the stores: what a worker does when the engine asks, with no
engine in sight.

Sums that other tiles need travel as strips, finished maps as edges; both follow `Tiling.exchanges`.
Everything a worker keeps is a cache: what is missing is read from the product, which is the
checkpoint.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from luray.core.legend import OUTSIDE
from luray.core.random import RandomStream
from luray.core.tiling import Box, Tile
from luray.core.types import I32, U8, Bool, Direction
from luray.engine.blending import (
    Rectangle,
    add_strip,
    decide,
    frame,
    percentages,
    window_weights,
)
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.demand import Shortfall, constrain
from luray.engine.ensemble import perturbed, sample
from luray.engine.inputs import TileInputs
from luray.engine.predictor import Predictor
from luray.engine.scheduler import CACHED_TILES
from luray.engine.spec import InferenceSpec
from luray.model.checkpoint import check_fits, load_model
from luray.model.unet import frozen
from luray.storage.cache import ByteLRUCache

MAPS_BYTES = 2**28
"""Bytes of finished maps that a worker keeps."""

Edges = tuple[U8, ...]
"""Cells of a finished tile that its neighbours' windows see, in the order of `Geometry.inbound`."""


class SumsLostError(RuntimeError):
    """The sums of a tile-year are not in this worker: its prediction has to run again."""


def decide_classes(
    sums_KHW: I32,
    prior_HW: U8,
    land_HW: Bool,
    *,
    year: int,
    prior_year: int,
    box: Box,
    draws: RandomStream | None = None,
    scenario: CoarseDemand | None = None,
    strength: float = 0.0,
) -> tuple[U8, U8, Shortfall]:
    """Class indices and confidence of a box of the run grid from its sums.

    They are the likeliest classes, or those that a member draws; where a scenario imposes its
    demand, whose blocks the box is made of, they change by what is demanded.
    """
    if scenario is None:
        drawn = (
            decide(sums_KHW, land_HW)
            if draws is None
            else sample(sums_KHW, land_HW, draws, year=year, box=box)
        )
        return *drawn, Shortfall()
    change_GYX = scenario.change(year, prior_year, box, land_HW)
    scores = None if draws is None else perturbed(sums_KHW, draws, year=year, box=box)
    return constrain(
        sums_KHW,
        prior_HW,
        land_HW,
        change_GYX,
        block=scenario.block,
        groups=scenario.groups,
        strength=strength,
        scores_KHW=scores,
    )


@dataclass(frozen=True)
class PendingMap:
    """A predicted tile-year that waits for its neighbours: sums where their windows reach, and the
    map elsewhere.
    """

    bands: tuple[Rectangle, ...]
    """Disjoint rectangles that the strips of neighbours fall into."""
    sums: tuple[I32, ...]
    """Sums of each band, (K, height, width)."""
    classes: U8
    confidence: U8
    probabilities: U8 | None
    """Percent of every class (K, H, W), in years whose probabilities are kept."""
    land: Bool
    prior: U8


@dataclass
class Inputs:
    """Inputs of a tile for the courses of one direction."""

    tile_inputs: TileInputs
    land: Bool
    views: dict[str, TileInputs] = field(default_factory=dict)
    """As each scenario has them."""
    ended: set[int] = field(default_factory=set)
    """Courses that need them no more."""


class TileYears:
    """Computes tile-years of a run, keeping the inputs of the tiles it has seen and the sums it has
    not yet reduced.

    `reduce` may run in one thread while `predict` of another tile-year runs in a second one. A
    `trajectory` is the place of one of `Product.trajectories`, a `step` a year of it, from the
    first that is predicted.
    """

    def __init__(self, run: InferenceSpec, *, device: str = "cpu") -> None:
        self.run, self.geometry, self.tiling, self._device = (
            run,
            run.geometry,
            run.geometry.tiling,
            device,
        )
        self._weights = window_weights(self.tiling, taper=run.taper)
        self._courses = run.product.trajectories
        self._predictors: dict[Direction, Predictor] = {}
        self._inputs: OrderedDict[tuple[Tile, Direction], Inputs] = OrderedDict()
        self._spare: list[NDArray[np.int16]] = []
        self._maps: ByteLRUCache[tuple[int, U8]] = ByteLRUCache(most_bytes=MAPS_BYTES)
        self._pending: dict[tuple[Tile, int], tuple[int, PendingMap]] = {}

    def copy(self, tile: Tile, years: Sequence[int]) -> None:
        """Copy observed years of a tile into every lane of the product."""
        for year in years:
            classes = self.run.cube.state(year, self.tiling.tile_box(tile))
            confidence = (classes != OUTSIDE) * np.uint8(100)
            self.run.product.write(year, tile, classes, confidence, self.run.product.member_indices)

    def summarise(self, year: int, tile: Tile, scenarios: Sequence[int]) -> None:
        """See `Product.summarise`."""
        self.run.product.summarise(year, tile, scenarios)

    def predict(
        self, tile: Tile, trajectory: int, step: int, *edges: Edges | None
    ) -> tuple[int, list[I32]]:
        """Predict a tile in a step of a course; returns how many windows it has, and strips for
        `Geometry.outbound`.

        `edges` are those of `Geometry.around`, in its order, of the step before; None where they
        have to be read. Strips are int32 (K, height, width).
        """
        torch.set_num_threads(self.run.threads)  # counts for the thread that calls it
        prior_year, year = self._courses[trajectory].years[step : step + 2]
        inputs, land = self._inputs_of(tile, trajectory)
        box = self.tiling.tile_box(tile)
        prior = self._prior(tile, trajectory, prior_year, edges)
        cores = self.tiling.active_cores(box, land)
        predictor = self._predictor(self._courses[trajectory].direction)
        sums = predictor.predict(cores, prior, inputs, year=year, prior_year=prior_year, box=box)
        own = box.slices(origin=self.tiling.padded(box))
        self._pending[tile, trajectory] = (
            year,
            self._begun(tile, trajectory, step, sums[:, *own], prior[own], land),
        )
        if year == self._courses[trajectory].years[-1]:
            self._ended(tile, trajectory)
        return len(cores), [sums[:, *e.padded].copy() for e in self.geometry.outbound(tile)]

    def reduce(
        self, tile: Tile, trajectory: int, step: int, *strips: I32
    ) -> tuple[Edges, Shortfall]:
        """Add the strips of `Geometry.inbound`, settle the map, write shard and receipt.

        Returns the tile's edges, and by how much the map misses what the scenario demands. Raises
        SumsLost when this worker has not predicted the tile-year.
        """
        year = self._courses[trajectory].years[step + 1]
        predicted, pending = self._pending.pop((tile, trajectory), (None, None))
        if pending is None or predicted != year:
            raise SumsLostError(f"tile {tile} year {year} was not predicted here")
        inbound, shortfall = self.geometry.inbound(tile), Shortfall()
        for band, sums in zip(pending.bands, pending.sums, strict=True):
            for arrival, strip in zip(inbound, strips, strict=True):
                add_strip(sums, strip, band=band, at=arrival.own)
            shortfall += self._settle(tile, trajectory, step, sums, band, pending)
        self.run.product.write(
            year,
            tile,
            pending.classes,
            pending.confidence,
            self._courses[trajectory].member_indices,
            probabilities=pending.probabilities,
        )
        self._maps.put((tile, trajectory), (year, pending.classes), n_bytes=pending.classes.nbytes)
        return tuple(pending.classes[arrival.own] for arrival in inbound), shortfall

    def _begun(
        self, tile: Tile, trajectory: int, step: int, sums_KHW: I32, prior: U8, land: Bool
    ) -> PendingMap:
        """A predicted tile, settled where no neighbour's window reaches: of most cells the sums
        need not stay.

        A demand looks at all cells of a coarse cell, and so at all of the tile.
        """
        inside, bands = frame(
            land.shape, self.tiling.margin if self.run.scenario is None else max(land.shape)
        )
        kept = self._courses[trajectory].years[step + 1] in self.run.product.dims.probability_years
        pending = PendingMap(
            bands,
            tuple(sums_KHW[:, *band].copy() for band in bands),
            np.full(land.shape, OUTSIDE, np.uint8),
            np.zeros(land.shape, np.uint8),
            np.zeros(sums_KHW.shape, np.uint8) if kept else None,
            land,
            prior.copy(),
        )
        if pending.classes[inside].size:
            self._settle(tile, trajectory, step, sums_KHW[:, *inside], inside, pending)
        return pending

    def _settle(
        self,
        tile: Tile,
        trajectory: int,
        step: int,
        sums_KHW: I32,
        at: Rectangle,
        pending: PendingMap,
    ) -> Shortfall:
        """Settle a rectangle of a tile, whose sums are complete."""
        prior_year, year = self._courses[trajectory].years[step : step + 2]
        box, (rows, cols) = self.tiling.tile_box(tile), at
        part = Box(
            box.row + rows.start,
            box.col + cols.start,
            rows.stop - rows.start,
            cols.stop - cols.start,
        )
        land = pending.land[at]
        pending.classes[at], pending.confidence[at], shortfall = decide_classes(
            sums_KHW,
            pending.prior[at],
            land,
            year=year,
            prior_year=prior_year,
            box=part,
            draws=self._courses[trajectory].draws,
            scenario=self.run.demand_of(self._courses[trajectory].scenario),
            strength=self.run.strength,
        )
        if pending.probabilities is not None:
            pending.probabilities[:, rows, cols] = percentages(sums_KHW, land)
        return shortfall

    def _prior(self, tile: Tile, trajectory: int, year: int, edges: Sequence[Edges | None]) -> U8:
        """Class indices of the prior year over a tile and its margin."""
        box = self.tiling.tile_box(tile)
        padded = self.tiling.padded(box)
        kept_year, own = self._maps.get((tile, trajectory)) or (None, None)
        if self.run.product.span.observed[0] <= year <= self.run.product.span.observed[1]:
            return self.run.cube.state(year, padded)
        if own is None or kept_year != year or any(e is None for e in edges):
            return self.run.product.read(year, padded, self._courses[trajectory].member_indices[0])
        prior = np.full(padded.shape, OUTSIDE, np.uint8)
        prior[box.slices(origin=padded)] = own
        pieces = {
            (arrival.source, arrival.index, neighbour): piece
            for neighbour, arrived in zip(self.geometry.around(tile), edges, strict=True)
            if arrived is not None
            for arrival, piece in zip(self.geometry.inbound(neighbour), arrived, strict=True)
        }
        for i, exchange in enumerate(self.geometry.outbound(tile)):
            prior[exchange.padded] = pieces[tile, i, exchange.neighbour]
        return prior

    def _inputs_of(self, tile: Tile, trajectory: int) -> tuple[TileInputs, Bool]:
        """Inputs of a tile's active windows as a course has them, static ones read once a
        direction; and its land.
        """
        direction, scenario = (
            self._courses[trajectory].direction,
            self._courses[trajectory].scenario,
        )
        kept = self._inputs.pop((tile, direction), None)
        if kept is None:
            if len(self._inputs) == CACHED_TILES:
                self._spare += self._inputs.popitem(last=False)[1].tile_inputs.arrays
            box = self.tiling.tile_box(tile)
            land = self.run.cube.land(box)
            windows = [self.tiling.window_box(core) for core in self.tiling.active_cores(box, land)]
            kept = Inputs(
                TileInputs.of(self.run.cube, windows, self._predictor(direction).stem, self._spare),
                land,
            )
        self._inputs[tile, direction] = kept
        if scenario not in kept.views:
            kept.views[scenario] = kept.tile_inputs.seen_in(self.run.cube.of_scenario(scenario))
        return kept.views[scenario], kept.land

    def _ended(self, tile: Tile, trajectory: int) -> None:
        """A course of a tile is predicted to its last year: what no other one needs is not kept."""
        direction = self._courses[trajectory].direction
        kept = self._inputs[tile, direction]
        kept.ended.add(trajectory)
        if all(
            i in kept.ended for i, other in enumerate(self._courses) if other.direction == direction
        ):
            self._spare += self._inputs.pop((tile, direction)).tile_inputs.arrays

    def _predictor(self, direction: Direction) -> Predictor:
        if direction not in self._predictors:
            model, card = load_model(self.run.models[direction])
            check_fits(
                card, self.run.cube.features, legend=self.run.cube.legend.name, direction=direction
            )
            self._predictors[direction] = Predictor(
                frozen(model),
                self.run.cube.features,
                self.tiling,
                self._weights,
                self.run.batch,
                card.points[self.run.point],
                self._device,
            )
        return self._predictors[direction]
