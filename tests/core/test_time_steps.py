"""Time steps: what a step is called, when it begins, and where it lies in a longer one."""

from itertools import pairwise

import cftime
import pytest

from luray.core.time_steps import DAYS_OF_YEAR, TimeSteps

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
