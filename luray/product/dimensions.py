"""TO BE WRITTEN."""

from typing import NamedTuple


class ProductDims(NamedTuple):
    """Dimensions of a product beside year, lat and lon, each only where it is asked for."""

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
        return {name: n for name, n in lengths.items() if n}

    @property
    def receipts(self) -> int:
        """Those of a finished tile in a year: one a map, and one a scenario for what is across
        members.
        """
        return max(1, len(self.scenarios)) * (self.members + 1 if self.members else 1)


ONE_MAP = ProductDims()
