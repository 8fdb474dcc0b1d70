"""The rollout of a region, one year at a time: what `engine.serial` does on a whole grid.

Where the maps have several time steps a year, "year" means such a step (`luray.core.time_steps`).

Shapes: K classes; H W the region; Y X its domain with the margin of the windows.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from luray.catalog.finished import read_finished
from luray.catalog.product_maps import product_maps
from luray.core.legend import NO_VALUE, OUTSIDE
from luray.core.random import RandomStream
from luray.core.tiling import pieces_on_grid
from luray.core.types import U8
from luray.cube.cube import Cube
from luray.emulator.config import EmulatorConfig
from luray.emulator.domain import Domain, region_box
from luray.emulator.forcing import Forcing
from luray.engine.blending import window_weights
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.decision import decide_classes
from luray.engine.inputs import TileInputs
from luray.engine.predictor import Predictor
from luray.model.card import ModelCard, check_fits
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.product.product_maps import MapSeries


class RegionRollout:
    """Maps of a region that follow from each other.

    Parameters
    ----------
    config : EmulatorConfig
        The region, the model and the cube.

    Raises
    ------
    ValueError
        For a region, model or product that does not fit the cube.
    FileNotFoundError
        If there is no cube, model or product.
    """

    def __init__(self, config: EmulatorConfig) -> None:
        self.config = config
        cube = Cube.open(config.cube)
        self.cube = cube.of_scenario(config.scenario)
        self.card, self._predictor = _predictor(config, self.cube)
        features = self._predictor.features
        _check_start(config, self.cube)

        region = region_box(self.cube.grid, config.region)
        self.domain = Domain.of(self.cube, region, window=config.window, stride=config.stride)
        _check_edge(config, self.domain)
        self.forcing = Forcing(self.cube, self.domain.padded)
        self._inputs = None
        if self.domain.cores:
            self._inputs = TileInputs.of(
                self.forcing.cube, self.domain.windows, self._predictor.stem
            )
        self._demand = self._demand_of(config)
        self._draws = None
        if config.member is not None:
            self._draws = RandomStream(config.seed, config.scenario, config.member)
        self.product: MapSeries | None = None
        if config.edge == "product":
            self.product = _series(config, cube, start=self.start, end=self.end)

        older = self.cube.years_before(self.start, direction="forward", most=features.history - 1)
        self._observed = (self.start, *older)
        self.maps: dict[int, U8] = {}
        """Maps of the region by their year, the newest first, as many as the model remembers."""
        self.confidence_HW: U8 = np.zeros(region.shape, np.uint8)
        """Confidence of the newest map in percent, or the spread of values."""
        self.no_data_HW = self.cube.no_data(region)
        self._seen: dict[int, U8] = {}
        """The same with what is around the region."""
        self.restart()

    @property
    def year(self) -> int:
        """Year of the newest map."""
        return next(iter(self.maps))

    @property
    def start(self) -> int:
        """The observed map that the rollout starts from: the last one of the start's year."""
        return self.cube.time.of_years(self.config.start, self.config.start)[-1]

    @property
    def end(self) -> int:
        """Last year that may be predicted."""
        if self.config.end is None:
            return self.forcing.last_year
        return self.cube.time.of_years(self.config.end, self.config.end)[-1]

    def restart(self) -> None:
        """Go back to the observed maps."""
        maps = {year: self.cube.state(year, self.domain.region) for year in self._observed}
        if self.cube.legend.scale is None:
            confidence_HW = (maps[self.start] != OUTSIDE) * np.uint8(100)
        else:
            confidence_HW = np.full(self.domain.region.shape, NO_VALUE, np.uint8)
        self.resume(maps, confidence_HW)
        self.forcing.begin(self.year + 1)

    def resume(self, maps: dict[int, U8], confidence_HW: U8) -> None:
        """Take over the maps of another rollout, the newest first."""
        self.maps = dict(maps)
        self.confidence_HW = confidence_HW
        self._seen = {}

    def step(self) -> None:
        """Predict the coming year.

        Raises
        ------
        ValueError
            After the last year, and where forcing of the coming year lacks.
        """
        prior_year = self.year
        year = prior_year + 1
        if year > self.end:
            label = self.cube.time.label
            raise ValueError(
                f"{label(year)} is beyond the last year, {label(self.end)}: set `end` in the "
                "configuration, and the forcing of each year that the cube lacks"
            )
        self.forcing.commit()
        self._seen = {y: self._seen_map(y) for y in self.maps}

        region = self.domain.region
        shape = self._predictor.features.n_sums, *region.shape
        sums_KHW = np.zeros(shape, np.int32)
        if self._inputs is not None:
            # New inputs each year: what the old ones remember may have been set anew since.
            inputs = self._inputs.for_scenario(self.forcing.cube)
            with _threads(self.config.threads):
                sums_KYX = self._predictor.predict(
                    self.domain.cores,
                    list(self._seen.values()),
                    inputs,
                    year=year,
                    prior_year=prior_year,
                    box=self.domain.box,
                )
            sums_KHW = np.ascontiguousarray(sums_KYX[:, *self.domain.in_padded])
        classes, confidence, _ = decide_classes(
            sums_KHW,
            self.maps[prior_year],
            self.domain.land_HW,
            year=year,
            prior_year=prior_year,
            box=region,
            draws=self._draws,
            demand=self._demand,
            strength=self.config.demand_strength,
            scale=self._predictor.features.scale,
        )
        # The newest map first, and as many as the model remembers.
        n_older = self._predictor.features.history - 1
        older_maps = dict(list(self.maps.items())[:n_older])
        self.maps = {year: classes, **older_maps}
        self.confidence_HW = confidence
        self.forcing.begin(year + 1)

    def _seen_map(self, year: int) -> U8:
        """Return what the windows see of a year's map."""
        if year in self._seen:
            return self._seen[year]
        around_YX = self._around(year)
        return self.domain.with_surroundings(self.maps[year], around_YX)

    def _around(self, year: int) -> U8:
        """Return the map around the region, class indices (Y, X)."""
        padded = self.domain.padded
        if not self.domain.n_land_around:
            return np.full(padded.shape, OUTSIDE, np.uint8)
        if year <= self.start:
            return self.cube.state(year, padded)
        if self.product is None:
            return self.cube.state(self.start, padded)
        grid = self.cube.grid
        around_YX = np.full(padded.shape, OUTSIDE, np.uint8)
        for piece in pieces_on_grid(padded, grid.shape, periodic=grid.periodic):
            classes = self.product.classes(year, piece.on_grid)
            around_YX[piece.in_box.slices(origin=padded)] = classes
        return around_YX

    def _demand_of(self, config: EmulatorConfig) -> CoarseDemand | None:
        """Return what the scenario demands of the region, which has whole coarse cells then."""
        if not config.demand_strength:
            return None
        demand = CoarseDemand.of(self.forcing.cube, tile=0)  # there are no tiles to fit
        region = self.domain.region
        n_lat, n_lon = self.cube.grid.shape
        bottom = region.row + region.height
        right = region.col + region.width

        # At the far edges of the grid a coarse cell may be cut, as in any other run.
        edges = [region.row, region.col]
        if bottom < n_lat:
            edges.append(bottom)
        if right < n_lon:
            edges.append(right)
        if any(edge % demand.block for edge in edges):
            raise ValueError(
                f"region {config.region} cuts coarse cells of {demand.layer.grid.step:g} degrees, "
                "whose demand is met by whole ones; choose edges of coarse cells, or set "
                "demand_strength = 0"
            )
        return demand


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Set the threads of torch for a block; afterwards it has the host's own number again."""
    threads_of_host = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(threads_of_host)


