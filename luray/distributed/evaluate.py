"""Scoring rollouts against the maps: one Ray task a tile, merged in any order."""

from typing import Any

import numpy as np
import ray

from luray.cube.tileyear import Run
from luray.distributed import Report, collected, silent
from luray.evaluation.aggregation import Tally, merge
from luray.evaluation.statistics import deflicker, tile_statistics
from luray.windows import Tile

Pair = tuple[Tally, Tally]
"""Tallies against the maps as published, and with their flicker removed."""


def tally_tile(run: Run, tile: Tile, years: tuple[int, ...]) -> Pair:
    """Tally a tile in `years`, the first being the map that the rollout starts from."""
    cube, product, box = run.cube, run.product, run.geometry.tiling.tile_box(tile)
    maps = np.stack([cube.state(year, box) for year in years])
    legend, area = cube.legend, cube.grid.cell_area[box.row : box.row + box.height]
    water = None if legend.water is None else legend.index(legend.water)

    def tally(truth: np.ndarray[Any, np.dtype[np.uint8]]) -> Tally:
        return Tally({year: tile_statistics(
            maps[0], truth[i], product.read(year, box), cell_area=area, n_classes=len(legend), water=water,
            confidence=product.confidence(year, tile)) for i, year in enumerate(years) if i})

    return tally(maps), tally(deflicker(maps))


@ray.remote(max_retries=3)
def _tally(run: Run, tile: Tile, years: tuple[int, ...]) -> Pair:
    return tally_tile(run, tile, years)


def evaluate(run: Run, years: tuple[int, ...], *, report: Report = silent) -> Pair:
    """Tallies of a finished rollout over all tiles; `years` begin with its start."""
    shared = ray.put(run)
    tasks: list[Any] = [_tally.remote(shared, tile, years) for tile in run.geometry.tiles]
    pairs = collected(tasks, report=report)
    return merge(p[0] for p in pairs), merge(p[1] for p in pairs)

