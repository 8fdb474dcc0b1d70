"""Flicker of yearly maps: how many of the changes are undone soon after, A -> B -> A.

A model could win a score with changes that it takes back. Its maps should not flicker more than the
observed ones, in which most flicker is an error of classification.

Areas are whole m2, so that sums of tiles are those of the whole map.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from luray.core.legend import OUTSIDE
from luray.core.types import F64, U8

WITHIN = 3
"""Years after which a return to class A still counts, from the last year that had it."""


@dataclass(frozen=True)
class Flicker:
    """Changes of one year; `+` merges two sets of cells, or of years."""

    changed: float = 0.0
    """Area in m2 with another class than the year before."""
    undone: float = 0.0
    """The part of it that has the class from before again, at most `WITHIN` years after it."""

    def __add__(self, other: "Flicker") -> "Flicker":
        return Flicker(self.changed + other.changed, self.undone + other.undone)

    @property
    def share(self) -> float:
        """Undone changes over all changes, nan without any."""
        return self.undone / self.changed if self.changed else np.nan


FlickerByYear = Mapping[int, Flicker]
"""Flicker of the changes into each year. The last years of a series have none: what comes after
them is not known.
"""


def flicker_of(maps: Sequence[U8], *, cell_area: F64) -> Flicker:
    """Return the flicker of the changes from one map to the next.

    Parameters
    ----------
    maps : sequence of uint8 arrays, shape (lat, lon)
        Class indices of the year before, of the year, and of the `WITHIN` - 1 years after it.
    cell_area : array, shape (lat,)
        Area of a cell of each row in m2.

    Examples
    --------
    Two of four cells change, and one of them changes back after two years:

    >>> series = np.array([[1, 1, 1, 1], [1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 3]], np.uint8)
    >>> flicker = flicker_of(series[:, None, :], cell_area=np.array([10.0]))
    >>> flicker
    Flicker(changed=20.0, undone=10.0)
    >>> flicker.share
    0.5
    """
    year_before, year, *later_years = maps
    changed = (year != year_before) & (year_before != OUTSIDE) & (year != OUTSIDE)

    # Few cells change, so only these are looked up in the later maps.
    row, col = np.nonzero(changed)
    class_before = year_before[row, col]
    returns = np.zeros(row.size, bool)
    for classes in later_years:
        returns |= classes[row, col] == class_before

    area = np.rint(cell_area)[row]
    return Flicker(float(area.sum()), float(area[returns].sum()))


@dataclass
class FlickerSeries:
    """Flicker of maps that come one after the other; `WITHIN` + 1 of them are in memory.

    Examples
    --------
    A cell that has another class every year. After 2003 a year is missing, and before a change
    counts all maps in which it could be undone have to be known:

    >>> series = FlickerSeries(cell_area=np.ones(1))
    >>> for year in (2000, 2001, 2002, 2003, 2005):
    ...     series.add(year, np.array([[year % 2]], np.uint8))
    >>> series.by_year
    {2001: Flicker(changed=1.0, undone=1.0)}
    """

    cell_area: F64
    """Area of a cell of each row in m2, shape (lat,)."""
    by_year: dict[int, Flicker] = field(default_factory=dict)
    _recent: dict[int, U8] = field(default_factory=dict)

    def add(self, year: int, classes: U8) -> None:
        """Take the map of the next year, uint8 (lat, lon); the years ascend or descend."""
        self._recent = {y: m for y, m in self._recent.items() if abs(year - y) <= WITHIN}
        self._recent[year] = classes
        if len(self._recent) == WITHIN + 1:  # so many within so few years: none is missing
            years = sorted(self._recent)
            maps = [self._recent[y] for y in years]
            self.by_year[years[1]] = flicker_of(maps, cell_area=self.cell_area)


class DecadeFlicker(NamedTuple):
    """Flicker of a decade: of predicted maps beside that of the observed ones."""

    years: tuple[int, int]
    """First and last year whose changes count; they are those of one decade."""
    predicted: float
    """Share of the predicted changes that are undone; nan where nothing changes."""
    observed: float
    """Share of the observed changes that are undone; nan where nothing changes or is observed."""
    observed_years: tuple[int, int] | None
    """The same years where maps of some of them are observed, else the whole observed period."""


def by_decade(predicted: FlickerByYear, observed: FlickerByYear) -> tuple[DecadeFlicker, ...]:
    """Compare the flicker of predicted and observed maps decade by decade.

    Where observed maps show the flicker of some years of a decade, these years are compared and no
    others. Where they show none, all of the decade stands beside the whole observed period.

    Examples
    --------
    >>> still = Flicker(changed=4.0)
    >>> restless = Flicker(changed=4.0, undone=1.0)
    >>> predicted = {year: still for year in range(2005, 2025)}
    >>> observed = {year: restless for year in range(1990, 2008)}
    >>> for decade in by_decade(predicted, observed):
    ...     print(decade.years, decade.predicted, decade.observed, decade.observed_years)
    (2005, 2007) 0.0 0.25 (2005, 2007)
    (2010, 2019) 0.0 0.25 (1990, 2007)
    (2020, 2024) 0.0 0.25 (1990, 2007)
    """
    rows = []
    for decade in sorted({year // 10 for year in predicted}):
        years = sorted(year for year in predicted if year // 10 == decade)
        common = [year for year in years if year in observed]
        compared_years = common or years
        observed_years = common or sorted(observed)
        rows.append(
            DecadeFlicker(
                years=_ends(compared_years),
                predicted=_share(predicted, compared_years),
                observed=_share(observed, observed_years),
                observed_years=_ends(observed_years) if observed_years else None,
            )
        )
    return tuple(rows)


def _share(flicker: FlickerByYear, years: Iterable[int]) -> float:
    """Share of the changes of all these years that are undone."""
    return sum((flicker[year] for year in years), start=Flicker()).share


def _ends(years: Sequence[int]) -> tuple[int, int]:
    return years[0], years[-1]
