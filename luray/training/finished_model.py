"""The end of a training: operating points, the report on the model, and the model on disk."""

import json
import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from luray.model.calibration import FEWEST_CHANGED_CELLS, Cells, calibrate, n_changed, thinned
from luray.model.card import ModelCard, uncalibrated
from luray.model.checkpoint import save_model
from luray.model.operating_point import Calibration, OperatingPoint
from luray.model.value_calibration import (
    FEWEST_CELLS,
    ValueCells,
    calibrate_values,
    value_report,
)
from luray.storage.lease import RequireLease, no_lease
from luray.storage.objects import remove, write_atomically
from luray.training.checkpoint import n_workers
from luray.training.class_climatology import class_climatology_rmse
from luray.training.sample_plan import SamplePlan
from luray.training.step_metrics import StepMetrics
from luray.training.trainer import Trainer
from luray.training.training import Training
from luray.training.training_data import TrainingData
from luray.training.validation import validation_report

log = logging.getLogger(__name__)

MOST_HELD_OUT_CELLS = 300_000
"""Cells on which a finished model is calibrated and scored."""


def held_out_cells(
    data: TrainingData, trainer: Trainer, plan: SamplePlan, *, share: float = 1.0
) -> Cells | ValueCells:
    """Predict held-out cells, `MOST_HELD_OUT_CELLS` of them at most.

    Parameters
    ----------
    data : TrainingData
        Where the samples are read.
    trainer : Trainer
        The model.
    plan : SamplePlan
        The held-out samples.
    share : float
        Share of `validation_batches` that is read, for a quick look.
    """
    recipe = data.recipe
    n_batches = max(1, round(share * recipe.validation_batches))
    most = max(1, MOST_HELD_OUT_CELLS // n_batches)

    batches: list[Any] = []
    for i in range(n_batches):
        sample = data.micro_batch(plan, i * recipe.micro_batch)
        cells_of_batch: Any = trainer.held_out(sample)
        batches.append(thinned(cells_of_batch, most=most))
    kind = type(batches[0])
    fields = (np.concatenate(part) for part in zip(*batches, strict=True))
    cells: Cells | ValueCells = kind(*fields)
    return cells


def calibrate_and_report(
    data: TrainingData, trainer: Trainer
) -> tuple[dict[OperatingPoint, Calibration], dict[str, Any]]:
    """Choose the operating points of a finished model and report on it.

    The temperature is that of the held-out blocks, the biases are chosen in the held-out years.
    Where too little changes in one of the two, the other serves for both. Where too little changes
    in both, the model stays uncalibrated.

    Returns
    -------
    points : dict
        The calibration of each operating point.
    report : dict
        See `validation.validation_report`; empty for an uncalibrated model.
    """
    held_out: list[Any] = [
        (plan, held_out_cells(data, trainer, plan)) for plan in data.held_out_plans
    ]
    if data.cube.legend.scale is not None:
        return _calibrate_and_report_values(data, held_out)
    usable = [(plan, cells) for plan, cells in held_out if n_changed(cells) >= FEWEST_CHANGED_CELLS]
    if not usable:
        log.warning(
            "operating points are not calibrated: fewer than %d held-out cells change; hold out "
            "more blocks or years (training.sampling)",
            FEWEST_CHANGED_CELLS,
        )
        return uncalibrated(), {}

    # Blocks come before years; with one of the two the first is also the last.
    _, temperature_cells = usable[0]
    plan, operating_cells = usable[-1]
    points = calibrate(temperature_cells, operating_cells)
    report = {
        "held_out": "blocks" if plan.use == "held-out blocks" else "years",
        "years": [plan.first_year, plan.last_year],
    }
    return points, report | validation_report(operating_cells, points)


def _calibrate_and_report_values(
    data: TrainingData, held_out: list[tuple[SamplePlan, ValueCells]]
) -> tuple[dict[OperatingPoint, Calibration], dict[str, Any]]:
    """Do the same for a model of values: all is fitted on the held-out years, if there are any."""
    scale = data.cube.legend.scale
    assert scale is not None
    usable = [(plan, cells) for plan, cells in held_out if cells.truth_N.size >= FEWEST_CELLS]
    if not usable:
        log.warning(
            "the spread is not calibrated: fewer than %d held-out cells have a value; hold out "
            "more blocks or years (training.sampling)",
            FEWEST_CELLS,
        )
        return uncalibrated(), {}
    plan, cells = usable[-1]
    points = calibrate_values(cells)
    label = data.cube.time.label
    report: dict[str, Any] = {
        "held_out": "blocks" if plan.use == "held-out blocks" else "years",
        "years": [label(plan.first_year), label(plan.last_year)],
    }
    report |= value_report(cells, points, scale)
    zone = data.recipe.sampling.zone
    report["class_climatology"] = {
        "classes": zone,
        "rmse": class_climatology_rmse(
            data.cube,
            data.plan(),
            plan,
            zone=zone,
            n_samples=data.recipe.validation_batches * data.recipe.micro_batch,
        ),
    }
    return points, report


def report_path(training: Training) -> str:
    """Return where the report on the finished model lies; an uncalibrated model has none."""
    return f"{training.folder}/validation.json"


def save_finished_model(
    training: Training,
    trainer: Trainer,
    metrics: StepMetrics,
    *,
    require_lease: RequireLease = no_lease,
) -> None:
    """Write the finished model with its operating points and report, and drop the checkpoint.

    Parameters
    ----------
    training : Training
        What the model is and where it goes.
    trainer : Trainer
        The model after its last step.
    metrics : dict
        The last metrics, for the card.
    require_lease : callable, optional
        Called before anything is written; its HeldError leaves the folder as it is.
    """
    cube = training.data.cube
    points, report = calibrate_and_report(training.data, trainer)
    card = ModelCard(
        direction=training.direction,
        legend=cube.legend.name,
        classes=trainer.features.codes,
        channels=trainer.features.names,
        unet=training.unet,
        training={
            "sources": cube.sources,
            "caveats": cube.caveats,
            "forcing": [asdict(variable) for variable in trainer.features.forcing],
            "static": [asdict(variable) for variable in trainer.features.static],
            "last_metrics": metrics,
            "computed_by": {"workers": n_workers(), "threads": torch.get_num_threads()},
            "validation": _scores_of_points(report),
        },
        fingerprint=training.fingerprint,
        identity=training.identity,
        points=points,
    )
    require_lease()
    if report:
        about = {
            "direction": training.direction,
            "caveats": cube.caveats,
            "classes": [c.name for c in cube.legend.classes if cube.legend.scale is None],
        }
        write_atomically(report_path(training), json.dumps(about | report, indent=1).encode())

    # The checkpoint goes last: an interruption before that costs the calibration, not the training.
    require_lease()
    save_model(trainer.model, card, training.folder)
    remove(training.checkpoint.path)


def _scores_of_points(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers of each operating point in a report, without its tables."""
    scores = {
        point: {name: value for name, value in entries.items() if isinstance(value, float)}
        for point, entries in report.get("points", {}).items()
    }
    if "class_climatology" in report:
        for of_point in scores.values():
            of_point["class_climatology_rmse"] = report["class_climatology"]["rmse"]
    return scores
