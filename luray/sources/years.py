"""Years: which one a time step belongs to, which a series has and holds, and how they are named.

A *held* year is one of the run that a series lacks, and that is read as another year's values.
"""

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


def resolve_years(
    times: NDArray[Any],
    *,
    units: str,
    calendar: str,
    where: str,
    bounds: NDArray[Any] | None = None,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Find the calendar year of each time step.

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
    years : tuple of int
        The year that a step's bounds lie in; without bounds that of its stamp.
    rules : tuple of str
        What told the years, in words; empty where the stamps alone would have told the same.

    Raises
    ------
    InputError
        For gaps, for stamps that cannot be decoded (`TimeUnits.stamps`), and for bounds that are
        no calendar year, or that contradict the stamps.

    Examples
    --------
    >>> days = {"units": "days since 2000-1-1", "calendar": "noleap", "where": "a.nc"}
    >>> resolve_years(np.array([0, 365]), **days)
    ((2000, 2001), ())
    >>> years, rules = resolve_years(np.array([365]), bounds=np.array([[0, 365]]), **days)
    >>> years, rules == (AT_END,)
    ((2000,), True)
    """
    times = np.asarray(times)
    _require_numbers(times, bounds, where=where)
    decoder = parse_units(units, calendar, where=where)
    if bounds is None:
        stamps = decoder.stamps(times)
        return tuple(int(stamp.year) for stamp in stamps), ()

    bounds = np.asarray(bounds)
    _require_pairs(bounds, times, where=where)
    starts = decoder.moments(bounds[:, 0])
    ends = decoder.moments(bounds[:, 1])
    # One step over several years, stamped in their middle, is a mean that stands for that year. In
    # a series such steps would overlap or skip years: `_require_one_year` refuses them.
    is_long_step = len(times) == 1 and ends[0] - starts[0] > YEAR_LENGTHS[1]
    if is_long_step and _is_central(times[0], bounds[0]):
        return _year_of_mean(starts[0], ends[0])
    for start, end in zip(starts, ends, strict=True):
        _require_one_year(start, end, where=where)
    stamps = decoder.moments(times)

    years = []
    rules = []
    for start, end, stamp in zip(starts, ends, stamps, strict=True):
        year, rule = _year_of_step(start, end, stamp, where=where)
        # Numbers that are plain years name their year: bounds may not say otherwise.
        if decoder.plain and year != stamp.year:
            raise InputError(
                f"{where}: time names the year {stamp.year} with time bounds in {year}, expected "
                "both in one year; correct the one that is wrong"
            )
        years.append(year)
        if rule:
            rules.append(rule)
    return tuple(years), tuple(dict.fromkeys(rules))


def moments_of_axis(
    times: NDArray[Any],
    *,
    units: str,
    calendar: str,
    where: str,
    bounds: NDArray[Any] | None = None,
) -> tuple[cftime.datetime, ...]:
    """Find the moment that each time step of any length stands for.

    Parameters are those of `resolve_years`.

    Returns
    -------
    tuple of cftime.datetime
        The middle of a step's bounds; without bounds its stamp.

    Raises
    ------
    InputError
        For gaps, for stamps that cannot be decoded, and for bounds that end before they start.
    """
    _require_numbers(times, bounds, where=where)
    decoder = parse_units(units, calendar, where=where)
    if bounds is None:
        return tuple(decoder.stamps(times))
    _require_pairs(bounds, times, where=where)
    starts = decoder.moments(bounds[:, 0])
    ends = decoder.moments(bounds[:, 1])
    middles = []
    for start, end in zip(starts, ends, strict=True):
        _require_one_year(start, end, where=where)
        middles.append(start + (end - start) / 2)
    return tuple(middles)


def _require_numbers(times: NDArray[Any], bounds: NDArray[Any] | None, *, where: str) -> None:
    """Raise InputError unless times are one finite number a step, and bounds are finite."""
    if times.dtype.kind not in "iuf":
        raise InputError(
            f"{where}: the time axis holds {times.dtype}, expected numbers; encode it as "
            "`days since`"
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


def _require_pairs(bounds: NDArray[Any], times: NDArray[Any], *, where: str) -> None:
    """Raise InputError unless there are a start and an end for each time step."""
    if bounds.shape != (*times.shape, 2):
        raise InputError(
            f"{where}: time bounds of shape {bounds.shape}, expected {(*times.shape, 2)}: start "
            "and end of each step; correct them or take the attribute `bounds` away"
        )


def _is_central(stamp: float, bounds: NDArray[Any]) -> bool:
    """Return whether a step's stamp lies in the middle of its bounds, as that of a mean does."""
    start, end = bounds
    return bool(abs(stamp - (start + end) / 2) <= CENTRAL * (end - start))


def _year_of_mean(
    start: cftime.datetime, end: cftime.datetime
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the year that the one mean over several years is taken for, and the rule."""
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
    """Return the year of a step, and the rule that told it: empty where its stamp tells it too."""
    middle = start + (end - start) / 2
    year = middle.year
    # Bounds that count from noon, or that give the last day for the end, miss it by up to a day.
    is_one_year = (start + DAY).year >= year and end - DAY <= new_year(end, year + 1)

    if not is_one_year:
        # Bounds from July to July are those of a stamp at 1 January that some tool has centred.
        is_as_long_as_a_year = end - start >= YEAR_LENGTHS[0]
        # Half a year is no whole number of days, and stamps may be at noon.
        is_in_the_middle = abs(middle - stamp) <= 2 * DAY
        is_at_new_year = stamp - new_year(stamp, stamp.year) <= DAY
        if is_as_long_as_a_year and is_in_the_middle and is_at_new_year:
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
            f"{_day(end)}, expected a stamp within its time bounds; "
            "correct the one that is wrong"
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

    Parameters
    ----------
    years : sequence of int
        Years of the series in the order of its files or steps; none at all is an error.
    where : str
        The series, for messages.
    gaps : {"refused", "held"}
        Whether a missing year is an error, or may be held (`held_by`).
    wanted : iterable of int, optional
        Years whose absence counts; all where it is not given.
    """
    if not years:
        raise InputError(f"{where}: no years found, expected an annual series")
    repeated = [year for year, times in Counter(years).items() if times > 1]
    if repeated:
        raise InputError(
            f"{where}: years {format_years(repeated)} occur more than once; keep one file a year"
        )
    unsorted = [later for earlier, later in pairwise(years) if later < earlier]
    if unsorted:
        raise InputError(
            f"{where}: years are not in order at {format_years(unsorted)}, expected ascending "
            "years; sort the file"
        )
    gap = set(range(years[0], years[-1] + 1)) - set(years)
    if wanted is not None:
        gap &= set(wanted)
    if gap and gaps == "refused":
        raise InputError(
            f"{where}: years {format_years(gap)} are missing between {years[0]} and {years[-1]}; "
            "get their files"
        )


def held_by(available: Iterable[int], run_years: Iterable[int]) -> dict[int, int]:
    """Return, for each year of a run that a series lacks, the year whose values it holds.

    That is the last one before it, else the first of all. Years that the series has are left out.
    `available` must not be empty.

    Examples
    --------
    >>> held_by([1861, 1862], range(1860, 1865))
    {1860: 1861, 1863: 1862, 1864: 1862}
    """
    years = sorted(available)
    held = {}
    for year in sorted(set(run_years) - set(years)):
        n_earlier = bisect_right(years, year)
        held[year] = years[max(n_earlier - 1, 0)]  # the last earlier one, else the first of all
    return held


def hold_rules(held: Mapping[int, int | str]) -> tuple[str, ...]:
    """Return which years hold what, in words.

    Examples
    --------
    >>> hold_rules({1850: 1852, 1851: 1852, 1860: "the map of 1852-1859"})
    ('years 1850-1851 (2) hold 1852', 'years 1860 (1) hold the map of 1852-1859')
    """
    years_of_source: dict[int | str, list[int]] = {}
    for year, source in sorted(held.items()):
        years_of_source.setdefault(source, []).append(year)
    return tuple(
        f"years {format_years(years)} ({len(years)}) hold {source}"
        for source, years in years_of_source.items()
    )


def shared_years(available: Sequence[int], run_years: range, *, where: str) -> frozenset[int]:
    """Return the years of the run that a series has. Raises InputError if it has none."""
    shared = frozenset(available) & frozenset(run_years)
    if not shared:
        raise InputError(
            f"{where}: holds years {format_years(available)}, none of the run's "
            f"{format_years(run_years)}; correct "
            "the run's years"
        )
    return shared


def format_years(years: Iterable[int]) -> str:
    """Return years in words, runs of them joined.

    Examples
    --------
    >>> format_years([1905, 1899, 1901, 1900])
    '1899-1901, 1905'
    """
    # First and last year of each run; a year that follows the last one lengthens its run.
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
