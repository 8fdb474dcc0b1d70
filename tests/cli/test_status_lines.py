"""How far a product is, in a few lines."""

import time
from collections import Counter

import pytest

from luray.cli.status_lines import spans, status_lines
from luray.core.time_steps import TimeSteps
from luray.product.dimensions import ProductDims
from luray.product.status import Status


def text_of(status):
    return "\n".join(status_lines(status))


def test_years_are_said_as_spans():
    assert spans([1850, 1851, 1853, 1855, 1856]) == "1850-1851, 1853, 1855-1856"


def test_a_product_that_is_written_has_a_rate_and_a_writer():
    now = time.time()
    times = tuple(now - 40 + 5 * i for i in range(9))
    status = Status(
        "Land use",
        (1999, 2000, 2001, 2002),
        4,
        Counter({1999: 4, 2000: 4, 2001: 1}),
        times,
        finished=False,
        holder="process 7 on node",
    )
    assert status.rate() == pytest.approx(0.2)
    text = text_of(status)
    assert "9 of 16 tile-years, 2 of 4 years whole: 1999-2000" in text
    assert "begun: 2001 (1/4)" in text
    assert "being written by process 7 on node; 0.20 tile-years/s, 0:00:35 left" in text


def test_a_product_that_lies_idle_has_neither():
    now = time.time()
    times = (now - 5000, now - 4000)
    idle = Status("Land use", (1999,), 4, Counter({1999: 1}), times, finished=False, holder="")
    assert "nobody is writing it; none done lately" in text_of(idle)


def test_a_finished_product_says_so():
    whole = Status("Land use", (1999,), 4, Counter({1999: 4}), (), finished=True, holder="")
    assert status_lines(whole)[-1] == "  finished"


def test_scenarios_and_members_are_named():
    status = Status(
        "Land use",
        (1999, 2000),
        4,
        Counter({1999: 32, 2000: 5}),
        (),
        finished=False,
        holder="",
        dims=ProductDims(("ssp126", "ssp585"), 3),
    )
    text = text_of(status)
    assert "37 of 64 tile-years, 1 of 2 years whole: 1999" in text, (
        "2 scenarios of 3 maps and what is across them"
    )
    assert "of scenarios ssp126, ssp585 and 3 members" in text
    assert "begun: 2000 (5/32)" in text


def test_months_are_named_by_their_labels():
    first = TimeSteps("month").step(2004, 0)
    steps = tuple(range(first, first + 14))
    done = Counter(dict.fromkeys(steps[:5], 4)) + Counter({steps[13]: 4, steps[6]: 1})
    status = Status("LAI", steps, 4, done, (), finished=False, holder="", time=TimeSteps("month"))
    text = text_of(status)
    assert "25 of 56 tile-years, 6 of 14 months whole: 2004-01 to 2004-05, 2005-02" in text
    assert "begun: 2004-07 (1/4)" in text
