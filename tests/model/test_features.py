import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.variable import Variable
from luray.model.features import CHANGE_SCALE, Features, changes, scaled

FLOATS = st.floats(-5, 1e6, width=32) | st.just(float("nan"))
LEVEL = Variable("people", "forcing", "km-2", "people", scale=4.0)
ZONE = Variable("zone", "forcing", "1", "zone", dtype="uint8", categories=(3, 1))


@given(values=arrays.arrays(np.float32, (2, 3), elements=FLOATS))
def test_a_continuous_variable_is_scaled_and_missing_is_zero(values):
    found = scaled(values, LEVEL)
    assert found.shape == (1, 2, 3)
    assert found.dtype == np.float32
    for value, seen in zip(values.ravel(), found.ravel(), strict=True):
        assert seen == (0 if np.isnan(value) else value / np.float32(4))


def test_a_logarithm_comes_before_the_scale():
    variable = Variable("people", "forcing", "km-2", "people", transform="log1p", scale=2.0)
    assert np.allclose(scaled(np.array([[0, np.e - 1, np.nan]]), variable), [[[0, 0.5, 0]]])


@given(values=arrays.arrays(np.uint8, (2, 3), elements=st.integers(0, 4) | st.just(255)))
def test_a_category_is_one_hot_in_the_declared_order(values):
    found = scaled(values, ZONE)
    assert found.tolist() == [
        (values == 3).astype(float).tolist(),
        (values == 1).astype(float).tolist(),
    ]


def test_names_count_every_channel_in_order():
    features = Features(2, (ZONE, LEVEL), (Variable("height", "static", "m", "height"), ZONE))
    assert features.names == (
        "prior=0",
        "prior=1",
        "land",
        "zone=3",
        "zone=1",
        "people",
        "change of people",
        "relative change of people",
        "height",
        "zone=3",
        "zone=1",
    )
    assert features.n_channels == 11
    assert features.continuous_levels.tolist() == [2], "a change of category is no difference"
    assert Features(2, (), ()).names == ("prior=0", "prior=1", "land")


def test_shares_of_classes_are_grouped_by_their_codes():
    shares = (
        Variable("crops", "forcing", "1", "crops", classes=(22,)),
        ZONE,
        Variable("wood", "forcing", "1", "wood", classes=(44, 55)),
        Variable("people", "forcing", "1", "people"),
        Variable("young_wood", "forcing", "1", "young wood", classes=(44, 55)),
        Variable("ice", "forcing", "1", "ice", classes=(99,)),
    )
    features = Features(4, shares, (), codes=(11, 22, 44, 55))
    assert features.share_groups == ((0,), (3, 5)), "of classes that the legend has"
    assert features.group_of_class.tolist() == [-1, 0, 1, 1]
    n_own = features.slices.own_share.stop - features.slices.own_share.start
    assert n_own == 2
    assert features.memory.stop == features.memory.start, "one map is no memory"
    remembering = features.remembering(3)
    assert remembering.n_channels == features.n_channels + 2 * 4 + 3 + 2
    assert len(remembering.names) == len(set(remembering.names)) == remembering.n_channels


LEVELS = arrays.arrays(np.float32, (2, 3), elements=st.sampled_from([0, 0.25, 0.5, 1]))


@given(now=LEVELS, prior=LEVELS)
def test_a_relative_change_is_what_is_lost_or_new_whatever_the_library(now, prior):
    change, relative = changes(now, prior, np)
    half = changes(np.float32([0.5 + CHANGE_SCALE]), np.float32([0.5]), np)[0]
    assert abs(half - 0.5) < 1e-5
    assert (np.abs(change) < 1).all()
    assert (np.sign(change) == np.sign(now - prior)).all()
    for a, b, part in zip(now.ravel(), prior.ravel(), relative.ravel(), strict=True):
        assert abs(part - (0 if a == b else a / b - 1 if a < b else 1 - b / a)) < 1e-5
    twins = changes(torch.from_numpy(now), torch.from_numpy(prior), torch)
    for found, twin in zip((change, relative), twins, strict=True):
        assert found.dtype == np.float32
        assert np.allclose(found, twin.numpy())
