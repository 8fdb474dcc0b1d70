"""A quantity of which only bounds are known."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """From the least to the most that is to be expected.

    Examples
    --------
    >>> Range(1, 2) + Range(3, 5) * 2
    Range(low=7, high=12)
    """

    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> "Range":
        """Return the range of a quantity that is known."""
        return cls(value, value)

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> "Range":
        return Range(self.low * factor, self.high * factor)

    def at_least(self, other: "Range") -> "Range":
        """Return the larger of both, at either end."""
        return Range(max(self.low, other.low), max(self.high, other.high))
