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

from luray.core.limits import usable_cpus
from luray.distributed.change_counts import count_changes
from luray.distributed.train import train
from luray.model.card import read_card
from luray.model.checkpoint import load_model
from luray.sandbox.write import demo_run
from luray.stages.train import trainings
from luray.training.finished_model import save_finished_model
from luray.training.step_metrics import summary
from luray.training.training import run_steps
from tests.distributed.conftest import settings_of
from tests.distributed.processes import named
from tests.head import kill
from tests.machine import until


def serial_weights(training, *, threads):
    """Final weights and the metrics of each step of a training, in one process, without Ray."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    recipe = training.recipe
    plan = training.data.plan()

    def batches():
        for step in range(recipe.steps):
            firsts = [
                step * recipe.batch + number * recipe.micro_batch
                for number in range(recipe.n_micro_batches)
            ]
            yield {n: training.data.micro_batch(plan, first) for n, first in enumerate(firsts)}

    trainer = training.trainer()
    steps = []
    run_steps(training, trainer, batches(), after=lambda _, metrics: steps.append(metrics))
    torch.set_num_threads(threads_before)
    return trainer.model.state_dict(), steps


def test_two_workers_train_the_weights_of_the_plain_loop(place, tmp_path):
    options = (
        "training.workers={min = 1, max = 2}",
        "training.windows_read_by=readers",
        "training.epochs=3",
    )
    [training, *_] = trainings(place.run(tmp_path / "out", *options))
    events = []
    assert train([training], progress=events.append) == ["forward"]
    weights, steps = serial_weights(training, threads=1)
    model, card = load_model(training.folder)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            value, weights[name], rtol=2e-3, atol=2e-4, msg=lambda text, n=name: f"{n}: {text}"
        )

    assert [(event.direction, event.step, event.epoch) for event in events] == [
        ("forward", 2, 1),
        ("forward", 4, 2),
        ("forward", 6, 3),
    ]
    for event in events:
        metrics = dict(event.metrics)
        assert metrics.pop("samples_per_second") > 0
        expected = summary(steps[event.step - 2 : event.step])
        assert metrics == pytest.approx(expected, rel=2e-3)
        assert 0 <= event.held_out["figure_of_merit"] <= event.held_out["accuracy"] <= 1
    assert card.training["last_metrics"] == events[-1].metrics
    assert not Path(training.checkpoint.path).exists()
    assert_curves(training, events)
    assert train([training]) == [], "a finished model is not trained again"


def assert_curves(training, events):
    """TensorBoard reads the metrics of the events from the event files."""
    curves = EventAccumulator(f"{training.folder}/events").Reload()
    for curve, values in (
        ("training/loss", [event.metrics["loss"] for event in events]),
        ("held_out/accuracy", [event.held_out["accuracy"] for event in events]),
    ):
        points = curves.Scalars(curve)
        assert [point.step for point in points] == [event.step for event in events]
        assert [point.value for point in points] == pytest.approx(values)


def test_a_training_whose_driver_and_then_worker_are_killed_ends_with_the_same_weights(
    place, tmp_path
):
    # an epoch a step: each is scored and saved, so that dozens of steps take much longer than a
    # look at their number
    options = ("training.steps=40", "training.epochs=40", "inference.years=[2000, 2008]")
    [training] = trainings(place.run(tmp_path / "out", *options))
    settings = settings_of(place.world, tmp_path / "out", *options)
    arguments = [part for setting in settings for part in ("--set", setting)]
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.forked_cli", "train", str(demo_run()), *arguments],
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
    steps_seen, killed = [], []

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
    train([training], progress=lambda event: steps_seen.append(event.step))
    killer.join()
    assert killed
    assert steps_seen[0] == resumed_after + 1, "it goes on after the dead driver's checkpoint"

    weights, steps = serial_weights(training, threads=usable_cpus())
    tensors = load_file(f"{training.folder}/weights.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in tensors.items())
    curve = EventAccumulator(f"{training.folder}/events").Reload().Scalars("training/loss")
    assert [point.step for point in curve] == list(range(1, 41)), (
        "nothing is missing in the curve, nothing is there twice"
    )
    assert curve[-1].value == pytest.approx(summary(steps[-1:])["loss"], rel=1e-5)


def test_a_loss_that_is_not_finite_stops_the_training_once(place, tmp_path):
    options = ("training.steps=40", "training.learning_rate=1e15", "training.checkpoint_every=1")
    [training, *_] = trainings(place.run(tmp_path / "out", *options))
    events = []
    with pytest.raises(
        ValueError, match=r"training step \d+: the loss is .*; lower training\.learning_rate"
    ) as error:
        train([training], progress=events.append)
    failed_step = int(str(error.value).split(":")[0].split()[-1])
    assert training.checkpoint.done == failed_step >= 1, "the last good checkpoint is kept"
    steps_seen = [event.step for event in events]
    assert steps_seen == list(range(1, failed_step + 1)), "it is not tried again"
    assert all(torch.isfinite(weights).all() for weights in training.trainer().model.parameters())
    assert read_card(training.folder) is None


def test_a_model_of_another_training_is_discarded_only_on_demand(place, tmp_path):
    [training, *_] = trainings(place.run(tmp_path / "out"))
    other_run = place.run(tmp_path / "out", "training.seed=5", "training.change_weight=0.5")
    [other, *_] = trainings(other_run)
    data = training.data
    count_changes(data.cube, data.tiling, data.recipe.sampling)
    trainer = training.trainer()
    save_finished_model(training, trainer, {})
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
