"""Data-parallel training with Ray Train, fed by Ray Data.

Every worker has a dataset of its own: the windows of its micro-batches, step after step
(`data.WorkerShare`). Which windows those are is a pure function of their number (`model.samples`),
so one worker or many, or a number that changes, train on the same batches, and a resumed training
goes on where its checkpoint ends.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train import FailureConfig, RunConfig, ScalingConfig
from torch import Tensor

from luray.core.types import Direction
from luray.distributed.data import WindowReader, in_order_and_silent, micro_batches, read_windows
from luray.distributed.survey import survey
from luray.storage.objects import NoRoomError, filesystem, remove
from luray.storage.places import is_local
from luray.training.recipe import Recipe
from luray.training.rollout import Sample
from luray.training.training import (
    ProgressEvent,
    Training,
    TrainingLogger,
    TrainingProgress,
    run_steps,
    unheard,
    unwatched,
)
from luray.training.windows import WorkerShare

log = logging.getLogger(__name__)

TRIES = 100
"""Times that workers may die before a training gives up; a fault of data or recipe stops it at
once.
"""


@ray.remote
class StatusActor:
    """Where the leading worker pins its news and any worker the error it stopped on, for the driver
    to read.
    """

    def __init__(self) -> None:
        self._news: list[ProgressEvent] = []
        self._error = ""

    def put(self, news: ProgressEvent) -> None:
        """One more."""
        self._news.append(news)

    def fail(self, error: str) -> None:
        """What a worker stopped on."""
        self._error = error

    def read(self, since: int) -> list[ProgressEvent]:
        """News from number `since` on."""
        return self._news[since:]

    def error(self) -> str:
        """What a worker stopped on, empty if none did."""
        return self._error


def train(
    trainings: list[Training], *, restart: bool = False, report: TrainingProgress = unwatched
) -> list[Direction]:
    """Train every model that is not finished yet, one after the other; returns the directions that
    were trained.

    `restart` discards models and checkpoints of other trainings first. Raises ValueError with the
    worker's own message when data or recipe are at fault, and, naming what differs, for a model or
    checkpoint of another training; the last checkpoint is kept.
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
    status = StatusActor.options(num_cpus=0).remote()  # type: ignore[attr-defined]
    trainer = ray.train.torch.TorchTrainer(
        _worker_loop,
        train_loop_config={"trainings": todo, "board": status},
        scaling_config=_scaling(recipe),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=TRIES), **_storage(scratch)),
    )
    try:
        with _relayed(status, report):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise ValueError(f"training failed: {error}; the last checkpoint is kept") from error
    finally:
        remove(scratch)
    if message := ray.get(status.error.remote()):
        raise ValueError(message)
    return [t.direction for t in todo]


def _scaling(recipe: Recipe) -> ScalingConfig:
    """Workers and what each of them holds; half a CPU, so that some are left for Ray Data."""
    low, high = recipe.workers.min, recipe.workers.max
    gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    gpu = recipe.device == "gpu" or (recipe.device == "auto" and gpus >= low)
    workers: Any = low if low == high else (low, high)
    return ScalingConfig(
        num_workers=workers,
        use_gpu=gpu,
        resources_per_worker={"CPU": 0.5, **({"GPU": 1} if gpu else {})},
    )


def _storage(url: str) -> dict[str, Any]:
    """Where Ray Train keeps its own state, as its RunConfig takes it.

    Left to itself Ray opens URLs through pyarrow, which knows neither the run's endpoints nor how
    gcsfs logs in.
    """
    fs, path = filesystem(url)
    return (
        {"storage_path": path}
        if is_local(url)
        else {"storage_path": path, "storage_filesystem": PyFileSystem(FSSpecHandler(fs))}
    )


def _worker_loop(config: dict[str, Any]) -> None:
    """What every worker runs: its share of each training."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device, status = ray.train.torch.get_device(), config["board"]
    if ray.get(status.error.remote()):
        return  # a fault that another try does not mend; the driver raises it
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    try:
        for training in config["trainings"]:
            if training.finished:
                continue
            trainer = training.trainer(_summed if world > 1 else lambda t: t, device=device)
            share = training.share(done=trainer.done, rank=rank, world=world)
            logger = TrainingLogger(training, status.put.remote) if rank == 0 else None
            run_steps(training, trainer, _feed(training, share, device), after=logger or unheard)
            if logger:
                training.save(trainer, logger.last)
            if world > 1:
                torch.distributed.barrier()
    except (ValueError, NoRoomError) as error:
        ray.get(status.fail.remote(str(error)))
        raise


def _feed(
    training: Training, share: WorkerShare, device: torch.device
) -> Iterator[dict[int, Sample]]:
    """This worker's micro-batches of every step of its share, from a dataset of its own."""
    in_order_and_silent()
    recipe = training.recipe
    rows = read_windows(
        training.cube,
        training.tiling,
        range(recipe.years[0], recipe.years[1] + 1),
        windows=share,
        arrays=recipe.read,
        readers=recipe.readers,
    )
    return micro_batches(
        rows, share, WindowReader(training.cube, training.tiling, share.plan.counted), device=device
    )


def _summed(tensor: Tensor) -> Tensor:
    """Sum over the workers."""
    torch.distributed.all_reduce(tensor)
    return tensor


@contextmanager
def _relayed(status: Any, report: TrainingProgress) -> Iterator[None]:
    """Pass the board's news to `report` while the trainer blocks."""
    stop = threading.Event()

    def relay() -> None:
        seen, over = 0, False
        while not over:
            over = stop.wait(0.5)  # and once more after the end
            for news in (found := ray.get(status.read.remote(seen))):
                report(news)
            seen += len(found)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
