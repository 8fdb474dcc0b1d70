"""Leaf area index of the simulated world, by dekads, as C3S sees it: with noise and clouds.

A law that can be learned: what grows on a cell by its land use wants a temperature and water, and
leaves follow what the weather allows with a delay of some dekads. Water is what is left of the rain
of the last months. Fields are harvested in summer.

Shapes: H W cells of C3S's grid.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.types import F32, U8, Bool
from luray.sandbox.monthly_climate import MonthlyClimate, coarse_mean, monthly_climate
from luray.sandbox.noise import fractal
from luray.sandbox.refinement import refined
from luray.sandbox.storyline import FIRST_YEAR
from luray.sandbox.world import World

LEAF_STREAM = 5
"""Number of the random stream of sites; that of a dekad's noise is one more."""

STEP = 1 / 112
"""Cell size in degrees."""

SPIN_UP = 2
"""Years of weather before the first map, in which leaves and water find their level."""

DEKADS = 36

WATER_LEFT = 0.6
"""Share of the soil's water that is there a month later, without rain."""

RESPONSE = 0.5
"""Share of the difference to what the weather allows that leaves make up for in a dekad."""

WIDTH = 3.0
"""How gradually warmth brings leaves, in K."""

HARVEST = range(20, 27)
"""Dekads from late July to September, in which fields are bare for the most part."""

STUBBLE = 0.3
"""Share of the leaf area that a harvest leaves."""

NOISE = 0.04
"""Spread of the retrieval's error, as a share of the value."""
NOISE_FLOOR = 0.05
"""The same of small values, in m2 m-2."""

CLOUDS = (0.45, 0.12)
"""Share of the cells under clouds for a whole dekad, in January and in July."""

SITES = 0.12
"""Spread of how fertile sites are."""


class Plants(NamedTuple):
    """What grows under a land use."""

    most: float
    """Leaf area index where all is well."""
    least: float
    """Share of it that stays in winter and drought."""
    warmth: float
    """Temperature in degrees Celsius at which half of the leaves are out."""
    thirst: float
    """Water, as a share of what the place has on average, at which half of them are."""


PLANTS: Mapping[int, Plants] = {
    11: Plants(1.4, 0.30, 8.0, 0.4),
    22: Plants(5.4, 0.05, 9.0, 0.6),
    33: Plants(4.2, 0.20, 6.0, 0.6),
    44: Plants(5.8, 0.25, 10.0, 0.4),
    55: Plants(3.6, 0.15, 8.0, 0.9),
    66: Plants(1.2, 0.10, 7.0, 0.9),
}
"""By the code of land use of HILDA+. Water has no leaves and is not retrieved."""


def leaf_grid(world: World) -> Grid:
    """Return the cells of C3S in the world."""
    fine = world.config.grid
    n_lat = round(fine.n_lat * fine.step / STEP)
    n_lon = round(fine.n_lon * fine.step / STEP)
    return Grid(fine.north, fine.west, STEP, n_lat, n_lon)


def leaf_area(world: World, years: range) -> Iterator[tuple[int, F32]]:
    """Yield each year with the true leaf area index of its dekads, shape (36, H, W).

    NaN is sea and inland water.
    """
    grid = leaf_grid(world)
    climate = monthly_climate(world, range(years.start - SPIN_UP, years.stop))
    weather = _Weather(world, climate, grid)
    site = np.clip(1 + SITES * _site_noise(world, grid), 0.6, 1.4).astype(np.float32)

    use = world.truth[world.config.scenario[0]]
    leaves: F32 | None = None
    for year in range(climate.first_year, years.stop):
        use_HW = world_on(use[year - FIRST_YEAR], world, grid)
        has_plants = np.isin(use_HW, list(PLANTS))
        year_THW = np.empty((DEKADS, *grid.shape), np.float32)
        for dekad in range(DEKADS):
            month = 12 * (year - climate.first_year) + dekad // 3
            allowed = site * allowed_leaves(
                use_HW, weather.temperature(month), weather.water(month), dekad
            )
            leaves = allowed if leaves is None else leaves + RESPONSE * (allowed - leaves)
            year_THW[dekad] = np.where(has_plants, leaves, np.nan)
        if year >= years.start:
            yield year, year_THW


