"""Data-parallel training with Ray Train, fed by Ray Data.

Every worker has a dataset of its own: the windows of its micro-batches, step after step (`data.Share`). Which windows
those are is a pure function of their number (`model.samples`), so one worker or many, or a number that changes, train
on the same batches, and a resumed training goes on where its checkpoint ends.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train import FailureConfig, RunConfig, ScalingConfig
from torch import Tensor

from luray.cube.ledger import fingerprint_of
from luray.cube.regions import Cube
from luray.cube.survey import surveyed
from luray.distributed.data import Share, WindowReader, in_order_and_silent, micro_batches, read_windows
from luray.distributed.survey import survey
from luray.model.calibration import (
    FEWEST,
    PLAIN,
    Calibration,
    Cells,
    OperatingPoint,
    calibrate,
    changed,
    cross_entropy,
    judged,
    thinned,
)
from luray.model.checkpoint import Checkpoint, ModelCard, read_card, require_same, save_model, uncalibrated
from luray.model.events import Row, write_events
from luray.model.fit import Metrics, Recipe, Trainer, summary
from luray.model.rollout import Sample
from luray.model.samples import SamplePlan, Use, class_weights, require_classes
from luray.model.unet import UNet, UNetConfig
from luray.model.validation import validation_report
from luray.schema import Direction
from luray.storage import NoRoomError, filesystem, is_local, remove, write_atomically
from luray.windows import Tiling

log = logging.getLogger(__name__)

HELD_OUT = 300_000
"""Cells on which a finished model is calibrated and judged."""
TOLD_EVERY = 10
"""Steps between two rows of metrics."""
TRIES = 100
"""Times that workers may die before a training gives up; a fault of data or recipe stops it at once."""


class News(NamedTuple):
    """How a training goes: means over the last steps, and at the end of an epoch the scores on held-out cells."""

    direction: Direction
    step: int
    metrics: Metrics
    held_out: Metrics
    """Empty inside an epoch, and where no block is held out."""
    epoch: int = 0
    """Number of the epoch that ends here, from 1; 0 inside one."""


Progress = Callable[[News], None]


def unwatched(news: News) -> None:
    """A progress that nobody reads."""


def unheard(trainer: Trainer, metrics: Metrics) -> None:
    """What a worker that does not lead does after a step."""


@dataclass(frozen=True)
class Training:
    """The training of one model: data, recipe, direction and where it goes."""

    cube: Cube
    tiling: Tiling
    unet: UNetConfig
    recipe: Recipe
    direction: Direction
    folder: str

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything the weights depend on; the number of workers is not among it."""
        how = {"workers", "device", "checkpoint_every", "epochs", "read", "readers", "leave_out"}
        found: dict[str, Any] = {
            "direction": self.direction, "legend": self.cube.legend.name, "grid": asdict(self.cube.grid),
            "cube": self.cube.fingerprint, "tiling": {"window": self.tiling.window, "stride": self.tiling.stride},
            "model": self.unet.model_dump(), "training": self.recipe.model_dump(exclude=how)}
        if self.left_out:
            found["left_out"] = sorted(self.left_out)
        plain: dict[str, Any] = json.loads(json.dumps(found))
        return plain

    @property
    def left_out(self) -> frozenset[int]:
        """Years of the training whose maps no sample meets."""
        if self.recipe.leave_out == "nothing":
            return frozenset()
        first, last = self.recipe.years
        return frozenset(year for year in self.cube.other_kind if first <= year <= last)

    @property
    def fingerprint(self) -> str:
        """Of the identity."""
        return fingerprint_of(self.identity)

    @property
    def finished(self) -> bool:
        """True when the folder holds this very model. Raises ValueError, naming what differs, when it holds another."""
        card = read_card(self.folder)
        if card:
            require_same(card.identity, self.identity, what=f"{self.folder} holds")
        return card is not None

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the unfinished training is kept."""
        return Checkpoint(f"{self.folder}/training.safetensors", self.identity)

    def discard_another(self) -> None:
        """Delete what the folder holds of another training."""
        try:
            if not self.finished:
                self.checkpoint.restore(self._fresh())
        except ValueError as error:
            log.warning("discarded: %s", error)
            remove(self.folder)

    def plan(self, use: Use = "training") -> SamplePlan:
        """The samples of this training, or of its validation.

        Raises ValueError when the cube lacks its years, or too little of them can be learned from.
        """
        recipe, (first, last) = self.recipe, self.recipe.years
        sampling = recipe.sampling
        if first < self.cube.years[0] or last > self.cube.years[-1]:
            raise ValueError(f"training.years {first}-{last} reach outside the observed years {self.cube.years[0]}-"
                             f"{self.cube.years[-1]} of the cube; narrow them or add maps")
        found, (first, last) = surveyed(self.cube, self.tiling, sampling), self.years(use)
        if use == "training" and sampling.absent_classes == "refuse":
            require_classes(found, self.cube.legend, years=(first, last), left_out=self.left_out)
        length = 1 if use == "later" else recipe.longest
        return SamplePlan(self.tiling, found, first, last, length, self.direction, sampling, recipe.seed, use,
                          self.left_out)

    def years(self, use: Use) -> tuple[int, int]:
        """First and last map of a use."""
        first, last = self.recipe.years
        held = self.recipe.sampling.held_years(first, last, rollout_years=self.recipe.longest)
        if self.direction == "forward":
            return (last - held, last) if use == "later" else (first, last - held)
        return (first, first + held) if use == "later" else (first + held, last)

    def share(self, *, done: int = 0, rank: int = 0, world: int = 1) -> Share:
        """The samples of one of `world` workers from step `done` on."""
        recipe = self.recipe
        return Share(self.plan(), recipe.batch, recipe.micro_batch, recipe.steps, done, rank, world)

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
        """A trainer at step 0, or where its checkpoint ends. Raises ValueError for a checkpoint of another training."""
        trainer = self._fresh(total, device)
        self.checkpoint.restore(trainer)
        return trainer

    def _fresh(self, total: Callable[[Tensor], Tensor] = lambda t: t, device: torch.device | None = None) -> Trainer:
        torch.manual_seed(self.recipe.seed)
        features = self.cube.features
        model = UNet(features.n_channels, features.n_classes, self.unet).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Trainer(model, features, self.recipe, total=total, class_weights_K=self._class_weights(device))

    def _class_weights(self, device: torch.device | None) -> Tensor | None:
        balance = self.recipe.class_balance
        if not balance:
            return None
        found = surveyed(self.cube, self.tiling, self.recipe.sampling)
        cells = found.cells_in(*self.years("training"), left_out=self.left_out)
        return torch.from_numpy(class_weights(cells, balance=balance)).to(device)

    @cached_property
    def held_out_plans(self) -> list[SamplePlan]:
        """The samples of held-out blocks, and after them of held-out years; without those that the recipe lacks."""
        plans: list[SamplePlan] = []
        for use in ("validation", "later"):
            first, last = self.years(use)
            if first < last and (use == "later" or self.recipe.sampling.validation_share):
                try:
                    plans.append(self.plan(use))
                except ValueError as error:
                    log.warning("nothing is held out: %s", error)
        return plans

    def held_out(self, trainer: Trainer, plan: SamplePlan, *, share: float = 1.0) -> Cells:
        """What a model says of validation cells, `HELD_OUT` of them at most; of a share of them for a quick look."""
        recipe = self.recipe
        batches = max(1, round(share * recipe.validation_batches))
        most = max(1, HELD_OUT // batches)
        found = [thinned(trainer.held_out(self.micro_batch(plan, i * recipe.micro_batch)), most=most)
                 for i in range(batches)]
        return Cells(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def judge(self, trainer: Trainer) -> tuple[dict[OperatingPoint, Calibration], dict[str, Any]]:
        """The operating points of a finished model, and the report on it, empty where it cannot be judged.

        The temperature is that of the held-out blocks, the points are chosen in the held-out years; where too little
        changes in one of them the other serves for both, and where in both the points are the weights as they are.
        """
        judged_on = [(plan, self.held_out(trainer, plan)) for plan in self.held_out_plans]
        found = [(plan, cells) for plan, cells in judged_on if changed(cells) >= FEWEST]
        if not found:
            log.warning("operating points are not calibrated: fewer than %d held-out cells change; hold out more "
                        "blocks or years (training.sampling)", FEWEST)
            return uncalibrated(), {}
        plan, cells = found[-1]
        points = calibrate(found[0][1], cells)
        return points, {"held_out": "blocks" if plan.use == "validation" else "years",
                        "years": [plan.first_year, plan.last_year]} | validation_report(cells, points)

    @property
    def report(self) -> str:
        """Where the report on the finished model lies; there is none where it cannot be judged."""
        return f"{self.folder}/validation.json"

    def save(self, trainer: Trainer, metrics: Metrics) -> None:
        """Write the finished model with its operating points and the report on it, and drop the checkpoint."""
        points, report = self.judge(trainer)
        scored = {point: {k: v for k, v in said.items() if isinstance(v, float)}
                  for point, said in report.get("points", {}).items()}
        card = ModelCard(self.direction, self.cube.legend.name, tuple(int(c) for c in self.cube.legend.codes),
                         trainer.features.names, self.unet,
                         {"sources": self.cube.sources, "caveats": self.cube.caveats,
                          "forcing": [asdict(v) for v in trainer.features.forcing],
                          "static": [asdict(v) for v in trainer.features.static], "last_metrics": metrics,
                          "validation": scored},
                         self.fingerprint, self.identity, points=points)
        if report:
            about = {"direction": self.direction, "caveats": self.cube.caveats,
                     "classes": [c.name for c in self.cube.legend.classes]}
            write_atomically(self.report, json.dumps(about | report, indent=1).encode())
        save_model(trainer.model, card, self.folder)
        remove(self.checkpoint.path)


class Diary:
    """What the leading worker does after each step: metrics to whoever watches, event files, checkpoints."""

    QUICK = 0.25
    """Share of the validation that is scored after an epoch."""

    def __init__(self, training: Training, tell: Progress) -> None:
        self._training, self._tell = training, tell
        self._steps: list[Metrics] = []
        self._rows: list[Row] = []
        self._since = time.monotonic()
        self.last: Metrics = {}

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """After the step that gave `metrics`."""
        recipe, done = self._training.recipe, trainer.done
        self._steps.append(metrics)
        epoch = recipe.epoch_ended(done)
        saves = epoch or done % recipe.checkpoint_every == 0
        if saves or done % TOLD_EVERY == 0:
            self._row(trainer, epoch)
        if saves:  # events first: what is written twice is the same
            write_events(f"{self._training.folder}/events", self._rows)
            self._rows.clear()
            self._training.checkpoint.save(trainer)

    def _row(self, trainer: Trainer, epoch: int) -> None:
        recipe, now = self._training.recipe, time.monotonic()
        rate = len(self._steps) * recipe.batch / max(now - self._since, 1e-9)
        self.last = summary(self._steps) | {"samples_per_second": rate}
        self._steps.clear()
        held_out = self._held_out(trainer) if epoch else {}
        self._rows.append(Row(trainer.done, time.time(), {
            **{f"training/{k}": v for k, v in self.last.items()}, **{f"held_out/{k}": v for k, v in held_out.items()}}))
        self._tell(News(self._training.direction, trainer.done, self.last, held_out, epoch))
        self._since = time.monotonic()

    def _held_out(self, trainer: Trainer) -> Metrics:
        plans = self._training.held_out_plans
        if not plans:
            return {}
        cells = self._training.held_out(trainer, plans[-1], share=self.QUICK)
        return judged(cells, PLAIN) | {"cross_entropy": cross_entropy(cells, PLAIN)}


def run_steps(training: Training, trainer: Trainer, batches: Iterable[dict[int, Sample]], *,
              after: Callable[[Trainer, Metrics], None] = unheard) -> None:
    """Train on `batches` to the end and calibrate; `after` is called after each step."""
    for samples in batches:
        after(trainer, trainer.step(samples))
    trainer.calibrate(training.calibration(training.plan()))


@ray.remote
class Board:
    """Where the leading worker pins its news and any worker the error it stopped on, for the driver to read."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._error = ""

    def put(self, news: News) -> None:
        """One more."""
        self._news.append(news)

    def fail(self, error: str) -> None:
        """What a worker stopped on."""
        self._error = error

    def read(self, since: int) -> list[News]:
        """News from number `since` on."""
        return self._news[since:]

    def error(self) -> str:
        """What a worker stopped on, empty if none did."""
        return self._error


