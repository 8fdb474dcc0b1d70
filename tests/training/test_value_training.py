"""Training on values: the loss against a twin, and a model that learns a law."""

import math

import numpy as np
import pytest
import torch
from torch import Generator

from luray.core.legend import OUTSIDE
from luray.core.value_scale import ValueScale
from luray.core.variable import Variable
from luray.model.features import UNKNOWN, Features
from luray.model.operating_point import NO_CALIBRATION
from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig
from luray.model.value_calibration import ValueCells, calibrate_values, value_scores
from luray.training.loss import total_weights
from luray.training.recipe import Recipe
from luray.training.rollout import Sample, decided, rollout
from luray.training.trainer import Trainer
from luray.training.value_loss import count_values, predicted_levels, value_loss_of
from tests import reference

SCALE = ValueScale("m2 m-2", first=0.0, step=0.1, levels=71, transform="sqrt")
FEATURES = Features(
    0,
    (Variable("warmth", "forcing", "1", "warmth"),),
    (),
    history=3,
    scale=SCALE,
    per_year=2,
)
SIZE = 16


def sample_of(k, *, n=2, steps=3):
    """Micro-batch k: a value goes half of the way to ten times the warmth of the step."""
    random = Generator().manual_seed(k)
    coarse = torch.rand(n, steps, 1, SIZE // 4, SIZE // 4, generator=random)
    forcing = coarse.repeat_interleave(4, -1).repeat_interleave(4, -2)
    maps = [torch.randint(71, (n, SIZE, SIZE), generator=random, dtype=torch.uint8)]
    for step in range(1, steps):
        wanted = 60 * forcing[:, step, 0]
        maps.append(((maps[-1] + wanted) / 2).byte())
    levels = torch.stack(maps, 1)
    cloud = torch.rand(n, steps, SIZE, SIZE, generator=random) < 0.2
    ocean = (torch.rand(n, SIZE, SIZE, generator=random) < 0.1)[:, None]
    levels = torch.where(ocean, OUTSIDE, torch.where(cloud, UNKNOWN, levels))
    older = torch.where(ocean, OUTSIDE, maps[0][:, None]).expand(n, 2, SIZE, SIZE)
    return Sample(
        levels.byte(),
        older.byte(),
        forcing,
        torch.empty(n, 0, SIZE, SIZE),
        torch.rand(n, SIZE, SIZE, generator=random) + 0.5,
        torch.rand(n, SIZE, SIZE, generator=random) < 0.9,
    )


def trainer_of(**options):
    torch.manual_seed(7)
    recipe = Recipe(
        years=(2000, 2010),
        steps=100,
        batch=4,
        micro_batch=2,
        rollout_years=2,
        calibration_batches=4,
        **options,
    )
    model = UNet(FEATURES.n_channels, 0, UNetConfig(width=8, depth=1, history=3))
    return Trainer(model, FEATURES, recipe)


def test_an_untrained_model_persists():
    sample = sample_of(1)
    model = UNet(FEATURES.n_channels, 0, UNetConfig(width=4, depth=1)).eval()
    step = next(rollout(model, sample, FEATURES))
    known = sample.maps_BTHW[:, 0] < UNKNOWN
    predicted = decided(step.logits_BKHW, FEATURES)
    distance = (predicted[known].int() - sample.maps_BTHW[:, 0][known].int()).abs()
    assert distance.max() <= 1  # the mean of a square is a little above the square of the mean


def test_loss_is_that_of_the_twin():
    """Cell by cell in plain numbers; clouds, sea and cells that do not count weigh nothing."""
    sample = sample_of(2)
    random = Generator().manual_seed(5)
    outputs = torch.rand(2, 2, SIZE, SIZE, generator=random) + 0.01
    target, previous = sample.scored_maps_BTHW[:, 1], sample.maps_BTHW[:, 0]
    totals = total_weights(sample.scored_maps_BTHW[:, :2], sample.area_BHW)
    loss = value_loss_of(outputs, target, sample.area_BHW, SCALE, totals=totals)

    summed, weight = 0.0, 0.0
    for b, row, col in np.ndindex(*target.shape):
        level = int(target[b, row, col])
        if level >= SCALE.levels:
            continue
        mean, spread = (float(outputs[b, i, row, col]) for i in range(2))
        area = float(sample.area_BHW[b, row, col])
        z = (float(reference.seen_value(level, SCALE)) - mean) / spread
        summed += area * spread * (z * z / 2 + math.log(spread))
        weight += area
    assert float(totals.land) == pytest.approx(weight, rel=1e-5)
    assert float(loss.land) == pytest.approx(summed / weight, rel=1e-5)
    assert loss.land == loss.changed

    error, squared, change, _, cells = count_values(outputs, target, previous, SCALE).tolist()
    counted = (target < 71) & (previous < 71)
    predicted = predicted_levels(outputs, SCALE).int()
    difference = (predicted - target.int())[counted] * 0.1
    assert cells == int(counted.sum())
    assert error == pytest.approx(float(difference.sum()), rel=1e-5)
    assert squared == pytest.approx(float((difference**2).sum()), rel=1e-5)
    expected = ((previous.int() - target.int())[counted] * 0.1) ** 2
    assert change == pytest.approx(float(expected.sum()), rel=1e-5)


def test_windows_without_any_value_weigh_nothing():
    """A batch with such a window gives the loss and the gradient of the other window alone."""
    sample = sample_of(3)
    maps = sample.maps_BTHW.clone()
    maps[1] = torch.where(maps[1] == OUTSIDE, OUTSIDE, UNKNOWN)
    with_gap = sample._replace(maps_BTHW=maps)
    alone = Sample(*(field[:1] for field in sample))
    losses = []
    for batch in (with_gap, alone):
        totals = total_weights(batch.scored_maps_BTHW[:, :2], batch.area_BHW)
        n = len(batch.maps_BTHW)
        outputs = (torch.arange(n * 2 * SIZE * SIZE) % 7 / 7 + 0.1).reshape(n, 2, SIZE, SIZE)
        outputs.requires_grad_()
        target = batch.scored_maps_BTHW[:, 1]
        loss = value_loss_of(outputs, target, batch.area_BHW, SCALE, totals=totals).land
        loss.backward()
        losses.append((loss.detach(), outputs.grad))
    (loss, gradient), (loss_alone, gradient_alone) = losses
    assert gradient[1].abs().max() == 0
    assert not torch.isnan(loss)
    assert loss == pytest.approx(float(loss_alone), rel=1e-5)
    torch.testing.assert_close(gradient[:1], gradient_alone)


def test_a_batch_without_any_value_changes_nothing_for_the_worse():
    trainer = trainer_of()
    sample = sample_of(4)
    maps = torch.where(sample.maps_BTHW == OUTSIDE, OUTSIDE, UNKNOWN).byte()
    metrics = trainer.step({0: sample._replace(maps_BTHW=maps), 1: sample_of(5)})
    assert math.isfinite(metrics["loss"])
    trainer.step({n: sample._replace(maps_BTHW=maps) for n in range(2)})
    for parameter in trainer.model.parameters():
        assert torch.isfinite(parameter).all()


def test_a_model_learns_a_law_and_its_own_error():
    """Better than persistence; after calibration its spread is right on held-out cells."""
    trainer = trainer_of(learning_rate=0.02)
    metrics = {}
    for step in range(100):
        metrics = trainer.step({n: sample_of(100 * step + n) for n in range(2)})
    assert metrics["squared_error"] < 0.4 * metrics["squared_change"]
    trainer.calibrate(sample_of(90_000 + n) for n in range(4))

    def held_out(first):
        batches = [trainer.held_out(sample_of(first + n)) for n in range(20)]
        return ValueCells(*(np.concatenate(field) for field in zip(*batches, strict=True)))

    point = calibrate_values(held_out(91_000))["cautious"]
    scores = value_scores(held_out(92_000), point, SCALE)
    assert scores["rmse"] < 0.7 * scores["persistence_rmse"]
    assert abs(scores["bias"]) < 0.1
    assert 0.55 < scores["within_1_spread"] < 0.85
    assert scores["r2"] > 0.4


def test_two_workers_train_as_one():
    """The gradient of a batch does not depend on how its parts are shared out."""
    one = trainer_of()
    one.step({n: sample_of(n) for n in range(2)})
    parts = []
    for n in range(2):
        worker = trainer_of()
        totals = one._total_weights([sample_of(m) for m in range(2)])
        worker.model.train()
        worker.optimiser.zero_grad(set_to_none=False)
        worker._accumulate(sample_of(n), worker._noise(n), totals)
        parts.append([p.grad for p in worker.model.parameters()])
    whole = trainer_of()
    whole.model.train()
    whole.optimiser.zero_grad(set_to_none=False)
    totals = whole._total_weights([sample_of(m) for m in range(2)])
    for n in range(2):
        whole._accumulate(sample_of(n), whole._noise(n), totals)
    for parameter, first, second in zip(whole.model.parameters(), *parts, strict=True):
        torch.testing.assert_close(parameter.grad, first + second, rtol=1e-4, atol=1e-6)


def test_calibration_sets_bias_and_spread_right():
    random = np.random.default_rng(3)
    n = 20_000
    truth = random.uniform(0.3, 0.7, n)
    cells = ValueCells(
        mean_N=truth + 0.02 + random.normal(0, 0.05, n),
        deviation_N=np.full(n, 0.025),
        prior_N=np.full(n, np.nan),
        truth_N=truth,
        weight_N=random.uniform(0.5, 1, n),
    )
    points = calibrate_values(cells)
    assert points["cautious"] == points["unbiased"]
    assert points["cautious"].bias == pytest.approx(-0.02, abs=2e-3)
    assert points["cautious"].temperature == pytest.approx(2, abs=0.03)
    before = value_scores(cells, NO_CALIBRATION, SCALE)
    after = value_scores(cells, points["cautious"], SCALE)
    assert before["bias"] == pytest.approx(0.02 * 7, abs=0.01)
    assert abs(after["bias"]) < 1e-3
    assert after["within_1_spread"] == pytest.approx(0.683, abs=0.01)
    assert np.isnan(after["persistence_rmse"])
    few = ValueCells(*(field[:50] for field in cells))
    with pytest.raises(ValueError, match="50 held-out cells have a value, expected at least 100"):
        calibrate_values(few)
