"""Training on Ray against the same steps in a plain loop."""

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from luray.distributed import stages
from luray.distributed.train import run_steps, train
from luray.model.checkpoint import load_model, read_card
from tests.distributed.processes import named


def serial_weights(training, *, threads):
    """Final weights and the losses of a training, in one process, without Ray."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    trainer, plan = training.trainer(), training.plan()
    recipe = training.recipe

    def batches():
        for step in range(recipe.steps):
            first = step * recipe.batch
            yield {i: training.micro_batch(plan, first + i * recipe.micro_batch) for i in range(recipe.pieces)}

    losses = []
    run_steps(training, trainer, batches(), leads=False, report=lambda _, m: losses.append(m["loss"]))
    torch.set_num_threads(before)
    return trainer.model.state_dict(), losses


@pytest.mark.parametrize("workers", [1, 2])
def test_ray_trains_the_weights_of_the_plain_loop(place, tmp_path, workers):
    trainings = stages.trainings(place.run(tmp_path / "out", f"training.workers={workers}"))[:1]
    seen = {}
    assert train(trainings, report=lambda _, step, m: seen.__setitem__(step, m["loss"])) == ["forward"]
    weights, losses = serial_weights(trainings[0], threads=(os.cpu_count() or 1) // workers)
    found, card = load_model(trainings[0].folder)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=2e-3, atol=2e-4, msg=lambda text, n=name: f"{n}: {text}")
    assert card.training["last_metrics"]["loss"] == pytest.approx(losses[-1], rel=1e-3)
    assert all(seen[step] == pytest.approx(losses[step - 1], rel=1e-3) for step in seen)
    assert not Path(trainings[0].checkpoint).exists()
    assert train(trainings) == [], "a finished model is not trained again"


def test_a_killed_training_goes_on_after_its_checkpoint(place, tmp_path):
    trainings = stages.trainings(place.run(tmp_path / "out", "training.steps=40"))[:1]
    killed, steps = [], []

    def report(_direction, step, _metrics):
        steps.append(step)
        if step >= 4 and not killed:
            killed.append(step)
            for pid in named("ray::RayTrainWorker"):
                os.kill(pid, signal.SIGKILL)

    train(trainings, report=report)
    assert killed
    weights, _ = serial_weights(trainings[0], threads=os.cpu_count() or 1)
    found = load_file(f"{trainings[0].folder}/weights.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in found.items())


def test_years_outside_the_maps_are_refused(place, tmp_path):
    run = place.run(tmp_path / "out", "training.years=[1990, 2003]", "evaluation.tests=[]")
    with pytest.raises(ValueError, match=r"values for 1990-1995, which the run needs; run `luray build`"):
        stages.train(run)
    assert read_card(run.model_folder("forward")) is None

