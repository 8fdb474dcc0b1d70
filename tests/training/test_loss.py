"""The loss: its slow twin, and contributions of any split that add up to the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.training.loss import loss_of, total_weights
from tests import reference

K = 3


@st.composite
def batches(draw):
    """(maps (B, T, H, W), area (B, H, W), logits of each year), few cells changed, some outside."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    n_samples = draw(st.integers(1, 4))
    n_maps = draw(st.integers(2, 3))
    n = draw(st.integers(1, 5))

    first = random.integers(0, K, (n_samples, 1, n, n))
    changes = random.random((n_samples, n_maps, n, n)) < draw(st.sampled_from([0, 0.2, 0.8]))
    maps = np.where(changes, random.integers(0, K, changes.shape), first)
    outside = random.random(maps.shape) < draw(st.sampled_from([0, 0.2, 1.0]))
    maps = np.where(outside, OUTSIDE, maps).astype(np.uint8)
    logits = random.normal(0, 3, (n_maps - 1, n_samples, K, n, n)).astype(np.float32)
    area = random.uniform(0.2, 1, (n_samples, n, n)).astype(np.float32)
    return torch.from_numpy(maps), torch.from_numpy(area), logits


def mixed_loss(maps, area, logits, change_weight, totals, samples=slice(None), class_weights=None):
    """The loss of some samples of a batch over all its years."""
    years = []
    for t, year_logits in enumerate(logits):
        parts = loss_of(
            year_logits[samples],
            maps[samples, t + 1],
            maps[samples, t],
            area[samples],
            totals=totals,
            class_weights_K=class_weights,
        )
        years.append(parts.mixed(change_weight))
    return sum(years)


@given(
    batch=batches(),
    change_weight=st.sampled_from([0.0, 0.1, 1.0]),
    weights=st.sampled_from([None, [3, 1, 0.2]]),
)
def test_the_loss_is_its_slow_twin(batch, change_weight, weights):
    maps, area, logits = batch
    steps = [(step, maps[:, t + 1].numpy(), maps[:, t].numpy()) for t, step in enumerate(logits)]
    expected = reference.mixed_loss(steps, area.numpy(), change_weight, weights)

    class_weights = None if weights is None else torch.tensor(weights)
    totals = total_weights(maps, area, class_weights_K=class_weights)
    found = mixed_loss(
        maps, area, torch.from_numpy(logits), change_weight, totals, class_weights=class_weights
    )
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(batch=batches(), data=st.data())
def test_contributions_of_any_split_add_up(batch, data):
    maps, area, values = batch
    cut = data.draw(st.integers(0, len(maps)))
    split = [slice(cut), slice(cut, None)]
    totals = total_weights(maps, area)
    parts = [total_weights(maps[samples], area[samples]) for samples in split]
    summed = [float(a + b) for a, b in zip(*parts, strict=True)]
    assert np.allclose([float(total) for total in totals], summed, atol=1e-4)

    losses, gradients = [], []
    for pieces in ([slice(None)], split):
        logits = torch.from_numpy(values).requires_grad_()
        contributions = [mixed_loss(maps, area, logits, 0.3, totals, piece) for piece in pieces]
        for contribution in contributions:
            contribution.backward()
        losses.append(float(sum(contributions).detach()))
        gradients.append(logits.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5, abs=1e-6)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_cells_outside_have_no_gradient():
    maps = torch.tensor([[[[0, OUTSIDE, 1]], [[1, 1, OUTSIDE]]]], dtype=torch.uint8)
    logits = torch.zeros(1, K, 1, 3, requires_grad=True)
    area = torch.ones(1, 1, 3)
    totals = total_weights(maps, area)
    assert [float(total) for total in totals] == [1, 1]
    loss_of(logits, maps[:, 1], maps[:, 0], area, totals=totals).mixed(0.5).backward()
    assert (logits.grad[0, :, 0, 1:] == 0).all()
    assert (logits.grad[0, :, 0, 0] != 0).all()


def test_a_batch_without_land_has_no_loss():
    sea = torch.full((1, 2, 1, 3), OUTSIDE, dtype=torch.uint8)
    area = torch.ones(1, 1, 3)
    logits = torch.zeros(1, K, 1, 3)
    loss = loss_of(logits, sea[:, 1], sea[:, 0], area, totals=total_weights(sea, area))
    assert [float(part) for part in loss] == [0, 0]
