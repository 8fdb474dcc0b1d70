"""One step of training: the same for one worker or many, and never with weights gone wrong."""

import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from luray.core.legend import OUTSIDE
from luray.training.noise_config import NoiseConfig
from tests import reference
from tests.machine import patience
from tests.training.toys import SIZE, micro_batches_of, recipe_of, sample_of, trainer_of


class Workers:
    """Sums over workers that are threads of this process, as an all-reduce would."""

    def __init__(self, n):
        self.barrier = Barrier(n, timeout=patience(60))
        self.parts = [None] * n

    def sum_of(self, rank):
        def summed(tensor):
            self.parts[rank] = tensor
            self.barrier.wait()
            total = torch.stack(self.parts).sum(dim=0)
            self.barrier.wait()
            return total

        return summed


def train_together(n, recipe, steps):
    """[(trainer, metrics of each step)] of n workers."""
    workers = Workers(n)
    trainers = [trainer_of(recipe, sum_over_workers=workers.sum_of(rank)) for rank in range(n)]

    def work(rank):
        trainer = trainers[rank]
        metrics = [
            trainer.step(micro_batches_of(step, recipe, rank=rank, world=n))
            for step in range(steps)
        ]
        trainer.calibrate(sample_of(-1 - i) for i in range(3))
        return trainer, metrics

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(work, range(n)))


def weights_of(trainer):
    return [p.detach().clone() for p in trainer.model.parameters()]


