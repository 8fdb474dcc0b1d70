"""The rollout: the model is fed its own predictions, and scored against the true maps."""

import pytest
import torch
from torch import Generator

from luray.core.legend import OUTSIDE
from luray.model.features import CHANGE_SCALE, UNKNOWN
from luray.model.model_input import memory_channels
from luray.training.prior_feeding import PriorFeeding
from luray.training.rollout import Sample, likeliest_class, rollout
from tests.worlds import FEATURES, REMEMBERING, K

B, T, N = 2, 4, 8
OLDER = REMEMBERING.history - 1


@pytest.fixture
def sample():
    random = Generator().manual_seed(0)
    maps = torch.randint(K, (B, T, N, N), generator=random, dtype=torch.uint8)
    older = torch.randint(K, (B, OLDER, N, N), generator=random, dtype=torch.uint8)
    ocean = torch.rand(B, 1, N, N, generator=random) < 0.2
    return Sample(
        torch.where(ocean, OUTSIDE, maps),
        torch.where(ocean, OUTSIDE, older),
        torch.rand(B, T, 3, N, N, generator=random),
        torch.rand(B, 1, N, N, generator=random),
        torch.ones(B, N, N),
        torch.rand(B, N, N, generator=random) < 0.7,
    )


def without_memory(sample):
    """The same sample for a model that sees the prior alone."""
    return sample._replace(older_maps_BNHW=sample.older_maps_BNHW[:, :0])


class NextClass:
    """A model that predicts the class after the one it is shown, and keeps its inputs."""

    def __init__(self):
        self.inputs = []

    def __call__(self, inputs):
        self.inputs.append(inputs)
        return torch.roll(inputs[:, :K], 1, dims=1) * 9 + 0 * inputs[:, :1]


def shown_prior(inputs):
    """Class maps in the prior channels, OUTSIDE where no land is."""
    has_class = inputs[:, :K].sum(dim=1) > 0
    classes = torch.where(has_class, inputs[:, :K].argmax(dim=1), UNKNOWN)
    return torch.where(inputs[:, K] > 0, classes, OUTSIDE)


def test_a_rollout_feeds_its_own_predictions(sample):
    model = NextClass()
    steps = list(rollout(model, without_memory(sample), FEATURES))
    assert len(steps) == T - 1
    first = sample.maps_BTHW[:, 0].long()
    counted = sample.counted_BHW
    for year, (inputs, step) in enumerate(zip(model.inputs, steps, strict=True), start=1):
        expected = torch.where(first == OUTSIDE, OUTSIDE, (first + year - 1) % K)
        assert torch.equal(shown_prior(inputs), expected)

        assert torch.equal(step.target_BHW[counted], sample.maps_BTHW[:, year][counted])
        assert (step.target_BHW[~counted] == OUTSIDE).all()
        assert torch.equal(step.previous_BHW, sample.maps_BTHW[:, year - 1])

        now = sample.forcing_BTLHW[:, year]
        before = sample.forcing_BTLHW[:, year - 1]
        assert torch.equal(inputs[:, K + 3 : K + 6], now)
        change = (now - before)[:, 0]
        assert torch.allclose(inputs[:, K + 6], change / (change.abs() + CHANGE_SCALE))
        relative = change / torch.maximum(now, before)[:, 0]
        assert torch.allclose(inputs[:, K + 7], relative, atol=1e-4)
        assert torch.equal(inputs[:, K + 8 :], sample.static_BSHW)


def test_only_the_first_prior_is_corrupted(sample):
    model = NextClass()
    feeding = PriorFeeding(noise=0.5)
    list(
        rollout(
            model, without_memory(sample), FEATURES, feeding, generator=Generator().manual_seed(3)
        )
    )
    n_hidden = [int((shown_prior(inputs) == UNKNOWN).sum()) for inputs in model.inputs]
    outside = sample.maps_BTHW[:, 0] == OUTSIDE
    n_land = int((~outside).sum())
    assert 0.3 * n_land < n_hidden[0] < 0.7 * n_land
    assert n_hidden[1:] == [0, 0]
    assert torch.equal(shown_prior(model.inputs[0]) == OUTSIDE, outside)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_teacher_forcing_shows_whole_true_maps(sample, share):
    many = Sample(*(field.repeat(50, *[1] * (field.dim() - 1)) for field in sample))
    model = NextClass()
    feeding = PriorFeeding(teacher_forcing=share)
    list(
        rollout(
            model, without_memory(many), FEATURES, feeding, generator=Generator().manual_seed(1)
        )
    )
    priors = [shown_prior(inputs) for inputs in model.inputs]
    for year, prior in enumerate(priors[1:], start=1):
        outside = many.maps_BTHW[:, year] == OUTSIDE
        predicted = (priors[year - 1] + 1) % K
        is_truth = ((prior == many.maps_BTHW[:, year]) | outside).flatten(1).all(dim=1)
        is_prediction = ((prior == predicted) | outside).flatten(1).all(dim=1)
        assert (is_truth | is_prediction).all(), "a whole sample is shown one or the other"
        assert abs(is_truth.double().mean() - share) < 0.2
        assert is_truth.all() or share < 1
        assert is_prediction.all() or share > 0


def test_a_shorter_rollout_begins_like_a_longer_one(sample):
    steps = list(rollout(NextClass(), without_memory(sample), FEATURES))
    short = list(rollout(NextClass(), without_memory(sample.first_years(2)), FEATURES))
    assert len(short) == 2
    for one, other in zip(short, steps, strict=False):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_no_gradient_flows_through_the_prior(sample):
    weight = torch.ones(1, requires_grad=True)
    steps = list(
        rollout(lambda x: torch.roll(x[:, :K], 1, 1) * weight, without_memory(sample), FEATURES)
    )
    (gradient,) = torch.autograd.grad(steps[-1].logits_BKHW.sum(), weight, retain_graph=True)
    n_land = int((sample.maps_BTHW[:, 0] != OUTSIDE).sum())
    assert float(gradient) == n_land, (
        "each land cell shows one class, so the last year's logits sum to the weight a cell"
    )


def test_a_rollout_remembers_the_maps_it_was_shown(sample):
    model = NextClass()
    feeding = PriorFeeding(noise=0.3)
    random = Generator().manual_seed(3)
    list(rollout(model, sample, REMEMBERING, feeding, generator=random))
    groups = REMEMBERING.slices
    newest_first = list(sample.older_maps_BNHW.unbind(1))
    for inputs in model.inputs:
        newest_first.insert(0, shown_prior(inputs).to(torch.uint8))
        maps = torch.stack(newest_first[: REMEMBERING.history], dim=1)
        memory = inputs[:, groups.shares.start : groups.known.stop]
        assert torch.equal(memory, memory_channels(maps, n_classes=K).channels_BMHW)


def test_the_likeliest_class_is_the_first_of_the_largest():
    logits = torch.randint(-2, 3, (2, 5, 6, 7), generator=torch.Generator().manual_seed(0)).float()
    found = likeliest_class(logits)
    expected = torch.from_numpy(logits.numpy().argmax(axis=1)).to(torch.uint8)
    assert found.dtype == torch.uint8
    assert torch.equal(found, expected)
