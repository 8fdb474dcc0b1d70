"""Counting the changes of a cube with one Ray task a tile; the counts are merged in any order."""

from typing import Any

import ray

from luray.core.progress import Progress, no_progress
from luray.core.tiling import Tile, Tiling
from luray.cube.cube import Cube
from luray.distributed.cluster import collect
from luray.training.change_counts import ChangeCounts, TileCounts, count_tile
from luray.training.change_counts_store import read_change_counts, write_change_counts
from luray.training.sampling_config import SamplingConfig


@ray.remote(max_retries=3)
def _count_tile(
    cube: Cube, tiling: Tiling, tile: Tile, sampling: SamplingConfig
) -> TileCounts | None:
    return count_tile(cube, tiling, tile, sampling)


def count_changes(
    cube: Cube, tiling: Tiling, sampling: SamplingConfig, *, progress: Progress = no_progress
) -> ChangeCounts:
    """Return the stored change counts of a cube; without them count it on the cluster, and store.

    Raises
    ------
    ValueError
        If `sampling.zone` is no categorical variable of the cube.
    """
    stored = read_change_counts(cube, tiling, sampling)
    if stored is not None:
        return stored

    shared_cube = ray.put(cube)
    tasks: list[Any] = [
        _count_tile.remote(shared_cube, tiling, tile, sampling) for tile in tiling.tiles()
    ]
    return write_change_counts(cube, tiling, sampling, collect(tasks, progress=progress))
