"""Time steps of a run: one or several maps a year.

A step is a whole number, so that all that walks from map to map counts by one: with n steps a year
it is n * year + k, k being the number of the step in its year from 0. With one step a year, as for
land use, the step is the calendar year itself.

Dates are those of a calendar whose years all have 365 days, which CF calls `noleap`: so steps of 8
days begin anew each year, as those of MODIS do.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Interval = Literal["year", "month", "dekad", "P8D"]
"""Length of a step: a year, a month, a third of a month (days 1-10, 11-20, 21 to its end), or 8
days from the first of January, the last of a year being of 5.
"""

DAYS_OF_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DAYS_OF_YEAR = 365


def _days(interval: Interval) -> tuple[int, ...]:
    """Return the days of each step of a year."""
    if interval == "year":
        return (DAYS_OF_YEAR,)
    if interval == "month":
        return DAYS_OF_MONTHS
    if interval == "dekad":
        return tuple(days for month in DAYS_OF_MONTHS for days in (10, 10, month - 20))
    return (8,) * 45 + (5,)


@dataclass(frozen=True)
class TimeSteps:
    """The steps of a run by their length.

    Examples
    --------
    >>> monthly = TimeSteps("month")
    >>> march = monthly.step(2004, 2)
    >>> march, monthly.year(march), monthly.in_year(march), monthly.label(march)
    (24050, 2004, 2, '2004-03')
    >>> TimeSteps().label(2004), TimeSteps("dekad").label(TimeSteps("dekad").step(2004, 8))
    ('2004', '2004-03-21')
    """

    interval: Interval = "year"

    @property
    def per_year(self) -> int:
        """n, steps of a year."""
        return len(_days(self.interval))

    def step(self, year: int, k: int = 0) -> int:
        """Return step k of a year, k from 0."""
        return year * self.per_year + k

    def year(self, step: int) -> int:
        """Return the year of a step."""
        return step // self.per_year

    def in_year(self, step: int) -> int:
        """Return the number of a step in its year, from 0."""
        return step % self.per_year

    def of_years(self, first: int, last: int) -> range:
        """Return all steps from the first of a year to the last of another one."""
        return range(self.step(first), self.step(last + 1))

    def day_of_year(self, step: int) -> int:
        """Return the days of the year that are over when a step begins."""
        return (0, *accumulate(_days(self.interval)))[self.in_year(step)]

    def bounds(self, step: int, *, epoch: int) -> tuple[int, int]:
        """Return the days since the first of January of `epoch` at which a step begins and ends."""
        first = DAYS_OF_YEAR * (self.year(step) - epoch) + self.day_of_year(step)
        return first, first + _days(self.interval)[self.in_year(step)]

    def label(self, step: int) -> str:
        """Return the first day of a step as people write it: a year, a month or a date."""
        year = self.year(step)
        if self.interval == "year":
            return str(year)
        ends = tuple(accumulate(DAYS_OF_MONTHS))
        day = self.day_of_year(step)
        month = next(m for m, end in enumerate(ends) if day < end)
        if self.interval == "month":
            return f"{year}-{month + 1:02}"
        return f"{year}-{month + 1:02}-{day - (ends[month] - DAYS_OF_MONTHS[month]) + 1:02}"

    def index(self, step: int, per_year: int) -> int:
        """Return the step of another series that is in force at the beginning of a step.

        `per_year` are the steps of a year of that series: 1 for annual values, 12 for months. Where
        it has fewer than this one a step takes the value of the longer step that it lies in, by
        its share of the year.

        Examples
        --------
        >>> dekads = TimeSteps("dekad")
        >>> dekads.index(dekads.step(2004, 8), 12) == TimeSteps("month").step(2004, 2)
        True
        """
        return self.year(step) * per_year + self.in_year(step) * per_year // self.per_year


YEARLY = TimeSteps()
"""A map a year, as land use has it."""
