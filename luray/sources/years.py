"""Years: of the steps of a time axis, of a series, those that a run holds, and in words."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Literal

import cftime
import numpy as np
from numpy.typing import NDArray

from luray.sources.times import NOISE, new_year, parse_units
from luray.storage.errors import InputError

DAY = timedelta(days=1)

YEAR_LENGTHS = (timedelta(days=359), timedelta(days=367))
"""Shortest and longest year of all calendars, with a day of rounding."""

CENTRAL = 0.02
"""How far from the middle of its bounds the stamp of a mean over years may lie, as a share of them.
"""

AT_END = "time stamps lie at the end of their time bounds: a step belongs to the year within them"
CENTRED = "time bounds reach from July to July around 1 January: a step belongs to its stamp's year"


def years_of(
    times: NDArray[Any],
    *,
    units: str,
    calendar: str,
    where: str,
    bounds: NDArray[Any] | None = None,
) -> tuple[int, ...]:
    """Give the calendar year of each time step.

    Parameters
    ----------
    times : array, shape (steps,)
        Numbers of the time axis as the file has them.
    units, calendar : str
        Attributes of the axis: `<unit> since <date>`, or units of plain calendar years.
    where : str
        The file, for messages.
    bounds : array, shape (steps, 2), optional
        Start and end of each step in the same units.

    Returns
    -------
    tuple of int
        The year that a step's bounds lie in; without bounds that of its stamp.

    Raises
    ------
    InputError
        For gaps, for stamps that cannot be decoded (`TimeUnits.stamps`), and for bounds that are
        no calendar year, or that contradict the stamps.
    """
    years, _ = resolve_years(times, units=units, calendar=calendar, where=where, bounds=bounds)
    return years


def resolve_years(
    times: NDArray[Any],
    *,
    units: str,
    calendar: str,
    where: str,
    bounds: NDArray[Any] | None = None,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Give the calendar year of each time step and, in words, the rules that told it.

    See `years_of`; the rules are empty where the stamps alone would have told the same.
    """
    times = np.asarray(times)
    if times.dtype.kind not in "iuf":
        raise InputError(
            f"{where}: the time axis holds {times.dtype}, expected numbers; encode it as `days "
            "since`"
        )
    if times.ndim != 1:
        raise InputError(
            f"{where}: the time axis has the shape {times.shape}, expected one number a step; "
            "correct the file"
        )
    for values in (times, bounds):
        if values is not None and not np.isfinite(values).all():
            raise InputError(
                f"{where}: the time axis has gaps, expected a number for every step; fill them "
                "in, or take the attribute `bounds` away where it is the bounds that have them"
            )

    decoder = parse_units(units, calendar, where=where)
    if bounds is None:
        stamps = decoder.stamps(times)
        return tuple(int(stamp.year) for stamp in stamps), ()

    bounds = np.asarray(bounds)
    if bounds.shape != (*times.shape, 2):
        raise InputError(
            f"{where}: time bounds of shape {bounds.shape}, expected {(*times.shape, 2)}: start "
            "and end of each step; correct them or take the attribute `bounds` away"
        )
    starts, ends = decoder.moments(bounds[:, 0]), decoder.moments(bounds[:, 1])
    if (
        len(times) == 1
        and ends[0] - starts[0] > YEAR_LENGTHS[1]
        and _is_central(times[0], bounds[0])
    ):
        return _year_of_mean(starts[0], ends[0])
    for start, end in zip(starts, ends, strict=True):
        _require_one_year(start, end, where=where)
    stamps = decoder.moments(times)

    years, rules = [], []
    for start, end, stamp in zip(starts, ends, stamps, strict=True):
        year, rule = _year_of_step(start, end, stamp, where=where)
        if decoder.plain and year != stamp.year:
            raise InputError(
                f"{where}: time names the year {stamp.year} with time bounds in {year}, expected "
                "both in one year; correct the one that is wrong"
            )
        years.append(year)
        rules.append(rule)
    return tuple(years), tuple(dict.fromkeys(filter(None, rules)))


def _is_central(stamp: float, bounds: NDArray[Any]) -> bool:
    """Whether the stamp of a step lies in the middle of its bounds, as that of a mean does."""
    start, end = bounds
    return bool(abs(stamp - (start + end) / 2) <= CENTRAL * (end - start))


