"""Coarse data sets of the simulated world: LUH2's states and ISIMIP's population.

Arrays have the shape (year, lat, lon) over 1850-2100; inside, Z counts coarse cells and K classes.
Like the real LUH2 these states show the same changes as the fine maps, not the same levels: some
grassland counts as rangeland, and some that could be wood counts as forest.
"""

import numpy as np

from luray.core.types import F32, F64
from luray.sandbox.setting import town_radius
from luray.sandbox.storyline import (
    CROP,
    FIRST_YEAR,
    FOREST,
    GRASS,
    PASTURE,
    SPARSE,
    STORYLINES,
    URBAN,
    YEARS,
    pathway_number,
)
from luray.sandbox.world import COARSE, World

MISSING = np.float32(1e20)
"""Value of a cell that is all water."""

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
    """Return LUH2's `icwtr`: the share of each 0.25 degree cell under sea and lakes, (lat, lon)."""
    soil_cells = world.setting.soil_cells.reshape(world.setting.grid.shape)
    return 1 - soil_cells / COARSE**2


def luh2_states(world: World, scenario: str) -> dict[str, F32]:
    """Return the states of LUH2 by name, each of shape (year, lat, lon), 1e20 where all is water.

    The 12 area states are shares of the cell and sum to 1 - icwtr to the precision of float32.
    `secma` is the age of secondary land in years, `secmb` its biomass in kg C m-2.
    """
    setting = world.setting
    soil_share = setting.soil_cells / COARSE**2
    area = world.shares[scenario].fractions * soil_share[None, :, None]

    # grassland that LUH2 sees as rangeland, and that it sees as forest
    grazed = 0.1 * area[..., GRASS]
    woody = 0.1 * setting.wooded * area[..., GRASS]
    forest = area[..., FOREST] + woody
    other = area[..., GRASS] - grazed - woody + area[..., SPARSE]

    primf = _primary(forest, 0.6 * (1 - setting.arable), 0.006)
    primn = _primary(other, 0.7 - 0.5 * setting.arable, 0.004)
    managed = 0.3 + 0.4 * setting.arable
    states = {
        "primf": primf,
        "primn": primn,
        "secdf": forest - primf,
        "secdn": other - primn,
        "pastr": managed * area[..., PASTURE],
        "range": (1 - managed) * area[..., PASTURE] + grazed,
        "urban": area[..., URBAN],
    }
    for name, share in _crops(world).items():
        states[name] = share * area[..., CROP]

    age = _secondary_age(forest - primf + other - primn)
    states["secma"] = age
    states["secmb"] = 9.0 * (1 - np.exp(-age / 35)) * setting.wooded
    return {name: _on_grid(world, values) for name, values in states.items()}


def _primary(area: F64, share: F64, loss: float) -> F64:
    """The part of a natural area that was never used, shape (year, Z): it only shrinks."""
    primary = share * area
    for n in range(1, len(area)):
        primary[n] = np.minimum(primary[n - 1] * (1 - loss), area[n])
    return primary


def _crops(world: World) -> dict[str, F64]:
    """Share of the five crop types in each coarse cell's cropland, shape (Z,), summing to 1.

    C4 crops grow where it is warm.
    """
    terrain = world.terrain
    setting = world.setting
    soil = terrain.soil
    total_warmth = np.bincount(
        setting.coarse_cell[soil], terrain.temperature[soil], minlength=len(setting.soil_cells)
    )
    warmth = total_warmth / setting.soil_cells.clip(1)
    c4 = 1 / (1 + np.exp(-(warmth - 12) / 2))

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
        old_area = 0.98 * np.minimum(area[n - 1], area[n])
        old_share = old_area / area[n].clip(1e-9)
        age[n] = (age[n - 1] + 1) * old_share
    return age


def _on_grid(world: World, values: F64) -> F32:
    """Values of shape (year, Z) as (year, lat, lon), 1e20 where a cell has no land."""
    setting = world.setting
    known = np.where(setting.soil_cells > 0, values, MISSING)
    return known.reshape(len(YEARS), *setting.grid.shape).astype(np.float32)


def population(world: World, scenario: str) -> F32:
    """Return the people in each 0.5 degree cell, shape (year, lat, lon); 1e20 where all is water.

    Town people live at the town's centre, the rest on the farmland. Until 2005 every scenario gives
    the same.
    """
    setting = world.setting
    ssp = pathway_number(scenario)
    year = np.arange(FIRST_YEAR, YEARS.stop, dtype=float)
    grid = world.config.coarse_grid(2 * COARSE)

    # people per km2 of town and of cropland; both thin out as the world grows rich
    crowding = np.interp(year, [1850, 1950, 2000, 2100], [9000, 6000, 3500, 3000])
    farm_density = np.interp(year, [1850, 1920, 1990, 2100], [30, 42, 24, 16])

    # The farmland of 2005 serves for the years after, too: the maps of land use branch later than
    # the numbers of people do.
    counted_year = np.minimum(year, SCENARIO_RAMP - 1).astype(int) - FIRST_YEAR
    farmland = world.shares[scenario].fractions[counted_year][..., [CROP, PASTURE]]
    farms = farmland @ np.array([1.0, 0.4])
    area = np.repeat(setting.grid.cell_area, setting.grid.n_lon) / 1e6
    soil_area = area * setting.soil_cells / COARSE**2
    farmers = farms * soil_area * farm_density[:, None]
    people = farmers.reshape(len(year), grid.n_lat, 2, grid.n_lon, 2).sum((2, 4))

    radius = town_radius(world.terrain, ssp=ssp)
    for number, town in enumerate(world.terrain.towns):
        cell_area = world.terrain.grid.cell_area[town.row] / 1e6
        town_area = np.pi * radius[:, number] ** 2 * cell_area
        row = town.row // (2 * COARSE)
        col = town.col // (2 * COARSE)
        people[:, row, col] += 0.6 * town_area * crowding

    ramp = np.clip((year - SCENARIO_RAMP) / (YEARS[-1] - SCENARIO_RAMP), 0, 1)
    people *= (1 + ramp * (STORYLINES[ssp].people - 1))[:, None, None]

    soil_cells = setting.soil_cells.reshape(grid.n_lat, 2, grid.n_lon, 2).sum((1, 3))
    return np.where(soil_cells > 0, people, MISSING).astype(np.float32)
