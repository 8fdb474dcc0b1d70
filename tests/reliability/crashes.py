"""Failures at crash points, and at random moments, and the runs that follow them."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from luray.core.crash_points import CRASH_POINTS, FAILURES, CrashPoint, Failure
from luray.product.status import status_of
from tests.reliability import errands, lives, plain
from tests.reliability.conftest import SmallWorld

LONGEST_LIFE = 2.0
"""Seconds of CPU time after which an inference is killed at the latest: about what a whole one takes.

Half of that goes before the first tile-year is written.
"""
OF_TRAINING: CrashPoint = "before checkpoint"
"""The crash point that a training has."""
LAST_YEAR = 2007
"""The year that lives compute again at crash points."""


def crossed() -> list[tuple[CrashPoint, Failure]]:
    """Every crash point of an inference with every failure."""
    points = [point for point in CRASH_POINTS if point != OF_TRAINING]
    return [(point, failure) for point in points for failure in FAILURES]


def cross(small: SmallWorld, folder: Path, pair: tuple[CrashPoint, Failure]) -> int:
    """Fail at a crash point in a folder of its own; return the cells that differ in the end."""
    point, failure = pair
    of_pair = folder / f"{point} {failure}"
    of_pair.mkdir()
    output = crash(small, of_pair, point, failure)
    return plain.differing_cells(small.run(output).product, small.product)


def crash(small: SmallWorld, folder: Path, point: CrashPoint, failure: Failure) -> Path:
    """Fail at a crash point while the last year is computed again, and run again; return the output.

    A process that hangs goes on when its successor has finished.
    """
    output = small.copy(folder / "out", product=True)
    log = folder / "log"
    failing = lives.begin(
        errands.infer_again,
        small.world,
        output,
        LAST_YEAR,
        environment=lives.armed(point, failure, folder),
        log=log,
    )
    if failure == "hang":
        with lives.hanging(failing):
            succeed(small, output, log)
        lives.ended(failing)
    else:
        code = lives.ended(failing)
        assert (folder / "failed").exists(), f"{point} was not reached: {log.read_text()}"
        assert code == (-9 if failure == "kill" else 1), log.read_text()
    succeed(small, output, log)
    return output


def crash_training(small: SmallWorld, folder: Path, failure: Failure) -> int:
    """Fail before a checkpoint of a training, and train again; return the weights that differ.

    They differ from those of a training that was never interrupted. One that hangs goes on when its
    successor has finished, and changes nothing.
    """
    output = small.copy(folder / "out")
    expected = small.copy(folder / "expected")
    log = folder / "log"
    environment = lives.armed(OF_TRAINING, failure, folder, passage=2)
    failing = lives.begin(errands.train, small.world, output, environment=environment, log=log)
    if failure == "hang":
        with lives.hanging(failing):
            assert lives.live(errands.train, small.world, output, log=log) == 0, log.read_text()
    code = lives.ended(failing)
    assert (folder / "failed").exists(), log.read_text()
    assert code == (-9 if failure == "kill" else 1), log.read_text()

    for place in (output, expected):
        assert lives.live(errands.train, small.world, place, log=log) == 0, log.read_text()
    n_differing = 0
    for direction in ("forward", "backward"):
        ours, theirs = (
            load_file(place / "model" / direction / "weights.safetensors")
            for place in (output, expected)
        )
        n_differing += sum(int((ours[name] != theirs[name]).sum()) for name in theirs)
    return n_differing


def succeed(small: SmallWorld, output: Path, log: Path) -> None:
    """Run to the end."""
    code = lives.live(errands.infer_and_publish, small.world, output, log=log)
    assert code == 0, log.read_text()


@dataclass(frozen=True)
class Survival:
    """What runs that were killed came to."""

    runs: int
    kills: int
    redone: int
    """Tile-years that were begun more than once."""
    differing: int
    """Cells that are not those of the run that was never interrupted."""


def kill_at_random(small: SmallWorld, folder: Path, *, kills: int, seed: int) -> Survival:
    """Kill inferences at random moments until they have been killed so often."""
    moments = random.Random(seed)
    n_killed = n_runs = n_differing = n_redone = 0
    while n_killed < kills:
        output = small.copy(folder / f"run {n_runs}")
        log = folder / f"log {n_runs}"
        code = None
        while code != 0:
            moment = moments.uniform(0.05, LONGEST_LIFE) if n_killed < kills else 0.0
            code = lives.live(errands.infer, small.world, output, cpu_seconds=moment, log=log)
            assert code in (0, lives.KILLED_BY_CLOCK), log.read_text()
            n_killed += code != 0

        product = small.run(output).product
        begun = log.read_text().splitlines().count(errands.BEGUN)
        n_redone += begun - sum(status_of(product).done.values())
        n_differing += plain.differing_cells(product, small.product)
        n_runs += 1
        shutil.rmtree(output)
    return Survival(n_runs, n_killed, n_redone, n_differing)
