"""Surveying a cube with one Ray task a tile, merged in any order."""

from typing import Any

import ray

from luray.core.progress import Progress, no_progress
from luray.core.tiling import Tile, Tiling
from luray.cube.cube import Cube
from luray.distributed.cluster import collect
from luray.training.change_counts import read_survey, survey_tile, write_survey
from luray.training.sampling_config import SamplingConfig
from luray.training.survey_counts import ChangeCounts, TileCounts


@ray.remote(max_retries=3)
def _survey(cube: Cube, tiling: Tiling, tile: Tile, sampling: SamplingConfig) -> TileCounts | None:
    return survey_tile(cube, tiling, tile, sampling)


def survey(
    cube: Cube, tiling: Tiling, sampling: SamplingConfig, *, progress: Progress = no_progress
) -> ChangeCounts:
    """The survey of a cube: the stored one, else counted by the cluster, and stored.

    Raises ValueError when `sampling.zone` is no categorical variable of the cube.
    """
    found = read_survey(cube, tiling, sampling)
    if found:
        return found
    shared = ray.put(cube)
    tasks: list[Any] = [_survey.remote(shared, tiling, tile, sampling) for tile in tiling.tiles()]
    return write_survey(cube, tiling, sampling, collect(tasks, progress=progress))
