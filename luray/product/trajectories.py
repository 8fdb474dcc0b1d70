"""TO BE WRITTEN."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from luray.core.random import RandomStream
from luray.core.tiling import Tile
from luray.core.types import Direction


@dataclass(frozen=True)
class Span:
    """Years of a product: `first` .. `last`, of which the observed ones are copied; a chain leaves
    from either end.
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
        return {direction: years for direction, years in chains.items() if len(years) > 1}

    def from_year(self, year: int) -> list[int]:
        """The predicted years from `year` on, in its chain's direction. Raises ValueError for a
        year of no chain.
        """
        for years in self.chains.values():
            if year in years[1:]:
                return list(years[years.index(year) :])
        raise ValueError(
            f"{year} is not predicted: the product has {self.first}-{self.last}, of which "
            f"{self.observed[0]}-{self.observed[1]} are observed"
        )

    @property
    def origins(self) -> list[int]:
        """Index into `ORIGINS` of each year."""
        low, high = self.observed
        return [0 if low <= y <= high else 1 if y < low else 2 for y in self.years]


class MemberIndex(NamedTuple):
    """One of a product's sequences of maps, by its place along `scenario` and `member`; 0 where
    there is none.
    """

    scenario: int = 0
    member: int = 0


FIRST = MemberIndex()
"""The lane of a product of one map, and the one that is scored and drawn of several."""


class TileYear(NamedTuple):
    """What one receipt is for: the map of a lane, or with `across` what the members of its scenario
    have in common.
    """

    year: int
    tile: Tile
    member_index: MemberIndex = FIRST
    across: bool = False


class Trajectory(NamedTuple):
    """Maps that follow from each other, computed once and written to every lane that has them."""

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


class Done(NamedTuple):
    """What has a receipt, from one listing."""

    units: frozenset[TileYear]

    def of(self, member_indices: Iterable[MemberIndex]) -> set[tuple[int, Tile]]:
        """Years and tiles whose maps all of some lanes have."""
        return set.intersection(
            *(
                {
                    (u.year, u.tile)
                    for u in self.units
                    if u.member_index == member_index and not u.across
                }
                for member_index in member_indices
            )
        )

    def across(self, scenarios: Iterable[int]) -> set[tuple[int, Tile]]:
        """Years and tiles whose members are summed up in all of some scenarios."""
        return set.intersection(
            *(
                {
                    (u.year, u.tile)
                    for u in self.units
                    if u.member_index.scenario == scenario and u.across
                }
                for scenario in scenarios
            )
        )
