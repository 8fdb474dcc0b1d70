import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from luray.core.percent import percent


@given(total=st.integers(0, 10**6), share=st.fractions(0, 1))
def test_halves_are_rounded_up(total, share):
    part = int(share * total)
    shares = percent(np.array([part], np.int32), np.array([total], np.int64))
    expected = (200 * part + total) // (2 * total) if total else 0
    assert shares.tolist() == [expected]
    assert not total or abs(100 * part / total - expected) <= 0.5 + 1e-9
