"""Scoring rollouts against the maps: the tiles are windows of the same feed as training's, merged in any order."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from luray.cube.tileyear import Run
from luray.distributed import Report, silent
from luray.distributed.data import Rows, in_order_and_silent, read_windows
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


def _tallied(rows: Rows, *, run: Run, years: tuple[int, ...]) -> dict[str, Any]:
    """The tally of each row, whose window is a tile."""
    size = run.geometry.tiling.tile
    found = np.empty(len(rows["row"]), object)
    found[:] = [tally_tile(run, Tile(row // size, col // size), years)
                for row, col in zip(rows["row"].tolist(), rows["col"].tolist(), strict=True)]
    return {"pair": found}


def evaluate(run: Run, years: tuple[int, ...], *, report: Report = silent) -> Pair:
    """Tallies of a finished rollout over all tiles; `years` begin with its start."""
    in_order_and_silent()
    tiling = run.geometry.tiling
    tiles = replace(tiling, window=tiling.tile, stride=tiling.tile)
    rows = read_windows(run.cube, tiles, years, length=len(years))
    total = len(run.geometry.tiles)
    pairs: list[Pair] = []
    for row in rows.map_batches(partial(_tallied, run=run, years=years), batch_size=1).iter_rows():
        report(len(pairs), total)
        pairs.append(row["pair"])
    report(total, total)
    return merge(p[0] for p in pairs), merge(p[1] for p in pairs)