def train(trainings: list[Training], *, restart: bool = False, report: Progress = unwatched) -> list[Direction]:
    """Train every model that is not finished yet, one after the other; returns the directions that were trained.

    `restart` discards models and checkpoints of other trainings first. Raises ValueError with the worker's own message
    when data or recipe are at fault, and, naming what differs, for a model or checkpoint of another training; the last
    checkpoint is kept.
    """
    if restart:
        for training in trainings:
            training.discard_another()
    todo = [t for t in trainings if not t.finished]
    if not todo:
        return []
    for training in todo:
        survey(training.cube, training.tiling, training.recipe.sampling)
        training.trainer()
        training.plan()
    recipe, scratch = todo[0].recipe, f"{todo[0].folder}/ray"
    board = Board.options(num_cpus=0).remote()  # type: ignore[attr-defined]
    trainer = ray.train.torch.TorchTrainer(
        _worker_loop, train_loop_config={"trainings": todo, "board": board}, scaling_config=_scaling(recipe),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=TRIES), **_storage(scratch)))
    try:
        with _relayed(board, report):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise ValueError(f"training failed: {error}; the last checkpoint is kept") from error
    finally:
        remove(scratch)
    if message := ray.get(board.error.remote()):
        raise ValueError(message)
    return [t.direction for t in todo]


