"""Scoring rollouts with Ray: a task for each tile, merged in any order."""

from collections.abc import Collection
from typing import Any

import ray

from luray.core.progress import Progress, no_progress
from luray.core.tiling import Tile
from luray.distributed.cluster import collect
from luray.engine.spec import InferenceSpec
from luray.product.scoring import TruthTallies, merge_tiles, tally_tile


@ray.remote(max_retries=3)
def _tally(
    spec: InferenceSpec, tile: Tile, years: tuple[int, ...], scored: Collection[int]
) -> TruthTallies:
    return tally_tile(spec.cube, spec.product, tile, years=years, scored=scored)


def evaluate(
    spec: InferenceSpec,
    years: tuple[int, ...],
    *,
    scored: Collection[int],
    progress: Progress = no_progress,
) -> TruthTallies:
    """Tally a finished rollout over all its tiles.

    Parameters
    ----------
    spec : InferenceSpec
        The rollout.
    years : tuple of int
        Years with a true map, in the direction of travel; the rollout starts from the first.
    scored : collection of int
        Those of them that are tallied.
    progress : callable, optional
        Called with the tiles done and in all.

    Raises
    ------
    Exception
        What the tally of a tile raised.
    """
    shared = ray.put(spec)
    tasks: list[Any] = [_tally.remote(shared, tile, years, scored) for tile in spec.geometry.tiles]
    return merge_tiles(collect(tasks, progress=progress))
