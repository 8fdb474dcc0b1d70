import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.engine.trunk import Trunk
from luray.model.unet import frozen
from tests.model.test_unet import differing_ways, inputs_of
from tests.worlds import random_model


@settings(max_examples=25)
@given(
    width=st.integers(1, 6),
    depth=st.integers(0, 3),
    sides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
def test_stem_and_trunk_are_the_model(width, depth, sides, seed):
    model = frozen(random_model(width=width, depth=depth, seed=seed))
    inputs = inputs_of(2, 32, seed=seed)[:, :, : 8 * sides[0], : 8 * sides[1]]
    with torch.inference_mode():
        expected = model.heads(inputs)
        heads = Trunk(model)(model.down[0][:3](inputs))
    assert heads.shape == expected.shape
    torch.testing.assert_close(heads, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("width", "depth", "size"), [(4, 2, 12), (16, 3, 64), (16, 2, 100), (8, 1, 40)]
)
def test_trunk_bits_ignore_threads_and_batch(width, depth, size):
    model = frozen(random_model(width=width, depth=depth))
    with torch.inference_mode():
        first = model.down[0][:3](inputs_of(8, size)).contiguous(memory_format=torch.channels_last)
    assert differing_ways(Trunk(model), first) == []
