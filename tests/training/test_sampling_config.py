"""Settings of the samples: what makes no sense is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.training.sampling_config import SamplingConfig


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"change_share": 1.5}, r"training\.sampling\.change_share is 1\.5, expected 0 to 1"),
        ({"zone_balance": -1.0}, "zone_balance is -1.0"),
        ({"validation_share": 0.9}, "expected 0 to 0.5"),
        ({"blocks": (0, 3)}, "must be at least 1"),
        ({"least_change": 0}, "must be at least 1"),
    ],
)
def test_sampling_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        SamplingConfig(**options)


@given(
    first=st.integers(1900, 1950),
    n=st.integers(1, 60),
    share=st.sampled_from([0.0, 0.1, 0.5]),
    rollout_years=st.integers(1, 4),
)
def test_held_out_years_leave_a_rollout(first, n, share, rollout_years):
    config = SamplingConfig(validation_years=share)
    held_out = config.n_held_out_years(first, first + n, rollout_years=rollout_years)
    assert 0 <= held_out <= max(0, n - rollout_years)
    if share and n > rollout_years:
        assert held_out == min(max(1, round(share * n)), n - rollout_years)
    else:
        assert held_out == 0
