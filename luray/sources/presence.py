"""Gaps of a source: years that lack values which other years have.

A cell counts as land only where every year has a class. So a hole in one year is a hole in all of
them, and a blank year leaves no land at all: both are recorded, or raise an error. Shapes: V
variables, H W cells.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import Bool
from luray.sources.coverage import format_share

YEARS_NAMED = 5
"""Most years that a message names."""


@dataclass(frozen=True)
class Presence:
    """Cells with a value, by year; those of the parts of a region add up.

    Examples
    --------
    >>> west = Presence({2000: 4, 2001: 3}, ever=4, always=3)
    >>> east = Presence({2000: 1, 2001: 2}, ever=2, always=1)
    >>> west + east
    Presence(by_year={2000: 5, 2001: 5}, ever=6, always=4)
    """

    by_year: Mapping[int, int] = field(default_factory=dict)
    ever: int | None = None
    """Cells with a value in some year, where cells were compared one by one."""
    always: int | None = None
    """Cells with a value in every year, likewise."""

    def __add__(self, other: "Presence") -> "Presence":
        years = sorted({*self.by_year, *other.by_year})
        by_year = {year: self.by_year.get(year, 0) + other.by_year.get(year, 0) for year in years}
        ever = _sum_of_known(self.ever, other.ever)
        always = _sum_of_known(self.always, other.always)
        return Presence(by_year, ever, always)

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


def _sum_of_known(a: int | None, b: int | None) -> int | None:
    known = [n for n in (a, b) if n is not None]
    return sum(known) if known else None


def compare_years(maps: Iterable[tuple[int, Bool]]) -> tuple[Bool, Presence]:
    """Find the cells that have a value in every year.

    Parameters
    ----------
    maps : iterable of (int, array)
        Each year, and where it has a value, shape (H, W). They are taken one after the other, so
        that memory holds one map.

    Returns
    -------
    always_HW : array of bool, shape (H, W)
        Shape (0, 0) without any year: there is nothing to compare.
    presence : Presence
        How many cells have a value in which year.
    """
    ever_HW = None
    always_HW = None
    by_year = {}
    for year, present_HW in maps:
        by_year[year] = int(present_HW.sum())
        # The first map is copied: the caller may use its array again for the next year.
        ever_HW = present_HW.copy() if ever_HW is None else ever_HW | present_HW
        always_HW = present_HW.copy() if always_HW is None else always_HW & present_HW
    if ever_HW is None or always_HW is None:
        return np.zeros((0, 0), np.bool_), Presence()
    return always_HW, Presence(by_year, int(ever_HW.sum()), int(always_HW.sum()))


def presence_rule(
    presence: Presence,
    *,
    name: str,
    max_missing: float,
    time: TimeSteps = YEARLY,
    cells: Literal["left out", "kept"] = "left out",
) -> str:
    """Describe the gaps of a source; empty where all years have the same cells.

    Parameters
    ----------
    presence : Presence
        Of the whole region.
    name : str
        The source, for messages.
    max_missing : float
        Share of the cells with a value in some year that may lack it in another.
    time : TimeSteps
        Which time steps the years are.
    cells : {"left out", "kept"}
        What becomes of cells without a value in some year: values may lack at times.

    Raises
    ------
    ValueError
        Naming the years with the largest holes where more than `max_missing` is lacking, and for a
        year without any value.
    """
    # A blank year would pass `max_missing = 1`: it leaves no land at all, so it is never meant.
    blank = [time.label(year) for year, n in presence.by_year.items() if n == 0]
    if blank and presence.in_some_year:
        raise ValueError(
            f"{name}: no value at all in {', '.join(blank)}, while other years have "
            "some; get these files again, or narrow the years of the run"
        )
    largest_holes = _largest_holes(presence, time)
    if presence.share_lost > max_missing:
        raise ValueError(
            f"{name}: {format_share(presence.share_lost)} of the cells with a value in some year "
            f"lack it in another, expected at most {format_share(max_missing)}: missing in "
            f"{largest_holes}; get these files again, narrow the years of the run, or set "
            "max_missing of this source"
        )
    if not largest_holes:
        return ""
    if cells == "kept":
        return f"cells without a value at times are gaps: missing in {largest_holes}"
    return f"cells without a value in some years are left out: missing in {largest_holes}"


def _largest_holes(presence: Presence, time: TimeSteps) -> str:
    """Name the years that lack most cells, with how many; empty where none lacks any."""
    cells = presence.in_some_year
    lost = {year: cells - n for year, n in presence.by_year.items() if n < cells}
    worst = sorted(lost, key=lambda year: (-lost[year], year))[:YEARS_NAMED]
    named = []
    for year in worst:
        share = format_share(lost[year] / cells)
        named.append(f"{time.label(year)} ({lost[year]} of {cells} cells, {share})")

    n_more = len(lost) - len(worst)
    more = f" and {n_more} more" if n_more else ""
    return ", ".join(named) + more


def present(values_VHW: NDArray[Any], categories: tuple[int, ...]) -> Bool:
    """Find the cells in which all variables have a value: one of the categories, or a number.

    Returns
    -------
    array of bool, shape (H, W)
    """
    has_value_VHW = np.isin(values_VHW, categories) if categories else np.isfinite(values_VHW)
    return np.asarray(has_value_VHW.all(axis=0))
