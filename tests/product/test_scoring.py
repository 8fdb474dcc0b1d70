"""Tallies of the tiles of a product merge to that of its whole map."""

import numpy as np
import pytest

from luray.core.legend import OUTSIDE
from luray.evaluation.aggregation import Tally
from luray.evaluation.deflicker import deflicker
from luray.evaluation.statistics import tile_statistics
from luray.product.dimensions import ONE_MAP
from luray.product.scoring import merge_tiles, tally_tile
from luray.product.store import Product
from luray.product.trajectories import Span
from tests.cube.cubes import make_cube

YEARS = (2001, 2002, 2003)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), "region").cube


@pytest.fixture(scope="module")
def product(cube, tmp_path_factory):
    """A rollout of random maps from 2001."""
    product = Product(
        str(tmp_path_factory.mktemp("product") / "product.zarr"),
        Span(2001, 2003, (2001, 2001)),
        cube.tiling(window=8, stride=4, tile=8),
        "f" * 64,
        "ssp245",
        ONE_MAP,
        legend=cube.legend,
    )
    product.create(cube, title="t", models={}, tiles=6)
    random = np.random.default_rng(0)
    for tile in product.tiling.tiles():
        box = product.tiling.tile_box(tile)
        land = cube.land(box)
        for year in YEARS:
            classes = np.where(land, random.integers(0, 7, box.shape), OUTSIDE).astype(np.uint8)
            confidence = np.where(land, random.integers(15, 101, box.shape), 0).astype(np.uint8)
            product.write(year, tile, classes, confidence, product.member_indices)
    return product


def test_tiles_merge_to_the_tally_of_the_whole_map(cube, product):
    tiles = list(product.tiling.tiles())
    merged = merge_tiles(
        tally_tile(cube, product, tile, years=YEARS, scored=(2003,)) for tile in tiles
    )

    everything = product.tiling.everything
    maps = np.stack([cube.state(year, everything) for year in YEARS])
    for truth, tally in ((maps, merged.as_published), (deflicker(maps), merged.deflickered)):
        whole = tile_statistics(
            maps[0],
            truth[-1],
            product.read(2003, everything),
            cell_area=cube.grid.cell_area,
            n_classes=len(cube.legend),
            water=cube.legend.index(cube.legend.water),
        )
        assert list(tally.years) == [2003], "only the scored year"
        np.testing.assert_array_equal(tally.years[2003].table, whole.table)


def test_confidence_is_tallied_where_the_truth_is_land(cube, product):
    tiles = list(product.tiling.tiles())
    merged = merge_tiles(
        tally_tile(cube, product, tile, years=YEARS, scored=(2003,)) for tile in tiles
    )
    tally = merged.as_published
    assert tally != Tally()
    statistics = tally.years[2003]
    water = cube.legend.index(cube.legend.water)
    land_area = np.delete(statistics.table, water, axis=1).sum()
    assert statistics.reliability[:, 0].sum() == land_area