def allowed_leaves(use: U8, temperature: F32, water: F32, dekad: int) -> F32:
    """Return the leaf area index that land use, temperature and water allow.

    Parameters
    ----------
    use : array of uint8
        Codes of HILDA+.
    temperature : array of float32, same shape
        Of the month, degrees Celsius.
    water : array of float32, same shape
        In the soil, as a share of what the place has on average.
    dekad : int
        Of the year, from 0.

    Examples
    --------
    >>> use = np.array([22, 22, 44, 77], np.uint8)
    >>> warm, wet = np.full(4, 20, np.float32), np.full(4, 1, np.float32)
    >>> [f"{leaves:.1f}" for leaves in allowed_leaves(use, warm, wet, 15)]
    ['3.4', '3.4', '4.5', '0.0']
    """
    leaves = np.zeros(use.shape, np.float32)
    for code, plants in PLANTS.items():
        is_grown: Bool = use == code
        warmth = 1 / (1 + np.exp(-(temperature[is_grown] - plants.warmth) / WIDTH))
        moisture = water[is_grown] / (water[is_grown] + plants.thirst)
        growth = plants.least + (1 - plants.least) * warmth * moisture
        if code == 22 and dekad in HARVEST:
            growth = growth * STUBBLE
        leaves[is_grown] = plants.most * growth
    return leaves


def published(world: World, leaves_HW: F32, year: int, dekad: int) -> F32:
    """Return the leaf area index of a dekad as it is retrieved: with an error, NaN under clouds."""
    rng = np.random.default_rng([world.config.seed, LEAF_STREAM + 1, year, dekad])
    error = rng.standard_normal(leaves_HW.shape, np.float32)
    retrieved = leaves_HW + error * (NOISE * leaves_HW + NOISE_FLOOR)
    cover = fractal(leaves_HW.shape, rng, roughness=3.0, scale=0.3)
    winter, summer = CLOUDS
    season = (1 + np.cos(2 * np.pi * (dekad + 0.5) / DEKADS)) / 2
    share = summer + (winter - summer) * season
    clouded = cover > np.quantile(cover, 1 - share)
    return np.where(clouded, np.float32(np.nan), retrieved.clip(0, 7))


def world_on(field: U8 | F32, world: World, grid: Grid) -> NDArray[Any]:
    """Return a fine field at the centres of the cells of another grid of the same extent."""
    fine = world.config.grid
    rows = ((fine.north - grid.lat) / fine.step).astype(int).clip(0, fine.n_lat - 1)
    cols = ((grid.lon - fine.west) / fine.step).astype(int).clip(0, fine.n_lon - 1)
    return np.asarray(field[np.ix_(rows, cols)])


def _site_noise(world: World, grid: Grid) -> F32:
    rng = np.random.default_rng([world.config.seed, LEAF_STREAM])
    return fractal(grid.shape, rng, roughness=2.5, scale=0.15)


class _Weather:
    """Temperature and the soil's water of each month on the cells of the maps."""

    def __init__(self, world: World, climate: MonthlyClimate, grid: Grid) -> None:
        self._grid = grid
        self._climate = climate
        # Cells differ from the coarse cell that they lie in as their mean temperature does.
        coarse = coarse_mean(world.terrain.temperature).astype(np.float32)
        self._offset = world_on(world.terrain.temperature, world, grid) - self._refined(coarse)

        # Rain fills the soil, warmth empties it; both as shares of the mean of the place.
        usual = climate.rain.mean(0)
        supply = climate.rain / usual
        level = np.ones_like(usual)
        self._water = np.empty_like(climate.rain)
        for month, rain in enumerate(supply):
            level = WATER_LEFT * level + (1 - WATER_LEFT) * rain
            self._water[month] = level

    def _refined(self, field: F32) -> F32:
        return refined(field, self._climate.grid, self._grid)

    def temperature(self, month: int) -> F32:
        """Return the temperature of a month, shape (H, W)."""
        return np.asarray(self._refined(self._climate.temperature[month]) + self._offset)

    def water(self, month: int) -> F32:
        """Return the soil's water in a month, shape (H, W)."""
        return np.asarray(self._refined(self._water[month]))
