"""Noise on the prior: its share of the land, nothing outside, and the same for one generator."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN
from luray.training.noise import corrupt

K = 5


def prior_of(seed=0, size=100):
    random = Generator().manual_seed(seed)
    prior = torch.randint(K, (4, size, size), generator=random, dtype=torch.uint8)
    return torch.where(torch.rand(prior.shape, generator=random) < 0.4, OUTSIDE, prior)


def corrupted(prior, *, share, kind, seed):
    return corrupt(
        prior, share=share, kind=kind, n_classes=K, generator=Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("kind", ["mask", "replace"])
def test_a_share_of_the_land_is_corrupted(kind, share):
    prior = prior_of()
    before = prior.clone()
    land = prior != OUTSIDE
    found = corrupted(prior, share=share, kind=kind, seed=1)
    assert torch.equal(prior, before), "the true map stays as it is"
    assert found.dtype == torch.uint8
    assert torch.equal(found == OUTSIDE, ~land)

    # One random class in K is the true one.
    visible_share = share if kind == "mask" else share * (K - 1) / K
    differs = found != prior
    deviation = abs(differs[land].double().mean().item() - visible_share)
    assert deviation <= 4 * (share / land.sum().item()) ** 0.5
    if kind == "mask":
        assert set(found[differs].tolist()) <= {UNKNOWN}
    elif share:
        counts = found[differs].bincount(minlength=K).double()
        assert len(counts) == K
        assert (counts / counts.sum() - 1 / K).abs().max() < 0.03


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["mask", "replace"]))
def test_noise_is_a_function_of_the_generator(seed, kind):
    prior = prior_of(size=8)
    once = corrupted(prior, share=0.3, kind=kind, seed=seed)
    assert torch.equal(once, corrupted(prior, share=0.3, kind=kind, seed=seed))
    assert not torch.equal(once, corrupted(prior, share=0.3, kind=kind, seed=seed + 1))


def test_jittered_values_are_off_by_a_normal_error():
    """Land alone, at most the scale's ends; gaps stay gaps."""
    prior = torch.full((2, 64, 64), 70, dtype=torch.uint8)
    prior[0, 0] = OUTSIDE
    prior[0, 1] = UNKNOWN
    prior[1, :8] = 139
    settings = {"share": 0.5, "kind": "jitter", "n_classes": 141}
    noisy = corrupt(prior, **settings, generator=Generator().manual_seed(3))
    assert (noisy[0, 0] == OUTSIDE).all()
    assert (noisy[0, 1] == UNKNOWN).all()
    assert noisy[1, :8].max() == 140
    error = noisy[:, 8:].float() - 70
    assert 0.4 < float((error != 0).float().mean()) < 0.55
    moved = error[error != 0]
    assert float(moved.std()) == pytest.approx(0.05 * 141, rel=0.1)
    assert abs(float(moved.mean())) < 0.5
    again = corrupt(prior, **settings, generator=Generator().manual_seed(3))
    assert torch.equal(noisy, again)
