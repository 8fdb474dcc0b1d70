"""Training on Ray against the same steps in a plain loop."""

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from luray.distributed import stages
from luray.distributed.train import run_steps, train
from luray.model.checkpoint import load_model
from luray.model.fit import summary
from tests.distributed.processes import named


def serial_weights(training, *, threads):
    """Final weights and the metrics of each step of a training, in one process, without Ray."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    trainer, plan = training.trainer(), training.plan()
    recipe = training.recipe

    def batches():
        for step in range(recipe.steps):
            first = step * recipe.batch
            yield {i: training.micro_batch(plan, first + i * recipe.micro_batch) for i in range(recipe.pieces)}

    steps = []
    run_steps(training, trainer, batches(), after=lambda _, metrics: steps.append(metrics))
    torch.set_num_threads(before)
    return trainer.model.state_dict(), steps


@pytest.mark.parametrize(("workers", "arrays"), [("1", "late"), ("2", "ahead"), ("{min = 1, max = 2}", "late")])
def test_ray_trains_the_weights_of_the_plain_loop(place, tmp_path, workers, arrays):
    options = (f"training.workers={workers}", f"training.read={arrays}", "training.epochs=3")
    [training, *_] = stages.trainings(place.run(tmp_path / "out", *options))
    news = []
    assert train([training], report=news.append) == ["forward"]
    weights, steps = serial_weights(training, threads=os.cpu_count() or 1 if workers == "1" else 1)
    found, card = load_model(training.folder)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=2e-3, atol=2e-4, msg=lambda text, n=name: f"{n}: {text}")
    assert [(n.direction, n.step, n.epoch) for n in news] == [("forward", 2, 1), ("forward", 4, 2), ("forward", 6, 3)]
    for told in news:
        expected = summary(steps[told.step - 2 : told.step])
        assert {k: v for k, v in told.metrics.items() if k != "samples_per_second"} == pytest.approx(expected, rel=2e-3)
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
        assert [e.value for e in events.Scalars(part)] == pytest.approx([value for _, value in values])


def killed_and_resumed(training, kill):
    """Train, calling `kill` once when five steps have been told of; returns the final weights."""
    killed = []

    def report(news):
        if news.step >= 4 and not killed:
            killed.append(news.step)
            kill()

    train([training], report=report)
    assert killed
    return load_file(f"{training.folder}/weights.safetensors")


def test_a_training_whose_worker_is_killed_goes_on_after_its_checkpoint(place, tmp_path):
    [training, *_] = stages.trainings(place.run(tmp_path / "out", "training.steps=40"))
    found = killed_and_resumed(training, lambda: [os.kill(pid, signal.SIGKILL) for pid in named("ray::RayTrainWorker")])
    weights, steps = serial_weights(training, threads=os.cpu_count() or 1)
    assert all(torch.equal(value, weights[name]) for name, value in found.items())
    events = EventAccumulator(f"{training.folder}/events").Reload().Scalars("training/loss")
    told = sorted({*range(2, 41, 2), *range(5, 41, 5)})  # checkpoints and ends of epochs
    assert [e.step for e in events] == told, "nothing is missing in the curve, nothing is there twice"
    assert events[-1].value == pytest.approx(summary(steps[-2:])["loss"], rel=1e-5)
