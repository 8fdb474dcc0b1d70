"""Time steps of a run: one or several maps a year.

A step is a whole number, so that all that walks from map to map counts by one: with n steps a year
it is n * year + k, k being the number of the step in its year from 0. With one step a year, as for
land use, the step is the calendar year itself.

Dates are those of a calendar whose years all have 365 days, which CF calls `noleap`: so steps of 8
days begin anew each year, as those of MODIS do.
"""

import re
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Literal, get_args

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


@cache
def _first_days(interval: Interval) -> tuple[int, ...]:
    """Return the days of a year that are over when each of its steps begins."""
    return (0, *accumulate(_days(interval)))[:-1]


def _date(year: int, day: int) -> str:
    """Return the date of a day of a year of 365 days, from 0."""
    ends = tuple(accumulate(DAYS_OF_MONTHS))
    month = next(m for m, end in enumerate(ends) if day < end)
    return f"{year:04}-{month + 1:02}-{day - (ends[month] - DAYS_OF_MONTHS[month]) + 1:02}"


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

    @property
    def dimension(self) -> Literal["year", "time"]:
        """Name of the dimension of the maps: `time` where a year has several."""
        return "year" if self.per_year == 1 else "time"

    @property
    def plural(self) -> str:
        """What several steps are called: `years`, `months`, `dekads`, `steps of 8 days`."""
        return "steps of 8 days" if self.interval == "P8D" else f"{self.interval}s"

    @property
    def adjective(self) -> str:
        """What maps of these steps are called: `annual`, `monthly`, `dekadal`, `8-daily`."""
        words = {"year": "annual", "month": "monthly", "dekad": "dekadal", "P8D": "8-daily"}
        return words[self.interval]

    @property
    def each(self) -> str:
        """What one step is called: `year`, `month`, `dekad`, `8 days`."""
        return "8 days" if self.interval == "P8D" else self.interval

    @property
    def duration(self) -> str:
        """Length of a step as ISO 8601 writes it, empty where it varies otherwise than months."""
        return {"year": "P1Y", "month": "P1M", "dekad": "", "P8D": "P8D"}[self.interval]

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
        return _first_days(self.interval)[self.in_year(step)]

    def bounds(self, step: int, *, epoch: int) -> tuple[int, int]:
        """Return the days since the first of January of `epoch` at which a step begins and ends."""
        first = DAYS_OF_YEAR * (self.year(step) - epoch) + self.day_of_year(step)
        return first, first + _days(self.interval)[self.in_year(step)]

    def step_at(self, day: int, *, epoch: int) -> int:
        """Return the step that begins so many days after the first of January of `epoch`.

        The inverse of `bounds`. Raises ValueError for a day on which none begins.
        """
        year, day_of_year = divmod(day, DAYS_OF_YEAR)
        first_days = _first_days(self.interval)
        if day_of_year not in first_days:
            date = _date(epoch + year, day_of_year)
            raise ValueError(
                f"{date} is no first day of a time step of the interval {self.interval!r}; correct "
                "the time coordinate"
            )
        return self.step(epoch + year, first_days.index(day_of_year))

    def label(self, step: int) -> str:
        """Return the first day of a step as people write it: a year, a month or a date."""
        if self.interval == "year":
            return str(self.year(step))
        date = _date(self.year(step), self.day_of_year(step))
        return date[: len("2004-03")] if self.interval == "month" else date

    def step_of(self, label: str) -> int:
        """Return the step of a label; the inverse of `label`.

        Raises ValueError for a text that is the label of no step.

        Examples
        --------
        >>> TimeSteps("month").step_of("2004-03"), TimeSteps().step_of("2004")
        (24050, 2004)
        """
        parts = re.fullmatch("(-?[0-9]+)(?:-([0-9-]+))?", label)
        if parts is not None:
            k = _steps_by_date(self.interval).get(parts[2] or "")
            if k is not None:
                return self.step(int(parts[1]), k)
        example = self.label(self.step(2004, min(2, self.per_year - 1)))
        raise ValueError(
            f"{label!r} is no time step of the interval {self.interval!r}, expected one such as "
            f"{example!r}; correct it"
        )

    def step_on(self, year: int, month: int, day: int) -> int:
        """Return the step that begins on a date.

        Raises ValueError for a date on which none begins.

        Examples
        --------
        >>> TimeSteps("month").step_on(2004, 3, 1), TimeSteps().step_on(2004, 1, 1)
        (24050, 2004)
        """
        day_of_year = sum(DAYS_OF_MONTHS[: month - 1]) + day - 1
        return self.step_at(day_of_year, epoch=year)

    def dates(self, step: int) -> tuple[str, str]:
        """Return the first and the last day of a step, as dates.

        Examples
        --------
        >>> TimeSteps("month").dates(24050), TimeSteps().dates(2004)
        (('2004-03-01', '2004-03-31'), ('2004-01-01', '2004-12-31'))
        """
        first, end = self.bounds(step, epoch=self.year(step))
        return _date(self.year(step), first), _date(self.year(step), end - 1)

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


@cache
def _steps_by_date(interval: Interval) -> dict[str, int]:
    """Return the number in its year of each step, by its label without the year."""
    time = TimeSteps(interval)
    labels = [time.label(step) for step in time.of_years(2001, 2001)]
    return {label.partition("-")[2]: k for k, label in enumerate(labels)}


YEARLY = TimeSteps()
"""A map a year, as land use has it."""


def steps_of_a_year(per_year: int) -> TimeSteps | None:
    """Return the steps of which a year has so many, None where no interval has."""
    every = [TimeSteps(interval) for interval in get_args(Interval)]
    return next((time for time in every if time.per_year == per_year), None)
