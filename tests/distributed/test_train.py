"""Training on Ray against the same steps in a plain loop."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from luray.distributed.survey import survey
from luray.distributed.train import train
from luray.model.checkpoint import load_model, read_card
from luray.sandbox.write import demo_run
from luray.stages.train import trainings
from luray.training.trainer import summary
from luray.training.training import run_steps
from tests.distributed.conftest import settings_of
from tests.distributed.processes import named
from tests.head import kill
from tests.machine import until


def serial_weights(training, *, threads):
    """Final weights and the metrics of each step of a training, in one process, without Ray."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    trainer, plan = training.trainer(), training.plan()
    recipe = training.recipe

    def batches():
        for step in range(recipe.steps):
            first = step * recipe.batch
            yield {
                i: training.micro_batch(plan, first + i * recipe.micro_batch)
                for i in range(recipe.pieces)
            }

    steps = []
    run_steps(training, trainer, batches(), after=lambda _, metrics: steps.append(metrics))
    torch.set_num_threads(before)
    return trainer.model.state_dict(), steps


def test_two_workers_train_the_weights_of_the_plain_loop_with_its_losses(place, tmp_path):
    options = ("training.workers={min = 1, max = 2}", "training.read=ahead", "training.epochs=3")
    [training, *_] = trainings(place.run(tmp_path / "out", *options))
    news = []
    assert train([training], report=news.append) == ["forward"]
    weights, steps = serial_weights(training, threads=1)
    found, card = load_model(training.folder)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(
            value, weights[name], rtol=2e-3, atol=2e-4, msg=lambda text, n=name: f"{n}: {text}"
        )
    assert [(n.direction, n.step, n.epoch) for n in news] == [
        ("forward", 2, 1),
        ("forward", 4, 2),
        ("forward", 6, 3),
    ]
    for told in news:
        expected = summary(steps[told.step - 2 : told.step])
        assert {
            k: v for k, v in told.metrics.items() if k != "samples_per_second"
        } == pytest.approx(expected, rel=2e-3)
        assert told.metrics["samples_per_second"] > 0
        assert 0 <= told.held_out["figure_of_merit"] <= told.held_out["accuracy"] <= 1
    assert card.training["last_metrics"] == news[-1].metrics
    assert not Path(training.checkpoint.path).exists()
    assert_curves(training, news)
    assert train([training]) == [], "a finished model is not trained again"


def assert_curves(training, news):
    """TensorBoard reads the news from the event files."""
    events = EventAccumulator(f"{training.folder}/events").Reload()
    for part in ("training/loss", "held_out/accuracy"):
        group, name = part.split("/")
        values = [(n.step, (n.metrics if group == "training" else n.held_out)[name]) for n in news]
        assert [e.step for e in events.Scalars(part)] == [step for step, _ in values]
        assert [e.value for e in events.Scalars(part)] == pytest.approx(
            [value for _, value in values]
        )


def test_a_training_whose_driver_and_then_worker_are_killed_ends_with_the_same_weights(
    place, tmp_path
):
    # an epoch a step: each is scored and saved, so that dozens of steps take much longer than a
    # look at their number
    options = ("training.steps=40", "training.epochs=40", "inference.years=[2000, 2008]")
    [training] = trainings(place.run(tmp_path / "out", *options))
    sets = [
        part for s in settings_of(place.world, tmp_path / "out", *options) for part in ("--set", s)
    ]
    driver = subprocess.Popen(
        [sys.executable, "-m", "luray.cli", "train", str(demo_run()), *sets],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(
        lambda: driver.poll() is not None or training.checkpoint.done >= 7,
        expected="seven steps are saved",
    )
    kill(driver)  # with its cluster: workers that outlive it would train on for a while
    assert read_card(training.folder) is None
    resumed_after = training.checkpoint.done
    news, killed = [], []

    def kill_the_worker():
        until(
            lambda: training.checkpoint.done >= resumed_after + 4,
            expected="four more steps are saved",
        )
        killed.extend(named("ray::RayTrainWorker"))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = Thread(target=kill_the_worker)
    killer.start()
    train([training], report=lambda told: news.append(told.step))
    killer.join()
    assert killed
    assert news[0] == resumed_after + 1, "it goes on after the checkpoint of the driver that died"
    weights, steps = serial_weights(training, threads=os.cpu_count() or 1)
    found = load_file(f"{training.folder}/weights.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in found.items())
    events = EventAccumulator(f"{training.folder}/events").Reload().Scalars("training/loss")
    assert [e.step for e in events] == list(range(1, 41)), (
        "nothing is missing in the curve, nothing is there twice"
    )
    assert events[-1].value == pytest.approx(summary(steps[-1:])["loss"], rel=1e-5)


def test_a_loss_that_is_not_finite_is_told_once_and_the_last_good_checkpoint_kept(place, tmp_path):
    options = ("training.steps=40", "training.learning_rate=1e15", "training.checkpoint_every=1")
    [training, *_] = trainings(place.run(tmp_path / "out", *options))
    news = []
    with pytest.raises(
        ValueError, match=r"training step \d+: the loss is .*; lower training\.learning_rate"
    ) as error:
        train([training], report=news.append)
    failed = int(str(error.value).split(":")[0].split()[-1])
    assert training.checkpoint.done == failed >= 1
    assert [n.step for n in news] == list(range(1, failed + 1)), "it is not tried again"
    assert all(torch.isfinite(weights).all() for weights in training.trainer().model.parameters())
    assert read_card(training.folder) is None


def test_a_model_of_another_training_is_refused_and_discarded_only_on_demand(place, tmp_path):
    [training, *_] = trainings(place.run(tmp_path / "out"))
    [other, *_] = trainings(
        place.run(tmp_path / "out", "training.seed=5", "training.change_weight=0.5")
    )
    survey(training.cube, training.tiling, training.recipe.sampling)
    trainer = training.trainer()
    training.save(trainer, {})
    other.checkpoint.save(trainer)
    assert training.finished
    words = (
        rf"{training.folder} holds another training \(training\.change_weight 0\.03 there, 0\.5 here; "
        r"training\.seed 0 there, 5 here\): `luray train --restart`"
    )
    with pytest.raises(ValueError, match=words):
        train([other])
    training.discard_another()
    assert training.finished, "what is its own is kept"
    other.discard_another()
    assert not other.finished
    assert not Path(other.checkpoint.path).exists()
