"""Years of time axes and of series of files."""

import numpy as np
import pytest

from luray.sources.years import (
    check_series,
    format_years,
    held_by,
    hold_rules,
    resolve_years,
    shared_years,
)
from luray.storage.errors import InputError


@pytest.mark.parametrize(
    ("times", "units", "calendar", "years"),
    [
        ([0, 1, 1165], "years since 850-01-01 0:0:0", "noleap", (850, 851, 2015)),
        ([0, 85], "years since 2015-01-01 0:0:0", "standard", (2015, 2100)),
        ([1, 2], "years since 1860-1-1 12:00:00", "proleptic_gregorian", (1861, 1862)),
        ([0, 365, 730, 1166 * 365 - 1], "days since 850-01-01", "noleap", (850, 851, 852, 2015)),
        ([365.5], "days since 850-01-01", "365_day", (851,)),
        ([0, 365, 731], "days since 2015-01-01", "standard", (2015, 2016, 2017)),
        ([91311, 91676], "days since 1601-1-1 00:00:00", "proleptic_gregorian", (1851, 1852)),
        ([0, 360], "days since 1900-1-1", "360_day", (1900, 1901)),
        ([1899, 2019], "", "standard", (1899, 2019)),
        ([1899, 2019], "year", "standard", (1899, 2019)),
    ],
)
def test_years_of_published_axes(times, units, calendar, years):
    resolved, _ = resolve_years(
        np.array(times, float), units=units, calendar=calendar, where="f.nc"
    )
    assert resolved == years


@pytest.mark.parametrize(
    ("times", "units"),
    [
        ([0, 1], ""),
        ([1900.5], "year"),
        ([5.5], "months since 1900-1-1"),
        ([1900], "hPa"),
        ([np.nan, 1], "years since 850-1-1"),
    ],
)
def test_other_axes_are_refused(times, units):
    with pytest.raises(InputError, match=r"f\.nc: (time is|the time axis has gaps)"):
        resolve_years(np.array(times, float), units=units, calendar="standard", where="f.nc")


@pytest.mark.parametrize(
    ("years", "message"),
    [
        ([], "no years found"),
        ([1900, 1901, 1901, 1902], "years 1901 occur more than once"),
        ([1900, 1902, 1901], "not in order at 1901"),
        ([1900, 1901, 1905, 1906], "years 1902-1904 are missing between 1900 and 1906"),
    ],
)
def test_broken_series_is_refused_by_year(years, message):
    with pytest.raises(InputError, match=message):
        check_series(years, where="maps")


def test_whole_series_passes():
    check_series([1899, 1900, 1901], where="maps")
    check_series([2020], where="maps")


def test_gap_passes_where_years_are_held():
    check_series([1900, 1902], where="maps", gaps="held")
    with pytest.raises(InputError, match="occur more than once"):
        check_series([1900, 1900], where="maps", gaps="held")


def test_held_years_read_the_last_before():
    held = held_by([1861, 1862, 1865], range(1859, 1868))
    assert held == {1859: 1861, 1860: 1861, 1863: 1862, 1864: 1862, 1866: 1865, 1867: 1865}
    assert hold_rules(held) == (
        "years 1859-1860 (2) hold 1861",
        "years 1863-1864 (2) hold 1862",
        "years 1866-1867 (2) hold 1865",
    )


def test_span_joins_runs_of_years():
    assert format_years([1905, 1899, 1901, 1900]) == "1899-1901, 1905"


def test_series_without_run_years_is_refused():
    assert shared_years([1899, 1900], range(1900, 1910), where="maps") == {1900}
    with pytest.raises(
        InputError, match="maps: holds years 1899-1900, none of the run's 1950-1951"
    ):
        shared_years([1899, 1900], range(1950, 1952), where="maps")
