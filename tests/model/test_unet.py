import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import softplus

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN, Features, assemble
from luray.model.unet import UNet, UNetConfig, frozen
from tests.worlds import FEATURES, K, random_model


def inputs_of(n, size, *, seed=0, features=FEATURES):
    random = torch.Generator().manual_seed(seed)
    prior = torch.randint(features.n_classes, (n, size, size), generator=random, dtype=torch.uint8)
    prior[torch.rand(prior.shape, generator=random) < 0.2] = OUTSIDE
    context = torch.randn(
        n, features.n_channels - features.n_classes - 1, size, size, generator=random
    )
    return assemble(prior, context, n_classes=features.n_classes)


@given(width=st.integers(1, 6), depth=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_logits_have_the_shape_of_the_window(width, depth, seed):
    inputs = inputs_of(2, 8, seed=seed)
    assert UNet(FEATURES.n_channels, K, UNetConfig(width=width, depth=depth)).eval()(
        inputs
    ).shape == (2, K, 8, 8)


def test_an_untrained_model_says_that_nothing_changes():
    features = Features(7, FEATURES.forcing, FEATURES.static)
    prior = (
        torch.arange(9, dtype=torch.uint8).reshape(1, 3, 3).repeat(1, 3, 3)[:, :8, :8].contiguous()
    )
    prior[prior == 7], prior[prior == 8] = OUTSIDE, UNKNOWN
    context = torch.randn(1, features.n_channels - 8, 8, 8)
    p = (
        UNet(features.n_channels, 7, UNetConfig())
        .eval()(assemble(prior, context, n_classes=7))
        .softmax(dim=1)
    )
    bonus = math.log1p(math.exp(5))
    stay = math.exp(bonus) / (math.exp(bonus) + 6)
    assert 0.96 < stay < 0.97
    for i in range(8):
        for j in range(8):
            k = int(prior[0, i, j])
            expected = (
                [1 / 7] * 7 if k > 6 else [stay if c == k else (1 - stay) / 6 for c in range(7)]
            )
            assert p[0, :, i, j].tolist() == pytest.approx(expected, rel=1e-5)


def test_the_bonus_goes_to_the_class_of_the_prior_only():
    model, inputs = random_model().eval(), inputs_of(1, 8)
    kept = {}
    model.head.register_forward_hook(lambda module, args, out: kept.update(out=out))
    logits, out = model(inputs), kept["out"]
    for k in range(K):
        shown = inputs[:, k] == 1
        assert torch.allclose(
            (logits - out[:, :K])[:, k][shown], softplus(out[:, K])[shown], atol=1e-5
        )
        assert torch.equal(logits[:, k][~shown], out[:, k][~shown])


def test_every_weight_learns():
    model = random_model(depth=3).train()
    model(inputs_of(2, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_frozen_model_is_the_model_in_evaluation_mode(depth):
    model, inputs = random_model(depth=depth, width=8), inputs_of(3, 16)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    copy = frozen(model)
    with torch.inference_mode():
        assert torch.allclose(copy(inputs), model.eval()(inputs), atol=1e-5)
    assert not any(p.requires_grad for p in copy.parameters())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in copy.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), (
        "the original is left alone"
    )


def unlike(run, inputs):
    """Threads and sizes of a batch, from two on, that give eight windows other bits than all of
    them at once do.
    """
    found, before = {}, torch.get_num_threads()
    with torch.inference_mode():
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            try:
                for n in (2, 3, 8):
                    parts = [
                        run(part.clone(memory_format=torch.channels_last))
                        for part in inputs.split(n)
                    ]
                    found[threads, n] = torch.cat(parts)
            finally:
                torch.set_num_threads(before)
        found["reversed"] = run(inputs.flip(0).contiguous(memory_format=torch.channels_last)).flip(
            0
        )
    return [how for how, given in found.items() if not torch.equal(given, found[1, 8])]


@pytest.mark.parametrize(("width", "depth", "size"), [(4, 2, 12), (16, 3, 64), (16, 2, 100)])
def test_a_frozen_model_gives_the_same_bits_in_any_batch_from_two_on_and_with_any_threads(
    width, depth, size
):
    assert unlike(frozen(random_model(width=width, depth=depth)), inputs_of(8, size)) == []
