"""The years and trajectories of a product, and which of its tile-years are done."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from luray.core.random import RandomStream
from luray.core.tiling import Tile
from luray.core.types import Direction
from luray.product.dimensions import FIRST, MemberIndex, ProductDims


@dataclass(frozen=True)
class Span:
    """Years of a product, of which the observed ones are copied; a chain leaves from either end.

    Parameters
    ----------
    first, last : int
        First and last year of the product.
    observed : tuple of int
        First and last year with an observed map.

    Examples
    --------
    >>> span = Span(1998, 2003, observed=(2000, 2001))
    >>> span.chains
    {'backward': (2000, 1999, 1998), 'forward': (2001, 2002, 2003)}
    """

    first: int
    last: int
    observed: tuple[int, int]

    @property
    def years(self) -> range:
        """Every year of the product, ascending."""
        return range(self.first, self.last + 1)

    @property
    def copied(self) -> range:
        """Observed years within the product."""
        return range(max(self.first, self.observed[0]), min(self.last, self.observed[1]) + 1)

    @property
    def chains(self) -> dict[Direction, tuple[int, ...]]:
        """Years of each chain in its direction, beginning with the observed year it starts from."""
        backward = tuple(range(self.observed[0], self.first - 1, -1))
        forward = tuple(range(self.observed[1], self.last + 1))
        chains: dict[Direction, tuple[int, ...]] = {"backward": backward, "forward": forward}
        # A chain of the observed year alone predicts nothing.
        return {direction: years for direction, years in chains.items() if len(years) > 1}

    def transition_of(self, year: int) -> tuple[int, int] | None:
        """Return the two years between which the map of a year and its prior tell a transition.

        The earlier year comes first, whatever the direction of travel. Each two consecutive years
        belong to one map: the one further away from the observed years, or the later of two
        observed ones. So the first observed year has none.

        Examples
        --------
        >>> span = Span(1998, 2003, observed=(2000, 2001))
        >>> [span.transition_of(year) for year in (1999, 2000, 2001, 2002)]
        [(1999, 2000), None, (2000, 2001), (2001, 2002)]
        """
        if year < self.copied[0]:
            return year, year + 1
        if year == self.copied[0]:
            return None
        return year - 1, year

    @property
    def origins(self) -> list[int]:
        """Index into `create.ORIGINS` of each year: observed, hindcast or forecast."""
        return [self._origin(year) for year in self.years]

    def _origin(self, year: int) -> int:
        if year < self.observed[0]:
            return 1
        return 2 if year > self.observed[1] else 0


class TileYear(NamedTuple):
    """The unit of work, of commit and of resume: what one receipt is for."""

    year: int
    tile: Tile
    member_index: MemberIndex = FIRST
    across: bool = False
    """Whether it is the summary of all members of the scenario, not one map."""


class OverviewYear(NamedTuple):
    """The coarser overviews of one map of the whole grid, which have a receipt of their own."""

    year: int
    member_index: MemberIndex = FIRST
    across: Literal[False] = False
    """There are none of the summary of members."""


Unit = TileYear | OverviewYear
"""A unit that has a receipt."""


class Trajectory(NamedTuple):
    """Maps that follow from each other, computed once for all sequences that have them."""

    direction: Direction
    years: tuple[int, ...]
    """In the direction of travel, beginning with the observed year that it starts from."""
    scenario: str
    """Whose view of the cube it sees, see `Cube.of_scenario`; empty where all scenarios share it.
    """
    member_indices: tuple[MemberIndex, ...]
    """Where its maps are written; the prior is read from the first."""
    draws: RandomStream | None
    """The numbers that its member draws, None for the likeliest classes."""


def trajectories_of(
    span: Span, dims: ProductDims, *, scenario: str, seed: int
) -> tuple[Trajectory, ...]:
    """Return what has to be computed for a product.

    Parameters
    ----------
    span : Span
        Years of the product.
    dims : ProductDims
        Its scenarios and members.
    scenario : str
        Name of the scenario where there is one.
    seed : int
        Of the members' draws.

    Returns
    -------
    tuple of Trajectory
        One backward a member, as all scenarios share the past; one forward for each scenario and
        member.
    """
    trajectories: list[Trajectory] = []
    if "backward" in span.chains:
        years = span.chains["backward"]
        for member in range(max(1, dims.members)):
            # Written to all scenarios, and drawn by no scenario's name: they share their past.
            shared = tuple(index for index in dims.member_indices if index.member == member)
            draws = RandomStream(seed, "", member) if dims.members else None
            trajectories.append(Trajectory("backward", years, "", shared, draws))

    if "forward" in span.chains:
        years = span.chains["forward"]
        names = dims.scenarios or (scenario,)
        for index in dims.member_indices:
            name = names[index.scenario]
            draws = RandomStream(seed, name, index.member) if dims.members else None
            trajectories.append(Trajectory("forward", years, name, (index,), draws))
    return tuple(trajectories)


class Done(NamedTuple):
    """Units that have a receipt, from one listing."""

    units: frozenset[Unit]

    @property
    def _tile_years(self) -> list[TileYear]:
        return [unit for unit in self.units if isinstance(unit, TileYear)]

    def of(self, member_indices: Iterable[MemberIndex]) -> set[tuple[int, Tile]]:
        """Return years and tiles whose maps are written to all of some sequences."""
        written: dict[MemberIndex, set[tuple[int, Tile]]] = defaultdict(set)
        for unit in self._tile_years:
            if not unit.across:
                written[unit.member_index].add((unit.year, unit.tile))
        return set.intersection(*[written[index] for index in member_indices])

    def across(self, scenarios: Iterable[int]) -> set[tuple[int, Tile]]:
        """Return years and tiles whose members are summed up in all of some scenarios."""
        summarised: dict[int, set[tuple[int, Tile]]] = defaultdict(set)
        for unit in self._tile_years:
            if unit.across:
                summarised[unit.member_index.scenario].add((unit.year, unit.tile))
        return set.intersection(*[summarised[scenario] for scenario in scenarios])

    def overviews(self, member_indices: Iterable[MemberIndex]) -> set[int]:
        """Return years whose coarser overviews are written to all of some sequences."""
        years_of: dict[MemberIndex, set[int]] = defaultdict(set)
        for unit in self.units:
            if isinstance(unit, OverviewYear):
                years_of[unit.member_index].add(unit.year)
        return set.intersection(*[years_of[index] for index in member_indices])
