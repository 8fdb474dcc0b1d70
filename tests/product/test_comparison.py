"""Any maps judged against any others: grids that nest, bands that merge, and what is refused."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.evaluation.metrics import score
from luray.product import comparison as module
from luray.product.compared_maps import common_grid, majority
from luray.product.comparison import Comparison, merge_bands
from luray.stages.compare import compare, open_maps
from luray.storage.arrays import consolidate
from tests.explorer.small_world import write_empty_product
from tests.viz.pictures import write_product

FINE = Grid(north=50, west=10, step=0.5, n_lat=60, n_lon=50)
YEARS = range(2000, 2004)


def codes_of(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    codes = random.choice(HILDA.codes, (len(YEARS), *shape))
    codes[:, random.random(shape) < 0.2] = HILDA.ocean
    return codes


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A product on the fine grid, one on a coarser grid that reaches further north, their codes."""
    folder = tmp_path_factory.mktemp("comparison")
    random = np.random.default_rng(0)
    coarse = Grid(north=54, west=10, step=1, n_lat=30, n_lon=24)
    found = {}
    for name, grid in (("fine", FINE), ("coarse", coarse)):
        codes = codes_of(random, grid.shape)
        write_product(
            folder / f"{name}.zarr", codes, grid=grid, years=YEARS, origins=[0] * len(YEARS)
        )
        root = zarr.open_group(str(folder / f"{name}.zarr"), mode="r+")
        shards = list((folder / f"{name}.zarr/land_use/c/0").rglob("*"))
        n_tiles = sum(shard.is_file() for shard in shards)
        about = {"finished": True, "fingerprint": "f" * 64, "tiles": n_tiles}
        root.attrs.update({"grid": asdict(grid), "luray": about})
        consolidate(str(folder / f"{name}.zarr"))
        found[name] = (str(folder / f"{name}.zarr"), codes)
    return found


def classes(codes: np.ndarray) -> np.ndarray:
    return HILDA.encode(codes)


def test_maps_of_another_grid_are_read_on_the_common_one(stores) -> None:
    fine, coarse = (open_maps(stores[name][0]) for name in ("fine", "coarse"))
    grid, of_fine, of_coarse = common_grid(fine.grid, coarse.grid)
    assert (grid.north, grid.west, grid.step, grid.shape) == (50, 10, 1, (26, 24))

    box = Box(3, 2, 7, 9)
    whole = classes(stores["coarse"][1][1])
    assert np.array_equal(of_coarse.read(coarse, 2001, box), whole[4 + 3 : 14, 2:11])

    found = of_fine.read(fine, 2001, box)
    fine_map = classes(stores["fine"][1][1])
    for y, x in np.ndindex(found.shape):
        cells = fine_map[2 * (y + 3) : 2 * (y + 3) + 2, 2 * (x + 2) : 2 * (x + 2) + 2].ravel()
        land = cells[cells != OUTSIDE]
        expected = OUTSIDE if 2 * land.size < 4 else np.bincount(land, minlength=7).argmax()
        assert found[y, x] == expected


@given(st.integers(2, 4), st.integers(0, 1000))
def test_the_majority_is_the_most_frequent_class(factor, seed) -> None:
    random = np.random.default_rng(seed)
    maps = random.integers(0, 3, (3 * factor, 2 * factor)).astype(np.uint8)
    maps[random.random(maps.shape) < 0.5] = OUTSIDE
    for (y, x), k in np.ndenumerate(majority(maps, factor, 3, OUTSIDE)):
        cells = maps[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor].ravel()
        counts = np.bincount(cells[cells != OUTSIDE], minlength=3)
        is_land = 2 * counts.sum() >= factor**2
        assert k == (counts.argmax() if is_land else OUTSIDE)


def test_bands_merge_to_the_tally_of_the_whole_map(stores, monkeypatch) -> None:
    fine = open_maps(stores["fine"][0])
    compared = Comparison.of(fine, fine, start=2000)
    whole = merge_bands(map(compared.tally, compared.bands))
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 25)
    assert len(compared.bands) == 3
    parts = [compared.tally(band) for band in reversed(compared.bands)]
    assert merge_bands(parts) == whole
    for year in (2001, 2002, 2003):
        scores = score(whole[0].years[year], water=6)
        assert (scores.accuracy, scores.figure_of_merit) == (1, 1), "maps against themselves"
        assert scores.predicted_change_per_year == scores.observed_change_per_year > 0


