"""One tile-year computed against the stores: what a worker does when the engine asks.

Sums that other tiles need travel as strips, finished maps as edges; both follow `Tiling.exchanges`.

What a worker holds
-------------------
The product is the checkpoint, so nearly everything a worker holds is a cache that may be dropped:
static inputs and models are read again, finished maps and edges are read from the product. The one
exception are the sums of a prediction that is not reduced yet (`PendingMap`). They are nowhere
else; when a worker dies, the prediction runs again in another one (`SumsLostError`), and gives the
same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from luray.core.legend import NO_DATA, OUTSIDE
from luray.core.tiling import Box, Tile
from luray.core.types import I32, U8, Bool, Direction
from luray.engine.blending import Rectangle, add_strip, frame, percentages, window_weights
from luray.engine.copying import copy_years
from luray.engine.decision import decide_classes
from luray.engine.demand import Shortfall
from luray.engine.device_predictor import DevicePredictor
from luray.engine.input_cache import TileInputsCache
from luray.engine.predictor import Predictor
from luray.engine.spec import InferenceSpec
from luray.model.card import check_fits
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.product.dimensions import MemberIndex
from luray.storage.cache import ByteLRUCache

MAPS_BYTES = 2**28
"""Bytes of finished maps that a worker keeps."""

Edges = tuple[U8, ...]
"""Cells of a finished tile that its neighbours' windows see, in the order of `Geometry.inbound`."""


class SumsLostError(RuntimeError):
    """The sums of a tile-year are not in this worker: its prediction has to run again."""


