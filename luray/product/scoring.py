"""Scoring a tile of a product against the maps of the cube."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from luray.core.tiling import Tile
from luray.core.types import U8
from luray.cube.cube import Cube
from luray.evaluation.aggregation import Tally, merge
from luray.evaluation.deflicker import deflicker
from luray.evaluation.statistics import tile_statistics
from luray.product.store import Product


class TruthTallies(NamedTuple):
    """Tallies of the same predictions against the maps as published, and without their flicker."""

    as_published: Tally
    deflickered: Tally


def tally_tile(
    cube: Cube, product: Product, tile: Tile, *, years: tuple[int, ...], scored: Collection[int]
) -> TruthTallies:
    """Tally a tile of a finished rollout.

    Parameters
    ----------
    cube : Cube
        Has the true maps.
    product : Product
        Has the predicted maps; of several scenarios and members the first is scored.
    tile : Tile
        A tile with land.
    years : tuple of int
        Years with a true map, in the direction of travel; the rollout starts from the first.
    scored : collection of int
        Those of them that are tallied. The others are read because flicker is removed from the
        whole series.
    """
    box = product.tiling.tile_box(tile)
    maps = np.stack([cube.state(year, box) for year in years])
    cell_area = cube.grid.cell_area[box.row : box.row + box.height]
    legend = cube.legend
    water = None if legend.water is None else legend.index(legend.water)

    def tally(truth: U8) -> Tally:
        statistics = {}
        for year, true_map in zip(years, truth, strict=True):
            if year in scored:
                statistics[year] = tile_statistics(
                    maps[0],
                    true_map,
                    product.read(year, box),
                    cell_area=cell_area,
                    n_classes=len(legend),
                    water=water,
                    confidence=product.confidence(year, tile),
                )
        return Tally(statistics)

    return TruthTallies(tally(maps), tally(deflicker(maps)))


def merge_tiles(tiles: Iterable[TruthTallies]) -> TruthTallies:
    """Return the tallies of all tiles together; their order does not matter."""
    tallies = list(tiles)
    return TruthTallies(
        as_published=merge(tile.as_published for tile in tallies),
        deflickered=merge(tile.deflickered for tile in tallies),
    )
