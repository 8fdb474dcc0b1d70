"""Time axes against cftime, in every calendar, and in files as they are written."""

import re
from datetime import timedelta
from pathlib import Path

import cftime
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.sources.encoding import rules_of_files
from luray.sources.netcdf import inspect_netcdf
from luray.sources.times import CALENDARS
from luray.sources.years import AT_END, CENTRED, resolve_years
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

UNITS = {
    "days": ("days", "day", "d", "Days", "DAYS"),
    "hours": ("hours", "hour", "hr", "hrs", "h", "Hours"),
    "minutes": ("minutes", "minute", "min", "mins"),
    "seconds": ("seconds", "second", "sec", "secs", "s"),
}
"""Units that cftime knows, as people write them."""

ZONES = {
    "": 0, "Z": 0, " UTC": 0, " GMT": 0, " +00:00": 0, " +05:30": 330, "-03": -180, " -0800": -480, " +9": 540,
    " -5:00": -300,
}  # fmt: skip
"""Time zones as UDUNITS has them, in minutes east of Greenwich."""

AMBIGUOUS = re.compile("single precision|less than a millisecond before a new year")


def has(calendar, *date):
    """Whether a calendar has a date: not 30 February, not 10 October 1582."""
    try:
        return cftime.datetime(*date, calendar=calendar)
    except ValueError:
        return None


@st.composite
def moments(draw, calendar, *, first_year):
    """A new year, the last second of a year, or any second."""
    year = draw(st.integers(first_year, 2300))
    start = cftime.datetime(year, 1, 1, calendar=calendar)
    kind = draw(st.sampled_from(["new year", "last second", "noon", "any"]))
    if kind == "new year":
        return start
    if kind == "last second":
        return cftime.datetime(year + 1, 1, 1, calendar=calendar) - timedelta(seconds=1)
    if kind == "noon":
        return start + timedelta(hours=12)
    return start + timedelta(seconds=draw(st.integers(0, 360 * 86400 - 1)))


@st.composite
def epochs(draw, calendar):
    """An epoch in UTC and the same as an attribute may have it."""
    first_year = 1960 if calendar == "tai" else 800
    date = None
    while date is None:
        year = draw(st.integers(first_year, 2200))
        month, day = draw(
            st.sampled_from([(1, 1), (1, 1), (3, 1), (7, 2), (12, 31), (2, 29), (10, 10)])
        )
        date = has(calendar, year, month, day)
    padded = draw(st.booleans())
    text = f"{year:04d}-{month:02d}-{day:02d}" if padded else f"{year}-{month}-{day}"
    if draw(st.booleans()):
        return date, text
    hour, minute, second = draw(st.sampled_from([(0, 0, 0), (12, 0, 0), (6, 30, 0), (23, 59, 59)]))
    between = draw(st.sampled_from([" ", "T"]))
    forms = [
        f"{hour:02d}:{minute:02d}:{second:02d}",
        f"{hour}:{minute}:{second}",
        f"{hour}:{minute}:{second}.0",
    ]
    if second == 0:
        forms.append(f"{hour:02d}:{minute:02d}")
    if (minute, second) == (0, 0):
        forms.append(f"{hour}")
    # TAI has no time zones.
    zone = draw(st.sampled_from([""] if calendar == "tai" else list(ZONES)))
    date += timedelta(hours=hour, minutes=minute, seconds=second)
    clock = draw(st.sampled_from(forms))
    return date - timedelta(minutes=ZONES[zone]), f"{text}{between}{clock}{zone}"


@st.composite
def time_axes(draw):
    """Numbers, units and calendar of an axis, and the moments that they are."""
    calendar = draw(st.sampled_from(CALENDARS))
    epoch, text = draw(epochs(calendar))
    unit = draw(st.sampled_from(list(UNITS)))
    first_year = 1961 if calendar == "tai" else 801
    dates = draw(st.lists(moments(calendar, first_year=first_year), min_size=1, max_size=3))
    # Seconds are exact, whatever cftime makes of them.
    seconds = np.array([round((date - epoch).total_seconds()) for date in dates], np.int64)
    length = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}[unit]
    numbers = seconds // length if (seconds % length == 0).all() else seconds / length
    if draw(st.booleans()):
        numbers = numbers.astype(np.float64)
    shown = calendar.upper() if draw(st.booleans()) else calendar
    return numbers, f"{draw(st.sampled_from(UNITS[unit]))} since {text}", shown, dates


