"""Time steps: what a step is called, when it begins, and where it lies in a longer one."""

from datetime import date
from itertools import pairwise

import cftime
import pytest

from luray.core.time_steps import DAYS_OF_YEAR, TimeSteps, steps_of_a_year

INTERVALS = {"year": 1, "month": 12, "dekad": 36, "P8D": 46}


@pytest.mark.parametrize(("interval", "per_year"), INTERVALS.items())
def test_steps_follow_each_other_without_a_gap(interval, per_year):
    time = TimeSteps(interval)
    steps = time.of_years(1999, 2001)
    assert len(steps) == 3 * per_year == 3 * time.per_year
    bounds = [time.bounds(step, epoch=1999) for step in steps]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 3 * DAYS_OF_YEAR
    assert all(end == begin for (_, end), (begin, _) in pairwise(bounds))
    for step in steps:
        assert time.step(time.year(step), time.in_year(step)) == step


@pytest.mark.parametrize("interval", INTERVALS)
def test_labels_are_the_dates_of_the_calendar(interval):
    """Labels against cftime's calendar without leap days."""
    time = TimeSteps(interval)
    for step in time.of_years(2003, 2004):
        first_day, _ = time.bounds(step, epoch=1850)
        moment = cftime.num2date(first_day, "days since 1850-01-01", "noleap")
        written = moment.strftime("%Y-%m-%d")
        assert written.startswith(time.label(step))
        assert interval in ("year", "month") or written == time.label(step)


def test_a_longer_step_holds_for_all_steps_in_it():
    dekads = TimeSteps("dekad")
    months = TimeSteps("month")
    for step in dekads.of_years(2000, 2001):
        month = dekads.index(step, 12)
        assert months.label(month) == dekads.label(step)[:7]
        assert dekads.index(step, 1) == dekads.year(step)
        assert dekads.index(step, 36) == step


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_step_is_known_by_its_label(interval):
    time = TimeSteps(interval)
    for step in time.of_years(2003, 2004):
        assert time.step_of(time.label(step)) == step
        assert time.step_at(time.bounds(step, epoch=1850)[0], epoch=1850) == step
        assert time.step_on(*map(int, time.dates(step)[0].split("-"))) == step
        assert time.dates(step)[0].startswith(time.label(step))
        first, last = (date.fromisoformat(day) for day in time.dates(step))
        begin, end = time.bounds(step, epoch=time.year(step))
        leap_day = first <= date(2004, 2, 29) <= last
        assert (last - first).days + 1 - leap_day == end - begin
    for wrong in ("2004-13", "march", "2004-", "2004-03-02", "2004.5"):
        with pytest.raises(ValueError, match=f"'{wrong}' is no time step .*, expected one such as"):
            time.step_of(wrong)


def test_steps_are_told_by_their_number_in_a_year():
    assert {n: steps_of_a_year(n) for n in (1, 12, 36, 46, 365)} == {
        **{n: TimeSteps(interval) for interval, n in INTERVALS.items()},
        365: None,
    }


def test_a_day_within_a_step_begins_none():
    with pytest.raises(ValueError, match=r"2001-01-02 is no first day of .* 'month'"):
        TimeSteps("month").step_on(2001, 1, 2)
