"""Tallies of the tiles of a product merge to that of its whole map."""

import json

import numpy as np
import pytest

from luray.core.legend import OUTSIDE
from luray.core.tiling import Tile
from luray.evaluation.aggregation import Tally
from luray.evaluation.deflicker import deflicker
from luray.evaluation.flicker import FlickerSeries
from luray.evaluation.report import EvaluationReport
from luray.evaluation.skill import Outcome
from luray.evaluation.statistics import TwoYears, cross_tabulate, statistics_of_year
from luray.product.dimensions import ONE_MAP
from luray.product.scoring import (
    flicker_of_tile,
    merge_flicker_of_tiles,
    merge_tiles,
    tally_tile,
)
from luray.product.store import Product
from luray.product.trajectories import Span
from tests.cube.cubes import make_cube
from tests.evaluation.cases import bordered

YEARS = (2001, 2002, 2003)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), "region").cube


@pytest.fixture(scope="module")
def product(cube, tmp_path_factory):
    return write_product(cube, tmp_path_factory.mktemp("product"), tile=8)


def write_product(cube, folder, *, tile):
    """A rollout of random maps from 2000, the same whatever the tiles."""
    product = Product(
        str(folder / "product.zarr"),
        Span(2000, 2003, (2000, 2000)),
        cube.tiling(window=8, stride=4, tile=tile),
        "f" * 64,
        "ssp245",
        ONE_MAP,
        legend=cube.legend,
    )
    product.create(cube, title="t", models={}, tiles=len(list(product.tiling.tiles())))
    everything = product.tiling.everything
    land = cube.land(everything)
    random = np.random.default_rng(0)
    for year in (2000, *YEARS):
        classes = np.where(land, random.integers(0, 7, land.shape), OUTSIDE).astype(np.uint8)
        confidence = np.where(land, random.integers(15, 101, land.shape), 0).astype(np.uint8)
        for each in product.tiling.tiles():
            cells = product.tiling.tile_box(each).slices(origin=everything)
            product.write(year, each, classes[cells], confidence[cells], product.member_indices)
    return product


def tally(cube, product, **of_years):
    """The tallies of all tiles, merged."""
    given = {
        "years": YEARS,
        "scored": (2003,),
        "travelled": YEARS,
        "year_before": None,
        **of_years,
    }
    return merge_tiles(tally_tile(cube, product, tile, **given) for tile in product.tiling.tiles())


def test_tiles_merge_to_the_tally_of_the_whole_map(cube, product):
    merged = tally(cube, product)
    maps, predicted = whole_maps(cube, product)
    for truth, tallied in ((maps, merged.as_published), (deflicker(maps), merged.deflickered)):
        initial, *true_years = map(bordered, (maps[0], *truth[1:]))
        whole = statistics_of_year(
            initial,
            TwoYears(*true_years),
            TwoYears(*map(bordered, predicted[1:])),
            cell_area=cube.grid.cell_area,
            n_classes=len(cube.legend),
            water=cube.legend.index(cube.legend.water),
            confidence=np.zeros(maps[0].shape, np.uint8),
            corner=(0, 0),
            side=tallied.years[2003].by_block.side,
        )
        assert list(tallied.years) == [2003], "only the scored year"
        found = tallied.years[2003]
        for name in ("table", "pace", "pairs"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)
        assert found.by_block.to_dict() == whole.by_block.to_dict()


def test_partial_results_merge_in_any_order_to_the_same_bytes(cube, product):
    zones = next(v.name for layer in cube.forcing for v in layer.variables if v.categories)
    given = {
        "years": YEARS,
        "scored": YEARS[1:],
        "travelled": range(2000, 2004),
        "year_before": None,
        "zones": zones,
    }
    tiles = [tally_tile(cube, product, tile, **given) for tile in product.tiling.tiles()]
    assert len(tiles) > 3

    def files(merged):
        variable, _ = cube.categories(zones, YEARS[0], product.tiling.everything)
        outcome = Outcome(
            "test",
            "forward",
            YEARS[0],
            merged.as_published,
            merged.deflickered,
            flicker=merged.flicker,
            zones=tuple(str(code) for code in variable.categories),
        )
        report = EvaluationReport((outcome,), cube.legend, "a model")
        return report.to_parquet(), report.to_csv(), json.dumps(report.to_dict())

    expected = files(merge_tiles(tiles))
    random = np.random.default_rng(1)
    for _ in range(4):
        shuffled = [tiles[i] for i in random.permutation(len(tiles))]
        assert files(merge_tiles(shuffled)) == expected
        # Sums of sums: what a worker has merged is merged with what others have.
        parts = [merge_tiles(shuffled[:2]), merge_tiles(shuffled[2:])]
        assert files(merge_tiles(reversed(parts))) == expected
    assert files(merge_tiles(tiles[1:])) != expected