@dataclass(frozen=True)
class PendingMap:
    """A predicted tile-year that waits for its neighbours.

    Where their windows reach it has sums, and elsewhere the map already: of most cells the sums,
    which are 4 K bytes a cell, need not stay.
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


class TileYears:
    """Computes tile-years of an inference.

    `reduce` may run in one thread while `predict` of another tile-year runs in a second one. A
    `trajectory` is the place of one of `Product.trajectories`, a `step` a year of it, from the
    first that is predicted.

    Parameters
    ----------
    spec : InferenceSpec
        The inference.
    device : str
        Where models run, as torch names it.
    """

    def __init__(self, spec: InferenceSpec, *, device: str = "cpu") -> None:
        self.spec = spec
        self.geometry = spec.geometry
        self.tiling = spec.geometry.tiling
        self._device = device
        self._weights_HW = window_weights(self.tiling, taper=spec.taper)
        self._trajectories = spec.product.trajectories
        self._predictors: dict[Direction, Predictor | DevicePredictor] = {}
        self._inputs = TileInputsCache(spec, self._predictor)
        self._maps: ByteLRUCache[tuple[int, U8]] = ByteLRUCache(most_bytes=MAPS_BYTES)
        """Year and classes of the last map of each tile and trajectory."""
        self._remembered_maps: ByteLRUCache[dict[int, U8]] = ByteLRUCache(
            most_bytes=spec.remembered_bytes
        )
        """Maps by their year that each tile and trajectory remembers, margin included."""
        self._pending: dict[tuple[Tile, int], tuple[int, PendingMap]] = {}
        """Year and sums of each tile and trajectory that is predicted, not reduced."""

    def copy(self, tile: Tile, years: Sequence[int]) -> None:
        """Copy observed years of a tile, see `copying.copy_years`."""
        copy_years(self.spec, tile, years)

    def write_overviews(self, year: int, member_indices: Sequence[MemberIndex]) -> None:
        """Write the coarser overviews of a year, see `Product.write_coarser_overviews`."""
        self.spec.product.write_coarser_overviews(year, member_indices)

    def summarise(self, year: int, tile: Tile, scenarios: Sequence[int]) -> None:
        """Sum up the members of a tile-year, see `Product.summarise`."""
        self.spec.product.summarise(year, tile, scenarios)

    def predict(
        self, tile: Tile, trajectory: int, step: int, *edges: Edges | None
    ) -> tuple[int, list[I32]]:
        """Predict a tile in a step of a trajectory.

        Parameters
        ----------
        tile, trajectory, step
            See `TileYears`.
        *edges : Edges or None
            Those of `Geometry.around` in the step before, in its order; None where they have to be
            read.

        Returns
        -------
        n_windows : int
            Windows of the tile.
        strips : list of arrays, int32, shape (K, height, width)
            What the tile's windows add to its neighbours, in the order of `Geometry.outbound`.
        """
        torch.set_num_threads(self.spec.threads)  # torch keeps it for each thread by itself
        years = self._trajectories[trajectory].years
        prior_year, year = years[step : step + 2]
        inputs, land = self._inputs.get(tile, trajectory)
        box = self.tiling.tile_box(tile)
        maps = self._remembered(tile, trajectory, step, edges)
        cores = self.tiling.active_cores(box, land)
        predictor: Any = self._predictor(self._trajectories[trajectory].direction)
        # The inputs are what this predictor has read, see `inputs_of`.
        sums_KYX: I32 = predictor.predict(
            cores, maps, inputs, year=year, prior_year=prior_year, box=box
        )

        # What the windows give to the tile itself waits here; what they give to its neighbours, in
        # the margin, is returned as strips.
        in_padded = box.slices(origin=self.tiling.padded(box))
        prior = maps[0][in_padded]
        pending = self._start_map(tile, trajectory, step, sums_KYX[:, *in_padded], prior, land)
        self._pending[tile, trajectory] = year, pending
        if year == years[-1]:
            self._inputs.end(tile, trajectory)
            self._remembered_maps.drop((tile, trajectory))
        outbound = self.geometry.outbound(tile)
        return len(cores), [sums_KYX[:, *exchange.padded].copy() for exchange in outbound]

    def reduce(
        self, tile: Tile, trajectory: int, step: int, *strips: I32
    ) -> tuple[Edges, Shortfall]:
        """Add the neighbours' strips, decide the map, write shard and receipt.

        Parameters
        ----------
        tile, trajectory, step
            See `TileYears`.
        *strips : arrays, int32
            Those of `Geometry.inbound`, in its order.

        Returns
        -------
        edges : Edges
            What the neighbours need as prior.
        shortfall : Shortfall
            By how much the map misses what the scenario demands.

        Raises
        ------
        SumsLostError
            When this worker has not predicted the tile-year.
        """
        year = self._trajectories[trajectory].years[step + 1]
        predicted_year, pending = self._pending.pop((tile, trajectory), (None, None))
        if pending is None or predicted_year != year:
            raise SumsLostError(f"tile {tile} year {year} was not predicted here")

        # Sums are integers: the order in which strips are added does not matter.
        inbound = self.geometry.inbound(tile)
        shortfall = Shortfall()
        for band, sums_KHW in zip(pending.bands, pending.sums, strict=True):
            for arrival, strip in zip(inbound, strips, strict=True):
                add_strip(sums_KHW, strip, band=band, at=arrival.own)
            shortfall += self._decide(tile, trajectory, step, sums_KHW, band, pending)

        # Written before the map is kept or sent: what a neighbour has seen can be read again.
        self.spec.product.write(
            year,
            tile,
            self._with_no_data(tile, pending.classes),
            pending.confidence,
            self._trajectories[trajectory].member_indices,
            prior=pending.prior,
            probabilities=pending.probabilities,
        )
        self._maps.put((tile, trajectory), (year, pending.classes), n_bytes=pending.classes.nbytes)
        return tuple(pending.classes[arrival.own] for arrival in inbound), shortfall

    def _with_no_data(self, tile: Tile, classes: U8) -> U8:
        """Return the map of a tile with `NO_DATA` where the observed maps have none."""
        if not self.spec.cube.tells_no_data:
            return classes
        no_data = self.spec.cube.no_data(self.tiling.tile_box(tile))
        return np.where(no_data, np.uint8(NO_DATA), classes)

    def _start_map(
        self, tile: Tile, trajectory: int, step: int, sums_KHW: I32, prior: U8, land: Bool
    ) -> PendingMap:
        """Decide the map where no neighbour's window reaches, and keep the sums of the rest.

        A demand looks at all cells of a coarse cell, and a coarse cell may reach into a band: then
        all of the tile waits.
        """
        waiting_margin = self.tiling.margin if self.spec.demand is None else max(land.shape)
        inside, bands = frame(land.shape, waiting_margin)
        year = self._trajectories[trajectory].years[step + 1]
        keeps_probabilities = year in self.spec.product.dims.probability_years
        pending = PendingMap(
            bands,
            tuple(sums_KHW[:, *band].copy() for band in bands),
            np.full(land.shape, OUTSIDE, np.uint8),
            np.zeros(land.shape, np.uint8),
            np.zeros(sums_KHW.shape, np.uint8) if keeps_probabilities else None,
            land,
            prior.copy(),
        )
        if pending.classes[inside].size:
            self._decide(tile, trajectory, step, sums_KHW[:, *inside], inside, pending)
        return pending

    def _decide(
        self,
        tile: Tile,
        trajectory: int,
        step: int,
        sums_KHW: I32,
        at: Rectangle,
        pending: PendingMap,
    ) -> Shortfall:
        """Decide the map in a rectangle of the tile whose sums are complete."""
        prior_year, year = self._trajectories[trajectory].years[step : step + 2]
        tile_box = self.tiling.tile_box(tile)
        rows, cols = at
        box = Box(
            tile_box.row + rows.start,
            tile_box.col + cols.start,
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
            box=box,
            draws=self._trajectories[trajectory].draws,
            demand=self.spec.demand_of(self._trajectories[trajectory].scenario),
            strength=self.spec.demand_strength,
            scale=self.spec.features.scale,
        )
        if pending.probabilities is not None:
            pending.probabilities[:, rows, cols] = percentages(sums_KHW, land)
        return shortfall

    def _remembered(
        self, tile: Tile, trajectory: int, step: int, edges: Sequence[Edges | None]
    ) -> list[U8]:
        """Return the last maps over a tile and its margin, the prior of a step first.

        The prior is put together from this worker's last map of the tile and its neighbours' edges
        where all of them are here. The maps before it are those that were remembered in the step
        before, where that step was predicted here. Whatever is not here is read.
        """
        prior_year = self._trajectories[trajectory].years[step]
        wanted = self.spec.remembered_years(trajectory, step)
        older = self._remembered_maps.get((tile, trajectory)) or {}

        maps = {}
        for year in wanted:
            if year in older:
                maps[year] = older[year]
            elif year == prior_year:
                maps[year] = self._prior(tile, trajectory, step, edges)
            else:
                maps[year] = self._read(tile, trajectory, year)

        if self.spec.history > 1:
            n_bytes = sum(one_map.nbytes for one_map in maps.values())
            self._remembered_maps.put((tile, trajectory), maps, n_bytes=n_bytes)
        return list(maps.values())

    def _read(self, tile: Tile, trajectory: int, year: int) -> U8:
        """Read the map of a year over a tile and its margin: observed, or of the product."""
        padded = self.tiling.padded(self.tiling.tile_box(tile))
        if year in self._trajectories[trajectory].years[1:]:
            first_member = self._trajectories[trajectory].member_indices[0]
            return self.spec.product.read(year, padded, first_member)
        return self.spec.cube.state(year, padded)

    def _prior(self, tile: Tile, trajectory: int, step: int, edges: Sequence[Edges | None]) -> U8:
        """Return the prior of a step over a tile and its margin."""
        year = self._trajectories[trajectory].years[step]
        map_year, classes = self._maps.get((tile, trajectory)) or (None, None)
        if step == 0 or classes is None or map_year != year or any(e is None for e in edges):
            return self._read(tile, trajectory, year)

        box = self.tiling.tile_box(tile)
        padded = self.tiling.padded(box)
        prior = np.full(padded.shape, OUTSIDE, np.uint8)
        prior[box.slices(origin=padded)] = classes
        # A neighbour's edges come in the order of its own inbound strips. The piece that this tile
        # needs from exchange i is the one that answers this tile's strip i.
        pieces = {}
        for neighbour, of_neighbour in zip(self.geometry.around(tile), edges, strict=True):
            assert of_neighbour is not None
            arrivals = self.geometry.inbound(neighbour)
            for arrival, piece in zip(arrivals, of_neighbour, strict=True):
                pieces[arrival.source, arrival.index, neighbour] = piece
        for i, exchange in enumerate(self.geometry.outbound(tile)):
            prior[exchange.padded] = pieces[tile, i, exchange.neighbour]
        return prior

    def _predictor(self, direction: Direction) -> Predictor | DevicePredictor:
        if direction not in self._predictors:
            cube = self.spec.cube
            model, card = load_model(self.spec.models[direction])
            check_fits(card, self.spec.features, legend=cube.legend.name, direction=direction)
            parts = (
                frozen(model),
                self.spec.features,
                self.tiling,
                self._weights_HW,
                self.spec.batch,
                card.points[self.spec.operating_point],
            )
            precision = self.spec.precision
            if self._device == "cpu":
                self._predictors[direction] = Predictor(*parts, precision)
            elif precision == "float32":
                self._predictors[direction] = DevicePredictor(*parts, device=self._device)
            else:
                raise ValueError(
                    f"inference.precision is {precision!r}, which is one of CPUs, but a worker "
                    f"runs on {self._device}, in half precision; set inference.device = 'cpu', or "
                    "leave inference.precision out"
                )
        return self._predictors[direction]
