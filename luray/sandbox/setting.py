"""Setting that all scenarios share, on coarse cells: potentials, provinces and towns.

Z counts coarse cells, row by row.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.types import F32, F64, I32
from luray.sandbox.noise import fractal
from luray.sandbox.storyline import (
    BRANCH_YEAR,
    CROP,
    FIRST_YEAR,
    FOREST,
    GRASS,
    LAST_YEAR,
    PASTURE,
    SPARSE,
    STORYLINES,
    YEARS,
)
from luray.sandbox.terrain import Terrain

PULSE_PERIODS = (73, 41, 23, 13)
"""Years of the waves that make the ups and downs of a province, without a common divisor."""


@dataclass(frozen=True)
class Setting:
    """Potentials and towns on the coarse cells, the same in every scenario."""

    grid: Grid
    """The coarse grid; Z cells row by row."""
    coarse_cell: I32
    """Coarse cell of every fine cell, shape (lat, lon)."""
    soil_cells: F64
    """Fine cells whose land use can change, shape (Z,)."""
    arable: F64
    """How well the coarse cell suits crops, 0-1, shape (Z,)."""
    grazing: F64
    """How well it suits pasture, 0-1, shape (Z,)."""
    wooded: F64
    """How well it suits forest, 0-1, shape (Z,)."""
    pulse: F64
    """Ups and downs of the provinces around 1, shape (year, Z)."""
    reach: F32
    """Effective distance from each town in units of its final radius, shape (town, lat, lon)."""


def coarse_cells(shape: tuple[int, int], *, size: int) -> I32:
    """Return the coarse cell of every fine cell, counted row by row, shape (lat, lon).

    A coarse cell is `size` fine cells wide; those at the south and east edges may be cut.
    """
    rows = np.arange(shape[0], dtype=np.int32)[:, None] // size
    cols = np.arange(shape[1], dtype=np.int32)[None] // size
    n_coarse_cols = ceil_div(shape[1], size)
    return rows * n_coarse_cols + cols


def make_setting(
    terrain: Terrain, fit: F32, coarse_cell: I32, grid: Grid, rng: np.random.Generator
) -> Setting:
    """Derive the coarse potentials from how well fine cells suit each class.

    Parameters
    ----------
    terrain : Terrain
    fit : array of float32, shape (K, lat, lon)
        See `suitability`.
    coarse_cell : array of int32, shape (lat, lon)
    grid : Grid
        The coarse grid.
    rng : numpy.random.Generator
        Drawn from for the provinces first and the towns after.
    """
    soil = terrain.soil
    n_coarse = grid.n_lat * grid.n_lon
    soil_cells = np.bincount(coarse_cell[soil], minlength=n_coarse).astype(float)

    def potential(class_index: int, *rivals: int) -> F64:
        """How far a class beats the best of its rivals, 0-1, blurred over neighbouring cells."""
        lead = fit[class_index] - fit[list(rivals)].max(0)
        fitness = 1 / (1 + np.exp(-3.0 * lead))
        total = np.bincount(coarse_cell[soil], fitness[soil], minlength=len(soil_cells))
        mean = total / soil_cells.clip(1)

        # Cells without land have no weight: the blurred values are divided by the blurred mask.
        known = (soil_cells > 0).reshape(grid.shape).astype(float)
        blurred = ndimage.gaussian_filter(mean.reshape(grid.shape) * known, 0.6, mode="nearest")
        weight = ndimage.gaussian_filter(known, 0.6, mode="nearest").clip(1e-3)
        return np.asarray(blurred / weight).ravel()

    return Setting(
        grid,
        coarse_cell,
        soil_cells,
        arable=potential(CROP, FOREST, GRASS),
        grazing=potential(PASTURE, CROP, FOREST, GRASS),
        wooded=potential(FOREST, CROP, SPARSE),
        pulse=_pulse(grid.shape, rng),
        reach=_reach(terrain, rng),
    )


def _pulse(shape: tuple[int, int], rng: np.random.Generator) -> F64:
    """Smooth ups and downs in time that neighbours share, lognormal around 1, shape (year, Z)."""
    year = np.arange(len(YEARS))[:, None]
    exponent = np.zeros((len(YEARS), shape[0] * shape[1]))
    for period in PULSE_PERIODS:
        # noise of a single row or column has no spread to divide by
        has_noise = min(shape) > 1
        height = fractal(shape, rng, roughness=4.0, scale=0.8) if has_noise else np.ones(shape)
        phase = rng.uniform(0, 2 * np.pi)
        wave = np.cos(2 * np.pi * year / period + phase)
        exponent += 0.32 * height.ravel()[None] * wave
    return np.asarray(np.exp(exponent.clip(-1.2, 1.2)))


def _reach(terrain: Terrain, rng: np.random.Generator) -> F32:
    """Distance from each town in units of its final radius; slopes and rough ground are farther."""
    shape = terrain.land.shape
    rough = fractal(shape, rng, roughness=2.0, scale=0.05)
    detour = 1 + 0.22 * rough.clip(-2, 2)
    climb = 0.12 * terrain.slope

    rows, cols = np.indices(shape, np.float32)
    distances = []
    for town in terrain.towns:
        straight = np.hypot(rows - town.row, cols - town.col)
        distances.append((straight * detour + climb) / town.radius)
    return np.asarray(distances, np.float32).reshape(len(terrain.towns), *shape)


def town_radius(terrain: Terrain, *, ssp: int) -> F64:
    """Return the radius of every town in every year, in fine cells, shape (year, town).

    It grows along a logistic curve around the year of the town's boom and along a line from 1900
    on. After 2015 the storyline of pathway number `ssp` bends what is still to come.
    """
    year = np.arange(FIRST_YEAR, LAST_YEAR + 1, dtype=float)[:, None]
    boom = np.array([town.boom for town in terrain.towns], float)[None]
    final = np.array([town.radius for town in terrain.towns])[None]

    logistic = 0.5 / (1 + np.exp(-(year - boom) / 18))
    linear = 0.28 * ((year - 1900).clip(0) / 200)
    undisturbed = final * (0.22 + logistic + linear)

    at_branch = undisturbed[BRANCH_YEAR - FIRST_YEAR]
    bent = at_branch + STORYLINES[ssp].towns * (undisturbed - at_branch)
    return np.asarray(np.where(year > BRANCH_YEAR, bent, undisturbed))
