"""Scoring rollouts against the maps: the tiles are windows of the same feed as training's, merged
in any order.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import ray

from luray.core.progress import Progress, no_progress
from luray.core.tiling import Tile
from luray.distributed.cluster import collect
from luray.distributed.data import in_order_and_silent, read_windows
from luray.engine.spec import InferenceSpec
from luray.evaluation.aggregation import Tally, merge
from luray.evaluation.statistics import deflicker, tile_statistics

Pair = tuple[Tally, Tally]
"""Tallies against the maps as published, and with their flicker removed."""


def tally_tile(
    run: InferenceSpec, tile: Tile, years: tuple[int, ...], scored: Collection[int]
) -> Pair:
    """Tally a tile in the `scored` ones of `years`, of which the first is the map that the rollout
    starts from.
    """
    cube, product, box = run.cube, run.product, run.geometry.tiling.tile_box(tile)
    maps = np.stack([cube.state(year, box) for year in years])
    legend, area = cube.legend, cube.grid.cell_area[box.row : box.row + box.height]
    water = None if legend.water is None else legend.index(legend.water)

    def tally(truth: np.ndarray[Any, np.dtype[np.uint8]]) -> Tally:
        return Tally(
            {
                year: tile_statistics(
                    maps[0],
                    truth[i],
                    product.read(year, box),
                    cell_area=area,
                    n_classes=len(legend),
                    water=water,
                    confidence=product.confidence(year, tile),
                )
                for i, year in enumerate(years)
                if year in scored
            }
        )

    return tally(maps), tally(deflicker(maps))


@ray.remote(max_retries=3)
def _tally(run: InferenceSpec, tile: Tile, years: tuple[int, ...], scored: Collection[int]) -> Pair:
    return tally_tile(run, tile, years, scored)


def evaluate(
    run: InferenceSpec,
    years: tuple[int, ...],
    *,
    scored: Collection[int],
    progress: Progress = no_progress,
) -> Pair:
    """Tallies of a finished rollout over all tiles.

    `years` begin with its start; their maps are what flicker is removed from. Of them those
    `scored` are tallied. Raises what a tile's tally raised.
    """
    in_order_and_silent()
    tiling, shared = run.geometry.tiling, ray.put(run)
    size = tiling.tile
    rows = read_windows(
        run.cube, replace(tiling, window=size, stride=size), years, length=len(years)
    ).iter_rows()
    tasks: list[Any] = [
        _tally.remote(shared, Tile(row["row"] // size, row["col"] // size), years, scored)
        for row in rows
    ]
    pairs = collect(tasks, progress=progress)
    return merge(p[0] for p in pairs), merge(p[1] for p in pairs)