def same_weights(trainer, weights):
    pairs = zip(trainer.model.parameters(), weights, strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def record_inputs(trainer):
    """A list that fills with the first five channels of every input of the model."""
    inputs = []
    trainer.training_pass.register_forward_pre_hook(
        lambda module, args: inputs.append(args[0][:, :5].clone())
    )
    return inputs


@pytest.mark.parametrize("n", [2, 4])
def test_workers_together_are_one_worker(n):
    recipe = recipe_of()
    [(alone, alone_metrics)] = train_together(1, recipe, 3)
    together = train_together(n, recipe, 3)
    alone_state = alone.model.state_dict()
    for trainer, metrics in together:
        for found, expected in zip(metrics, alone_metrics, strict=True):
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
        for name, value in trainer.model.state_dict().items():
            assert torch.allclose(value, alone_state[name], rtol=1e-2, atol=2e-4), name

    first = together[0][0].model.state_dict()
    for trainer, _ in together:
        state = trainer.model.state_dict()
        assert all(torch.equal(value, first[name]) for name, value in state.items()), (
            "workers that drift apart are not one model"
        )


def test_the_gradient_of_a_split_batch_is_that_of_the_whole():
    recipe = recipe_of(clip=1e9)
    gradients = []
    for n in (1, 2):
        trainer, _ = train_together(n, recipe, 1)[0]
        gradients.append([p.grad for p in trainer.model.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(*gradients, strict=True))
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-3


def test_metrics_are_those_of_the_batch():
    recipe = recipe_of(noise=NoiseConfig(share=0.0))
    samples = micro_batches_of(0, recipe)
    found = trainer_of(recipe).step(samples)

    maps = torch.cat([s.maps_BTHW for s in samples.values()])
    counted = torch.cat([s.counted_BHW for s in samples.values()])
    area = torch.cat([s.area_BHW for s in samples.values()])
    scored_maps = torch.where(counted[:, None], maps, OUTSIDE)
    first = maps[:, 0]
    # An untrained model gives the class of the prior a bonus, and nothing else.
    bonus = math.log1p(math.exp(5))
    logits = one_hot(first.long().clamp(max=4), 5)[..., :4].permute(0, 3, 1, 2) * bonus

    steps, hits, persistent, cells = [], 0, 0, 0
    for year in (1, 2):
        target = scored_maps[:, year]
        previous = maps[:, year - 1]
        land = target != OUTSIDE
        steps.append((logits.numpy(), target.numpy(), previous.numpy()))
        hits += int(((first == target) & land).sum())
        persistent += int(((previous == target) & land).sum())
        cells += int(land.sum())
    assert found["loss"] == pytest.approx(reference.mixed_loss(steps, area.numpy(), 0.2), rel=1e-4)
    assert found["accuracy"] == pytest.approx(hits / cells)
    assert found["persistence"] == pytest.approx(persistent / cells)
    assert found["observed_change"] == pytest.approx(1 - persistent / cells)
    parts = [reference.mixed_loss(steps, area.numpy(), weight) for weight in (0, 1)]
    assert [found["loss_land"], found["loss_changed"]] == pytest.approx(parts, rel=1e-4)
    assert found["learning_rate"] == trainer_of(recipe).learning_rate(0)


def test_the_rollout_grows_and_the_noise_falls_with_the_steps():
    recipe = recipe_of(
        steps=5,
        batch=2,
        rollout_years={"first": 1, "last": 3},
        teacher_forcing={"first": 1, "last": 0},
        noise=NoiseConfig(share={"first": 0.4, "last": 0}),
    )
    trainer = trainer_of(recipe)
    inputs = record_inputs(trainer)
    lengths, hidden = [], []
    for step in range(5):
        trainer.step({0: sample_of(step, years=4)})
        lengths.append(len(inputs))
        prior, land = inputs[0][:, :4], inputs[0][:, 4]
        without_class = (prior.sum(dim=1) == 0) & (land == 1)
        hidden.append(float(without_class.double().mean()))
        inputs.clear()
    assert lengths == [1, 2, 2, 2, 3], "1, 1.5, 2, 2.5, 3 years, rounded to the even number"
    assert hidden == pytest.approx([0.9 * share for share in (0.4, 0.3, 0.2, 0.1, 0)], abs=0.05)
    teacher_forcing = [recipe.feeding(step).teacher_forcing for step in range(5)]
    assert teacher_forcing == [1, 0.75, 0.5, 0.25, 0]
    assert recipe.longest_rollout == 3


def test_the_loss_falls_where_there_is_something_to_learn():
    recipe = recipe_of(
        steps=120, learning_rate=1e-2, batch=4, rollout_years=1, noise=NoiseConfig(share=0)
    )
    trainer = trainer_of(recipe)
    metrics = []
    for step in range(120):
        numbers = range(recipe.n_micro_batches)
        samples = {number: sample_of(step * 10 + number, years=2) for number in numbers}
        metrics.append(trainer.step(samples))

    def mean(name, rows):
        return sum(row[name] for row in rows) / len(rows)

    first, last = metrics[:10], metrics[-10:]
    assert mean("loss", last) < 0.5 * mean("loss", first)
    assert mean("accuracy", last) > mean("persistence", last) + 0.05
    assert first[0]["predicted_change"] == 0, "an untrained model says that nothing changes"


def test_a_step_is_a_function_of_its_number_and_samples():
    recipe = recipe_of()
    twins = [trainer_of(recipe), trainer_of(recipe)]
    for step in range(2):
        a, b = (twin.step(micro_batches_of(step, recipe)) for twin in twins)
        assert a == b
    assert twins[0].done == 2

    other_seed = trainer_of(recipe_of(seed=4)).step(micro_batches_of(0, recipe))
    assert other_seed["loss"] != trainer_of(recipe).step(micro_batches_of(0, recipe))["loss"]


def test_noise_differs_between_micro_batches_steps_and_seeds():
    inputs = []
    for seed in (3, 4):
        recipe = recipe_of(seed=seed, batch=4, rollout_years=1, noise=NoiseConfig(share=0.5))
        trainer = trainer_of(recipe)
        recorded = record_inputs(trainer)
        for _ in range(2):
            trainer.step(dict.fromkeys(range(2), sample_of(0, years=2)))
        inputs += [recorded_input[:, :4] for recorded_input in recorded]
    assert len(inputs) == 8
    assert not [(i, j) for i in range(8) for j in range(i) if torch.equal(inputs[i], inputs[j])]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_a_step_that_cannot_be_trusted_leaves_the_weights_alone(bad):
    recipe = recipe_of()
    trainer = trainer_of(recipe)
    trainer.step(micro_batches_of(0, recipe))
    before = weights_of(trainer)
    poisoned = micro_batches_of(1, recipe)
    poisoned[2].forcing_BTLHW[0, 1, 0, :3] = bad
    with pytest.raises(
        ValueError, match=r"training step 1: .*lower training\.learning_rate or check the forcing"
    ):
        trainer.step(poisoned)
    assert trainer.done == 1
    assert same_weights(trainer, before)


def test_a_gradient_that_overflows_between_workers_is_refused():
    recipe = recipe_of()
    trainer = trainer_of(recipe, sum_over_workers=lambda t: t * math.inf if t.numel() > 100 else t)
    before = weights_of(trainer)
    with pytest.raises(
        ValueError, match=r"training step 0: the loss is 1\..*, the norm of its gradient (inf|nan)"
    ):
        trainer.step(micro_batches_of(0, recipe))
    assert same_weights(trainer, before)


@given(steps=st.integers(1, 400), warmup=st.floats(0, 1))
def test_the_learning_rate_rises_then_falls_to_zero(steps, warmup):
    recipe = recipe_of(steps=steps, warmup=warmup, learning_rate=0.01)
    trainer = trainer_of(recipe)
    rates = [trainer.learning_rate(step) for step in range(steps)]
    n = max(1, round(warmup * steps))
    assert rates[:n] == pytest.approx([0.01 * (i + 1) / n for i in range(n)])
    assert all(a >= b for a, b in zip(rates[n:], rates[n + 1 :], strict=False))
    assert all(0 < rate < 0.01 + 1e-12 for rate in rates)
    assert trainer.learning_rate(steps) == pytest.approx(0, abs=1e-9) or n == steps


def test_clipping_bounds_the_gradient():
    recipe = recipe_of(clip=0.01)
    trainer = trainer_of(recipe)
    norm = trainer.step(micro_batches_of(0, recipe))["gradient_norm"]
    clipped = math.sqrt(sum(float(p.grad.square().sum()) for p in trainer.model.parameters()))
    assert norm > 0.01
    assert clipped == pytest.approx(0.01, rel=1e-3)


def statistics_of(trainer):
    """Running means and variances of batch norm."""
    state = trainer.model.state_dict()
    return {name: value.clone() for name, value in state.items() if "running" in name}


def test_calibration_is_the_plain_average():
    recipe = recipe_of(noise=NoiseConfig(share=0.0), rollout_years=1)
    trainer = trainer_of(recipe)
    numbers = range(recipe.n_micro_batches)
    trainer.step({number: sample_of(number, years=2) for number in numbers})

    inputs = []
    norm = trainer.model.down[0][1]
    hook = norm.register_forward_hook(lambda module, args, out: inputs.append(args[0].detach()))
    trainer.calibrate(sample_of(100 + i, years=2) for i in range(4))
    hook.remove()
    assert len(inputs) == 4
    means = torch.stack([x.mean(dim=(0, 2, 3)) for x in inputs])
    variances = torch.stack([x.var(dim=(0, 2, 3)) for x in inputs])
    assert torch.allclose(norm.running_mean, means.mean(dim=0), atol=1e-6)
    assert torch.allclose(norm.running_var, variances.mean(dim=0), rtol=1e-4)


def test_calibration_is_deterministic_and_changes_no_weight():
    recipe = recipe_of()
    trainer = trainer_of(recipe)
    trainer.step(micro_batches_of(0, recipe))
    weights = weights_of(trainer)
    trainer.calibrate(sample_of(100 + i) for i in range(4))
    once = statistics_of(trainer)

    trainer.calibrate(sample_of(200 + i) for i in range(2))
    assert any(not torch.equal(v, once[k]) for k, v in statistics_of(trainer).items())
    trainer.calibrate(sample_of(100 + i) for i in range(4))
    assert all(torch.equal(v, once[k]) for k, v in statistics_of(trainer).items())
    assert same_weights(trainer, weights)


def test_cells_that_do_not_count_teach_nothing():
    recipe = recipe_of()
    plain = micro_batches_of(0, recipe)
    scrambled = micro_batches_of(0, recipe)
    for sample in scrambled.values():
        later_maps = sample.maps_BTHW[:, 1:]
        hidden = ~sample.counted_BHW[:, None] & (later_maps != OUTSIDE)
        later_maps[hidden] = 3 - later_maps[hidden]

    trainers = [trainer_of(recipe), trainer_of(recipe)]
    metrics = [trainers[0].step(plain), trainers[1].step(scrambled)]
    assert metrics[0] == metrics[1]
    state = trainers[1].model.state_dict()
    expected = trainers[0].model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in expected.items())

    all_counted = {
        number: sample._replace(counted_BHW=torch.ones_like(sample.counted_BHW))
        for number, sample in scrambled.items()
    }
    assert trainer_of(recipe).step(all_counted) != metrics[0], (
        "the scrambled cells would be seen if they counted"
    )


def test_mixed_precision_leaves_the_cpu_in_float32():
    trainers = [trainer_of(recipe_of(precision=precision)) for precision in ("float32", "mixed")]
    a, b = (trainer.step(micro_batches_of(0, trainer.recipe)) for trainer in trainers)
    assert a == b


def test_held_out_cells_are_the_counted_land_of_the_first_year():
    trainer = trainer_of(recipe_of(noise=NoiseConfig(share=0.5)))
    sample = sample_of(5)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    cells = trainer.held_out(sample)
    again = trainer.held_out(sample)

    places = []
    for b in range(2):
        for i in range(SIZE):
            for j in range(SIZE):
                prior, truth = sample.maps_BTHW[b, :2, i, j].tolist()
                if sample.counted_BHW[b, i, j] and OUTSIDE not in (prior, truth):
                    places.append((b, i, j))
    assert cells.prior_N.tolist() == [int(sample.maps_BTHW[b, 0, i, j]) for b, i, j in places]
    assert cells.truth_N.tolist() == [int(sample.maps_BTHW[b, 1, i, j]) for b, i, j in places]
    assert cells.weight_N.tolist() == pytest.approx(
        [float(sample.area_BHW[b, i, j]) for b, i, j in places]
    )
    assert (cells.logits_NK == again.logits_NK).all(), "no noise on the prior, no batch statistics"
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())

    other_future = torch.cat([sample.maps_BTHW[:, :2], 1 - sample.maps_BTHW[:, 2:]], dim=1)
    with_other_future = trainer.held_out(sample._replace(maps_BTHW=other_future))
    assert (with_other_future.logits_NK == cells.logits_NK).all()
