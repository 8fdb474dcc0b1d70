"""How much land use changes in every coarse cell and year: the storyline that LUH2 tells of the
simulated world.

Land use flows between classes at rates that follow the times (farms spread until about 1950, leave
the mountains after, forests come back, towns grow) and the place (soils, slopes, towns, provinces).
Arrays end in the class dimension K = 6: the classes of HILDA+ without water. Z counts coarse cells,
row by row; P counts the flows of `FLOWS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.core.types import F32, I32
from luray.sandbox.terrain import Terrain, fractal

F64 = NDArray[np.float64]

FIRST_YEAR, LAST_YEAR, BRANCH_YEAR = 1850, 2100, 2015
YEARS = range(FIRST_YEAR, LAST_YEAR + 1)

URBAN, CROP, PASTURE, FOREST, GRASS, SPARSE = (
    HILDA.index(code) for code in (11, 22, 33, 44, 55, 66)
)
N_CLASSES = 6

FLOWS = (
    (CROP, URBAN),
    (PASTURE, URBAN),
    (GRASS, URBAN),
    (FOREST, URBAN),
    (SPARSE, URBAN),
    (FOREST, CROP),
    (GRASS, CROP),
    (PASTURE, CROP),
    (FOREST, PASTURE),
    (GRASS, PASTURE),
    (CROP, PASTURE),
    (CROP, GRASS),
    (PASTURE, GRASS),
    (CROP, FOREST),
    (PASTURE, FOREST),
    (GRASS, FOREST),
    (SPARSE, GRASS),
)
"""Conversions that happen, (from, to), in the order in which they are placed on the map; those to
towns come first.
"""

N_URBAN = sum(k == URBAN for _, k in FLOWS)


@dataclass(frozen=True)
class Storyline:
    """What a shared socioeconomic pathway does after 2015, as factors of the rates of the past."""

    clearing: float
    """Of the farms' spread at its height."""
    leaving: float
    """Of the retreat of farms from poor land."""
    planting: float
    """Of the return of forest."""
    towns: float
    """Of the growth of towns that the past would lead to."""
    people: float
    """Of the number of people in 2100."""


STORYLINES: Mapping[int, Storyline] = MappingProxyType(
    {
        1: Storyline(clearing=0.05, leaving=1.2, planting=1.8, towns=0.6, people=0.85),
        2: Storyline(clearing=0.35, leaving=0.7, planting=1.0, towns=1.0, people=1.10),
        3: Storyline(clearing=0.90, leaving=0.2, planting=0.4, towns=1.3, people=1.45),
        4: Storyline(clearing=0.55, leaving=0.5, planting=0.7, towns=1.2, people=1.15),
        5: Storyline(clearing=0.60, leaving=0.4, planting=0.6, towns=1.5, people=1.05),
    }
)
"""By the number of the pathway: the 2 of ssp245."""


@dataclass(frozen=True)
class Setting:
    """What every scenario shares: potentials and towns on the coarse cells."""

    grid: Grid
    """The coarse grid; Z cells row by row."""
    zone: I32
    """Coarse cell of every fine cell, shape (lat, lon)."""
    cells: F64
    """Fine cells whose land use can change, shape (Z,)."""
    arable: F64
    """How well the coarse cell suits crops, 0-1, shape (Z,)."""
    grazing: F64
    wooded: F64
    pulse: F64
    """Ups and downs of the provinces around 1, shape (year, Z)."""
    reach: F32
    """Effective distance from each town in units of its final radius, shape (town, lat, lon) as
    float32.
    """


@dataclass(frozen=True)
class Trajectory:
    """Coarse land use of one scenario."""

    fractions: F64
    """Share of the changeable land of each coarse cell, shape (year, Z, K); sums to 1 where there
    is land.
    """
    flows: F64
    """Share converted on the way into each year, shape (year, Z, P); the first year's are 0."""


def pathway(scenario: str) -> int:
    """Number of the shared socioeconomic pathway of a scenario such as ssp245."""
    return int(scenario[3])


