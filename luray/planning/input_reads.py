"""Number and size of the reads of an inference."""

from dataclasses import dataclass
from math import ceil

from luray.core.types import Direction
from luray.planning.ranges import Range
from luray.planning.workload import Workload

YEARS_CACHED = 4
"""Years that a tile may be predicted in while a worker has its inputs cached: as many as are in
flight.
"""


@dataclass(frozen=True)
class InputReads:
    """Reads of an inference by workers that cache the inputs of a few tiles each."""

    workload: Workload
    workers: int
    cached_tiles: int
    """Tiles whose static inputs a worker caches, for one direction each."""

    @property
    def reads(self) -> Range:
        """How often the static inputs of a tile are read, over all tiles.

        A worker predicts the trajectories of a tile and direction one after the other. At best each
        is read once where there is room for all, and else is cached for a few years; at worst it
        moves, or is dropped, before every year, and workers that are more than tiles read it beside
        each other.
        """
        tiles = self.workload.tiles
        predictions = self.workload.predictions
        years: dict[Direction, int] = {}
        for trajectory in self.workload.trajectories:
            n_years = len(trajectory.years) - 1
            years[trajectory.direction] = max(years.get(trajectory.direction, 0), n_years)

        inputs = tiles * len(years)
        if self.cached_tiles >= inputs:
            return Range(inputs, min(predictions, inputs * self.workers))
        not_cached = max(0.0, 1 - self.cached_tiles * self.workers / inputs)
        once_a_year = tiles * sum(years.values())
        most = min(predictions, once_a_year * ceil(self.workers / tiles))
        least = max(inputs, once_a_year * not_cached / YEARS_CACHED)
        return Range(min(most, least), most)

    @property
    def n_bytes(self) -> Range:
        """Decoded bytes: static inputs and forcing in whole chunks, observed maps and land."""
        workload = self.workload
        n_maps = len(workload.product.span.copied) + len(workload.trajectories)
        map_bytes = workload.cells * 2 * n_maps  # a map and its land
        static = self.reads * (workload.static.n_bytes / workload.tiles)
        return static + Range(1, 1) * (workload.forcing.n_bytes * workload.steps + map_bytes)

    @property
    def requests(self) -> Range:
        """Requests to the store, one a chunk."""
        workload = self.workload
        static = self.reads * (workload.static.chunks / workload.tiles)
        return static + Range(1, 1) * (workload.forcing.chunks * workload.steps)
