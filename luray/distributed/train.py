"""Data-parallel training with Ray Train, fed by Ray Data.

Every worker has a dataset of its own: the windows of its micro-batches, step after step
(`WorkerShare`). Which windows those are is a pure function of their number (`SamplePlan`), so one
worker or many, or a number that changes, train on the same batches, and a resumed training goes on
where its checkpoint ends.
"""

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from torch import Tensor

from luray.core.limits import usable_cpus
from luray.core.types import Direction
from luray.distributed.change_counts import count_changes
from luray.distributed.data import in_order_and_silent, micro_batches, read_windows
from luray.distributed.status_actor import StatusActor
from luray.storage.errors import NoRoomError
from luray.storage.lease import HeldError, RequireLease, no_lease
from luray.storage.objects import filesystem, remove
from luray.storage.places import is_local
from luray.training.finished_model import save_finished_model
from luray.training.progress_events import TrainingProgress, no_training_progress
from luray.training.recipe import Recipe
from luray.training.rollout import Sample
from luray.training.trainer import one_worker
from luray.training.training import Training, run_steps
from luray.training.training_data import TrainingData
from luray.training.training_logger import TrainingLogger
from luray.training.window_groups import WorkerShare
from luray.training.window_rows import WindowReader

log = logging.getLogger(__name__)

MOST_FAILURES = 100
"""Times that workers may die before a training gives up.

A fault of data or recipe stops it at once, see `_worker_loop`.
"""
SECONDS_BETWEEN_LOOKS = 0.5
"""How often the driver asks for new events."""


class _Trainer(ray.train.torch.TorchTrainer):
    """A trainer that leaves Ctrl-C to the program, and whose workers have their own datasets."""

    def _register_sigint_handler(self, controller: Any) -> None:
        """Register nothing: Ray's answer exits with code 0, as if the training were done."""

    def _create_default_callbacks(self) -> list[Any]:
        """Leave out what starts a process for the datasets of the trainer: it has none."""
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]
        return [c for c in callbacks if not isinstance(c, DatasetsCallback)]


def train(
    trainings: list[Training],
    *,
    require_lease: RequireLease = no_lease,
    restart: bool = False,
    progress: TrainingProgress = no_training_progress,
) -> list[Direction]:
    """Train every model that is not finished yet, one after the other.

    Parameters
    ----------
    trainings : list of Training
        Of one recipe, in one or both directions.
    require_lease : callable
        Called by the worker that writes, before each checkpoint and model and every few seconds.
    restart : bool
        Whether models and checkpoints of other trainings are discarded first.
    progress : callable
        Called with each event of the trainings.

    Returns
    -------
    list of str
        The directions that were trained.

    Raises
    ------
    HeldError
        When another job has taken the models.
    ValueError
        If data or recipe are at fault, with the worker's own message; or if a folder holds a model
        or checkpoint of another training, naming what differs. The last checkpoint is kept.
    """
    if restart:
        for training in trainings:
            training.discard_another()
    unfinished = [training for training in trainings if not training.finished]
    if not unfinished:
        return []

    for training in unfinished:
        _check_in_driver(training)

    # A folder of this job: one that has lost its lease deletes nothing of its successor's.
    scratch = f"{unfinished[0].folder}/ray/{uuid.uuid4().hex[:8]}"
    status = StatusActor.options(num_cpus=0).remote()  # type: ignore[attr-defined]
    trainer = _Trainer(
        _worker_loop,
        train_loop_config={
            "trainings": unfinished,
            "status": status,
            "require_lease": require_lease,
        },
        scaling_config=_scaling(unfinished[0].recipe),
        run_config=RunConfig(
            failure_config=FailureConfig(max_failures=MOST_FAILURES), **_storage(scratch)
        ),
    )
    try:
        with _relayed(status, progress):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise ValueError(f"training failed: {error}; the last checkpoint is kept") from error
    finally:
        remove(scratch)

    fault = ray.get(status.fault.remote())
    if fault is not None:
        raise fault
    require_lease()
    remove(f"{unfinished[0].folder}/ray")  # also what jobs left that were killed
    return [training.direction for training in unfinished]


def _check_in_driver(training: Training) -> None:
    """Count the changes of the cube, and raise here what a worker would stop on."""
    data = training.data
    count_changes(data.cube, data.tiling, data.recipe.sampling)
    training.trainer()  # a checkpoint of another training
    data.plan()  # years, land or change that no model can be trained on


