"""Training and inference beside another process that computes at the same priority.

    python -m tests.reliability.shared_cpus WORLD OUT train|infer|compete THREADS

computes, and says how fast for as many seconds as each line of its input asks for. `share_beside`
compares the rate beside a competitor with that alone.
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Before torch: OpenMP reads how threads wait when it is loaded.
from luray.core.limits import usable_cpus  # isort: split

import torch

from luray.core.processes import worker_environment
from luray.engine.tile_year import TileYears
from luray.stages.config import RunConfig
from luray.stages.infer import inference_of
from luray.stages.train import trainings
from tests.reliability import plain
from tests.reliability.conftest import SmallWorld

SECONDS = 3.0
"""Time for which a rate is taken."""
REPEATS = 6
"""Rates that are taken alone, and beside the competitor, in turn."""

Step = Callable[[], None]
"""A piece of work."""


def train(run: RunConfig) -> Step:
    """A step of a training, without reading its samples: always the same batch."""
    training = trainings(run)[0]
    trainer = training.trainer()
    samples = next(plain.batches(training, 0))
    return lambda: trainer.step(samples) and None


def infer(run: RunConfig) -> Step:
    """The prediction of a tile-year."""
    spec = inference_of(run, run.inference.span, run.product)
    tile_years = TileYears(spec)
    tile = spec.geometry.tiles[0]
    nobody = [None] * len(spec.geometry.around(tile))

    def step() -> None:
        tile_years.predict(tile, 0, 0, *nobody)

    return step


def compete(_: RunConfig) -> Step:
    """A step of another program that keeps one CPU busy."""
    torch.set_num_threads(1)
    layer = torch.nn.Conv2d(16, 16, 3, padding=1)
    inputs = torch.rand(4, 16, 64, 64)
    return lambda: layer(inputs).square().mean().backward()


WORK = {"train": train, "infer": infer, "compete": compete}


def rate(step: Step, seconds: float) -> float:
    """Steps a second."""
    started = time.monotonic()
    n_done = 0
    while time.monotonic() - started < seconds:
        step()
        n_done += 1
    return n_done / (time.monotonic() - started)


def share_beside(
    small: SmallWorld, output: Path, kind: str, *, threads: int = 0
) -> dict[str, float]:
    """Compare the rates of a kind of work alone and beside a competitor.

    One process does the work all the time, and has done some before it is measured: what is
    compiled and cached at first is not the question. The competitor stands still while the rate
    alone is taken. Rates are taken in turn, so that what else the machine does meets both.
    """
    with (
        working(small, output, kind, threads or usable_cpus()) as work,
        working(small, output, "compete", 1) as competitor,
    ):
        alone, beside, others = [], [], []
        competitor_alone = asked(competitor, SECONDS)
        for _ in range(REPEATS):
            alone.append(asked(work, SECONDS))
            ask(competitor, SECONDS)
            beside.append(asked(work, SECONDS))
            others.append(answer(competitor))

    shares = [there / here for here, there in zip(alone, beside, strict=True)]
    return {
        "alone": round(statistics.median(alone), 2),
        "beside": round(statistics.median(beside), 2),
        "share": round(statistics.median(shares), 2),
        "lowest share": round(min(shares), 2),
        "highest share": round(max(shares), 2),
        "share of the competitor": round(statistics.median(others) / competitor_alone, 2),
    }


@contextmanager
def working(
    small: SmallWorld, output: Path, kind: str, threads: int
) -> Iterator[subprocess.Popen[str]]:
    """Start a process for a kind of work, with the environment of a worker, and warm it up."""
    module = "tests.reliability.shared_cpus"
    arguments = [str(small.world), str(output), kind, str(threads)]
    environment = {name: text for name, text in os.environ.items() if name != "OMP_NUM_THREADS"}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**environment, **worker_environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        asked(process, SECONDS)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def asked(process: subprocess.Popen[str], seconds: float) -> float:
    """Return the rate of a process, which stands still before and afterwards."""
    ask(process, seconds)
    return answer(process)


def ask(process: subprocess.Popen[str], seconds: float) -> None:
    """Let a process work."""
    assert process.stdin is not None
    print(seconds, file=process.stdin, flush=True)


def answer(process: subprocess.Popen[str]) -> float:
    """Wait for the rate of a process."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the process has ended"
    return float(line)


def main(world: str, output: str, kind: str, threads: int) -> None:
    """Do a kind of work."""
    run = plain.run_of(Path(world), Path(output), f"inference.threads={threads}")
    torch.set_num_threads(threads)
    step = WORK[kind](run)
    step()
    step()
    for line in sys.stdin:
        print(rate(step, float(line)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
