"""Data-parallel training with Ray Train, fed by Ray Data.

Every worker has a dataset of its own: the windows of its micro-batches, step after step (`data.Share`). Which windows
those are is a pure function of their number (`model.samples`), so one worker or many train on the same batches, and a
resumed training goes on where its checkpoint ends.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.data import DataContext, Dataset
from ray.train import DataConfig, FailureConfig, RunConfig, ScalingConfig
from torch import Tensor

from luray.cube.ledger import fingerprint_of
from luray.cube.regions import Cube
from luray.cube.survey import surveyed
from luray.distributed.data import Share, WindowReader, micro_batches, read_windows
from luray.distributed.survey import survey
from luray.model.calibration import Calibration, Cells, OperatingPoint, calibrate, judged, thinned
from luray.model.checkpoint import (
    ModelCard,
    read_card,
    restore_training,
    save_model,
    save_training,
    uncalibrated,
)
from luray.model.fit import Recipe, Trainer
from luray.model.rollout import Sample
from luray.model.samples import SamplePlan, Use, class_weights, require_classes
from luray.model.unet import UNet, UNetConfig
from luray.schema import Direction
from luray.storage import filesystem, is_local, remove
from luray.windows import Tiling

log = logging.getLogger(__name__)

HELD_OUT = 300_000
"""Cells on which a finished model is calibrated and judged."""
Metrics = dict[str, float]
Progress = Callable[[Direction, int, Metrics], None]
"""Called with the direction being trained, the steps done and the latest metrics."""


def unwatched(direction: Direction, step: int, metrics: Metrics) -> None:
    """A progress that nobody reads."""


def unheard(step: int, metrics: Metrics) -> None:
    """What a worker that does not lead reports."""


@dataclass(frozen=True)
class Training:
    """The training of one model: data, recipe, direction and where it goes."""

    cube: Cube
    tiling: Tiling
    unet: UNetConfig
    recipe: Recipe
    direction: Direction
    folder: str

    @property
    def fingerprint(self) -> str:
        """Of everything the weights depend on; the number of workers is not among it."""
        return fingerprint_of(self.cube.fingerprint, self.tiling.window, self.tiling.stride, self.unet.model_dump(),
                              self.recipe.model_dump(exclude={"workers", "checkpoint_every", "read", "readers"}),
                              self.direction)

    @property
    def finished(self) -> bool:
        """True when the folder holds this very model."""
        card = read_card(self.folder)
        return card is not None and card.fingerprint == self.fingerprint

    @property
    def checkpoint(self) -> str:
        """Where an unfinished training is kept."""
        return f"{self.folder}/training.safetensors"

    def plan(self, use: Use = "training") -> SamplePlan:
        """The samples of this training, or of its validation.

        Raises ValueError when the cube lacks its years, or too little of them can be learned from.
        """
        recipe, (first, last) = self.recipe, self.recipe.years
        if first < self.cube.years[0] or last > self.cube.years[-1]:
            raise ValueError(f"training.years {first}-{last} reach outside the observed years {self.cube.years[0]}-"
                             f"{self.cube.years[-1]} of the cube; narrow them or add maps")
        found = surveyed(self.cube, self.tiling, recipe.sampling)
        if recipe.sampling.absent_classes == "refuse":
            require_classes(found, self.cube.legend, years=recipe.years)
        return SamplePlan(self.tiling, found, first, last, recipe.rollout_years, self.direction, recipe.sampling,
                          recipe.seed, use)

    def share(self, rank: int, *, done: int) -> Share:
        """The samples of a worker from step `done` on."""
        recipe = self.recipe
        return Share(self.plan(), recipe.batch, recipe.micro_batch, recipe.steps, done, rank, recipe.workers)

    def micro_batch(self, plan: SamplePlan, first: int) -> Sample:
        """Micro-batch that begins with sample number `first`."""
        draws = [plan[k] for k in range(first, first + self.recipe.micro_batch)]
        return self.cube.sample(draws, counted=plan.counted)

    def calibration(self, plan: SamplePlan) -> Iterator[Sample]:
        """Micro-batches for the batch-norm statistics, from sample numbers no step uses."""
        after = self.recipe.steps * self.recipe.batch
        for i in range(self.recipe.calibration_batches):
            yield self.micro_batch(plan, after + i * self.recipe.micro_batch)

    def trainer(self, total: Callable[[Tensor], Tensor] = lambda t: t, *,
                device: torch.device | None = None) -> Trainer:
        """A trainer at step 0, or where its checkpoint ends."""
        torch.manual_seed(self.recipe.seed)
        features = self.cube.features
        model = UNet(features.n_channels, features.n_classes, self.unet).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        trainer = Trainer(model, features, self.recipe, total=total, class_weights_K=self._class_weights(device))
        restore_training(trainer, self.fingerprint, self.checkpoint)
        return trainer

    def _class_weights(self, device: torch.device | None) -> Tensor | None:
        balance = self.recipe.class_balance
        if not balance:
            return None
        cells = surveyed(self.cube, self.tiling, self.recipe.sampling).cells_in(*self.recipe.years)
        return torch.from_numpy(class_weights(cells, balance=balance)).to(device)

    def held_out(self, trainer: Trainer) -> Cells:
        """What a finished model says of validation cells, `HELD_OUT` of them at most."""
        plan, recipe = self.plan("validation"), self.recipe
        most = max(1, HELD_OUT // recipe.validation_batches)
        found = [thinned(trainer.held_out(self.micro_batch(plan, i * recipe.micro_batch)), most=most)
                 for i in range(recipe.validation_batches)]
        return Cells(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def judge(self, trainer: Trainer) -> tuple[dict[OperatingPoint, Calibration], dict[str, Metrics]]:
        """The operating points of a finished model, and its scores at each on held-out cells.

        Where nothing can be held out, or too little changes there, the points are the weights as they are.
        """
        if not self.recipe.sampling.validation_share:
            return uncalibrated(), {}
        try:
            cells = self.held_out(trainer)
            points = calibrate(cells)
        except ValueError as error:
            log.warning("operating points are not calibrated: %s", error)
            return uncalibrated(), {}
        return points, {point: judged(cells, calibration) for point, calibration in points.items()}

    def save(self, trainer: Trainer, metrics: Metrics) -> None:
        """Write the finished model with its operating points and validation, and drop the checkpoint."""
        points, validation = self.judge(trainer)
        card = ModelCard(self.direction, self.cube.legend.name, tuple(int(c) for c in self.cube.legend.codes),
                         trainer.features.names, self.unet,
                         {"recipe": self.recipe.model_dump(), "cube": self.cube.fingerprint,
                          "caveats": self.cube.caveats,
                          "forcing": [asdict(v) for v in trainer.features.forcing],
                          "static": [asdict(v) for v in trainer.features.static], "last_metrics": metrics,
                          "validation": validation},
                         self.fingerprint, points=points)
        save_model(trainer.model, card, self.folder)
        remove(self.checkpoint)


def run_steps(training: Training, trainer: Trainer, batches: Iterable[dict[int, Sample]], *, leads: bool,
              report: Callable[[int, Metrics], None]) -> Metrics:
    """Train on `batches` to the end and calibrate; `leads` is true for the one worker that writes checkpoints."""
    metrics: Metrics = {}
    for samples in batches:
        metrics = trainer.step(samples)
        report(trainer.done, metrics)
        if leads and trainer.done % training.recipe.checkpoint_every == 0:
            save_training(trainer, training.fingerprint, training.checkpoint)
    trainer.calibrate(training.calibration(training.plan()))
    return metrics


@ray.remote
class Board:
    """Where the leading worker writes its latest metrics and any worker its error, for the driver to read."""

    def __init__(self) -> None:
        self._latest: tuple[Direction, int, Metrics] | None = None
        self._error = ""

    def put(self, direction: Direction, step: int, metrics: Metrics) -> None:
        """Latest metrics."""
        self._latest = direction, step, metrics

    def fail(self, error: str) -> None:
        """What a worker stopped on."""
        self._error = error

    def read(self) -> tuple[tuple[Direction, int, Metrics] | None, str]:
        """Latest metrics and error."""
        return self._latest, self._error


def train(trainings: list[Training], *, report: Progress = unwatched) -> list[Direction]:
    """Train every model that is not finished yet, one after the other; returns the directions that were trained.

    Raises ValueError with the worker's own message when data or recipe are at fault; the last checkpoint is kept.
    """
    todo = [t for t in trainings if not t.finished]
    if not todo:
        return []
    for training in todo:
        survey(training.cube, training.tiling, training.recipe.sampling)
        training.plan()
    recipe, scratch = todo[0].recipe, f"{todo[0].folder}/ray"
    DataContext.get_current().enable_progress_bars = False
    DataContext.get_current().execution_options.preserve_order = True
    datasets: dict[str, Dataset | Callable[[], Dataset]] = {
        f"{t.direction}.{rank}": partial(_windows, t, rank) for t in todo for rank in range(recipe.workers)}
    gpu = ray.cluster_resources().get("GPU", 0) >= recipe.workers  # type: ignore[no-untyped-call]
    board = Board.options(num_cpus=0).remote()  # type: ignore[attr-defined]
    trainer = ray.train.torch.TorchTrainer(
        _worker_loop, train_loop_config={"trainings": todo, "board": board}, datasets=datasets,
        dataset_config=DataConfig(datasets_to_split=[]),
        scaling_config=ScalingConfig(num_workers=recipe.workers, use_gpu=gpu,
                                     resources_per_worker={"CPU": 0.5, **({"GPU": 1} if gpu else {})}),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=3), **_storage(scratch)))
    try:
        with _relayed(board, report):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        _, message = ray.get(board.read.remote())
        raise ValueError(message or f"training failed: {error}; the last checkpoint is kept") from error
    finally:
        remove(scratch)
    return [t.direction for t in todo]


def _storage(url: str) -> dict[str, Any]:
    """Where Ray Train keeps its own state, as its RunConfig takes it.

    Left to itself Ray opens URLs through pyarrow, which knows neither the run's endpoints nor how gcsfs logs in.
    """
    fs, path = filesystem(url)
    return {"storage_path": path} if is_local(url) else {
        "storage_path": path, "storage_filesystem": PyFileSystem(FSSpecHandler(fs))}


def _worker_loop(config: dict[str, Any]) -> None:
    """What every worker runs: its share of each training."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device, board = ray.train.torch.get_device(), config["board"]
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    try:
        for training in config["trainings"]:
            if training.finished:
                continue
            trainer = training.trainer(_summed if world > 1 else lambda t: t, device=device)
            put = partial(board.put.remote, training.direction) if rank == 0 else unheard
            metrics = run_steps(training, trainer, _feed(training, trainer.done, rank, device), leads=rank == 0,
                                report=put)
            if rank == 0:
                training.save(trainer, metrics)
            if world > 1:
                torch.distributed.barrier()
    except ValueError as error:
        ray.get(board.fail.remote(str(error)))
        raise


