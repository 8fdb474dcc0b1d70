"""Land-use change in every coarse cell and year of the simulated world, as LUH2 has it.

Land use flows between classes at rates that follow the times (farms spread until about 1950, leave
the mountains after, forests come back, towns grow) and the place (soils, slopes, towns, provinces).
Arrays end in the class dimension K = 6: the classes of HILDA+ without water. Z counts coarse cells,
row by row; P counts the flows of `FLOWS`.
"""

from dataclasses import dataclass

import numpy as np

from luray.core.types import F64
from luray.sandbox.setting import Setting, town_radius
from luray.sandbox.storyline import (
    BRANCH_YEAR,
    CROP,
    FIRST_YEAR,
    FLOWS,
    FOREST,
    GRASS,
    N_URBAN,
    PASTURE,
    SPARSE,
    STORYLINES,
    URBAN,
    YEARS,
)
from luray.sandbox.terrain import Terrain

URBAN_LAG = 5
"""Years by which the share of towns follows their radius."""
TOWN_TASTE = np.array([1.0, 0.8, 0.7, 0.3, 0.1])
"""How readily towns take the classes of the first `N_URBAN` flows: farmland first."""
COUNTER_LAG = 90
"""Years between the wave of clearing in a province and its wave of leaving."""


@dataclass(frozen=True)
class SharePathway:
    """Coarse land use of one scenario from 1850 to 2100."""

    fractions: F64
    """Share of the changeable land of each coarse cell, shape (year, Z, K).

    Sums to 1 where there is land.
    """
    flows: F64
    """Share converted on the way into each year, shape (year, Z, P); the first year's are 0."""


def urban_fraction(terrain: Terrain, setting: Setting, *, ssp: int) -> F64:
    """Return the share of each coarse cell's changeable land that towns have reached.

    It follows the towns' radius with a lag of some five years, which makes it smooth and lets no
    future into the past.

    Returns
    -------
    array of float64, shape (year, Z)
        Never falls from one year to the next.
    """
    radius = town_radius(terrain, ssp=ssp)
    soil = terrain.soil

    # year number in which the first town arrives, one past the last year where none does
    arrival = np.full(soil.shape, len(YEARS))
    for number, town in enumerate(terrain.towns):
        relative_radius = radius[:, number] / town.radius
        arrival = np.minimum(arrival, np.searchsorted(relative_radius, setting.reach[number]))

    arrivals = np.zeros((len(YEARS) + 1, len(setting.soil_cells)))
    np.add.at(arrivals, (arrival[soil], setting.coarse_cell[soil]), 1)
    share: F64 = arrivals.cumsum(0)[:-1] / setting.soil_cells.clip(1)

    for n in range(1, len(share)):
        share[n] = share[n - 1] + (share[n] - share[n - 1]) / URBAN_LAG
    return share


def make_share_pathway(setting: Setting, urban: F64, start: F64, *, ssp: int) -> SharePathway:
    """Let land use flow from the shares of 1850 under the storyline of a pathway.

    Before 2015 every storyline gives the same.

    Parameters
    ----------
    setting : Setting
    urban : array of float64, shape (year, Z)
        Target share of towns; see `urban_fraction`.
    start : array of float64, shape (Z, K)
        Shares of 1850.
    ssp : int
        Number of the pathway.
    """
    fractions = np.zeros((len(YEARS), *start.shape))
    flows = np.zeros((len(YEARS), len(start), len(FLOWS)))
    from_classes = [from_class for from_class, _ in FLOWS]
    fractions[0] = start

    for n in range(1, len(YEARS)):
        before = fractions[n - 1]
        flow = _rates(setting, before, n, ssp) * before[:, from_classes]
        growth = (urban[n] - before[:, URBAN]).clip(0)
        flow[:, :N_URBAN] = _urban_flows(before, growth)

        # One flow after another, each limited to what the earlier ones have left of its class: no
        # share falls below 0.
        after = before.copy()
        for p, (from_class, to_class) in enumerate(FLOWS):
            flow[:, p] = np.minimum(flow[:, p], after[:, from_class])
            after[:, from_class] -= flow[:, p]
            after[:, to_class] += flow[:, p]

        fractions[n] = after
        flows[n] = flow

    return SharePathway(fractions, flows)