def _scaling(recipe: Recipe) -> ScalingConfig:
    """Workers and what each of them holds; half a CPU, so that some are left for Ray Data."""
    low, high = recipe.workers.min, recipe.workers.max
    gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    gpu = recipe.device == "gpu" or (recipe.device == "auto" and gpus >= low)
    workers: Any = low if low == high else (low, high)
    return ScalingConfig(num_workers=workers, use_gpu=gpu,
                         resources_per_worker={"CPU": 0.5, **({"GPU": 1} if gpu else {})})


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
    if ray.get(board.error.remote()):
        return  # a fault that another try does not mend; the driver raises it
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    try:
        for training in config["trainings"]:
            if training.finished:
                continue
            trainer = training.trainer(_summed if world > 1 else lambda t: t, device=device)
            share = training.share(done=trainer.done, rank=rank, world=world)
            diary = Diary(training, board.put.remote) if rank == 0 else None
            run_steps(training, trainer, _feed(training, share, device), after=diary or unheard)
            if diary:
                training.save(trainer, diary.last)
            if world > 1:
                torch.distributed.barrier()
    except (ValueError, NoRoomError) as error:
        ray.get(board.fail.remote(str(error)))
        raise


def _feed(training: Training, share: Share, device: torch.device) -> Iterator[dict[int, Sample]]:
    """This worker's micro-batches of every step of its share, from a dataset of its own."""
    in_order_and_silent()
    recipe = training.recipe
    rows = read_windows(training.cube, training.tiling, range(recipe.years[0], recipe.years[1] + 1), windows=share,
                        arrays=recipe.read, readers=recipe.readers)
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
        seen, over = 0, False
        while not over:
            over = stop.wait(0.5)  # and once more after the end
            for news in (found := ray.get(board.read.remote(seen))):
                report(news)
            seen += len(found)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
