"""Time steps of files that hold several maps a year: which step a date belongs to, and gaps.

A date belongs to the step that it lies in. Files date a step by its first day, its middle or its
last day, and all three lie in it. Files of shorter steps serve a run of longer ones; each then
belongs to the longer step that its middle lies in.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import get_args

import cftime
import numpy as np

from luray.core.time_steps import DAYS_OF_YEAR, Interval, TimeSteps
from luray.sources.years import format_years
from luray.storage.errors import InputError

PER_YEAR: Mapping[int, TimeSteps] = {
    TimeSteps(interval).per_year: TimeSteps(interval) for interval in get_args(Interval)
}
"""Time steps by how many of them a year has."""

WANDERING = 4
"""Days between the earliest and the latest day of the month among the stamps of a monthly series,
beyond which they are no stamps of months: the middle of a month is the 14th to the 17th.
"""


def step_of(moment: cftime.datetime, time: TimeSteps, *, where: str) -> int:
    """Return the time step that a moment lies in.

    Parameters
    ----------
    moment : cftime.datetime
        In any calendar.
    time : TimeSteps
        The steps. Those of 8 days are counted from the first of January of each year, in the days
        of the calendar, as MODIS does.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        For steps of 8 days in a calendar of 360 days.

    Examples
    --------
    >>> dekads = TimeSteps("dekad")
    >>> moment = cftime.datetime(2004, 2, 29, calendar="standard")
    >>> dekads.label(step_of(moment, dekads, where="a.nc"))
    '2004-02-21'
    """
    if time.interval == "year":
        return int(moment.year)
    if time.interval == "P8D":
        if moment.calendar == "360_day":
            raise InputError(
                f"{where}: the calendar has years of 360 days, expected days of the year that "
                "count to 365 or 366 for steps of 8 days; correct the calendar attribute"
            )
        return time.step(moment.year, min((moment.dayofyr - 1) // 8, time.per_year - 1))
    if time.interval == "dekad":
        return time.step(moment.year, 3 * (moment.month - 1) + min((moment.day - 1) // 10, 2))
    return time.step(moment.year, moment.month - 1)


def step_around(step: int, time: TimeSteps, longer: TimeSteps) -> int:
    """Return the longer step that the middle of a step lies in.

    Examples
    --------
    >>> time, months = TimeSteps("P8D"), TimeSteps("month")
    >>> months.label(step_around(time.step(2004, 3), time, months))  # 25 January to 1 February
    '2004-01'
    """
    if time == longer:
        return step
    year = time.year(step)
    first_day, end_day = time.bounds(step, epoch=year)
    middle = (first_day + end_day) / 2
    ends = [longer.bounds(each, epoch=year)[1] for each in longer.of_years(year, year)]
    return longer.step(year, int(np.searchsorted(ends, middle, side="right")))


def require_longer(time: TimeSteps, run_time: TimeSteps, *, where: str) -> None:
    """Raise InputError where the steps of a run are shorter than those of its files."""
    if run_time.per_year > time.per_year:
        raise InputError(
            f"{where}: holds a map each {time.interval}, the run's steps are shorter "
            f"(target.time_step = {run_time.interval!r}); set target.time_step = "
            f"{time.interval!r}, or a longer one"
        )


def check_steps(
    steps: Sequence[int],
    time: TimeSteps,
    *,
    where: str,
    wanted: Iterable[int] | None = None,
) -> None:
    """Raise InputError naming the steps of a series that are repeated, unordered or missing.

    Parameters
    ----------
    steps : sequence of int
        Steps in the order of the files or of their time axis; none at all is an error.
    time : TimeSteps
        Which steps these are.
    where : str
        The series, for messages.
    wanted : iterable of int, optional
        Steps whose absence counts, wherever they are; by default those between the first and the
        last.
    """
    if not steps:
        raise InputError(f"{where}: no time steps found, expected one each {time.interval}")
    repeated = [step for step, times in Counter(steps).items() if times > 1]
    if repeated:
        raise InputError(
            f"{where}: {format_steps(repeated, time)} occur more than once, expected each "
            f"{time.interval} once; keep one of each, or correct the time axis and its calendar"
        )
    unordered = [later for earlier, later in pairwise(steps) if later < earlier]
    if unordered:
        raise InputError(
            f"{where}: time steps are not in order at {format_steps(unordered, time)}, expected "
            "ascending ones; sort the file"
        )
    needed = set(range(steps[0], steps[-1] + 1) if wanted is None else wanted)
    missing = needed - set(steps)
    if missing:
        raise InputError(
            f"{where}: {format_steps(missing, time)} are missing, found "
            f"{time.label(steps[0])} to {time.label(steps[-1])}; get their files, shorten the "
            "years of the run, or correct the calendar of the time axis"
        )


def require_months(moments: Sequence[cftime.datetime], *, where: str) -> None:
    """Raise InputError for stamps that wander through the months.

    Those of a series of months are at the same day of each, or at its last. Numbers that were
    counted in another calendar than the file declares fall behind or run ahead, day by day.
    """
    days = [moment.day for moment in moments]
    from_end = [moment.daysinmonth - moment.day for moment in moments]
    spread = min(max(days) - min(days), max(from_end) - min(from_end))
    if spread > WANDERING:
        calendar = moments[0].calendar
        raise InputError(
            f"{where}: the time stamps wander from day {min(days)} to day {max(days)} of the month "
            f"in the calendar {calendar!r}, expected the same day of each; correct the calendar "
            "attribute of the time axis: the numbers may have been counted in another one"
        )


def format_steps(steps: Iterable[int], time: TimeSteps) -> str:
    """Return time steps in words, runs of them joined.

    Examples
    --------
    >>> format_steps([24049, 24050, 24053], TimeSteps("month"))
    'time steps 2004-02 to 2004-03, 2004-06'
    >>> format_steps([2001, 2002], TimeSteps("year"))
    'years 2001-2002'
    """
    if time.per_year == 1:
        return f"years {format_years(steps)}"
    runs: list[list[int]] = []
    for step in sorted(steps):
        if runs and runs[-1][1] == step - 1:
            runs[-1][1] = step
        else:
            runs.append([step, step])
    named = []
    for first, last in runs:
        label = time.label(first)
        named.append(label if first == last else f"{label} to {time.label(last)}")
    return f"time steps {', '.join(named)}"


def middle_of_year(step: int, time: TimeSteps) -> float:
    """Return how much of its year is over in the middle of a step, between 0 and 1."""
    first_day, end_day = time.bounds(step, epoch=time.year(step))
    return (first_day + end_day) / 2 / DAYS_OF_YEAR