def town_radius(terrain: Terrain, *, ssp: int) -> F64:
    """Radius of every town in fine cells, shape (year, town): logistic, then bent by the storyline
    after 2015.
    """
    year = np.arange(FIRST_YEAR, LAST_YEAR + 1, dtype=float)[:, None]
    boom = np.array([town.boom for town in terrain.towns], float)[None]
    final = np.array([town.radius for town in terrain.towns])[None]
    radius = final * (
        0.22 + 0.5 / (1 + np.exp(-(year - boom) / 18)) + 0.28 * ((year - 1900).clip(0) / 200)
    )
    known = radius[BRANCH_YEAR - FIRST_YEAR]
    return np.asarray(
        np.where(year > BRANCH_YEAR, known + STORYLINES[ssp].towns * (radius - known), radius)
    )


def make_setting(
    terrain: Terrain, suitability: F32, zone: I32, grid: Grid, rng: np.random.Generator
) -> Setting:
    """Coarse potentials of the fine `suitability`, shape (K, lat, lon), on the coarse `grid`."""
    soil = terrain.soil
    cells = np.bincount(zone[soil], minlength=grid.n_lat * grid.n_lon).astype(float)

    def potential(klass: int, *rivals: int) -> F64:
        fitness = 1 / (1 + np.exp(-3.0 * (suitability[klass] - suitability[list(rivals)].max(0))))
        mean = np.bincount(zone[soil], fitness[soil], minlength=len(cells)) / cells.clip(1)
        known = (cells > 0).reshape(grid.shape).astype(float)
        blurred = ndimage.gaussian_filter(mean.reshape(grid.shape) * known, 0.6, mode="nearest")
        return np.asarray(
            blurred / ndimage.gaussian_filter(known, 0.6, mode="nearest").clip(1e-3)
        ).ravel()

    return Setting(
        grid,
        zone,
        cells,
        arable=potential(CROP, FOREST, GRASS),
        grazing=potential(PASTURE, CROP, FOREST, GRASS),
        wooded=potential(FOREST, CROP, SPARSE),
        pulse=_pulse(grid.shape, rng),
        reach=_reach(terrain, rng),
    )


def _pulse(shape: tuple[int, int], rng: np.random.Generator) -> F64:
    """Smooth ups and downs in time that neighbours share, lognormal around 1, shape (year, Z)."""
    year = np.arange(len(YEARS))[:, None]
    total = np.zeros((len(YEARS), shape[0] * shape[1]))
    for period in (73, 41, 23, 13):
        height = fractal(shape, rng, roughness=4.0, scale=0.8) if min(shape) > 1 else np.ones(shape)
        phase = rng.uniform(0, 2 * np.pi)
        total += 0.32 * height.ravel()[None] * np.cos(2 * np.pi * year / period + phase)
    return np.asarray(np.exp(total.clip(-1.2, 1.2)))


def _reach(terrain: Terrain, rng: np.random.Generator) -> F32:
    rough = fractal(terrain.land.shape, rng, roughness=2.0, scale=0.05)
    rows, cols = np.indices(terrain.land.shape, np.float32)
    away = [
        (
            np.hypot(rows - t.row, cols - t.col) * (1 + 0.22 * rough.clip(-2, 2))
            + 0.12 * terrain.slope
        )
        / t.radius
        for t in terrain.towns
    ]
    return np.asarray(away, np.float32).reshape(len(terrain.towns), *terrain.land.shape)


def urban_fraction(terrain: Terrain, setting: Setting, *, ssp: int) -> F64:
    """Share of each coarse cell's changeable land that towns have reached, shape (year, Z), never
    falling.

    It follows the towns' radius with a lag of some five years, which makes it smooth and lets no
    future into the past.
    """
    radius = town_radius(terrain, ssp=ssp)
    soil = terrain.soil
    counts = np.zeros((len(YEARS) + 1, len(setting.cells)))
    arrival = np.full(soil.shape, len(YEARS))
    for number, town in enumerate(terrain.towns):
        arrival = np.minimum(
            arrival, np.searchsorted(radius[:, number] / town.radius, setting.reach[number])
        )
    np.add.at(counts, (arrival[soil], setting.zone[soil]), 1)
    share: F64 = counts.cumsum(0)[:-1] / setting.cells.clip(1)
    for n in range(1, len(share)):
        share[n] = share[n - 1] + (share[n] - share[n - 1]) / 5
    return share


