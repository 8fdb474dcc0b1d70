import pytest
import torch
from torch import Generator

from luray.core.legend import OUTSIDE
from luray.model.features import CHANGE_SCALE, UNKNOWN
from luray.training.rollout import Feeding, Sample, rollout
from tests.worlds import FEATURES, K

B, T, N = 2, 4, 8


@pytest.fixture
def sample():
    random = Generator().manual_seed(0)
    maps = torch.randint(K, (B, T, N, N), generator=random, dtype=torch.uint8)
    ocean = torch.rand(B, 1, N, N, generator=random) < 0.2
    return Sample(
        torch.where(ocean, OUTSIDE, maps),
        torch.rand(B, T, 3, N, N, generator=random),
        torch.rand(B, 1, N, N, generator=random),
        torch.ones(B, N, N),
        torch.rand(B, N, N, generator=random) < 0.7,
    )


class Turning:
    """Predicts the class after the one it is shown; keeps what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, inputs):
        self.seen.append(inputs)
        return torch.roll(inputs[:, :K], 1, dims=1) * 9 + 0 * inputs[:, :1]


def shown(inputs):
    """Class maps in the prior channels, OUTSIDE where no land is."""
    known = inputs[:, :K].sum(dim=1) > 0
    classes = torch.where(known, inputs[:, :K].argmax(dim=1), UNKNOWN)
    return torch.where(inputs[:, K] > 0, classes, OUTSIDE)


def test_a_rollout_feeds_its_own_predictions_and_is_judged_by_the_true_maps(sample):
    model = Turning()
    steps = list(rollout(model, sample, FEATURES))
    assert len(steps) == T - 1
    first = sample.maps_BTHW[:, 0].long()
    for year, (inputs, step) in enumerate(zip(model.seen, steps, strict=True), start=1):
        expected = torch.where(first == OUTSIDE, OUTSIDE, (first + year - 1) % K)
        assert torch.equal(shown(inputs), expected)
        counted = sample.counted_BHW
        assert torch.equal(step.target_BHW[counted], sample.maps_BTHW[:, year][counted])
        assert (step.target_BHW[~counted] == OUTSIDE).all()
        assert torch.equal(step.previous_BHW, sample.maps_BTHW[:, year - 1])
        now, before = sample.forcing_BTLHW[:, year], sample.forcing_BTLHW[:, year - 1]
        assert torch.equal(inputs[:, K + 1 : K + 4], now)
        change = (now - before)[:, 0]
        assert torch.allclose(inputs[:, K + 4], change / (change.abs() + CHANGE_SCALE))
        relative = (now - before)[:, 0] / torch.maximum(now, before)[:, 0]
        assert torch.allclose(inputs[:, K + 5], relative, atol=1e-4)
        assert torch.equal(inputs[:, K + 6 :], sample.static_BSHW)


def test_only_the_first_prior_is_corrupted(sample):
    model = Turning()
    list(rollout(model, sample, FEATURES, Feeding(noise=0.5), generator=Generator().manual_seed(3)))
    hidden = [int((shown(inputs) == UNKNOWN).sum()) for inputs in model.seen]
    land = int((sample.maps_BTHW[:, 0] != OUTSIDE).sum())
    assert 0.3 * land < hidden[0] < 0.7 * land
    assert hidden[1:] == [0, 0]
    assert torch.equal(shown(model.seen[0]) == OUTSIDE, sample.maps_BTHW[:, 0] == OUTSIDE)


@pytest.mark.parametrize("truth", [0.0, 0.5, 1.0])
def test_teacher_forcing_shows_the_true_map_to_a_share_of_the_samples(sample, truth):
    many = Sample(*(field.repeat(50, *[1] * (field.dim() - 1)) for field in sample))
    model = Turning()
    list(rollout(model, many, FEATURES, Feeding(truth=truth), generator=Generator().manual_seed(1)))
    priors = [shown(inputs) for inputs in model.seen]
    for year, found in enumerate(priors[1:], start=1):
        land = many.maps_BTHW[:, year] != OUTSIDE
        true = ((found == many.maps_BTHW[:, year]) | ~land).flatten(1).all(dim=1)
        own = ((found == (priors[year - 1] + 1) % K) | ~land).flatten(1).all(dim=1)
        assert (true | own).all(), "a whole sample is shown one or the other"
        assert abs(true.double().mean() - truth) < 0.2
        assert true.all() or truth < 1
        assert own.all() or truth > 0


def test_a_shorter_rollout_is_the_beginning_of_a_longer_one(sample):
    steps = list(rollout(Turning(), sample, FEATURES))
    short = list(rollout(Turning(), sample.first(2), FEATURES))
    assert len(short) == 2
    for one, other in zip(short, steps, strict=False):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_no_gradient_flows_through_the_prior(sample):
    weight = torch.ones(1, requires_grad=True)
    steps = list(rollout(lambda x: torch.roll(x[:, :K], 1, 1) * weight, sample, FEATURES))
    (alone,) = torch.autograd.grad(steps[-1].logits_BKHW.sum(), weight, retain_graph=True)
    land = int((sample.maps_BTHW[:, 0] != OUTSIDE).sum())
    assert float(alone) == land, (
        "each land cell shows one class, so the last year's logits sum to the weight a cell"
    )
