"""Long legends in pictures: what there is room for is named."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from luray.viz.largest import largest


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_the_largest_classes_are_named_in_the_order_of_the_legend(values, most):
    named = largest(values, most)
    assert named == sorted(set(named))
    if len(values) <= most:
        assert named == list(range(len(values)))
        return
    assert len(named) == min(most, int((np.array(values) > 0).sum()))
    left_out = [value for k, value in enumerate(values) if k not in named]
    assert not named or min(values[k] for k in named) >= max(left_out)