def make_trajectory(setting: Setting, urban: F64, start: F64, *, ssp: int) -> Trajectory:
    """Coarse land use from `start`, the fractions of 1850 of shape (Z, K), under a storyline.

    `urban` is the target share of towns, shape (year, Z). Before 2015 every storyline gives the
    same.
    """
    fractions = np.zeros((len(YEARS), *start.shape))
    flows = np.zeros((len(YEARS), len(start), len(FLOWS)))
    fractions[0] = start
    for n in range(1, len(YEARS)):
        x = fractions[n - 1]
        flow = _rates(setting, x, n, ssp) * x[:, [i for i, _ in FLOWS]]
        flow[:, :N_URBAN] = _urban_flows(x, (urban[n] - x[:, URBAN]).clip(0))
        fractions[n] = x
        for p, (i, k) in enumerate(FLOWS):
            flow[:, p] = np.minimum(flow[:, p], fractions[n][:, i])
            fractions[n][:, i] -= flow[:, p]
            fractions[n][:, k] += flow[:, p]
        flows[n] = flow
    return Trajectory(fractions, flows)


def _urban_flows(x: F64, growth: F64) -> F64:
    """What towns take of each class, shape (Z, N_URBAN): farmland first."""
    taste = x[:, [i for i, _ in FLOWS[:N_URBAN]]] * np.array([1.0, 0.8, 0.7, 0.3, 0.1])
    return np.asarray(growth[:, None] * taste / taste.sum(1, keepdims=True).clip(1e-9))


def _rates(setting: Setting, x: F64, n: int, ssp: int) -> F64:
    """Rates per year of every flow, shape (Z, P); those of towns are 0 here."""
    year = FIRST_YEAR + n
    story = STORYLINES[ssp]
    ahead = float(np.clip((year - BRANCH_YEAR) / 15, 0, 1))

    def then(past: float, future: float) -> float:
        return (1 - ahead) * past + ahead * future

    spread = then(np.exp(-(((year - 1905) / 38) ** 2)) + 0.12, story.clearing)
    intensify = then(np.exp(-(((year - 1968) / 22) ** 2)), 0.5 * story.clearing)
    leave = then(1 / (1 + np.exp(-(year - 1952) / 9)), story.leaving)
    regrow = then(0.15 + 0.85 / (1 + np.exp(-(year - 1962) / 12)), story.planting)
    warm = 1 / (1 + np.exp(-(year - 2005) / 14))
    a, g, w, poor = setting.arable, setting.grazing, setting.wooded, (1 - setting.arable) ** 1.5
    room = (1 - x[:, CROP] / (1.2 * a + 0.03)).clip(0, 1)
    meadow = (1 - x[:, PASTURE] / (1.5 * g + 0.03)).clip(0, 1)
    pulse, counter = setting.pulse[n], setting.pulse[(n + 90) % len(setting.pulse)]
    rate = np.zeros((len(a), len(FLOWS)))
    values = {
        (FOREST, CROP): 0.020 * spread * room * pulse,
        (GRASS, CROP): 0.022 * (spread + 0.4 * intensify) * room * pulse,
        (PASTURE, CROP): (0.010 * spread + 0.025 * intensify + 0.006) * room * pulse,
        (FOREST, PASTURE): 0.015 * spread * meadow * pulse,
        (GRASS, PASTURE): 0.018 * spread * meadow * pulse,
        (CROP, PASTURE): (0.004 + 0.012 * leave * poor) * counter,
        (CROP, GRASS): 0.014 * leave * poor * counter,
        (PASTURE, GRASS): (0.003 + 0.012 * leave * poor) * counter,
        (CROP, FOREST): 0.006 * regrow * leave * poor * w,
        (PASTURE, FOREST): 0.012 * regrow * leave * poor * w,
        (GRASS, FOREST): 0.020 * regrow * (0.25 + 0.75 * w) * counter,
        (SPARSE, GRASS): 0.010 * warm * np.ones_like(a),
    }
    for pair, value in values.items():
        rate[:, FLOWS.index(pair)] = value
    return rate
