"""The input of the model as tensors."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN, Features
from luray.model.model_input import assemble, memory_channels
from tests import reference


@given(
    prior=arrays.arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, UNKNOWN, OUTSIDE]))
)
def test_the_prior_is_one_hot_with_a_land_channel(prior):
    context = torch.rand(2, 5, 3, 4)
    found = assemble(torch.from_numpy(prior[:, None]), context, n_classes=3)
    assert found.shape == (2, 9, 3, 4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for b, i, j in np.ndindex(prior.shape):
        k = int(prior[b, i, j])
        assert found[b, :4, i, j].tolist() == [
            float(k == 0),
            float(k == 1),
            float(k == 2),
            float(k != OUTSIDE),
        ]
    assert torch.equal(found[:, 4:], context)


@given(
    maps=arrays.arrays(
        np.uint8,
        st.tuples(st.just(2), st.integers(2, 6), st.just(2), st.just(3)),
        elements=st.sampled_from([0, 1, 2, UNKNOWN, OUTSIDE]),
    )
)
def test_memory_is_that_of_each_cell(maps):
    found = memory_channels(torch.from_numpy(maps), n_classes=3).numpy()
    assert found.dtype == np.float32
    for b, i, j in np.ndindex(maps[:, 0].shape):
        codes = maps[b, :, i, j].tolist()
        expected = reference.remembered(codes, 3, len(codes)) * (codes[0] != OUTSIDE)
        assert np.array_equal(found[b, :, i, j], expected)


def test_memory_lies_between_the_prior_and_the_forcing():
    maps = torch.randint(3, (1, 4, 2, 2), dtype=torch.uint8)
    groups = Features(3, (), (), history=4).slices
    inputs = assemble(maps, torch.zeros(1, 0, 2, 2), n_classes=3)
    assert inputs.shape[1] == groups.static.stop
    memory = memory_channels(maps, n_classes=3)
    assert torch.equal(inputs[:, groups.shares.start : groups.known.stop], memory)
    assert (memory[:, -1] == 1).all(), "all maps are known"


def test_a_map_that_is_missing_is_known_to_be():
    complete = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    cut = complete.clone()
    cut[:, 2] = OUTSIDE
    shares, _, _, _, known = memory_channels(cut, n_classes=1).flatten().tolist()
    assert known == np.float32(2 / 3)
    assert shares < 1
    assert memory_channels(complete, n_classes=1).flatten().tolist()[0] == 1