def _year_of_mean(
    start: cftime.datetime, end: cftime.datetime
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The year that the one mean over several years in a file is taken for, and the rule."""
    year = int((start + (end - start) / 2).year)
    covers = f"{_day(start)} to {_day(end)}"
    return (year,), (f"the one time step is a mean of {covers}, taken for {year}, its middle",)


def _require_one_year(start: cftime.datetime, end: cftime.datetime, *, where: str) -> None:
    """Raise InputError for bounds that end before they start, or that span more than a year."""
    if end < start:
        raise InputError(
            f"{where}: a time step is bound by {_day(start)} and {_day(end)}, expected the "
            "start before the end; correct the time bounds"
        )
    if end - start > YEAR_LENGTHS[1]:
        raise InputError(
            f"{where}: a time step covers {_day(start)} to {_day(end)}, expected one calendar "
            "year; a mean over several years is no map of a year: get the annual file"
        )


def _year_of_step(
    start: cftime.datetime, end: cftime.datetime, stamp: cftime.datetime, *, where: str
) -> tuple[int, str]:
    """The year of a step, and the rule that told it where its stamp alone would not have."""
    middle = start + (end - start) / 2
    year = middle.year
    # Bounds that count from noon, or that give the last day for the end, miss it by up to a day.
    one_year = (start + DAY).year >= year and end - DAY <= new_year(end, year + 1)

    if not one_year:
        whole_year = end - start >= YEAR_LENGTHS[0]
        # Half a year is no whole number of days, and stamps may be at noon.
        centred = abs(middle - stamp) <= 2 * DAY and stamp - new_year(stamp, stamp.year) <= DAY
        if whole_year and centred:
            return stamp.year, CENTRED
        raise InputError(
            f"{where}: a time step covers {_day(start)} to {_day(end)}, expected one calendar "
            "year; correct the time bounds, or take the attribute `bounds` away where the "
            "stamps are right"
        )
    if stamp.year == year:
        return year, ""
    if not start - NOISE <= stamp <= end + NOISE:
        raise InputError(
            f"{where}: a time step is stamped {_day(stamp)} but covers {_day(start)} to "
            f"{_day(end)}, expected a stamp within its time bounds; correct the one that is "
            "wrong"
        )
    return year, AT_END


def _day(moment: cftime.datetime) -> str:
    return str(moment.isoformat()).split("T")[0]


def check_series(
    years: Sequence[int],
    *,
    where: str,
    gaps: Literal["refused", "held"] = "refused",
    wanted: Iterable[int] | None = None,
) -> None:
    """Raise InputError naming the years of a series that are repeated, unsorted or missing.

    An empty series is an error, too. Gaps are none where their years may be held (`held_by`). Of a
    gap only the `wanted` years count, all of them where none are named.
    """
    if not years:
        raise InputError(f"{where}: no years found, expected an annual series")
    repeated = [year for year, times in Counter(years).items() if times > 1]
    if repeated:
        raise InputError(
            f"{where}: years {span(repeated)} occur more than once; keep one file a year"
        )
    unsorted = [b for a, b in pairwise(years) if b < a]
    if unsorted:
        raise InputError(
            f"{where}: years are not in order at {span(unsorted)}, expected ascending years; "
            "sort the file"
        )
    gap = set(range(years[0], years[-1] + 1)) - set(years)
    if wanted is not None:
        gap &= set(wanted)
    if gap and gaps == "refused":
        raise InputError(
            f"{where}: years {span(gap)} are missing between {years[0]} and {years[-1]}; get "
            "their files"
        )


def held_by(available: Iterable[int], run_years: Iterable[int]) -> dict[int, int]:
    """For each year of a run that a series lacks, the year whose values it holds.

    That is the last one before it, else the first of all. Years that the series has are left out.
    `available` must not be empty.
    """
    known = sorted(available)
    held = {}
    for year in sorted(set(run_years) - set(known)):
        position = bisect_right(known, year)
        held[year] = known[max(position - 1, 0)]
    return held


def hold_rules(held: Mapping[int, int | str]) -> tuple[str, ...]:
    """Which years hold what, in words: `years 1850-1860 (11) hold 1861`."""
    holders: dict[int | str, list[int]] = {}
    for year, kept in sorted(held.items()):
        holders.setdefault(kept, []).append(year)
    return tuple(
        f"years {span(years)} ({len(years)}) hold {kept}" for kept, years in holders.items()
    )


def shared_years(held: Sequence[int], run_years: range, *, where: str) -> frozenset[int]:
    """Years of the run that a series holds. Raises InputError if it holds none."""
    shared = frozenset(held) & frozenset(run_years)
    if not shared:
        raise InputError(
            f"{where}: holds years {span(held)}, none of the run's {span(run_years)}; correct "
            "the run's years"
        )
    return shared


def span(years: Iterable[int]) -> str:
    """Years in words, runs joined: `1899-1901, 1905`."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
