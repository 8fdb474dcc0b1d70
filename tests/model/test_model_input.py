"""The input of the model as tensors."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.core.variable import Variable
from luray.model.features import CHANGE_SCALE, UNKNOWN, Features
from luray.model.model_input import assemble, memory_channels
from tests import reference

HEIGHT = Variable("height", "static", "m", "height")


@given(
    prior=arrays.arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, UNKNOWN, OUTSIDE]))
)
def test_the_prior_is_one_hot_with_a_land_channel(prior):
    features = Features(3, (Variable("people", "forcing", "1", "people"),), (HEIGHT,))
    now, before, static = torch.rand(3, 2, 1, 3, 4)
    found = assemble(torch.from_numpy(prior[:, None]), now, before, static, features)
    assert found.shape == (2, 8, 3, 4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for b, i, j in np.ndindex(prior.shape):
        k = int(prior[b, i, j])
        assert found[b, :4, i, j].tolist() == [
            float(k == 0),
            float(k == 1),
            float(k == 2),
            float(k != OUTSIDE),
        ]
    change = now - before
    assert torch.equal(found[:, 4:5], now)
    assert torch.allclose(found[:, 5:6], change / (change.abs() + CHANGE_SCALE))
    assert torch.allclose(found[:, 6:7], change / torch.maximum(now, before), atol=1e-4)
    assert torch.equal(found[:, 7:], static)


@given(
    maps=arrays.arrays(
        np.uint8, (2, 3, 3, 4), elements=st.sampled_from([0, 1, 2, UNKNOWN, OUTSIDE])
    )
)
def test_a_cell_is_shown_how_the_share_of_its_class_changes(maps):
    shares = (
        Variable("crops", "forcing", "1", "crops", classes=(22,)),
        Variable("wood", "forcing", "1", "wood", classes=(44,)),
        Variable("young_wood", "forcing", "1", "young wood", classes=(44,)),
    )
    features = Features(3, shares, (), history=3, codes=(11, 22, 44))
    now, before = torch.rand(2, 2, 3, 3, 4)
    found = assemble(torch.from_numpy(maps), now, before, torch.zeros(2, 0, 3, 4), features)
    assert found.shape[1] == features.n_channels
    for b in range(2):
        levels = now[b].numpy(), before[b].numpy()
        other = [
            [
                reference.last_other(maps[b, :, i, j].tolist(), 3)
                if maps[b, 0, i, j] < 255
                else 255
                for j in range(4)
            ]
            for i in range(3)
        ]
        for codes, channels in (
            (maps[b, 0], features.slices.own_share),
            (np.array(other), features.slices.last_share),
        ):
            expected = reference.share_changes(codes, *levels, features)
            assert np.allclose(found[b, channels].numpy(), expected, atol=1e-6)


@given(
    maps=arrays.arrays(
        np.uint8,
        st.tuples(st.just(2), st.integers(2, 6), st.just(2), st.just(3)),
        elements=st.sampled_from([0, 1, 2, UNKNOWN, OUTSIDE]),
    )
)
def test_memory_is_that_of_each_cell(maps):
    found = memory_channels(torch.from_numpy(maps), n_classes=3).channels_BMHW.numpy()
    assert found.dtype == np.float32
    for b, i, j in np.ndindex(maps[:, 0].shape):
        codes = maps[b, :, i, j].tolist()
        expected = reference.remembered(codes, 3, len(codes)) * (codes[0] != OUTSIDE)
        assert np.array_equal(found[b, :, i, j], expected)


def test_memory_lies_between_the_prior_and_the_forcing():
    maps = torch.randint(3, (1, 4, 2, 2), dtype=torch.uint8)
    groups = Features(3, (), (), history=4).slices
    nothing = torch.zeros(1, 0, 2, 2)
    inputs = assemble(maps, nothing, nothing, nothing, Features(3, (), (), history=4))
    assert inputs.shape[1] == groups.static.stop
    memory = memory_channels(maps, n_classes=3).channels_BMHW
    assert torch.equal(inputs[:, groups.shares.start : groups.known.stop], memory)
    assert (memory[:, -1] == 1).all(), "all maps are known"


def test_a_map_that_is_missing_is_known_to_be():
    complete = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    cut = complete.clone()
    cut[:, 2] = OUTSIDE
    shares, _, _, _, known = memory_channels(cut, n_classes=1).channels_BMHW.flatten().tolist()
    assert known == np.float32(2 / 3)
    assert shares < 1
    assert memory_channels(complete, n_classes=1).channels_BMHW.flatten().tolist()[0] == 1
