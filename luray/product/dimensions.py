"""The dimensions of a product: year, lat and lon always, scenario, member and others on request."""

from typing import NamedTuple


class MemberIndex(NamedTuple):
    """One of a product's sequences of maps, by its position along `scenario` and `member`.

    Either is 0 where the product lacks the dimension.
    """

    scenario: int = 0
    member: int = 0


FIRST = MemberIndex()
"""The only sequence of a product of one map; of several the one that is scored and drawn."""


class ProductDims(NamedTuple):
    """Dimensions of a product beside year, lat and lon, each only where it is asked for.

    Examples
    --------
    >>> dims = ProductDims(scenarios=("ssp126", "ssp585"), members=3)
    >>> dims.lead
    {'scenario': 2, 'member': 3}
    >>> len(dims.member_indices)
    6
    """

    scenarios: tuple[str, ...] = ()
    """Names along `scenario`."""
    members: int = 0
    """Length of `member`, which brings `class_probability` and `entropy` across it."""
    probability_years: tuple[int, ...] = ()
    """Years along `probability_year`, of which `probability` has every class."""

    @property
    def lead(self) -> dict[str, int]:
        """The leading dimensions of a map and their lengths."""
        lengths = {"scenario": len(self.scenarios), "member": self.members}
        return {name: length for name, length in lengths.items() if length}

    @property
    def member_indices(self) -> tuple[MemberIndex, ...]:
        """Every sequence of maps, scenario by scenario. Observed years are the same in all."""
        members = range(max(1, self.members))
        scenarios = range(max(1, len(self.scenarios)))
        return tuple(MemberIndex(s, m) for s in scenarios for m in members)

    @property
    def receipts(self) -> int:
        """Receipts of a finished tile in a year.

        One for each map, and one a scenario for the summary across members.
        """
        a_scenario = self.members + 1 if self.members else 1
        return max(1, len(self.scenarios)) * a_scenario


ONE_MAP = ProductDims()
"""A product of one map a year."""
