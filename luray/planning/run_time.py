"""Estimate of the time of an inference.

Seconds follow from the rate of a worker, which is handed in, and from what was measured of the
engine (luray/PERFORMANCE.md). They are ranges.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace

from luray.planning.input_reads import InputReads
from luray.planning.prices import StoragePrice
from luray.planning.ranges import Range
from luray.planning.rate import Rate
from luray.planning.workload import TileLoad, Workload
from luray.product.trajectories import Trajectory

TILE_SECONDS = 15e-9
"""Seconds for each cell of a tile-year beside its windows: to read the prior, to send and take the
sums and edges that tiles share, and to find class and confidence. To read an observed map takes as
long.
"""
WRITE_SECONDS = 15e-9
"""Seconds for each cell of a tile to reduce and write a map."""
COMPANION_SECONDS = 13e-9
"""Seconds for each cell of a tile to compute and write its fractions, transitions and overviews.

They took 25e-9 (`tests.benchmarks product`) where a window took twice as long as where the others
were measured.
"""
READ_RATE = 1e9
"""Decoded bytes of static inputs that a worker reads, in whole chunks, and prepares in a second.
A tile takes 0.6 s.
"""
DRIVER_SECONDS = 0.0023
"""Seconds of the driver for each predicted tile-year; there is one driver for all workers."""
REQUESTS_A_SHARD = 2
"""Requests to the store for each shard, one after the other: its old index is read, then the shard
is written. A receipt takes one more.
"""
EFFICIENCY = 0.83
"""Share of the ideal speed that the scheduler reached with 2.5 tiles a worker; with more tiles a
worker it comes nearer to the ideal.
"""
MOST_WORKERS = 10**6
"""Largest number of workers that is considered."""


@dataclass(frozen=True)
class RunTime:
    """Seconds of an inference with some workers."""

    workload: Workload
    inputs: InputReads
    rate: Rate
    storage: StoragePrice

    @property
    def workers(self) -> int:
        """Workers that compute at once."""
        return self.inputs.workers

    def predict_seconds(self, load: TileLoad) -> Range:
        """Return the time to predict a tile-year whose static inputs are there."""
        return self.rate.window * load.windows + Range(1, 1) * (TILE_SECONDS * load.cells)

    def reduce_seconds(self, trajectory: Trajectory, cells: int) -> Range:
        """Return the time to decide a tile-year and write it for all members that have it.

        From a store that answers at once to a slow one.
        """
        seconds = Range(1, 1) * (self._write_seconds * cells) + self._waiting_for_a_map
        return seconds * len(trajectory.member_indices)

    @property
    def _write_seconds(self) -> float:
        """For each cell of a tile, to write a map and what follows from it."""
        product = self.workload.product
        has_companions = product.coarse is not None or product.overviews.levels > 0
        return WRITE_SECONDS + COMPANION_SECONDS * has_companions

    @property
    def _waiting_for_a_map(self) -> Range:
        """The shards of a map and its receipt go to the store one after the other."""
        return Range(*self.storage.seconds_a_request) * self._requests_of_a_map

    @property
    def _requests_of_a_map(self) -> int:
        """Requests for map, confidence, fractions, transitions, overviews and the receipt."""
        product = self.workload.product
        n_shards = 2 + 2 * (product.coarse is not None) + 2 * len(product.overviews.tile_levels)
        return n_shards * REQUESTS_A_SHARD + 1

    @property
    def critical_path(self) -> Range:
        """The longest chain of tile-years that wait for each other.

        It is the dearest tile in every year of a trajectory: a tile waits for the last year of its
        neighbours, none of which is dearer than the dearest.
        """
        paths = []
        for load in self.workload.loads:
            reading = Range(1, 1) * (load.static.n_bytes / READ_RATE)
            for trajectory in self.workload.trajectories:
                seconds = self.predict_seconds(load) + self.reduce_seconds(trajectory, load.cells)
                paths.append(seconds * (len(trajectory.years) - 1) + reading)
        longest_low = max((path.low for path in paths), default=0)
        return Range(longest_low, max((path.high for path in paths), default=0))

    @property
    def parts(self) -> dict[str, Range]:
        """Seconds of workers by what they do.

        Reductions run beside predictions: while they wait for the store, they cost nothing.
        """
        workload = self.workload
        cells = workload.cells
        n_members = len(workload.product.member_indices)
        n_written = 0
        for trajectory in workload.trajectories:
            n_written += (len(trajectory.years) - 1) * len(trajectory.member_indices)
        maps = cells * (TILE_SECONDS * workload.steps + self._write_seconds * n_written)

        copies = Range(1, 1) * (cells * (TILE_SECONDS + self._write_seconds * n_members))
        copies += Range(*self.storage.seconds_a_request) * (
            workload.tiles * n_members * self._requests_of_a_map
        )
        static_of_a_tile = workload.static.n_bytes / workload.tiles / READ_RATE
        return {
            "windows": self.rate.window * (workload.windows * workload.steps),
            "maps": Range.exactly(maps),
            "static inputs": self.inputs.reads * static_of_a_tile,
            "copies": copies * len(workload.product.span.copied),
        }

    @property
    def work(self) -> Range:
        """Seconds that one worker alone would take."""
        return sum(self.parts.values(), Range(0, 0))

    @property
    def driver(self) -> float:
        """Seconds of the driver, below which no number of workers brings the run."""
        return DRIVER_SECONDS * self.workload.predictions

    @property
    def wall(self) -> Range:
        """Wall-clock time: from the ideal to the measured efficiency.

        Or to Graham's bound for list scheduling where that is less: the work shared out, and the
        critical path behind it (Graham 1966, doi:10.1002/j.1538-7305.1966.tb01709.x).
        """
        shared = self.work * (1 / self.workers)
        path = self.critical_path
        graham = shared.high + path.high
        worst = min(graham, max(shared.high, path.high) / EFFICIENCY)
        return Range(max(path.low, shared.low), worst).at_least(Range.exactly(self.driver))

    @property
    def most_workers(self) -> int:
        """Workers beyond which the critical path or the driver is all that is left."""
        bound = max(self.critical_path.low, self.driver)

        def is_enough(workers: int) -> bool:
            other = replace(self, inputs=replace(self.inputs, workers=workers))
            return other.work.low <= workers * bound

        return 1 + bisect_left(range(1, MOST_WORKERS), True, key=is_enough)
