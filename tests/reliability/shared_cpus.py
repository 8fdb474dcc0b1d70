"""Training and inference beside another process that computes at the same priority:
python -m tests.reliability.shared_cpus WORLD OUT train|infer|compete SECONDS

Prints steps a second. `share_beside` compares the rate beside a competitor with that alone.
"""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

from luray.core.limits import usable_cpus
from luray.engine.tile_year import TileYears
from luray.stages.config import RunConfig
from luray.stages.infer import inference_of
from luray.stages.train import trainings
from luray.training.rollout import Sample
from luray.training.step_metrics import StepMetrics
from luray.training.trainer import Trainer
from luray.training.training import run_steps
from tests.reliability import plain
from tests.reliability.conftest import SmallWorld

SECONDS = 15.0
"""Time for which a rate is taken."""


class TimeUp(Exception):
    """The time for which a rate is taken is over."""


def train(run: RunConfig, seconds: float) -> float:
    """Steps a second of a training with as many threads as a worker of this machine has."""
    torch.set_num_threads(usable_cpus())
    training = trainings(run)[0]
    trainer = training.trainer()
    plan = training.data.plan()
    recipe = training.recipe

    def batches() -> Iterator[dict[int, Sample]]:
        # the same batch again and again: what is measured is the step, not the reading
        first = {
            i: training.data.micro_batch(plan, i * recipe.micro_batch)
            for i in range(recipe.n_micro_batches)
        }
        return itertools.repeat(first)

    times: list[float] = []

    def after(_: Trainer, __: StepMetrics) -> None:
        times.append(time.monotonic())
        if times[-1] - times[0] > seconds:
            raise TimeUp

    with suppress(TimeUp):
        run_steps(training, trainer, batches(), after=after)
    return (len(times) - 1) / (times[-1] - times[0])


def infer(run: RunConfig, seconds: float) -> float:
    """Tile-years predicted a second, by one worker with all threads."""
    spec = inference_of(run, run.inference.span, run.product)
    tile_years = TileYears(spec)
    tile = spec.geometry.tiles[0]
    nobody = [None] * len(spec.geometry.around(tile))
    tile_years.predict(tile, 0, 0, *nobody)
    started = time.monotonic()
    n_done = 0
    while time.monotonic() - started < seconds:
        tile_years.predict(tile, 0, 0, *nobody)
        n_done += 1
    return n_done / (time.monotonic() - started)


def compete(_: RunConfig, seconds: float) -> float:
    """Keep one CPU busy with another training loop."""
    torch.set_num_threads(1)
    layer = torch.nn.Conv2d(16, 16, 3, padding=1)
    inputs = torch.rand(4, 16, 64, 64)
    started = time.monotonic()
    n_done = 0
    while time.monotonic() - started < seconds:
        layer(inputs).square().mean().backward()
        n_done += 1
    return n_done / (time.monotonic() - started)


def share_beside(small: SmallWorld, output: Path, kind: str) -> dict[str, float]:
    """The rate of a kind of work alone and beside a competitor, and the one as a share of the other."""
    environment = {name: text for name, text in os.environ.items() if name != "OMP_NUM_THREADS"}

    def command(what: str, seconds: float) -> list[str]:
        module = "tests.reliability.shared_cpus"
        return [sys.executable, "-m", module, str(small.world), str(output), what, str(seconds)]

    def rate() -> float:
        done = subprocess.run(
            command(kind, SECONDS), env=environment, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    alone = rate()
    other = subprocess.Popen(command("compete", 3600.0), env=environment, stdout=subprocess.DEVNULL)
    try:
        beside = rate()
    finally:
        other.kill()
        other.wait()
    return {"alone": round(alone, 2), "beside": round(beside, 2), "share": round(beside / alone, 2)}


def main(world: str, output: str, kind: str, seconds: float) -> None:
    """Measure one kind of work."""
    run = plain.run_of(Path(world), Path(output), f"inference.threads={usable_cpus()}")
    print({"train": train, "infer": infer, "compete": compete}[kind](run, seconds))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
