"""The scheduler with many workers, in virtual time.

Durations are drawn from those of a real inference.

A tile that a worker has not predicted lately costs it the reading of the tile's static inputs, as
measured.
"""

import random
import time
from collections import defaultdict
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

LARGE = ((1000, 1), (4000, 4))
"""Workers and trajectories of the runs on a grid of 250 m, which are looked at for their driver."""
LARGE_TILES = (48, 49)
"""16 times the 147 tiles with land of the globe at 1 km."""
LARGE_YEARS = 2
SCHEDULER_SECONDS = 0.001
"""Most that the scheduler may take for a tile-year."""
WORKERS = 128
TILES = (16, 20)
"""Rows and columns of tiles: 2.5 tiles a worker."""
YEARS = 20


@dataclass(frozen=True)
class Took:
    """Seconds of the jobs of an inference."""

    first: Sequence[float]
    """Predictions that read static inputs, too."""
    predict: Sequence[float]
    reduce: Sequence[float]


def simulated(took: Took) -> Iterator[Ratio]:
    """Yield many workers against the ideal, and the wavefront against a barrier.

    The barrier stands after every year, and one worker is slow.
    """
    simulation, seconds = _run(took, WORKERS, TILES, in_flight=4)
    ideal = seconds / WORKERS
    yield Ratio(
        f"simulated {WORKERS} workers over the ideal",
        ideal / simulation.now,
        0.93,
        f"{TILES[0] * TILES[1]} tiles, {YEARS} years in {simulation.now:.0f} s, {ideal:.0f} s "
        "without waiting and static inputs",
    )

    def first_is_slow(worker: int) -> float:
        return 3 if worker == 0 else 1

    # with one year in flight, every year waits for the slowest tile of the one before
    wavefront = _run(took, 8, (4, 5), in_flight=4, slow=first_is_slow)[0].now
    barrier = _run(took, 8, (4, 5), in_flight=1, slow=first_is_slow)[0].now
    yield Ratio(
        "wavefront over barrier, one worker of 8 slow",
        barrier / wavefront,
        1.05,
        f"20 tiles, {YEARS} years in {wavefront:.0f} and {barrier:.0f} s (simulated), "
        "one worker 3 times slower",
    )

    for workers, trajectories in LARGE:
        started = time.process_time()
        _run(
            took,
            workers,
            LARGE_TILES,
            in_flight=4,
            years=LARGE_YEARS,
            trajectories=trajectories,
        )
        n_tile_years = LARGE_TILES[0] * LARGE_TILES[1] * LARGE_YEARS * trajectories
        seconds = (time.process_time() - started) / n_tile_years
        yield Ratio(
            f"the scheduler a tile-year, {workers} simulated workers",
            SCHEDULER_SECONDS / seconds,
            1,
            f"{1000 * seconds:.2f} ms with the simulation itself, {LARGE_TILES[0] * LARGE_TILES[1]} "
            f"tiles, {trajectories} trajectories",
        )


def _run(
    took: Took,
    workers: int,
    tiles: tuple[int, int],
    *,
    in_flight: int,
    slow: Callable[[int], float] = lambda _: 1,
    years: int = YEARS,
    trajectories: int = 1,
) -> tuple[Simulation, float]:
    """A finished simulation, and the seconds of all its jobs."""
    chance = random.Random(0)
    # A worker that the scheduler takes for stuck is replaced by one of a new number.
    cached: defaultdict[int, dict[Tile, None]] = defaultdict(dict)
    total_seconds = 0.0
    tiling = Tiling(tiles[0] * 2, tiles[1] * 2, 4, 2, 2)
    reading = max(0.0, median(took.first) - median(took.predict))

    def duration(worker: int, job: Job | SideTask) -> float:
        nonlocal total_seconds
        seconds = chance.choice(took.predict if job.operation == "predict" else took.reduce)
        total_seconds += seconds
        predicts = isinstance(job, Job) and job.operation == "predict"
        if predicts and must_be_read(cached[worker], job.task.tile):
            seconds += reading
        return seconds * slow(worker)

    fronts = [
        Wavefront(tiling.tiles(), tiling.neighbours, steps=years, in_flight=in_flight)
        for _ in range(trajectories)
    ]
    simulation = Simulation(Scheduler(fronts, workers=Workers(min=workers, max=workers)), duration)
    simulation.run()
    return simulation, total_seconds


def must_be_read(cached: dict[Tile, None], tile: Tile) -> bool:
    """True where a worker has to read a tile's static inputs; then it has them.

    It keeps those of the last `CACHED_TILES` tiles: a dictionary remembers the order.
    """
    is_new = tile not in cached
    cached.pop(tile, None)
    cached[tile] = None
    if len(cached) > CACHED_TILES:
        oldest = next(iter(cached))
        cached.pop(oldest)
    return is_new