def may_be_refused(error, numbers, dates):
    """Whether a refusal is for rounding beside a new year, the one reason that these axes give."""
    gaps = [
        abs(date - cftime.datetime(year, 1, 1, calendar=date.calendar))
        for date in dates
        for year in (date.year, date.year + 1)
    ]
    return (
        numbers.dtype.kind == "f"
        and bool(AMBIGUOUS.search(str(error)))
        and min(gaps) < timedelta(hours=2)
    )


def years_of(numbers, **options):
    """The year of each number, without the rules that told it."""
    years, _ = resolve_years(numbers, **options)
    return years


@settings(max_examples=2000)
@given(time_axes())
def test_years_equal_cftime_or_are_refused(axis):
    numbers, units, calendar, dates = axis
    try:
        years = years_of(numbers, units=units, calendar=calendar, where="f.nc")
    except InputError as error:
        if not may_be_refused(error, numbers, dates):
            raise
    else:
        assert years == tuple(date.year for date in dates)


@given(time_axes())
def test_years_of_files_equal_cftime(tmp_path_factory, axis):
    numbers, units, calendar, dates = axis
    path = write_axis(
        tmp_path_factory.mktemp("axis") / "f.nc", numbers, units=units, calendar=calendar
    )
    file = inspect_netcdf(str(path))
    try:
        years = file.years
    except InputError as error:
        if not may_be_refused(error, numbers, dates):
            raise
    else:
        assert years == tuple(date.year for date in dates)


