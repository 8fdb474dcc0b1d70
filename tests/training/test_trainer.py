import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.training.noise import NoiseConfig
from luray.training.recipe import Recipe
from luray.training.trainer import summary
from tests import reference
from tests.machine import patience
from tests.training.toys import SIZE, pieces_of, recipe_of, sample_of, trainer_of


class Workers:
    """Sums over workers that are threads of this process, as an all-reduce would."""

    def __init__(self, n):
        self.barrier, self.parts = Barrier(n, timeout=patience(60)), [None] * n

    def total(self, rank):
        def summed(tensor):
            self.parts[rank] = tensor
            self.barrier.wait()
            together = torch.stack(self.parts).sum(dim=0)
            self.barrier.wait()
            return together

        return summed


def train_together(n, recipe, steps):
    """[(trainer, metrics of each step)] of n workers."""
    workers = Workers(n)
    trainers = [trainer_of(recipe, total=workers.total(rank)) for rank in range(n)]

    def work(rank):
        metrics = [
            trainers[rank].step(pieces_of(step, recipe, rank=rank, world=n))
            for step in range(steps)
        ]
        trainers[rank].calibrate(sample_of(-1 - i) for i in range(3))
        return trainers[rank], metrics

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(work, range(n)))


@pytest.mark.parametrize("n", [2, 4])
def test_workers_together_are_one_worker(n):
    recipe = recipe_of()
    [(alone, alone_metrics)] = train_together(1, recipe, 3)
    shared = train_together(n, recipe, 3)
    for trainer, metrics in shared:
        for found, expected in zip(metrics, alone_metrics, strict=True):
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
        for (name, a), b in zip(
            trainer.model.state_dict().items(), alone.model.state_dict().values(), strict=True
        ):
            assert torch.allclose(a, b, rtol=1e-2, atol=2e-4), name
    first = shared[0][0].model.state_dict()
    assert all(
        torch.equal(v, first[k]) for t, _ in shared for k, v in t.model.state_dict().items()
    ), "workers that drift apart are not one model"


