"""Dates to time steps: of any calendar, into longer steps, and what is refused."""

import cftime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.time_steps import TimeSteps
from luray.sources.time_steps import (
    check_steps,
    format_steps,
    require_longer,
    require_months,
    step_around,
    step_of,
)
from luray.storage.errors import InputError

TIMES = {name: TimeSteps(name) for name in ("year", "month", "dekad", "P8D")}


@pytest.mark.parametrize("interval", TIMES)
@pytest.mark.parametrize("calendar", ["noleap", "standard"])
def test_every_day_of_a_step_belongs_to_it(interval, calendar):
    time = TIMES[interval]
    for step in time.of_years(2003, 2003):
        first, end = time.bounds(step, epoch=2003)
        for day in range(first, end):
            moment = cftime.num2date(day + 0.5, "days since 2003-01-01", calendar)
            assert step_of(moment, time, where="a.nc") == step


@pytest.mark.parametrize(
    ("interval", "date", "label"),
    [
        ("dekad", (2004, 2, 29), "2004-02-21"),
        ("dekad", (2004, 1, 31), "2004-01-21"),
        ("dekad", (2004, 1, 10), "2004-01-01"),
        ("P8D", (2004, 12, 31), "2004-12-27"),
        ("P8D", (2004, 3, 5), "2004-03-06"),  # day 65 of a leap year, where MODIS begins a step
        ("month", (2004, 2, 29), "2004-02"),
    ],
)
def test_leap_days_belong_to_a_step(interval, date, label):
    time = TIMES[interval]
    moment = cftime.datetime(*date, calendar="standard")
    assert time.label(step_of(moment, time, where="a.nc")) == label


@given(st.sampled_from(["P8D", "dekad", "month"]), st.sampled_from(["dekad", "month", "year"]))
def test_every_longer_step_has_shorter_ones(interval, longer_interval):
    time, longer = TIMES[interval], TIMES[longer_interval]
    if longer.per_year > time.per_year:
        with pytest.raises(InputError, match="the run's steps are shorter"):
            require_longer(time, longer, where="a")
        return
    require_longer(time, longer, where="a")
    around = [step_around(step, time, longer) for step in time.of_years(2001, 2001)]
    assert sorted(set(around)) == list(longer.of_years(2001, 2001))
    assert around == sorted(around)
    for step, of_longer in zip(time.of_years(2001, 2001), around, strict=True):
        first, end = time.bounds(step, epoch=2001)
        low, high = longer.bounds(of_longer, epoch=2001)
        shared = min(end, high) - max(first, low)
        assert 2 * shared >= end - first  # most of it lies within


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "no time steps found"),
        ([24000, 24001, 24001], "time steps 2000-02 occur more than once"),
        ([24001, 24000], "not in order at time steps 2000-01"),
        ([24000, 24003], "time steps 2000-02 to 2000-03 are missing, found 2000-01 to 2000-04"),
    ],
)
def test_a_broken_series_is_refused(steps, message):
    with pytest.raises(InputError, match=message):
        check_steps(steps, TIMES["month"], where="a.nc")


def test_wanted_steps_may_lie_beyond_the_series():
    check_steps([24000, 24003], TIMES["month"], where="a.nc", wanted=[24003])
    with pytest.raises(InputError, match="time steps 2000-05 are missing"):
        check_steps([24000, 24003], TIMES["month"], where="a.nc", wanted=[24003, 24004])


def test_stamps_that_wander_are_of_another_calendar():
    numbers = range(15, 360 * 4, 30)
    right = cftime.num2date(list(numbers), "days since 2000-01-01", "360_day")
    require_months(list(right), where="a.nc")
    ends = [cftime.datetime(2001, month, 1).daysinmonth for month in range(1, 13)]
    at_the_end = [cftime.datetime(2001, month + 1, day) for month, day in enumerate(ends)]
    require_months(at_the_end, where="a.nc")
    wrong = cftime.num2date(list(numbers), "days since 2000-01-01", "standard")
    with pytest.raises(InputError, match=r"wander from day .* in the calendar 'standard'"):
        require_months(list(wrong), where="a.nc")


def test_eight_days_need_days_of_the_year():
    moment = cftime.datetime(2000, 2, 30, calendar="360_day")
    with pytest.raises(InputError, match="years of 360 days"):
        step_of(moment, TIMES["P8D"], where="a.nc")


def test_steps_are_named_by_their_dates():
    steps = [TIMES["P8D"].step(2004, k) for k in (0, 1, 5)]
    named = "time steps 2004-01-01 to 2004-01-09, 2004-02-10"
    assert format_steps(steps, TIMES["P8D"]) == named
