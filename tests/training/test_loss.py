import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.training.loss import loss_of, weights_of
from tests import reference

K = 3


@st.composite
def batches(draw):
    """(maps (B, T, H, W), area (B, H, W), logits of each year), some cells outside, few of them
    changed.
    """
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    b, t, n = draw(st.integers(1, 4)), draw(st.integers(2, 3)), draw(st.integers(1, 5))
    first = random.integers(0, K, (b, 1, n, n))
    change = random.random((b, t, n, n)) < draw(st.sampled_from([0, 0.2, 0.8]))
    maps = np.where(change, random.integers(0, K, change.shape), first)
    maps = np.where(
        random.random(maps.shape) < draw(st.sampled_from([0, 0.2, 1.0])), OUTSIDE, maps
    ).astype(np.uint8)
    logits = random.normal(0, 3, (t - 1, b, K, n, n)).astype(np.float32)
    return (
        torch.from_numpy(maps),
        torch.from_numpy(random.uniform(0.2, 1, (b, n, n)).astype(np.float32)),
        logits,
    )


def whole(maps, area, logits, change_weight, totals, rows=slice(None), weights=None):
    return sum(
        loss_of(
            step[rows],
            maps[rows, t + 1],
            maps[rows, t],
            area[rows],
            totals=totals,
            class_weights_K=weights,
        ).mixed(change_weight)
        for t, step in enumerate(logits)
    )


@given(
    batch=batches(),
    change_weight=st.sampled_from([0.0, 0.1, 1.0]),
    weights=st.sampled_from([None, [3, 1, 0.2]]),
)
def test_the_loss_is_the_slow_twin(batch, change_weight, weights):
    maps, area, logits = batch
    steps = [(step, maps[:, t + 1].numpy(), maps[:, t].numpy()) for t, step in enumerate(logits)]
    expected = reference.mixed_loss(steps, area.numpy(), change_weight, weights)
    by_class = None if weights is None else torch.tensor(weights)
    totals = weights_of(maps, area, class_weights_K=by_class)
    found = whole(maps, area, torch.from_numpy(logits), change_weight, totals, weights=by_class)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(batch=batches(), data=st.data())
def test_contributions_of_any_split_add_up_to_the_whole_with_its_gradient(batch, data):
    maps, area, values = batch
    cut = data.draw(st.integers(0, len(maps)))
    totals = weights_of(maps, area)
    parts = [weights_of(maps[rows], area[rows]) for rows in (slice(cut), slice(cut, None))]
    assert np.allclose(
        [float(x) for x in totals], [float(a + b) for a, b in zip(*parts, strict=True)], atol=1e-4
    )
    found = []
    for splits in ([slice(None)], [slice(cut), slice(cut, None)]):
        logits = torch.from_numpy(values).requires_grad_()
        losses = [whole(maps, area, logits, 0.3, totals, rows) for rows in splits]
        for loss in losses:
            loss.backward()
        found.append((float(sum(losses).detach()), logits.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5, abs=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)


def test_cells_outside_have_no_gradient_and_no_land_is_no_loss():
    maps = torch.tensor([[[[0, OUTSIDE, 1]], [[1, 1, OUTSIDE]]]], dtype=torch.uint8)
    logits, area = torch.zeros(1, K, 1, 3, requires_grad=True), torch.ones(1, 1, 3)
    totals = weights_of(maps, area)
    assert [float(x) for x in totals] == [1, 1]
    loss_of(logits, maps[:, 1], maps[:, 0], area, totals=totals).mixed(0.5).backward()
    assert (logits.grad[0, :, 0, 1:] == 0).all()
    assert (logits.grad[0, :, 0, 0] != 0).all()
    nothing = torch.full((1, 2, 1, 3), OUTSIDE, dtype=torch.uint8)
    loss = loss_of(logits, nothing[:, 1], nothing[:, 0], area, totals=weights_of(nothing, area))
    assert [float(part.detach()) for part in loss] == [0, 0]