def test_the_gradient_of_a_split_batch_is_that_of_the_whole():
    recipe, gradients = recipe_of(clip=1e9), []
    for n in (1, 2):
        trainer, _ = train_together(n, recipe, 1)[0]
        gradients.append([p.grad for p in trainer.model.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(*gradients, strict=True))
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-3


def test_metrics_are_those_of_the_batch():
    recipe = recipe_of(noise=NoiseConfig(share=0.0))
    pieces = pieces_of(0, recipe)
    found = trainer_of(recipe).step(pieces)
    steps, hits, same, cells = [], 0, 0, 0
    maps = torch.cat([s.maps_BTHW for s in pieces.values()])
    judged = torch.cat(
        [torch.where(s.counted_BHW[:, None], s.maps_BTHW, OUTSIDE) for s in pieces.values()]
    )
    area = torch.cat([s.area_BHW for s in pieces.values()])
    for year in (1, 2):
        target, previous, first = judged[:, year], maps[:, year - 1], maps[:, 0]
        land = target != OUTSIDE
        bonus = math.log1p(math.exp(5))
        shown = (
            torch.nn.functional.one_hot(first.long().clamp(max=4), 5)[..., :4].permute(0, 3, 1, 2)
            * bonus
        )
        steps.append((shown.numpy(), target.numpy(), previous.numpy()))
        hits += int(((first == target) & land).sum())
        same += int(((previous == target) & land).sum())
        cells += int(land.sum())
    assert found["loss"] == pytest.approx(reference.mixed_loss(steps, area.numpy(), 0.2), rel=1e-4)
    assert found["accuracy"] == pytest.approx(hits / cells)
    assert found["persistence"] == pytest.approx(same / cells)
    assert found["observed_change"] == pytest.approx(1 - same / cells)
    parts = [reference.mixed_loss(steps, area.numpy(), weight) for weight in (0, 1)]
    assert [found["loss_land"], found["loss_changed"]] == pytest.approx(parts, rel=1e-4)
    assert found["learning_rate"] == trainer_of(recipe).learning_rate(0)


def test_a_summary_has_the_figure_of_merit_of_all_its_cells():
    recipe = recipe_of(learning_rate=1e-2, noise=NoiseConfig(share=0.0), steps=60)
    trainer = trainer_of(recipe)
    hits = either = predicted = observed = 0
    rows = []
    for step in range(40):
        pieces = pieces_of(step, recipe)
        seen = []
        hook = trainer.model.register_forward_hook(
            lambda module, args, out, seen=seen: seen.append(out.argmax(dim=1))
        )
        rows.append(trainer.step(pieces))
        hook.remove()
        for i, sample in enumerate(pieces.values()):
            for year in (1, 2):
                target, before = sample.judged_BTHW[:, year], sample.maps_BTHW[:, year - 1]
                told, land = seen[2 * i + year - 1], target != OUTSIDE
                changes, moves = (target != before) & land, (told != before) & land
                hits += int((changes & (told == target)).sum())
                either += int((changes | moves).sum())
                predicted, observed = predicted + int(moves.sum()), observed + int(changes.sum())
    found = summary(rows)
    assert hits > 0
    assert found["figure_of_merit"] == pytest.approx(hits / either, rel=0.02), (
        "batches of nearly the same land"
    )
    assert found["predicted_over_observed"] == pytest.approx(predicted / observed, rel=0.02)
    assert found["loss"] == pytest.approx(sum(m["loss"] for m in rows) / 40)
    assert found["learning_rate"] == rows[-1]["learning_rate"]


def test_the_rollout_grows_and_the_noise_falls_with_the_steps():
    recipe = recipe_of(
        steps=5,
        batch=2,
        rollout_years={"first": 1, "last": 3},
        teacher_forcing={"first": 1, "last": 0},
        noise=NoiseConfig(share={"first": 0.4, "last": 0}),
    )
    trainer, seen = trainer_of(recipe), []
    trainer.model.register_forward_pre_hook(
        lambda module, args: seen.append(args[0][:, :5].clone())
    )
    lengths, hidden = [], []
    for step in range(5):
        trainer.step({0: sample_of(step, years=4)})
        lengths.append(len(seen))
        hidden.append(
            float(((seen[0][:, :4].sum(dim=1) == 0) & (seen[0][:, 4] == 1)).double().mean())
        )
        seen.clear()
    assert lengths == [1, 2, 2, 2, 3], "1, 1.5, 2, 2.5, 3 years, rounded to the even number"
    assert hidden == pytest.approx([0.9 * share for share in (0.4, 0.3, 0.2, 0.1, 0)], abs=0.05)
    assert [recipe.feeding(step).truth for step in range(5)] == [1, 0.75, 0.5, 0.25, 0]
    assert recipe.longest == 3


@given(steps=st.integers(1, 200), epochs=st.integers(1, 20))
def test_every_step_belongs_to_an_epoch_and_the_last_ends_with_the_training(steps, epochs):
    recipe = recipe_of(steps=steps, epochs=epochs)
    ends = [epoch for done in range(1, steps + 1) if (epoch := recipe.epoch_ended(done))]
    assert recipe.epoch_ended(steps) == epochs == ends[-1]
    assert ends == sorted(set(ends))
    assert len(ends) == min(steps, epochs)


def test_the_loss_falls_where_there_is_something_to_learn():
    recipe = recipe_of(
        steps=120, learning_rate=1e-2, batch=4, rollout_years=1, noise=NoiseConfig(share=0)
    )
    trainer = trainer_of(recipe)
    metrics = [
        trainer.step({p: sample_of(step * 10 + p, years=2) for p in range(recipe.pieces)})
        for step in range(120)
    ]
    first, last = metrics[:10], metrics[-10:]
    assert sum(m["loss"] for m in last) < 0.5 * sum(m["loss"] for m in first)
    accuracy, persistence = (
        sum(m[name] for m in last) / 10 for name in ("accuracy", "persistence")
    )
    assert accuracy > persistence + 0.05
    assert first[0]["predicted_change"] == 0, "an untrained model says that nothing changes"


def test_a_step_is_a_function_of_its_number_and_samples():
    recipe = recipe_of()
    twins = [trainer_of(recipe), trainer_of(recipe)]
    for step in range(2):
        a, b = (t.step(pieces_of(step, recipe)) for t in twins)
        assert a == b
    assert twins[0].done == 2
    different = trainer_of(recipe_of(seed=4))
    assert (
        different.step(pieces_of(0, recipe))["loss"]
        != trainer_of(recipe).step(pieces_of(0, recipe))["loss"]
    )


def test_noise_differs_between_micro_batches_steps_and_seeds():
    shown = []
    for seed in (3, 4):
        trainer = trainer_of(
            recipe_of(seed=seed, batch=4, rollout_years=1, noise=NoiseConfig(share=0.5))
        )
        trainer.model.register_forward_pre_hook(
            lambda module, args: shown.append(args[0][:, :4].clone())
        )
        for _ in range(2):
            trainer.step(dict.fromkeys(range(2), sample_of(0, years=2)))
    assert len(shown) == 8
    assert not [(i, j) for i in range(8) for j in range(i) if torch.equal(shown[i], shown[j])]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_a_step_that_cannot_be_trusted_leaves_the_weights_alone(bad):
    recipe = recipe_of()
    trainer = trainer_of(recipe)
    trainer.step(pieces_of(0, recipe))
    before = [p.detach().clone() for p in trainer.model.parameters()]
    poisoned = pieces_of(1, recipe)
    poisoned[2].forcing_BTLHW[0, 1, 0, :3] = bad
    with pytest.raises(
        ValueError, match=r"training step 1: .*lower training\.learning_rate or check the forcing"
    ):
        trainer.step(poisoned)
    assert trainer.done == 1
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


def test_a_gradient_that_overflows_between_the_workers_is_refused_too():
    recipe = recipe_of()
    trainer = trainer_of(recipe, total=lambda t: t * math.inf if t.numel() > 100 else t)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(
        ValueError, match=r"training step 0: the loss is 1\..*, the norm of its gradient (inf|nan)"
    ):
        trainer.step(pieces_of(0, recipe))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


@given(steps=st.integers(1, 400), warmup=st.floats(0, 1))
def test_the_learning_rate_rises_then_falls_to_zero(steps, warmup):
    recipe = recipe_of(steps=steps, warmup=warmup, learning_rate=0.01)
    trainer = trainer_of(recipe)
    rates = [trainer.learning_rate(step) for step in range(steps)]
    n = max(1, round(warmup * steps))
    assert rates[:n] == pytest.approx([0.01 * (i + 1) / n for i in range(n)])
    assert all(a >= b for a, b in zip(rates[n:], rates[n + 1 :], strict=False))
    assert all(0 < r < 0.01 + 1e-12 for r in rates)
    assert trainer.learning_rate(steps) == pytest.approx(0, abs=1e-9) or n == steps


def test_clipping_bounds_the_gradient():
    recipe = recipe_of(clip=0.01)
    trainer = trainer_of(recipe)
    norm = trainer.step(pieces_of(0, recipe))["gradient_norm"]
    left = math.sqrt(sum(float(p.grad.square().sum()) for p in trainer.model.parameters()))
    assert norm > 0.01
    assert left == pytest.approx(0.01, rel=1e-3)


def statistics(trainer):
    return {k: v.clone() for k, v in trainer.model.state_dict().items() if "running" in k}


def test_calibration_is_the_plain_average_and_forgets_what_was_before():
    recipe = recipe_of(noise=NoiseConfig(share=0.0), rollout_years=1)
    trainer = trainer_of(recipe)
    trainer.step({p: sample_of(p, years=2) for p in range(recipe.pieces)})
    shown = []
    norm = trainer.model.down[0][1]
    hook = norm.register_forward_hook(lambda module, args, out: shown.append(args[0].detach()))
    trainer.calibrate(sample_of(100 + i, years=2) for i in range(4))
    hook.remove()
    assert len(shown) == 4
    assert torch.allclose(
        norm.running_mean,
        torch.stack([x.mean(dim=(0, 2, 3)) for x in shown]).mean(dim=0),
        atol=1e-6,
    )
    assert torch.allclose(
        norm.running_var, torch.stack([x.var(dim=(0, 2, 3)) for x in shown]).mean(dim=0), rtol=1e-4
    )


def test_calibration_is_deterministic_and_changes_no_weight():
    recipe = recipe_of()
    trainer = trainer_of(recipe)
    trainer.step(pieces_of(0, recipe))
    weights = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.calibrate(sample_of(100 + i) for i in range(4))
    once = statistics(trainer)
    trainer.calibrate(sample_of(200 + i) for i in range(2))
    assert any(not torch.equal(v, once[k]) for k, v in statistics(trainer).items())
    trainer.calibrate(sample_of(100 + i) for i in range(4))
    assert all(torch.equal(v, once[k]) for k, v in statistics(trainer).items())
    assert all(torch.equal(a, b) for a, b in zip(weights, trainer.model.parameters(), strict=True))


def test_cells_that_do_not_count_teach_nothing():
    recipe, metrics, weights = recipe_of(), [], []
    for scrambled in (False, True):
        trainer, pieces = trainer_of(recipe), pieces_of(0, recipe)
        for sample in pieces.values() if scrambled else ():
            hidden = ~sample.counted_BHW[:, None] & (sample.maps_BTHW[:, 1:] != OUTSIDE)
            sample.maps_BTHW[:, 1:][hidden] = 3 - sample.maps_BTHW[:, 1:][hidden]
        metrics.append(trainer.step(pieces))
        weights.append(trainer.model.state_dict())
    assert metrics[0] == metrics[1]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    pieces = {i: s._replace(counted_BHW=torch.ones_like(s.counted_BHW)) for i, s in pieces.items()}
    assert trainer_of(recipe).step(pieces) != metrics[0], (
        "the scrambled cells would be seen if they counted"
    )


def test_mixed_precision_leaves_the_cpu_in_float32():
    trainers = [trainer_of(recipe_of(precision=precision)) for precision in ("float32", "mixed")]
    a, b = (t.step(pieces_of(0, t.recipe)) for t in trainers)
    assert a == b


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_balance": 2.0}, "training.class_balance is 2.0, expected 0 to 1"),
        (
            {"batch": 6, "micro_batch": 4},
            "training.batch 6 must be a multiple of training.micro_batch 4",
        ),
        (
            {"batch": 6, "micro_batch": 2, "workers": 4},
            r"4 workers cannot share 3 micro-batches; .* micro_batch = 3",
        ),
        ({"change_weight": 1.5}, "must lie between 0 and 1"),
        ({"noise": NoiseConfig(share=1.0)}, "between 0 and 1"),
        ({"noise": NoiseConfig(share={"first": 0.1, "last": -0.1})}, "between 0 and 1"),
        (
            {"teacher_forcing": {"first": 1.5, "last": 0}},
            "training.teacher_forcing must lie between 0 and 1",
        ),
        ({"workers": {"min": 2, "max": 1}}, "workers between 2 and 1, expected 1 <= min <= max"),
        ({"rollout_years": {"first": 2, "last": 0}}, "training.rollout_years must be at least 1"),
        ({"steps": 0, "epochs": 0}, "training.steps, training.epochs must be at least 1"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Recipe(years=(2000, 2010), **options)


def test_held_out_cells_are_the_counted_land_of_the_first_year_before_a_true_prior():
    trainer, sample = trainer_of(recipe_of(noise=NoiseConfig(share=0.5))), sample_of(5)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    cells = trainer.held_out(sample)
    again = trainer.held_out(sample)
    places = [
        (b, i, j)
        for b in range(2)
        for i in range(SIZE)
        for j in range(SIZE)
        if sample.counted_BHW[b, i, j]
        and sample.maps_BTHW[b, 0, i, j] != OUTSIDE
        and sample.maps_BTHW[b, 1, i, j] != OUTSIDE
    ]
    assert cells.prior_N.tolist() == [int(sample.maps_BTHW[b, 0, i, j]) for b, i, j in places]
    assert cells.truth_N.tolist() == [int(sample.maps_BTHW[b, 1, i, j]) for b, i, j in places]
    assert cells.weight_N.tolist() == pytest.approx(
        [float(sample.area_BHW[b, i, j]) for b, i, j in places]
    )
    assert (cells.logits_NK == again.logits_NK).all(), "no noise on the prior, no batch statistics"
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())
    unseen = sample._replace(
        maps_BTHW=torch.cat([sample.maps_BTHW[:, :2], 1 - sample.maps_BTHW[:, 2:]], dim=1)
    )
    assert (trainer.held_out(unseen).logits_NK == cells.logits_NK).all()
