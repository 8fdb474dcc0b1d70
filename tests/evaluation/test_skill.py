"""The outcome of a test: which years it may be tallied in, and which of them it leaves out."""

import pytest

from luray.evaluation.aggregation import Tally
from luray.evaluation.skill import Outcome
from tests.evaluation.cases import random_tally


def test_a_year_on_the_wrong_side_of_the_start_is_refused():
    with pytest.raises(ValueError, match=r"goes backward from 2000 but was tallied in \[2001\]"):
        Outcome("hindcast", "backward", 2000, random_tally([2001]))


def test_a_test_without_a_year_is_refused():
    with pytest.raises(ValueError, match="no year tallied"):
        Outcome("forecast", "forward", 2000, Tally())


def test_tells_whether_years_past_those_left_out_are_scored():
    scored = [year for year in range(2001, 2021) if year not in (2015, 2016)]
    outcome = Outcome("forecast", "forward", 2000, random_tally(scored), left_out=(2015, 2016))
    assert outcome.scores_past_left_out
    whole = Outcome("forecast", "forward", 2000, random_tally(range(2001, 2021)))
    assert not whole.scores_past_left_out
    years = range(2001, 2015)
    ended = Outcome("forecast", "forward", 2000, random_tally(years), left_out=(2015,))
    assert not ended.scores_past_left_out, "nothing is scored beyond 2015"
