"""The scheduler with many workers, in virtual time: durations are drawn from those of a real
inference.

A tile that a worker has not predicted lately costs it the reading of the tile's static inputs, as
measured.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from luray.core.config import Workers
from luray.core.tiling import Tile, Tiling
from luray.engine.jobs import Job, SideTask
from luray.engine.scheduler import Scheduler
from luray.engine.wavefront import Wavefront
from luray.engine.worker_pool import CACHED_TILES
from tests.benchmarks.ratio import Ratio
from tests.simulation import Simulation

WORKERS, TILES, YEARS = 128, (16, 20), 20
"""2.5 tiles a worker."""


@dataclass(frozen=True)
class Took:
    """Seconds of the jobs of an inference."""

    first: Sequence[float]
    """Predictions that read static inputs, too."""
    predict: Sequence[float]
    reduce: Sequence[float]


def simulated(took: Took) -> Iterator[Ratio]:
    """Many workers against the ideal, and the wavefront against a barrier after every year where a
    worker is slow.
    """
    simulation, seconds = _run(took, WORKERS, TILES, in_flight=4)
    ideal = seconds / WORKERS
    yield Ratio(
        f"simulated {WORKERS} workers over the ideal",
        ideal / simulation.now,
        1 / 1.1,
        f"{TILES[0] * TILES[1]} tiles, {YEARS} years in {simulation.now:.0f} s, {ideal:.0f} s "
        "without waiting "
        "and static inputs",
    )
    ends = [
        _run(took, 8, (4, 5), in_flight=n, slow=lambda worker: 3 if worker == 0 else 1)[0].now
        for n in (4, 1)
    ]
    yield Ratio(
        "wavefront over barrier, one worker of 8 slow",
        ends[1] / ends[0],
        1,
        f"20 tiles, {YEARS} years in {ends[0]:.0f} and {ends[1]:.0f} s (simulated), one worker 3 "
        "times slower",
    )


def _run(
    took: Took,
    workers: int,
    tiles: tuple[int, int],
    *,
    in_flight: int,
    slow: Callable[[int], float] = lambda _: 1,
) -> tuple[Simulation, float]:
    """A finished simulation, and the seconds of all its jobs."""
    chance, kept, total = (
        random.Random(0),
        {worker: dict.fromkeys(()) for worker in range(workers)},
        [0.0],
    )
    tiling = Tiling(tiles[0] * 2, tiles[1] * 2, 4, 2, 2)
    reading = max(0.0, median(took.first) - median(took.predict))

    def duration(worker: int, job: Job | SideTask) -> float:
        seconds = chance.choice(took.predict if job.operation == "predict" else took.reduce)
        total[0] += seconds
        if (
            isinstance(job, Job)
            and job.operation == "predict"
            and is_new(kept[worker], job.task.tile)
        ):
            seconds += reading
        return seconds * slow(worker)

    front = Wavefront(tiling.tiles(), tiling.neighbours, steps=YEARS, in_flight=in_flight)
    simulation = Simulation(Scheduler([front], workers=Workers(min=workers, max=workers)), duration)
    simulation.run()
    return simulation, total[0]


def is_new(kept: dict[Tile, None], tile: Tile) -> bool:
    """Whether a worker has to read a tile's static inputs; it keeps those of the last
    `CACHED_TILES` tiles.
    """
    new = tile not in kept
    kept.pop(tile, None)
    kept[tile] = None
    if len(kept) > CACHED_TILES:
        kept.pop(next(iter(kept)))
    return new
