"""Years of a rollout that are scored, where the maps of some years are of another kind.

A base map was made in another way than the maps around it. Part of the change from its neighbours
to it, and back, is a difference of method and no change of the land, so those years are left out.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple


class EvaluationYears(NamedTuple):
    """Years of a rollout by their use; all in the direction of travel."""

    maps: tuple[int, ...]
    """The start, and every later year whose map is of the same kind."""
    scored: tuple[int, ...]
    """Years whose predicted maps are compared with the truth."""
    left_out: tuple[int, ...]


def evaluation_years(years: Sequence[int], *, base_maps: Collection[int]) -> EvaluationYears:
    """Leave out the years in which a rollout comes to a base map, or from it.

    Parameters
    ----------
    years : sequence of int
        Years with a map, in the direction of travel, first the start of the rollout.
    base_maps : collection of int
        Years whose map is of another kind.

    Raises
    ------
    ValueError
        If the rollout starts from a base map, with which everything would be compared, or no year
        is left.

    Examples
    --------
    >>> years = evaluation_years(range(2013, 2019), base_maps={2015})
    >>> years.scored
    (2014, 2017, 2018)
    >>> years.left_out
    (2015, 2016)
    """
    start, *later = years
    if start in base_maps:
        raise ValueError(
            f"the rollout starts from {start}, a base map, with which every year is compared; "
            'start in another year, or set base_maps = "keep" in [[sources]] of the maps and run '
            "`luray build`"
        )

    # A base map spoils two changes: the one into it, and the one out of it.
    left_out = []
    for year_before, year in zip(years[:-1], later, strict=True):
        if year in base_maps or year_before in base_maps:
            left_out.append(year)
    scored = [year for year in later if year not in left_out]
    if not scored:
        raise ValueError(
            f"no year is left to score: {', '.join(map(str, left_out))} come to or from a base "
            'map; stop in another year, or set base_maps = "keep" in [[sources]] of the maps and '
            "run `luray build`"
        )

    maps = tuple(year for year in years if year not in base_maps)
    return EvaluationYears(maps, tuple(scored), tuple(left_out))
