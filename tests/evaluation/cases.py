"""Maps of one year as Hypothesis strategies, and tallies of random maps."""

import numpy as np
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.evaluation.aggregation import Tally
from luray.evaluation.flicker import Flicker
from luray.evaluation.statistics import TwoYears, statistics_of_year

K = 4
WATER = 3

HILDA_WATER = 6
"""Index of water in the legend of HILDA+, which random tallies have."""


@st.composite
def maps(draw, *, max_size=12):
    """(initial, truth, predicted, confidence, cell_area) of one box.

    Some cells lie outside, and most do not change.
    """
    n_lat = draw(st.integers(1, max_size))
    n_lon = draw(st.integers(1, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    change = draw(st.sampled_from([0.0, 0.1, 0.5]))
    initial = rng.integers(0, K, (n_lat, n_lon))

    def changed():
        return np.where(
            rng.random(initial.shape) < change, rng.integers(0, K, initial.shape), initial
        )

    truth = changed()
    predicted = changed()

    with_outside = []
    for classes in (initial, truth, predicted):
        outside = rng.random(initial.shape) < draw(st.sampled_from([0.0, 0.2]))
        with_outside.append(np.where(outside, OUTSIDE, classes).astype(np.uint8))
    confidence = rng.integers(0, 101, initial.shape).astype(np.uint8)
    return (*with_outside, confidence, rng.uniform(100, 1e6, n_lat))


def bordered(classes):
    """A map with a row and a column of sea beyond it."""
    return np.pad(classes, ((0, 1), (0, 1)), constant_values=OUTSIDE)


def random_tally(years, *, seed=0):
    """A tally of random maps of HILDA+ classes, of which half of the change is predicted."""
    rng = np.random.default_rng(seed)
    initial = rng.integers(0, 7, (30, 30)).astype(np.uint8)
    truth = predicted = initial
    statistics = {}
    for year in years:
        before = truth, predicted
        changes = rng.random(truth.shape) < 0.05
        truth = np.where(changes, rng.integers(0, 7, truth.shape), truth).astype(np.uint8)
        foreseen = rng.random(truth.shape) < 0.5
        predicted = np.where(foreseen, truth, initial).astype(np.uint8)
        statistics[year] = statistics_of_year(
            bordered(initial),
            TwoYears(bordered(before[0]), bordered(truth)),
            TwoYears(bordered(before[1]), bordered(predicted)),
            cell_area=np.full(30, 1e6),
            n_classes=7,
            water=HILDA_WATER,
            confidence=np.full(truth.shape, 80, np.uint8),
            corner=(0, 0),
            side=5,
        )
    return Tally(statistics)


def steady_flicker(years, share):
    """Flicker of years in each of which the same share of the changes is undone."""
    return {year: Flicker(1000.0, 1000.0 * share) for year in years}
