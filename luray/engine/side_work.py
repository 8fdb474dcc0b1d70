"""Work beside the tile-years: copying observed maps, summing up members, coarser overviews."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from luray.core.tiling import Tile
from luray.core.time_steps import YEARLY, TimeSteps
from luray.engine.jobs import in_words
from luray.product.dimensions import MemberIndex
from luray.product.store import Product
from luray.product.trajectories import Done
from luray.sources.years import format_years

COPIED_AT_ONCE = 8
"""Observed years of a tile that one side task copies."""


class CopyYears(NamedTuple):
    """Observed years of a tile that go into the product as they are."""

    tile: Tile
    years: tuple[int, ...]
    time: TimeSteps = YEARLY

    def __str__(self) -> str:
        years = format_years(self.years)
        if self.time != YEARLY:
            years = f"{self.time.label(self.years[0])} to {self.time.label(self.years[-1])}"
        return f"copying {years} of {in_words(self.tile)}"


class SummariseMembers(NamedTuple):
    """Members of a tile-year to be summed up, in scenarios that have the same maps."""

    year: int
    tile: Tile
    scenarios: tuple[int, ...]

    def __str__(self) -> str:
        return f"summing up the members of {self.year}, {in_words(self.tile)}"


class MakeOverviews(NamedTuple):
    """Coarser overviews of a year to be made, in sequences of maps that have the same map."""

    year: int
    member_indices: tuple[MemberIndex, ...]
    time: TimeSteps = YEARLY

    def __str__(self) -> str:
        return f"making the overviews of {self.time.label(self.year)}"


def years_to_copy(product: Product, tiles: Iterable[Tile], done: Done) -> Iterator[CopyYears]:
    """Yield the observed years of each tile that the product lacks."""
    copied = done.of(product.member_indices)
    for tile in tiles:
        years = [year for year in product.span.copied if (year, tile) not in copied]
        for first in range(0, len(years), COPIED_AT_ONCE):
            some_years = tuple(years[first : first + COPIED_AT_ONCE])
            yield CopyYears(tile, some_years, product.time)


class MemberSummaries:
    """Summaries of members, each of which waits until all maps of its tile-year are written.

    Parameters
    ----------
    product : Product
        Its members; without any there is nothing to sum up.
    tiles : sequence of Tile
        Tiles with land.
    done : Done
        What an earlier run wrote.
    """

    def __init__(self, product: Product, tiles: Sequence[Tile], done: Done) -> None:
        self._product = product
        self._maps_missing: dict[SummariseMembers, int] = {}
        """Maps that each summary waits for."""
        for year in product.span.years if product.members else ():
            for scenarios in product.scenario_groups(year):
                self._add(year, scenarios, tiles, done)

    @property
    def n_receipts(self) -> int:
        """Receipts that all summaries together will have: one a scenario."""
        return sum(len(summary.scenarios) for summary in self._maps_missing)

    def possible(self) -> list[SummariseMembers]:
        """Return the summaries that wait for no map."""
        return [summary for summary, missing in self._maps_missing.items() if not missing]

    def map_written(
        self, year: int, tile: Tile, member_indices: Sequence[MemberIndex]
    ) -> list[SummariseMembers]:
        """Record that a map is written for some members; return what can be summed up by it."""
        possible = []
        for scenarios in self._product.scenario_groups(year):
            summary = SummariseMembers(year, tile, scenarios)
            if member_indices[0].scenario in scenarios and self._maps_missing.get(summary):
                self._maps_missing[summary] -= 1
                if not self._maps_missing[summary]:
                    possible.append(summary)
        return possible

    def _add(
        self, year: int, scenarios: tuple[int, ...], tiles: Sequence[Tile], done: Done
    ) -> None:
        """Count the missing maps of one year in scenarios that have the same maps."""
        product = self._product
        summarised = done.across(scenarios)
        in_scenarios = [i for i in product.member_indices if i.scenario in scenarios]
        written_of_member = []
        for member in range(product.members):
            indices_of_member = [index for index in in_scenarios if index.member == member]
            written_of_member.append(done.of(indices_of_member))

        for tile in tiles:
            if (year, tile) in summarised:
                continue
            missing = sum((year, tile) not in written for written in written_of_member)
            if year in product.span.copied:
                missing = min(missing, 1)  # an observed map is written for all members at once
            self._maps_missing[SummariseMembers(year, tile, scenarios)] = missing


class CoarserOverviews:
    """Coarser overviews, each of which waits until all tiles of its year are written.

    Parameters
    ----------
    product : Product
        Its overviews; where all are written with the tiles there is nothing to make.
    tiles : sequence of Tile
        Tiles with land.
    done : Done
        What an earlier run wrote.
    """

    def __init__(self, product: Product, tiles: Sequence[Tile], done: Done) -> None:
        self._time = product.time
        self._tiles_missing: dict[MakeOverviews, int] = {}
        """Tiles that the overviews of a year wait for."""
        if not product.overviews.coarser_levels:
            return
        groups: dict[tuple[MemberIndex, ...], list[int]] = {}
        for year in product.span.years:
            for member_indices in product.map_groups(year):
                groups.setdefault(member_indices, []).append(year)

        # Each group looks once at all that is done, which may be many tile-years.
        for member_indices, years in groups.items():
            years_with_overviews = done.overviews(member_indices)
            written = done.of(member_indices)
            for year in years:
                if year not in years_with_overviews:
                    missing = sum((year, tile) not in written for tile in tiles)
                    overviews = MakeOverviews(year, member_indices, product.time)
                    self._tiles_missing[overviews] = missing

    @property
    def n_receipts(self) -> int:
        """Receipts that all of them together will have: one a sequence of maps."""
        return sum(len(overviews.member_indices) for overviews in self._tiles_missing)

    def possible(self) -> list[MakeOverviews]:
        """Return what waits for no tile."""
        return [overviews for overviews, missing in self._tiles_missing.items() if not missing]

    def map_written(self, year: int, member_indices: Sequence[MemberIndex]) -> list[MakeOverviews]:
        """Record that a tile is written for some members; return what can be made by it."""
        overviews = MakeOverviews(year, tuple(member_indices), self._time)
        if not self._tiles_missing.get(overviews):
            return []
        self._tiles_missing[overviews] -= 1
        return [] if self._tiles_missing[overviews] else [overviews]
