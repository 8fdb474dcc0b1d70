"""Every stage of several run files in one process and one cluster: python -m
tests.distributed.all_stages WORLD RUN...

The inputs are copied from the folder WORLD to where the run files expect them, `world` beside the
output. On a store, unlike the disk, training is interrupted after its first checkpoint, and three
shards of the product are spoilt. A line `== <output> <verb> exit <code>, <seconds> s` follows what
each command printed.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from luray.cli.app import app
from luray.core.limits import usable_cpus
from luray.distributed.cluster import cluster
from luray.stages.config import RunConfig
from luray.stages.run_file import load_run
from luray.stages.train import trainings
from luray.storage.objects import filesystem
from luray.storage.places import is_local
from luray.training.progress_events import no_training_progress
from luray.training.rollout import Sample
from luray.training.step_metrics import StepMetrics
from luray.training.trainer import Trainer
from luray.training.training import run_steps
from luray.training.training_logger import TrainingLogger
from tests.distributed.conftest import SETTINGS
from tests.fork_server import forked_workers

FEW = (
    *SETTINGS,
    "tiling.tile=100",
    "inference.years=[2000, 2006]",
    "training.steps=4",
    "training.epochs=2",
    'evaluation.tests=[{name="forecast", start=2004, stop=2006}]',
)
OPTIONS = [part for setting in FEW for part in ("--set", setting)]


class Interrupted(Exception):
    """The training stops here."""


def main(world: str, files: list[str]) -> None:
    """Run all stages of each file."""
    runs = {file: load_run(Path(file), FEW) for file in files}
    with forked_workers(), cluster(cpus=4):
        for file, run in runs.items():
            fs, output = filesystem(run.output)
            fs.put(world, f"{output.rpartition('/')[0]}/world", recursive=True)
            command(file, run, "build")
            if not is_local(run.output):
                interrupt_training(run)
            for verb in ("train", "infer", "infer", "evaluate", "plot", "publish", "verify"):
                command(file, run, verb)
            if is_local(run.output):
                continue
            spoil(run)
            for verb in ("verify", "verify --repair", "infer", "verify", "publish"):
                command(file, run, verb)


def command(file: str, run: RunConfig, verb: str) -> None:
    """One command of the command line."""
    started = time.monotonic()
    name, *flags = verb.split()
    code = app([name, file, *flags, *OPTIONS], standalone_mode=False) or 0
    print(f"== {run.output} {verb} exit {code}, {time.monotonic() - started:.1f} s", flush=True)


def interrupt_training(run: RunConfig) -> None:
    """Train in this process until the first checkpoint is on the store."""
    torch.set_num_threads(usable_cpus())  # as a worker of Ray does
    [training] = trainings(run)
    trainer = training.trainer()
    plan = training.data.plan()
    recipe = training.recipe

    def batches() -> Iterator[dict[int, Sample]]:
        for first in range(0, recipe.steps * recipe.batch, recipe.batch):
            yield {
                i: training.data.micro_batch(plan, first + i * recipe.micro_batch)
                for i in range(recipe.n_micro_batches)
            }

    logger = TrainingLogger(training, no_training_progress)

    def after(trainer: Trainer, metrics: StepMetrics) -> None:
        logger(trainer, metrics)
        if trainer.done > recipe.checkpoint_every:
            raise Interrupted

    try:
        run_steps(training, trainer, batches(), after=after)
    except Interrupted:
        resumed = training.trainer().done
        print(f"== {run.output} interrupted, goes on after step {resumed}", flush=True)


def spoil(run: RunConfig) -> None:
    """Flip a byte of one shard, cut another and delete a third, in different years."""
    fs, product = filesystem(run.product)
    flipped, cut, deleted = (f"{product}/confidence/c/{step}/0/0" for step in (1, 3, 5))
    data = bytearray(fs.cat_file(flipped))
    data[-1] ^= 1
    fs.pipe_file(flipped, bytes(data))
    fs.pipe_file(cut, fs.cat_file(cut)[:-40])
    fs.rm_file(deleted)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
