"""A whole training in one process: its identity, its samples, and what it leaves behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from luray.core.config import Workers
from luray.model.card import read_card
from luray.model.unet_config import UNetConfig
from luray.training.finished_model import report_path, save_finished_model
from luray.training.recipe import Recipe
from luray.training.sampling_config import SamplingConfig
from luray.training.training import Training, run_steps
from luray.training.training_data import TrainingData
from luray.training.training_logger import TrainingLogger
from tests.cube.cubes import make_cube

SAMPLING = SamplingConfig(blocks=(4, 4), least_change=1, validation_share=0.3)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("training") / "cube.zarr"), "globe").cube


def training_of(cube, folder, *, direction="forward", **options):
    defaults = {
        "years": (2001, 2003),
        "sampling": SAMPLING,
        "steps": 4,
        "epochs": 2,
        "batch": 2,
        "micro_batch": 2,
        "rollout_years": 1,
        "calibration_batches": 2,
        "validation_batches": 8,
    }
    recipe = Recipe(**defaults | options)
    tiling = cube.tiling(window=8, stride=4, tile=8)
    data = TrainingData(cube, tiling, recipe, direction, history=3)
    return Training(data, UNetConfig(width=4, depth=2, history=3), str(folder))


def test_an_identity_keeps_its_keys(cube, tmp_path):
    identity = training_of(cube, tmp_path).identity
    assert list(identity) == [
        "direction",
        "legend",
        "grid",
        "cube",
        "tiling",
        "model",
        "training",
    ]
    assert list(identity["training"]) == [
        "years",
        "sampling",
        "steps",
        "batch",
        "micro_batch",
        "rollout_years",
        "teacher_forcing",
        "learning_rate",
        "warmup",
        "weight_decay",
        "clip",
        "change_weight",
        "class_balance",
        "precision",
        "noise",
        "calibration_batches",
        "validation_batches",
        "seed",
    ]


def test_who_computes_and_reads_makes_no_other_model(cube, tmp_path):
    plain = training_of(cube, tmp_path)
    elsewhere = training_of(
        cube,
        tmp_path,
        device="cpu",
        checkpoint_every=1,
        epochs=1,
        windows_read_by="readers",
        readers=3,
        workers=Workers(min=1, max=1),
    )
    assert elsewhere.fingerprint == plain.fingerprint
    assert training_of(cube, tmp_path, seed=1).fingerprint != plain.fingerprint


def test_held_out_years_are_the_last_in_the_direction_of_travel(cube, tmp_path):
    forward = training_of(cube, tmp_path).data
    backward = training_of(cube, tmp_path, direction="backward").data
    assert forward.years("training") == (2001, 2002)
    assert forward.years("held-out years") == (2002, 2003)
    assert backward.years("training") == (2002, 2003)
    assert backward.years("held-out years") == (2001, 2002)
    for data in (forward, backward):
        assert data.years("held-out blocks") == data.years("training")


def test_years_outside_the_cube_are_refused(cube, tmp_path):
    with pytest.raises(
        ValueError, match=r"training\.years 2001-2004 reach outside the observed years 2001-2003"
    ):
        training_of(cube, tmp_path, years=(2001, 2004)).data.plan()


def test_a_finished_training_leaves_a_model_a_report_and_events(cube, tmp_path):
    training = training_of(cube, tmp_path / "model")
    data = training.data
    trainer = training.trainer()
    plan = data.plan()
    events = []
    logger = TrainingLogger(training, events.append)
    batches = ({0: data.micro_batch(plan, step * 2)} for step in range(4))
    run_steps(training, trainer, batches, after=logger)

    assert [(event.step, event.epoch) for event in events] == [(2, 1), (4, 2)]
    assert all(event.held_out["accuracy"] > 0 for event in events)
    assert training.checkpoint.done == 4
    assert not training.finished

    save_finished_model(training, trainer, logger.last)
    assert training.finished
    assert not Path(training.checkpoint.path).exists()
    report = json.loads(Path(report_path(training)).read_text())
    assert (report["direction"], report["held_out"]) == ("forward", "years")
    card = read_card(training.folder)
    assert card.training["last_metrics"] == events[-1].metrics
    for point, scores in card.training["validation"].items():
        assert scores["accuracy"] == report["points"][point]["accuracy"]
    assert len(list(Path(f"{training.folder}/events").iterdir())) == 2

    other = replace(training, data=replace(data, recipe=data.recipe.model_copy(update={"seed": 7})))
    with pytest.raises(ValueError, match=r"holds another training \(training\.seed 0 there, 7"):
        _ = other.finished