def test_a_year_that_is_not_scored_leaves_the_pace_unknown(stores) -> None:
    fine = open_maps(stores["fine"][0])
    compared = Comparison.of(fine, fine, start=2000, years=(2001, 2003))
    raw, _ = merge_bands(map(compared.tally, compared.bands))
    assert np.isnan(score(raw.years[2003], water=6).predicted_change_per_year)
    assert score(raw.years[2001], water=6).predicted_change_per_year > 0


def test_base_maps_of_the_reference_are_not_scored(stores) -> None:
    fine = open_maps(stores["fine"][0])
    reference = replace(fine, other_kind={2002: "a base map"})
    compared = Comparison.of(fine, reference, start=2000)
    assert (compared.years, compared.left_out) == ((2001,), (2002, 2003))
    assert compared.maps == (2000, 2001, 2003), "flicker is looked for without it"
    with pytest.raises(ValueError, match="starts from 2002, a base map"):
        Comparison.of(fine, reference, start=2002)


def test_backward_is_backward(stores) -> None:
    fine = open_maps(stores["fine"][0])
    compared = Comparison.of(fine, fine, start=2003, years=(2000, 2001, 2002))
    assert (compared.direction, compared.years) == ("backward", (2002, 2001, 2000))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid(50, 10, 0.75, 20, 20), "do not nest"),
        (Grid(50.25, 10, 0.5, 20, 20), "do not nest"),
        (Grid(50, 80, 0.5, 20, 20), "no cell in common"),
    ],
)
def test_grids_that_cannot_be_compared_are_refused(grid, message) -> None:
    with pytest.raises(ValueError, match=message):
        common_grid(FINE, grid)


def test_what_cannot_be_compared_is_refused_naming_both(stores, tmp_path) -> None:
    fine = open_maps(stores["fine"][0])
    fewer = replace(HILDA, classes=HILDA.classes[:3], aliases={}, water=None)
    other = replace(fine, legend=fewer)
    with pytest.raises(ValueError, match=r"has classes .*expected the same"):
        Comparison.of(other, fine, start=2000)
    with pytest.raises(ValueError, match="no map of 1990, only 2000-2003"):
        Comparison.of(fine, fine, start=1990)
    with pytest.raises(ValueError, match=r"no maps of \[2010\]"):
        Comparison.of(fine, fine, start=2000, years=(2001, 2010))
    with pytest.raises(ValueError, match="all before or all after"):
        Comparison.of(fine, fine, start=2001, years=(2000, 2002))
    of_values = replace(fine, legend=read_legend("lai"))
    with pytest.raises(ValueError, match=r"has values \(leaf area index\), .*`luray evaluate RUN"):
        Comparison.of(of_values, of_values, start=2000)
    with pytest.raises(ValueError, match="there is no Zarr store"):
        open_maps(str(tmp_path / "nothing.zarr"))


def test_a_product_that_has_lost_a_map_is_refused(stores, tmp_path) -> None:
    url, _ = stores["fine"]
    copy = Path(shutil.copytree(url, tmp_path / "copy.zarr"))
    shutil.rmtree(copy / "land_use/c/2")
    compared = {"start": 2000, "years": "2001-2002", "folder": str(tmp_path / "out")}
    with pytest.raises(
        ValueError, match=r"copy.zarr: land_use of 2002 has 0 of \d+ tiles.*copy the"
    ):
        compare(str(copy), url, **compared)
    with pytest.raises(
        ValueError, match=r"copy.zarr: land_use of 2002 has 0 of \d+ tiles.*copy the"
    ):
        compare(url, str(copy), **compared)
    open_maps(str(copy)).require_whole([2000, 2001, 2003])


def test_a_product_that_is_not_finished_is_refused(tmp_path) -> None:
    """A product of two scenarios of which one is not there yet is half a product."""
    write_empty_product(tmp_path / "product.zarr", finished=False)
    with pytest.raises(ValueError, match=r"product\.zarr.*luray infer"):
        open_maps(str(tmp_path / "product.zarr"))
    write_empty_product(tmp_path / "finished.zarr")
    maps = open_maps(str(tmp_path / "finished.zarr"))
    assert maps.caveat == "scenario ssp126, of 2; member 0, of 2"