def whole_maps(cube, product):
    """True and predicted maps of all years."""
    everything = product.tiling.everything
    true_maps = np.stack([cube.state(year, everything) for year in YEARS])
    return true_maps, np.stack([product.read(year, everything) for year in YEARS])


def test_the_last_change_before_the_start_is_that_of_the_maps(cube, product):
    everything = product.tiling.everything
    before, start = (cube.state(year, everything) for year in (2002, 2001))
    expected = np.zeros((len(cube.legend), len(cube.legend)))
    for (row, _), i, j in zip(np.ndindex(start.shape), before.flat, start.flat, strict=True):
        if OUTSIDE not in (i, j):
            expected[i, j] += np.rint(cube.grid.cell_area[row])
    assert np.array_equal(tally(cube, product, year_before=2002).last_change, expected)
    assert tally(cube, product).last_change is None


def test_zones_are_tallied_apart(cube, product):
    zones = next(v.name for layer in cube.forcing for v in layer.variables if v.categories)
    found = tally(cube, product, zones=zones).as_published.years[2003]
    everything = product.tiling.everything
    variable, code_HW = cube.categories(zones, 2001, everything)
    maps, predicted = whole_maps(cube, product)
    for n, code in enumerate(variable.categories):
        initial, truth, shown = (
            np.where(code_HW == code, classes, OUTSIDE).astype(np.uint8)
            for classes in (maps[0], maps[2], predicted[2])
        )
        expected = cross_tabulate(
            initial, truth, shown, cell_area=cube.grid.cell_area, n_classes=len(cube.legend)
        )
        assert np.array_equal(found.by_zone[n], expected)
    assert found.by_zone.sum() > 0
    assert Tally.from_json(Tally({2003: found}).to_json()) == Tally({2003: found})
    with pytest.raises(ValueError, match="no categorical variable 'climates'"):
        tally(cube, product, zones="climates")


def test_blocks_are_whole_cells_of_the_coarsest_forcing(cube, product):
    side = tally(cube, product).as_published.years[2003].by_block.side
    coarsest = max(layer.grid.step for layer in cube.forcing)
    assert side % round(coarsest / cube.grid.step) == 0


def test_confidence_is_tallied_where_the_truth_is_land(cube, product):
    tallied = tally(cube, product).as_published
    assert tallied != Tally()
    statistics = tallied.years[2003]
    water = cube.legend.index(cube.legend.water)
    land_area = np.delete(statistics.table, water, axis=1).sum()
    assert statistics.reliability[:, 0].sum() == land_area


def test_every_year_of_a_rollout_counts_for_flicker(cube, product):
    """Years that have no true map, too; flicker needs four years in a row."""
    assert tally(cube, product).flicker == {}
    everything = product.tiling.everything
    years = range(2000, 2004)
    series = FlickerSeries(cube.grid.cell_area)
    for year in years:
        series.add(year, product.read(year, everything))
    found = tally(cube, product, travelled=years)
    assert found.flicker == series.by_year
    assert list(found.flicker) == [2001]
    assert 0 < found.flicker[2001].share < 1


def test_the_tally_of_a_globe_does_not_depend_on_its_tiles(tmp_path):
    cube = make_cube(str(tmp_path / "cube.zarr"), "globe").cube
    rollout = range(2000, 2004)
    small, large = [
        tally(cube, write_product(cube, tmp_path / str(tile), tile=tile), travelled=rollout)
        for tile in (8, 20)
    ]
    assert small.flicker == large.flicker != {}
    for of_small, of_large in zip(small[:2], large[:2], strict=True):
        few, many = of_small.years[2003], of_large.years[2003]
        for name in ("table", "pace", "pairs"):
            np.testing.assert_array_equal(getattr(few, name), getattr(many, name), err_msg=name)
        assert few.by_block.to_dict() == many.by_block.to_dict()

    # The first and the last column are neighbours.
    water = cube.legend.index(cube.legend.water)
    truth = cube.state(2003, cube.tiling(window=8, stride=4, tile=8).everything)
    land = (truth != OUTSIDE) & (truth != water)
    beside = land & np.roll(land, -1, axis=1)
    below = land[:-1] & land[1:]
    area = np.rint(cube.grid.cell_area)
    expected = area @ beside.sum(axis=1) + area[:-1] @ below.sum(axis=1)
    assert small.as_published.years[2003].pairs[0] == expected


def test_flicker_of_tiles_is_that_of_the_rollout(cube, product):
    tiles = [
        flicker_of_tile(cube, product, tile, observed=cube.years, chains=[range(2000, 2004)])
        for tile in product.tiling.tiles()
    ]
    found = merge_flicker_of_tiles(tiles)
    assert found.observed == {}, "three years are too few"
    assert found.predicted == tally(cube, product, travelled=range(2000, 2004)).flicker
    alone = flicker_of_tile(cube, product, Tile(0, 0), observed=cube.years, chains=[])
    assert alone.predicted == {}, "no product"
