"""Which years of a rollout are scored where some maps are of another kind than the others."""

from collections.abc import Collection, Sequence
from typing import NamedTuple


class ScoredYears(NamedTuple):
    """The years of a rollout whose maps are compared, and the others; in the direction of travel."""

    maps: tuple[int, ...]
    """The start, and every later year whose map is of the same kind."""
    scored: tuple[int, ...]
    left_out: tuple[int, ...]


def scored_years(years: Sequence[int], *, base_maps: Collection[int]) -> ScoredYears:
    """Leave out the years in which a rollout comes to a base map, or from it.

    Parameters
    ----------
    years : sequence of int
        Years with a map, in the direction of travel, first the start of the rollout.
    base_maps : collection of int
        Years whose map is of another kind: part of the change to it and from it is no change of the
        land.

    Raises
    ------
    ValueError
        Where the rollout starts from a base map, since everything would be compared with it, or no
        year is left.
    """
    start, *later = years
    if start in base_maps:
        raise ValueError(
            f"the rollout starts from {start}, a base map, with which every year is compared; "
            'start in another year, or set evaluation.leave_out = "nothing"'
        )
    after_base = [
        year for before, year in zip(years[:-1], later, strict=True) if before in base_maps
    ]
    left_out = tuple(year for year in later if year in base_maps or year in after_base)
    scored = tuple(year for year in later if year not in left_out)
    if not scored:
        raise ValueError(
            f"no year is left to score: {', '.join(map(str, left_out))} come to or from a base "
            "map; "
            'stop in another year, or set evaluation.leave_out = "nothing"'
        )
    return ScoredYears(tuple(year for year in years if year not in base_maps), scored, left_out)