def _windows(training: Training, rank: int) -> Dataset:
    """Windows that a worker still has to train on, worked out whenever the workers start."""
    DataContext.get_current().enable_progress_bars = False
    recipe = training.recipe
    return read_windows(training.cube, training.tiling, range(recipe.years[0], recipe.years[1] + 1),
                        windows=training.share(rank, done=training.trainer().done), arrays=recipe.read,
                        readers=recipe.readers)


def _feed(training: Training, done: int, rank: int, device: torch.device) -> Iterator[dict[int, Sample]]:
    """This worker's micro-batches of every step from `done` on."""
    share = training.share(rank, done=done)
    rows = ray.train.get_dataset_shard(f"{training.direction}.{rank}")
    return micro_batches(rows, share, WindowReader(training.cube, training.tiling, share.plan.counted), device=device)


def _summed(tensor: Tensor) -> Tensor:
    """Sum over the workers."""
    torch.distributed.all_reduce(tensor)
    return tensor


@contextmanager
def _relayed(board: Any, report: Progress) -> Iterator[None]:
    """Pass the board's news to `report` while the trainer blocks."""
    stop = threading.Event()

    def relay() -> None:
        while not stop.wait(0.5):
            latest, _ = ray.get(board.read.remote())
            if latest:
                report(*latest)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
