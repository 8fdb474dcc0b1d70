"""What the coarse data sets say of the simulated world: LUH2's states and ISIMIP's population.

Arrays have the shape (year, lat, lon) over 1850-2100. Like the real LUH2 these states tell the same
changes as the fine maps, not the same levels: some grassland counts as rangeland, and some that
could be wood counts as forest.
"""

import numpy as np
from numpy.typing import NDArray

from luray.core.types import F32
from luray.sandbox.trajectory import (
    CROP,
    FIRST_YEAR,
    FOREST,
    GRASS,
    PASTURE,
    SPARSE,
    STORYLINES,
    URBAN,
    YEARS,
    pathway,
    town_radius,
)
from luray.sandbox.world import COARSE, World

F64 = NDArray[np.float64]

MISSING = np.float32(1e20)

STATES = (
    "primf",
    "primn",
    "secdf",
    "secdn",
    "pastr",
    "range",
    "urban",
    "c3ann",
    "c3per",
    "c4ann",
    "c4per",
    "c3nfx",
)
"""The area states of LUH2; with `icwtr` they fill the cell."""

SCENARIO_RAMP = 2006
"""First year in which ISIMIP's population follows the pathway."""


def ice_and_water(world: World) -> F64:
    """Share of each 0.25 degree cell under sea and lakes, shape (lat, lon): LUH2's `icwtr`."""
    return 1 - world.setting.cells.reshape(world.setting.grid.shape) / COARSE**2


def luh2_states(world: World, scenario: str) -> dict[str, F32]:
    """The 12 states as shares of the cell, and secma (years) and secmb (kg C m-2); 1e20 where a
    cell is all water.

    The 12 sum to 1 - icwtr to the precision of float32.
    """
    trajectory, setting = world.trajectories[scenario], world.setting
    x = trajectory.fractions * (setting.cells / COARSE**2)[None, :, None]
    ranged, woody = 0.1 * x[..., GRASS], 0.1 * setting.wooded * x[..., GRASS]
    forest = x[..., FOREST] + woody
    other = x[..., GRASS] - ranged - woody + x[..., SPARSE]
    primf = _primary(forest, 0.6 * (1 - setting.arable), 0.006)
    primn = _primary(other, 0.7 - 0.5 * setting.arable, 0.004)
    managed = 0.3 + 0.4 * setting.arable
    states = {
        "primf": primf,
        "primn": primn,
        "secdf": forest - primf,
        "secdn": other - primn,
        "pastr": managed * x[..., PASTURE],
        "range": (1 - managed) * x[..., PASTURE] + ranged,
        "urban": x[..., URBAN],
        **{name: share * x[..., CROP] for name, share in _crops(world).items()},
    }
    age = _secondary_age(forest - primf + other - primn)
    states |= {"secma": age, "secmb": 9.0 * (1 - np.exp(-age / 35)) * setting.wooded}
    return {name: _on_grid(world, values) for name, values in states.items()}


def _primary(area: F64, share: F64, loss: float) -> F64:
    """The part of a natural area that was never used, shape (year, Z): it only shrinks."""
    primary = share * area
    for n in range(1, len(area)):
        primary[n] = np.minimum(primary[n - 1] * (1 - loss), area[n])
    return primary


def _crops(world: World) -> dict[str, F64]:
    """Share of the five crop types in each coarse cell's cropland, shape (Z,), summing to 1; C4
    where it is warm.
    """
    terrain, setting = world.terrain, world.setting
    soil = terrain.soil
    warmth = np.bincount(
        setting.zone[soil], terrain.temperature[soil], minlength=len(setting.cells)
    )
    c4 = 1 / (1 + np.exp(-(warmth / setting.cells.clip(1) - 12) / 2))
    weights = {
        "c3ann": 0.62 - 0.2 * c4,
        "c3per": 0.08 + 0.12 * c4,
        "c4ann": 0.05 + 0.30 * c4,
        "c4per": 0.01 * c4,
        "c3nfx": 0.09 + 0.0 * c4,
    }
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _secondary_age(area: F64) -> F64:
    """Mean age of secondary land in years, shape (year, Z): new land is of age 0, 2 % a year is
    cut.
    """
    age = np.full_like(area, 25.0)
    for n in range(1, len(area)):
        kept = 0.98 * np.minimum(area[n - 1], area[n]) / area[n].clip(1e-9)
        age[n] = (age[n - 1] + 1) * kept
    return age


def _on_grid(world: World, values: F64) -> F32:
    """Values of shape (year, Z) as float32 of shape (year, lat, lon), 1e20 where a cell has no
    land.
    """
    known = np.where(world.setting.cells > 0, values, MISSING)
    return known.reshape(len(YEARS), *world.setting.grid.shape).astype(np.float32)


def population(world: World, scenario: str) -> F32:
    """People in each 0.5 degree cell, shape (year, lat, lon); 1e20 where a cell is all water.

    Town people live at the town's centre, the rest on the farmland. Until 2005 every scenario gives
    the same.
    """
    config, setting = world.config, world.setting
    ssp = pathway(scenario)
    year = np.arange(FIRST_YEAR, YEARS.stop, dtype=float)
    grid = config.coarse_grid(2 * COARSE)
    area = np.repeat(setting.grid.cell_area, setting.grid.n_lon) / 1e6
    crowding = np.interp(year, [1850, 1950, 2000, 2100], [9000, 6000, 3500, 3000])
    worker_states = np.interp(year, [1850, 1920, 1990, 2100], [30, 42, 24, 16])
    settled = np.minimum(year, SCENARIO_RAMP - 1).astype(int) - FIRST_YEAR
    farms = world.trajectories[scenario].fractions[settled][..., [CROP, PASTURE]] @ np.array(
        [1.0, 0.4]
    )
    people = farms * (area * setting.cells / COARSE**2) * worker_states[:, None]
    count = people.reshape(len(year), grid.n_lat, 2, grid.n_lon, 2).sum((2, 4))
    radius = town_radius(world.terrain, ssp=ssp)
    for number, town in enumerate(world.terrain.towns):
        size = np.pi * radius[:, number] ** 2 * (world.terrain.grid.cell_area[town.row] / 1e6)
        count[:, town.row // (2 * COARSE), town.col // (2 * COARSE)] += 0.6 * size * crowding
    ramp = np.clip((year - SCENARIO_RAMP) / (YEARS[-1] - SCENARIO_RAMP), 0, 1)
    count *= (1 + ramp * (STORYLINES[ssp].people - 1))[:, None, None]
    cells = setting.cells.reshape(grid.n_lat, 2, grid.n_lon, 2).sum((1, 3))
    return np.where(cells > 0, count, MISSING).astype(np.float32)
