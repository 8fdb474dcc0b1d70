"""The U-Net: its residual head, and a copy for inference whose bits do not depend on batches."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import softplus

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN, Features
from luray.model.model_input import assemble
from luray.model.unet import UNet, frozen
from luray.model.unet_config import UNetConfig
from tests.worlds import FEATURES, K, random_model


def inputs_of(n, size, *, seed=0, features=FEATURES):
    """Model inputs of `n` windows with random classes and forcing, a fifth of the cells sea."""
    random = torch.Generator().manual_seed(seed)
    shape = n, features.history, size, size
    maps = torch.randint(features.n_classes, shape, generator=random, dtype=torch.uint8)
    sea = torch.rand(n, 1, size, size, generator=random) < 0.2
    maps = torch.where(sea, OUTSIDE, maps)
    n_levels = features.slices.levels.stop - features.slices.levels.start
    n_static = features.slices.static.stop - features.slices.static.start
    now, before = torch.rand(2, n, n_levels, size, size, generator=random)
    static = torch.randn(n, n_static, size, size, generator=random)
    return assemble(maps, now, before, static, features)


@given(width=st.integers(1, 6), depth=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_logits_have_the_shape_of_the_window(width, depth, seed):
    inputs = inputs_of(2, 8, seed=seed)
    model = UNet(FEATURES.n_channels, K, UNetConfig(width=width, depth=depth)).eval()
    assert model(inputs).shape == (2, K, 8, 8)


def test_an_untrained_model_says_that_nothing_changes():
    features = Features(7, FEATURES.forcing, FEATURES.static)
    prior = torch.arange(9, dtype=torch.uint8).reshape(1, 3, 3).repeat(1, 3, 3)
    prior = prior[:, :8, :8].contiguous()
    prior[prior == 7] = OUTSIDE
    prior[prior == 8] = UNKNOWN
    levels = torch.rand(2, 1, 3, 8, 8)
    model = UNet(features.n_channels, 7, UNetConfig()).eval()
    inputs = assemble(prior[:, None], *levels, torch.randn(1, 1, 8, 8), features)
    p = model(inputs).softmax(dim=1)

    bonus = math.log1p(math.exp(5))
    p_stay = math.exp(bonus) / (math.exp(bonus) + 6)
    assert 0.96 < p_stay < 0.97
    for i in range(8):
        for j in range(8):
            k = int(prior[0, i, j])
            if k > 6:
                expected = [1 / 7] * 7
            else:
                expected = [(1 - p_stay) / 6] * 7
                expected[k] = p_stay
            assert p[0, :, i, j].tolist() == pytest.approx(expected, rel=1e-5)


def test_only_the_class_of_the_prior_has_a_bonus():
    model = random_model().eval()
    inputs = inputs_of(1, 8)
    heads = model.heads(inputs)
    logits = model(inputs)
    for k in range(K):
        is_prior = inputs[:, k] == 1
        bonus = (logits - heads[:, :K])[:, k][is_prior]
        assert torch.allclose(bonus, softplus(heads[:, K])[is_prior], atol=1e-5)
        assert torch.equal(logits[:, k][~is_prior], heads[:, k][~is_prior])


def test_every_weight_learns():
    model = random_model(depth=3).train()
    model(inputs_of(2, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_frozen_model_is_the_model_in_evaluation(depth):
    model = random_model(depth=depth, width=8)
    inputs = inputs_of(3, 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = frozen(model)
    with torch.inference_mode():
        assert torch.allclose(copy(inputs), model.eval()(inputs), atol=1e-5)
    assert not any(p.requires_grad for p in copy.parameters())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in copy.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), (
        "the original is left alone"
    )


def channels_last(inputs):
    return inputs.clone(memory_format=torch.channels_last)


def differing_ways(run, inputs):
    """Ways to compute eight windows that give other bits than all of them at once in one thread.

    The ways are numbers of threads, sizes of a batch from two on, and the windows in reverse.
    """
    n_threads_before = torch.get_num_threads()
    results = {}
    with torch.inference_mode():
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            try:
                for size in (2, 3, 8):
                    batches = [run(channels_last(batch)) for batch in inputs.split(size)]
                    results[n_threads, size] = torch.cat(batches)
            finally:
                torch.set_num_threads(n_threads_before)
        results["reversed"] = run(channels_last(inputs.flip(0))).flip(0)
    return [way for way, logits in results.items() if not torch.equal(logits, results[1, 8])]


@pytest.mark.parametrize(("width", "depth", "size"), [(4, 2, 12), (16, 3, 64), (16, 2, 100)])
def test_bits_of_a_frozen_model_do_not_depend_on_batch_or_threads(width, depth, size):
    model = frozen(random_model(width=width, depth=depth))
    assert differing_ways(model, inputs_of(8, size)) == []