def _predictor(config: EmulatorConfig, cube: Cube) -> tuple[ModelCard, Predictor]:
    """Return the model with its windows, if it fits the cube."""
    model, card = load_model(config.model)
    if card.direction != "forward":
        raise ValueError(
            f"{config.model} is a {card.direction} model, expected a forward one: the time of a "
            "coupled run only increases; give the folder of the forward model"
        )
    if config.window % 2**card.unet.depth:
        raise ValueError(
            f"window {config.window}, expected a multiple of 2^depth = {2**card.unet.depth}; "
            "correct it"
        )
    features = cube.features.remembering(card.unet.history)
    check_fits(card, features, legend=cube.legend.name, direction="forward")
    tiling = cube.tiling(window=config.window, stride=config.stride, tile=config.stride)
    predictor = Predictor(
        frozen(model),
        features,
        tiling,
        window_weights(tiling, taper=config.taper),
        config.batch,
        card.points[config.operating_point],
        config.precision,
    )
    return card, predictor


def _check_start(config: EmulatorConfig, cube: Cube) -> None:
    time = cube.time
    if time.of_years(config.start, config.start)[-1] not in cube.years:
        first, last = (time.label(cube.years[i]) for i in (0, -1))
        raise ValueError(
            f"start {config.start}: {config.cube} has maps of {first}-{last}; start from an "
            "observed year"
        )


def _check_edge(config: EmulatorConfig, domain: Domain) -> None:
    """Refuse a region as closed that windows look out of."""
    if config.edge == "closed" and domain.n_land_around:
        raise ValueError(
            f"region {config.region} is not closed: its windows see {domain.n_land_around} land "
            'cells around it, whose maps it has not. Set edge = "product" and product, to read '
            'them from a finished product (then it equals it), edge = "observed", to hold them as '
            "they are at the start, or take the whole grid"
        )


def _series(config: EmulatorConfig, cube: Cube, *, start: int, end: int) -> MapSeries:
    """Return the maps of the product that lie around the region."""
    finished = read_finished(config.product)
    maps = product_maps(finished, cube)
    series = maps.series(scenario=config.scenario if maps.scenarios else None, member=config.member)
    # Its chain has to leave from the same observed map, and to reach as far.
    origin = dict(zip(finished.years, finished.origins, strict=True))
    begins = origin.get(start) == "observed" and origin.get(start + 1) == "forecast"
    if not begins or maps.years[-1] < end - 1:
        forecast = [year for year, kind in origin.items() if kind == "forecast"]
        label = cube.time.label
        years = f"{label(forecast[0])}-{label(forecast[-1])}" if forecast else "no years"
        raise ValueError(
            f"{config.product} predicts {years}, expected every year from {label(start + 1)}, "
            f"the one after the start, to {label(end - 1)}; correct start and end, or give another "
            "product"
        )
    series.require_whole(step for step in maps.years if start <= step < end)
    return series
