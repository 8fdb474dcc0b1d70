"""Three small maps with row areas, as Hypothesis strategies; some cells lie outside, most do not
change.
"""

import numpy as np
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE

K = 4
WATER = 3


@st.composite
def maps(draw, *, max_size=12):
    """(initial, truth, predicted, confidence, cell_area) of one box."""
    n_lat, n_lon = draw(st.integers(1, max_size)), draw(st.integers(1, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    change = draw(st.sampled_from([0.0, 0.1, 0.5]))
    initial = rng.integers(0, K, (n_lat, n_lon))
    truth, predicted = (
        np.where(rng.random(initial.shape) < change, rng.integers(0, K, initial.shape), initial)
        for _ in range(2)
    )
    found = []
    for classes in (initial, truth, predicted):
        outside = rng.random(initial.shape) < draw(st.sampled_from([0.0, 0.2]))
        found.append(np.where(outside, OUTSIDE, classes).astype(np.uint8))
    confidence = rng.integers(0, 101, initial.shape).astype(np.uint8)
    return (*found, confidence, rng.uniform(100, 1e6, n_lat))