def _urban_flows(fractions: F64, growth: F64) -> F64:
    """What towns take of each class, shape (Z, N_URBAN): farmland first."""
    from_classes = [from_class for from_class, _ in FLOWS[:N_URBAN]]
    appetite = fractions[:, from_classes] * TOWN_TASTE
    total = appetite.sum(1, keepdims=True).clip(1e-9)
    return np.asarray(growth[:, None] * appetite / total)


def _logistic(year: int, *, middle: int, width: int, height: float = 1.0) -> float:
    """Return a change that is half done in year `middle`, most of it within `width` years of it."""
    return float(height / (1 + np.exp(-(year - middle) / width)))


def _wave(year: int, *, peak: int, width: int) -> float:
    """Return a time that comes and goes: 1 in year `peak`, a third of it `width` years away."""
    return float(np.exp(-(((year - peak) / width) ** 2)))


def _rates(setting: Setting, fractions: F64, n: int, ssp: int) -> F64:
    """Rates per year of every flow into year number `n`, shape (Z, P); 0 for those of towns."""
    year = FIRST_YEAR + n
    story = STORYLINES[ssp]
    future_weight = float(np.clip((year - BRANCH_YEAR) / 15, 0, 1))

    def blend(past: float, future: float) -> float:
        """Turn from the rates of the past to those of the storyline, within 15 years."""
        return (1 - future_weight) * past + future_weight * future

    # the times
    spread = blend(_wave(year, peak=1905, width=38) + 0.12, story.clearing)
    intensify = blend(_wave(year, peak=1968, width=22), 0.5 * story.clearing)
    leave = blend(_logistic(year, middle=1952, width=9), story.leaving)
    regrow = blend(0.15 + _logistic(year, middle=1962, width=12, height=0.85), story.planting)
    warm = _logistic(year, middle=2005, width=14)

    # the place: what is left of the potential, and land that feeds few
    room = (1 - fractions[:, CROP] / (1.2 * setting.arable + 0.03)).clip(0, 1)
    meadow = (1 - fractions[:, PASTURE] / (1.5 * setting.grazing + 0.03)).clip(0, 1)
    poor = (1 - setting.arable) ** 1.5
    wooded = setting.wooded
    pulse = setting.pulse[n]
    counter = setting.pulse[(n + COUNTER_LAG) % len(setting.pulse)]

    rates = {
        (FOREST, CROP): 0.020 * spread * room * pulse,
        (GRASS, CROP): 0.022 * (spread + 0.4 * intensify) * room * pulse,
        (PASTURE, CROP): (0.010 * spread + 0.025 * intensify + 0.006) * room * pulse,
        (FOREST, PASTURE): 0.015 * spread * meadow * pulse,
        (GRASS, PASTURE): 0.018 * spread * meadow * pulse,
        (CROP, PASTURE): (0.004 + 0.012 * leave * poor) * counter,
        (CROP, GRASS): 0.014 * leave * poor * counter,
        (PASTURE, GRASS): (0.003 + 0.012 * leave * poor) * counter,
        (CROP, FOREST): 0.006 * regrow * leave * poor * wooded,
        (PASTURE, FOREST): 0.012 * regrow * leave * poor * wooded,
        (GRASS, FOREST): 0.020 * regrow * (0.25 + 0.75 * wooded) * counter,
        (SPARSE, GRASS): 0.010 * warm * np.ones_like(poor),
    }
    rate_of_flow = np.zeros((len(poor), len(FLOWS)))
    for flow, rate in rates.items():
        rate_of_flow[:, FLOWS.index(flow)] = rate
    return rate_of_flow
