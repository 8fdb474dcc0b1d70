"""Which years lack values that other years have.

A cell counts as land only where every year has a class. So a hole in one year is a hole in all of
them, and a blank year leaves no land at all: neither may pass unseen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from luray.core.types import Bool
from luray.sources.coverage import percent

YEARS_NAMED = 5
"""Most years that a message names."""


@dataclass(frozen=True)
class Presence:
    """Cells with a value, by year; parts of a region can be added up."""

    by_year: Mapping[int, int] = field(default_factory=dict)
    ever: int | None = None
    """Cells with a value in some year, where cells were compared one by one."""
    always: int | None = None
    """Cells with a value in every year, likewise."""

    def __add__(self, other: "Presence") -> "Presence":
        years = sorted({*self.by_year, *other.by_year})
        by_year = {year: self.by_year.get(year, 0) + other.by_year.get(year, 0) for year in years}
        return Presence(by_year, _sum(self.ever, other.ever), _sum(self.always, other.always))

    @property
    def in_some_year(self) -> int:
        """Cells with a value in some year, or the most of a year where cells were not compared."""
        return max(self.by_year.values(), default=0) if self.ever is None else self.ever

    @property
    def in_every_year(self) -> int:
        """Cells with a value in every year, or the fewest of a year."""
        return min(self.by_year.values(), default=0) if self.always is None else self.always

    @property
    def share_lost(self) -> float:
        """Share of the cells with a value in some year that lack it in another."""
        if not self.in_some_year:
            return 0.0
        return (self.in_some_year - self.in_every_year) / self.in_some_year


def _sum(one: int | None, other: int | None) -> int | None:
    found = [n for n in (one, other) if n is not None]
    return sum(found) if found else None


def compare_years(maps: Iterable[tuple[int, Bool]]) -> tuple[Bool, Presence]:
    """The cells with a value in every year, shape (height, width), and how many have one in which
    year.

    `maps` gives where each year has a value, one after the other, so that memory holds one map.
    Without any year there is nothing to compare.
    """
    ever = always = None
    by_year = {}
    for year, present_HW in maps:
        by_year[year] = int(present_HW.sum())
        ever = present_HW.copy() if ever is None else ever | present_HW
        always = present_HW.copy() if always is None else always & present_HW
    if ever is None or always is None:
        return np.zeros((0, 0), np.bool_), Presence()
    return always, Presence(by_year, int(ever.sum()), int(always.sum()))


def presence_rule(presence: Presence, *, name: str, max_missing: float) -> str:
    """What the years of a source lack, in words; empty where all have the same.

    Raises ValueError naming the years with the largest holes where more than `max_missing` of the
    cells with a value in some year lack it in another, and for a year without any value.
    """
    some = presence.in_some_year
    lost = {year: some - n for year, n in presence.by_year.items() if n < some}
    worst = sorted(lost, key=lambda year: (-lost[year], year))[:YEARS_NAMED]
    named = ", ".join(
        f"{year} ({lost[year]} of {some} cells, {percent(lost[year] / some)})" for year in worst
    )
    if len(lost) > len(worst):
        named += f" and {len(lost) - len(worst)} more"
    blank = [year for year, n in presence.by_year.items() if n == 0]
    if blank and some:
        raise ValueError(
            f"{name}: no value at all in {', '.join(map(str, blank))}, while other years have "
            "some; get "
            "these files again, or narrow the years of the run"
        )
    if presence.share_lost > max_missing:
        raise ValueError(
            f"{name}: {percent(presence.share_lost)} of the cells with a value in some year lack "
            "it in "
            f"another, expected at most {percent(max_missing)}: missing in {named}; get these "
            "files again, "
            "narrow the years of the run, or set max_missing of this source"
        )
    return f"cells without a value in some years are left out: missing in {named}" if lost else ""


def present(
    values_VHW: np.ndarray[tuple[int, ...], np.dtype[np.generic]], categories: tuple[int, ...]
) -> Bool:
    """Where all variables have a value: one of the categories, or a number."""
    if categories:
        return np.asarray(np.isin(values_VHW, categories).all(axis=0))
    return np.asarray(np.isfinite(values_VHW).all(axis=0))