def _scaling(recipe: Recipe) -> ScalingConfig:
    """Workers and what each of them holds."""
    fewest = recipe.workers.min
    most = recipe.workers.max
    n_gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    use_gpu = recipe.device == "gpu" or (recipe.device == "auto" and n_gpus >= fewest)

    # Half a CPU a worker, so that some are left for Ray Data, which reads its windows.
    resources: dict[str, float] = {"CPU": 0.5}
    if use_gpu:
        resources["GPU"] = 1
    workers: Any = fewest if fewest == most else (fewest, most)
    return ScalingConfig(num_workers=workers, use_gpu=use_gpu, resources_per_worker=resources)


def _storage(url: str) -> dict[str, Any]:
    """Where Ray Train keeps its own state, as its RunConfig takes it.

    Left to itself Ray opens URLs through pyarrow, which knows neither the run's endpoints nor how
    gcsfs logs in.
    """
    fs, path = filesystem(url)
    if is_local(url):
        return {"storage_path": path}
    return {"storage_path": path, "storage_filesystem": PyFileSystem(FSSpecHandler(fs))}


def _worker_loop(config: dict[str, Any]) -> None:
    """Run the share of each training that belongs to this worker."""
    status = config["status"]
    if ray.get(status.fault.remote()) is not None:
        return  # a fault that another try does not mend; the driver raises it

    try:
        for training in config["trainings"]:
            if not training.finished:
                _train_share(training, status, config["require_lease"])
    except (ValueError, NoRoomError, HeldError) as error:
        # Ray Train would try again after any error; the fault stops the next try at once.
        fault = error if isinstance(error, HeldError) else ValueError(str(error))
        ray.get(status.fail.remote(fault))
        raise


def _train_share(training: Training, status: Any, require_lease: RequireLease) -> None:
    """Train one model together with the other workers; the first of them reports and saves."""
    context = ray.train.get_context()
    rank = context.get_world_rank()
    world = context.get_world_size()
    device = ray.train.torch.get_device()
    cpus = max(1, usable_cpus() // context.get_local_world_size())
    torch.set_num_threads(threads_of_worker(training, workers=world, cpus=cpus))

    trainer = training.trainer(_sum_over_workers if world > 1 else one_worker, device=device)
    # Every worker makes the same steps on windows of its own, and sums the gradients with the
    # others; so all of them hold the same weights, and one writes them.
    share = training.data.worker_share(done=trainer.done, rank=rank, world=world)
    batches = _feed(training.data, share, device)
    if rank == 0:
        logger = TrainingLogger(training, status.put.remote, require_lease=require_lease)
        run_steps(training, trainer, batches, after=logger)
        save_finished_model(training, trainer, logger.last, require_lease=require_lease)
    else:
        run_steps(training, trainer, batches)

    if world > 1:
        # All begin the next training together, after this one is saved.
        torch.distributed.barrier()


def threads_of_worker(training: Training, *, workers: int, cpus: int) -> int:
    """Return the threads of a worker: those of the checkpoint that it goes on from, else its CPUs.

    Parameters
    ----------
    training : Training
        What is trained.
    workers : int
        Workers that share it.
    cpus : int
        CPUs that the worker may keep busy.
    """
    threads = training.checkpoint.threads(workers=workers) or cpus
    if threads != cpus:
        log.warning(
            "the training %s goes on with %d threads a worker, as it began, and so to the same "
            "weights; %d CPUs are there for it (`luray train --restart` begins anew with them)",
            training.direction,
            threads,
            cpus,
        )
    return threads


def _feed(
    data: TrainingData, share: WorkerShare, device: torch.device
) -> Iterator[dict[int, Sample]]:
    """This worker's micro-batches of every step of its share, from a dataset of its own."""
    in_order_and_silent()
    recipe = data.recipe
    first, last = data.whole
    rows = read_windows(
        data.cube,
        data.tiling,
        range(first, last + 1),
        windows=share,
        read_by=recipe.windows_read_by,
        readers=recipe.readers,
    )
    reader = WindowReader(data.cube, data.tiling, share.plan.counted)
    return micro_batches(rows, share, reader, device=device)


def _sum_over_workers(tensor: Tensor) -> Tensor:
    """Sum a tensor over the workers, in place."""
    torch.distributed.all_reduce(tensor)
    return tensor


@contextmanager
def _relayed(status: Any, progress: TrainingProgress) -> Iterator[None]:
    """Pass the events of the workers to `progress` while the trainer blocks."""
    stop = threading.Event()

    def relay() -> None:
        n_seen = 0
        stopped = False
        while not stopped:
            # The last look comes after the end, for events of the last half second.
            stopped = stop.wait(SECONDS_BETWEEN_LOOKS)
            events = ray.get(status.read.remote(n_seen))
            for event in events:
                progress(event)
            n_seen += len(events)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