@given(
    st.sampled_from(CALENDARS[:-1]), st.integers(1, 2100), st.integers(1, 12), st.integers(1, 28),
    st.lists(st.integers(0, 2000), min_size=1), st.sampled_from(["years", "year", "Years", "common_years", "months"]),
)  # fmt: skip
def test_counted_years_and_months_are_exact(calendar, year, month, day, counts, unit):
    units = f"{unit} since {year}-{month:02d}-{day:02d} 12:00:00"
    months = 1 if unit == "months" else 12
    expected = tuple((year * 12 + month - 1 + count * months) // 12 for count in counts)
    for numbers in (np.array(counts), np.array(counts, np.float32), np.array(counts, float)):
        assert years_of(numbers, units=units, calendar=calendar, where="f.nc") == expected


def write_axis(
    path,
    numbers,
    *,
    units="days since 2000-01-01",
    calendar="standard",
    bounds=None,
    attrs=None,
    bounds_attrs=None,
):
    """A file of zeros on a time axis; `attrs` are added to the axis."""
    grid = Grid(46, 5, 0.5, 2, 2)
    numbers = np.asarray(numbers)
    clock = {"units": units, "calendar": calendar, **(attrs or {})}
    clock = {name: value for name, value in clock.items() if value is not None}
    variables = {**axes(grid), "time": (("time",), numbers, clock)}
    if bounds is not None:
        variables["time_bnds"] = (("time", "bnds"), np.asarray(bounds), bounds_attrs or {})
    variables["v"] = (("time", "lat", "lon"), np.zeros((numbers.size, 2, 2), np.float32), {})
    return write_nc(Path(path), variables)


def of_file(path, numbers, **options):
    file = inspect_netcdf(str(write_axis(path / "f.nc", numbers, **options)))
    return file.years, rules_of_files([file])


BOUNDS = {"attrs": {"bounds": "time_bnds"}}


@pytest.mark.parametrize(("stamps", "bounds", "rule"), [
    ([366, 731], [[0, 366], [366, 731]], AT_END),
    ([0, 366], [[0, 366], [366, 731]], None),
    ([183, 548.5], [[0, 366], [366, 731]], None),
    ([365, 730], [[0, 365], [366, 730]], None),
    ([366.0, 731.0], [[0.5, 366.5], [366.5, 731.5]], AT_END),
    ([0, 366], [[0, 0], [366, 366]], None),
    ([0, 366], [[-183, 183], [183, 548.5]], CENTRED),
    ([31, 397], [[0, 31], [366, 397]], None),
])  # fmt: skip
def test_bounds_tell_the_year(tmp_path, stamps, bounds, rule):
    years, rules = of_file(
        tmp_path, np.array(stamps, float), bounds=np.array(bounds, float), **BOUNDS
    )
    assert years == (2000, 2001)
    assert rules == ((rule,) if rule else ())


def test_years_since_take_half_year_bounds(tmp_path):
    units = "years since 2000-01-01"
    around, _ = of_file(
        tmp_path, [0.0, 1.0], units=units, bounds=[[-0.5, 0.5], [0.5, 1.5]], **BOUNDS
    )
    within, _ = of_file(
        tmp_path, [0.5, 1.5], units=units, bounds=[[0.0, 1.0], [1.0, 2.0]], **BOUNDS
    )
    at_end, rules = of_file(
        tmp_path, [1.0, 2.0], units=units, bounds=[[0.0, 1.0], [1.0, 2.0]], **BOUNDS
    )
    assert around == within == at_end == (2000, 2001)
    assert rules == (AT_END,)


def test_absent_bounds_leave_stamps(tmp_path):
    """LUH2 v2f names `bounds_time`, has none, and its extension has another `time_bnds` beside."""
    attrs = {"bounds": "bounds_time", "_FillValue": -6.27743856220419e66}
    years, rules = of_file(
        tmp_path, [0.0, 1.0], units="years since 2100-01-01 0:0:0", calendar="noleap", attrs=attrs,
        bounds=np.zeros((2, 2), np.int32),
    )  # fmt: skip
    assert years == (2100, 2101)
    assert rules == ()


def test_luh3_bounds_agree_with_stamps(tmp_path):
    edges = np.arange(1176) * 365.0
    years, rules = of_file(
        tmp_path, edges[:-1], units="days since 850-1-1", calendar="noleap",
        bounds=np.stack([edges[:-1], edges[1:]], axis=1), **BOUNDS,
    )  # fmt: skip
    assert years == tuple(range(850, 2025))
    assert rules == ()


@pytest.mark.parametrize(("stamps", "bounds", "message"), [
    ([548], [[182, 547]], "covers 2000-07-01 to 2001-07-01, expected one calendar year"),
    ([0], [[0, 7305]], "covers 2000-01-01 to 2020-01-01, expected one calendar year; a mean over several years"),
    ([0], [[366, 731]], "stamped 2000-01-01 but covers 2001-01-01 to 2002-01-01"),
    ([800], [[0, 366]], "stamped 2002-03-11 but covers 2000-01-01 to 2001-01-01"),
    ([0], [[366, 0]], "expected the start before the end"),
    ([0], [[0, np.nan]], "the time axis has gaps"),
    ([0], [[0, 366, 731]], r"time bounds of shape \(1, 3\), expected \(1, 2\)"),
])  # fmt: skip
def test_bounds_without_a_year_are_refused(tmp_path, stamps, bounds, message):
    with pytest.raises(InputError, match=message):
        of_file(tmp_path, np.array(stamps, float), bounds=np.array(bounds, float), **BOUNDS)


def test_climatology_is_no_year(tmp_path):
    with pytest.raises(InputError, match="covers 1971-01-01 to 2001-01-01"):
        of_file(tmp_path, [0.0], bounds=[[-10592.0, 366.0]], attrs={"climatology": "time_bnds"})


def test_bounds_of_other_units_are_refused(tmp_path):
    with pytest.raises(
        InputError,
        match="bounds time_bnds have the units 'days since 1850-1-1', expected 'days since",
    ):
        of_file(
            tmp_path,
            [0.0],
            bounds=[[0.0, 366.0]],
            bounds_attrs={"units": "days since 1850-1-1"},
            **BOUNDS,
        )


def test_plain_years_contradict_bounds_of_another_year(tmp_path):
    years, _ = of_file(
        tmp_path, [2000, 2001], units="year", bounds=[[2000, 2001], [2001, 2002]], **BOUNDS
    )
    assert years == (2000, 2001)
    with pytest.raises(InputError, match="time names the year 2001 with time bounds in 2000"):
        of_file(tmp_path, [2001], units="year", bounds=[[2000, 2001]], **BOUNDS)


@pytest.mark.parametrize(("units", "calendar", "number", "year"), [
    ("days since 0850-01-01", "standard", 420_036, 2000),
    ("days since 0850-01-01", "proleptic_gregorian", 420_031, 2000),
    ("days since 1850-03-01", "noleap", 305, 1850),
    ("days since 1850-03-01", "noleap", 306, 1851),
    ("hours since 1850-01-01 12", "noleap", 8748, 1851),
    ("hours since 1850-01-01 12", "noleap", 8747, 1850),
    ("days since 2000-1-1 0:0:0 -5", "standard", 365, 2000),
    ("hours since 1999-12-31 22:00 -5", "standard", 0, 2000),
    ("days since 850", "noleap", 365, 851),
    ("days since 0000-01-01", "noleap", 365, 1),
    ("years since 0000-01-01", "standard", 1850, 1850),
    ("common_years since 850-1-1", "noleap", 1.5, 851),
    ("months since 1850-01-01", "360_day", 12.5, 1851),
    ("months since 1850-12-31", "standard", 2, 1851),
    ("microseconds since 2000-12-31", "standard", 86_400_000_000 - 1, 2000),
    ("years since 1849-12-31", "noleap", 1, 1850),
])  # fmt: skip
def test_epochs_are_read_to_their_end(units, calendar, number, year):
    assert years_of(np.array([number]), units=units, calendar=calendar, where="f.nc") == (year,)


@pytest.mark.parametrize(("units", "calendar", "message"), [
    ("days since 1850-1-1", "utc", "time is in calendar 'utc', expected one of standard"),
    ("days since 1850-1-1", "none", "time is in calendar 'none'"),
    ("years since 1850-1-1", "lunar", "time is in calendar 'lunar'"),
    ("days since 1850-1-1", "", "time is in calendar ''"),
    ("days since 1850-1-1 EST", "standard", "expected a date such as 850-01-01 00:00:00 after `since`"),
    ("days since 01-JAN-1850", "standard", "expected a date such as"),
    ("days since 20000101", "standard", "expected a date such as"),
    ("days since 1850-02-30", "standard", "cannot be decoded"),
    ("days since 1582-10-10", "standard", "cannot be decoded"),
    ("days since 0000-01-01", "standard", "cannot be decoded"),
    ("years since 2001-02-29", "standard", "the epoch of .* cannot be decoded"),
    ("weeks since 1850-1-1", "standard", "cannot be decoded"),
    ("fortnights since 1850-1-1", "standard", "cannot be decoded"),
    ("days", "standard", "time is in units 'days', expected"),
    ("day as %Y%m%d.%f", "standard", "time is in units"),
    ("since 1850-1-1", "standard", "time is in units"),
    ("", "standard", r"time is \[1.0\]... in units ''"),
])  # fmt: skip
def test_undecodable_axes_are_refused(units, calendar, message):
    with pytest.raises(InputError, match=f"f.nc: .*{message}"):
        years_of(np.array([1.0]), units=units, calendar=calendar, where="f.nc")


@pytest.mark.parametrize(("number", "units"), [
    (0.5, "years since 2000-1-1"), (135.504, "years since 1860-1-1 12:00:00"), (1.25, "months since 2000-1-1"),
    (1e36, "days since 2000-1-1"), (1e36, "years since 2000-1-1"), (2000.5, "year"),
])  # fmt: skip
def test_parts_of_years_are_refused(number, units):
    with pytest.raises(InputError, match=r"f\.nc: time "):
        years_of(np.array([number]), units=units, calendar="standard", where="f.nc")


def test_rounding_before_new_year_is_undone():
    days = np.array([0.0, 365 - 1e-9, 730 + 1e-9])
    assert years_of(days, units="days since 1850-1-1", calendar="noleap", where="f.nc") == (
        1850,
        1851,
        1852,
    )
    thirds = np.arange(400) * 365 * 24 * (1 / 3) * 3 / 24
    years = years_of(thirds, units="days since 1850-1-1", calendar="noleap", where="f.nc")
    assert years == tuple(range(1850, 2250))


def test_only_last_moments_are_refused():
    with pytest.raises(InputError, match="rounding of midnight or the last moment of a year"):
        years_of(
            np.array([365 - 1e-9, 730 - 1e-9]),
            units="days since 1850-1-1",
            calendar="noleap",
            where="f.nc",
        )


def test_single_precision_is_exact_or_refused():
    seconds = np.arange(150, dtype=np.int64) * 365 * 86400
    options = {"units": "seconds since 1850-1-1", "calendar": "noleap", "where": "f.nc"}
    assert years_of(seconds, **options) == tuple(range(1850, 2000))
    with pytest.raises(
        InputError, match="time is stored in single precision, which cannot tell whether"
    ):
        years_of(seconds.astype(np.float32), **options)
    days = (seconds // 86400).astype(np.float32)
    assert years_of(days, **{**options, "units": "days since 1850-1-1"}) == tuple(range(1850, 2000))
    middle = (seconds + 182 * 86400).astype(np.float32)
    assert years_of(middle, **options) == tuple(range(1850, 2000))


@pytest.mark.parametrize(("attrs", "message"), [
    ({"scale_factor": 365.0}, "the time axis is packed"),
    ({"_FillValue": 366.0}, "the time axis has gaps"),
    ({"units": None}, r"time is \[0.0, 366.0\]... in units ''"),
])  # fmt: skip
def test_packed_and_missing_numbers_are_refused(tmp_path, attrs, message):
    with pytest.raises(InputError, match=message):
        of_file(tmp_path, np.array([0.0, 366.0]), attrs=attrs)


def test_no_calendar_means_standard(tmp_path):
    years, _ = of_file(tmp_path, np.array([0, 420_036]), units="days since 850-1-1", calendar=None)
    assert years == (850, 2000)


def test_texts_are_no_times():
    with pytest.raises(InputError, match="the time axis holds"):
        resolve_years(np.array(["2000-01-01"]), units="", calendar="standard", where="f.nc")
