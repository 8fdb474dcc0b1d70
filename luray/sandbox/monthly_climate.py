"""Monthly climate of the simulated world: temperature and rain, on coarse cells.

Both have a season, a trend, and anomalies that last for some months and are alike in neighbouring
cells. Y X are the coarse cells.
"""

from dataclasses import dataclass

import numpy as np

from luray.core.grid import Grid
from luray.core.types import F32, F64
from luray.sandbox.world import COARSE, World

CLIMATE_STREAM = 4
"""Number of the random stream; see `world.TERRAIN_STREAM`."""

SWING = 8.0
"""Half of the difference between the warmest and the coldest month, in K."""

COLDEST_MONTH = 0.5
"""The middle of January, in months."""

WARMING_A_YEAR = 0.025
"""K a year, counted from 1990."""

ANOMALY = 3.0
"""Spread of the temperature of a month around its mean, in K."""

MEMORY = 0.6
"""Share of an anomaly of temperature that is left a month later."""

RAIN_SPREAD = 0.5
"""Spread of the logarithm of a month's rain."""

RAIN_MEMORY = 0.3
"""Share of an anomaly of rain that is left a month later."""


@dataclass(frozen=True)
class MonthlyClimate:
    """Temperature and rain of each month from January of `first_year` on."""

    grid: Grid
    first_year: int
    temperature: F32
    """Degrees Celsius, shape (month, Y, X)."""
    rain: F32
    """mm a month, shape (month, Y, X)."""


def monthly_climate(world: World, years: range) -> MonthlyClimate:
    """Make the climate of some years; the same world and years give the same months.

    Parameters
    ----------
    world : World
        Its terrain has the mean temperature and rain.
    years : range
        The years.
    """
    grid = world.config.coarse_grid(COARSE)
    mean_temperature = coarse_mean(world.terrain.temperature)
    mean_rain = coarse_mean(world.terrain.rain)
    rng = np.random.default_rng([world.config.seed, CLIMATE_STREAM, years.start])
    months = np.arange(12 * len(years))
    season = -np.cos(2 * np.pi * (months + 0.5 - COLDEST_MONTH) / 12)
    trend = WARMING_A_YEAR * (years.start + months / 12 - 1990)

    unusual_warmth = _anomalies(grid, len(months), rng, memory=MEMORY)
    temperature = mean_temperature + (SWING * season + trend)[:, None, None]
    temperature = temperature + ANOMALY * unusual_warmth

    # Winters are wetter than summers.
    unusual_rain = RAIN_SPREAD * _anomalies(grid, len(months), rng, memory=RAIN_MEMORY)
    usual_rain = mean_rain / 12 * (1 - 0.25 * season)[:, None, None]
    rain = usual_rain * np.exp(unusual_rain - RAIN_SPREAD**2 / 2)
    return MonthlyClimate(
        grid, years.start, temperature.astype(np.float32), rain.astype(np.float32)
    )


def coarse_mean(field: F32) -> F64:
    """Return the mean of a fine field over each coarse cell."""
    rows, cols = field.shape[0] // COARSE, field.shape[1] // COARSE
    blocks = field.astype(np.float64).reshape(rows, COARSE, cols, COARSE)
    return np.asarray(blocks.mean((1, 3)))


def _anomalies(grid: Grid, n_months: int, rng: np.random.Generator, *, memory: float) -> F64:
    """Return anomalies of unit spread, shape (month, Y, X).

    They are the same everywhere but for slopes from north to south and from west to east.
    """
    patterns = np.ones((3, *grid.shape))
    patterns[1] = np.linspace(-0.6, 0.6, grid.n_lat)[:, None]
    patterns[2] = np.linspace(-0.6, 0.6, grid.n_lon)[None]

    fresh = rng.standard_normal((n_months, len(patterns)))
    heights = np.empty_like(fresh)
    height = rng.standard_normal(len(patterns))
    for month in range(n_months):
        height = memory * height + np.sqrt(1 - memory**2) * fresh[month]
        heights[month] = height
    return np.asarray(np.tensordot(heights, patterns, axes=1))
