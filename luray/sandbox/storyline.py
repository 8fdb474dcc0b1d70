"""Years, classes, conversions and the storylines of the shared socioeconomic pathways (SSP)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from luray.core.legend_files import HILDA

FIRST_YEAR = 1850
LAST_YEAR = 2100
BRANCH_YEAR = 2015
"""Last year that all scenarios share."""
YEARS = range(FIRST_YEAR, LAST_YEAR + 1)

URBAN = HILDA.index(11)
CROP = HILDA.index(22)
PASTURE = HILDA.index(33)
FOREST = HILDA.index(44)
GRASS = HILDA.index(55)
SPARSE = HILDA.index(66)
N_CLASSES = 6
"""The classes above, which are the first of the legend; water never changes."""

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
"""Conversions that happen, (from, to), in the order in which they are placed on the map.

Those to towns come first. The order decides the random draws, so it is part of the format.
"""

N_URBAN = sum(to_class == URBAN for _, to_class in FLOWS)
"""Flows to towns: the first of `FLOWS`."""


@dataclass(frozen=True)
class Storyline:
    """A shared socioeconomic pathway after 2015, as factors of the rates of the past."""

    clearing: float
    """Of the spread of farms at its height."""
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


def pathway_number(scenario: str) -> int:
    """Return the number of the pathway of a scenario: 2 for ssp245.

    >>> pathway_number("ssp585")
    5
    """
    return int(scenario[3])
