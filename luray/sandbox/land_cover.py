"""Land cover of the simulated world, in the classes of ESA CCI-LC.

A law that can be learned: land cover follows land use of the year, with the delay that vegetation
needs, and climate decides which vegetation it is. A cell that becomes forest is shrubland for four
years and a mosaic for four more; then it is the forest of its climate.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from luray.core.legend_files import read_legend
from luray.core.types import I64, U8
from luray.sandbox.climate_zones import koeppen
from luray.sandbox.storyline import FIRST_YEAR
from luray.sandbox.world import World
from luray.sources.koppen import GROUPS

LEGEND = read_legend("esa_cci_lc")

OLDEST = 12
"""Years after which land use has the cover that it keeps."""

WARMING = 0.5
"""Of the years of the maps against the middle of the 20th century, in K."""


class Succession(NamedTuple):
    """The cover of land that has had one use: what comes first, and what stays by climate."""

    stages: Sequence[tuple[int, int]]
    """Years and code of each stage, the youngest first."""
    climax: tuple[int, int, int, int, int]
    """Code in tropical, arid, temperate, cold and polar climate."""


SUCCESSIONS: Mapping[int, Succession] = {
    11: Succession((), (190, 190, 190, 190, 190)),
    22: Succession(((3, 30),), (10, 20, 10, 11, 11)),
    33: Succession(((3, 110),), (130, 150, 130, 130, 140)),
    44: Succession(((4, 120), (4, 100)), (50, 62, 60, 70, 80)),
    55: Succession(((3, 40),), (120, 122, 121, 152, 140)),
    66: Succession((), (200, 201, 150, 153, 220)),
    77: Succession((), (210, 210, 210, 210, 210)),
}
"""By the code of land use of HILDA+."""


def land_cover(world: World, year: int) -> U8:
    """Return the codes of a year, shape (lat, lon); the sea is water (210), as published."""
    use = world.truth[world.config.scenario[0]]
    now = year - FIRST_YEAR
    return cover_of(use[now], _years_of_use(use[: now + 1]), climate_groups(world))


def climate_groups(world: World) -> U8:
    """Return the main climate group of each cell, 1 tropical to 5 polar; 0 at sea."""
    group_of_zone = np.zeros(256, np.uint8)
    for zone, group in GROUPS.items():
        group_of_zone[zone] = group
    groups: U8 = group_of_zone[koeppen(world.terrain, warming=WARMING)]
    return groups


def cover_of(use: U8, years: I64, group: U8) -> U8:
    """Return the cover of land by its use, for how long it has had that, and its climate.

    Parameters
    ----------
    use : array of uint8
        Codes of HILDA+.
    years : array of int, same shape
        For how many years before this one the cell has had its use.
    group : array of uint8, same shape
        Main climate group, 1 to 5.

    Examples
    --------
    >>> use = np.array([44, 44, 44, 0], np.uint8)
    >>> cover_of(use, np.array([3, 4, 8, 12]), np.array([3, 3, 3, 0], np.uint8)).tolist()
    [120, 100, 60, 210]
    """
    assert LEGEND.water is not None
    cover = np.full(use.shape, LEGEND.water, np.uint8)
    for code, succession in SUCCESSIONS.items():
        climax = np.array([0, *succession.climax], np.uint8)[group]
        of_use = np.where(group > 0, climax, np.uint8(LEGEND.water))
        end = sum(length for length, _ in succession.stages)
        # From the oldest stage to the youngest: each takes the cells that are younger than its end.
        for length, stage in reversed(succession.stages):
            of_use[(years < end) & (group > 0)] = stage
            end -= length
        cover[use == code] = of_use[use == code]
    return cover


def _years_of_use(use: U8) -> I64:
    """Return for how many years each cell has had its present use, up to `OLDEST`.

    `use` has shape (year, lat, lon), the present year last.
    """
    years = np.full(use.shape[1:], OLDEST, np.int64)
    for back in range(min(OLDEST, len(use) - 1), 0, -1):
        years[use[-1 - back] != use[-1]] = back - 1
    return years
