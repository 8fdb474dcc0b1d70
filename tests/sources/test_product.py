"""A product as a forcing of another run: its maps by year and scenario, and what is refused."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.product.dimensions import FIRST, ONE_MAP, MemberIndex, ProductDims
from luray.product.trajectories import TileYear
from luray.sources.base import Request
from luray.sources.product import ProductConfig
from luray.storage.errors import InputError
from tests.cube.cubes import COVER, make_cube
from tests.product.products import NAMES, WALK, created, fill
from tests.product.value_products import finished_value_product

MANY = ProductDims(NAMES, 2)


def finished(cube, url, dims):
    """A finished product of 2000-2003, of which 2003 is a forecast, and its maps."""
    product = created(cube, url, dims=dims, span=WALK, tiles=len(list(cube_tiles(cube))))
    maps = fill(product)
    product.finish()
    return product, maps


def cube_tiles(cube):
    return cube.tiling(window=8, stride=4, tile=8).tiles()


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), "region").cube


@pytest.fixture(scope="module")
def one(cube, tmp_path_factory):
    return finished(cube, tmp_path_factory.mktemp("one") / "product.zarr", ONE_MAP)


@pytest.fixture(scope="module")
def many(cube, tmp_path_factory):
    return finished(cube, tmp_path_factory.mktemp("many") / "product.zarr", MANY)


def opened(place, *, years=range(2000, 2004), scenario="ssp245", **settings):
    config = ProductConfig(kind="product", name="use", path=str(place), **settings)
    return config.open(Request(years, scenario))


def expected_map(product, maps, year, index=FIRST):
    codes = np.zeros(product.tiling.shape, np.uint8)
    for tile in product.tiling.tiles():
        classes = maps[TileYear(year, tile, index)].classes
        box = product.tiling.tile_box(tile)
        codes[box.slices(origin=product.tiling.everything)] = HILDA.decode(classes)
    return codes


def test_the_maps_of_a_product_are_a_categorical_forcing(one, cube):
    product, maps = one
    source = pickle.loads(pickle.dumps(opened(product.url)))
    [variable] = source.variables
    assert (source.name, source.role, source.grid) == ("use", "forcing", cube.grid)
    assert (variable.name, variable.categories) == ("land_use", tuple(HILDA.codes))
    assert not variable.classes
    box = Box(2, 3, 9, 11)
    cells = box.slices(origin=Box(0, 0, 0, 0))
    for year in range(2000, 2004):
        assert np.array_equal(source.read(year, box)[0], expected_map(product, maps, year)[cells])


def test_a_scenario_and_a_member_have_their_own_forecast(many):
    product, maps = many
    first = opened(product.url, scenario="ssp126", member=1)
    second = opened(product.url, scenario="ssp585", member=1)
    everything = Box(0, 0, *product.tiling.shape)
    for n, source in enumerate((first, second)):
        found = source.read(2003, everything)[0]
        assert np.array_equal(found, expected_map(product, maps, 2003, MemberIndex(n, 1)))
    assert np.array_equal(first.read(2000, everything), second.read(2000, everything))
    part = second.part("ssp585", first=first)
    assert part is not None
    assert part.years == (2003,)  # the only year that the scenario decides


def test_years_scenarios_and_members_that_a_product_lacks_are_refused(one, many):
    with pytest.raises(InputError, match="years 2000-2003, the run needs 2004-2005, too"):
        opened(one[0].url, years=range(2001, 2006))
    with pytest.raises(InputError, match="scenario ssp245, the run needs ssp370 for 2003"):
        opened(one[0].url, scenario="ssp370")
    opened(one[0].url, scenario="ssp370", years=range(2000, 2003))
    with pytest.raises(InputError, match="scenario ssp126, ssp585, the run needs ssp245"):
        opened(many[0].url, member=0)
    with pytest.raises(InputError, match="members 0 to 1, the run file names None"):
        opened(many[0].url, scenario="ssp126")
    with pytest.raises(InputError, match="members 0 to 1, the run file names 2"):
        opened(many[0].url, scenario="ssp126", member=2)
    with pytest.raises(InputError, match="has no members; leave out"):
        opened(one[0].url, member=0)


def test_another_legend_is_refused(one, tmp_path):
    with pytest.raises(InputError, match=r"has maps land_use .* the legend ESA CCI-LC; set"):
        opened(one[0].url, legend="esa_cci_lc")
    cover = make_cube(str(tmp_path / "cube.zarr"), "region", legend=COVER).cube
    product, _ = finished(cover, tmp_path / "product.zarr", ONE_MAP)
    with pytest.raises(InputError, match=r"flag_values \[17, 110, 210, 5, 0\], expected .*HILDA"):
        opened(product.url)


def test_a_product_of_values_is_refused(tmp_path):
    _, product = finished_value_product(tmp_path)
    with pytest.raises(InputError, match=r"has maps lai with flag_values None, expected land_use"):
        opened(product.url)


def test_a_store_that_is_no_finished_product_is_refused(one, cube, tmp_path):
    with pytest.raises(InputError, match="found no Zarr store"):
        opened(tmp_path / "product.zarr")
    with pytest.raises(InputError, match="is no product of luray"):
        opened(cube.url)
    begun = created(cube, tmp_path / "begun.zarr", span=WALK)
    fill(begun)
    with pytest.raises(InputError, match="is not finished, expected a finished one"):
        opened(begun.url)

    copy = Path(shutil.copytree(one[0].url, tmp_path / "copy.zarr"))
    root = json.loads((copy / "zarr.json").read_text())
    del root["consolidated_metadata"]
    (copy / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(InputError, match="is not finished"):
        opened(copy)


def test_a_lost_map_is_not_read_as_ocean(one, tmp_path):
    copy = Path(shutil.copytree(one[0].url, tmp_path / "copy.zarr"))
    (copy / "land_use/c/2/0/1").unlink()
    with pytest.raises(InputError, match=r"land_use of 2002 has 5 of 6 tiles.*luray verify"):
        opened(copy)
    opened(copy, years=range(2000, 2002))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"legend": "corine"}, "no legend 'corine'"),
        ({"path": "", "collection": "land-use"}, "needs a `path`"),
        ({"name": "Land use"}, "should match pattern"),
        ({"legend": "lai"}, "'lai' is one of values, expected one of classes"),
    ],
)
def test_an_impossible_config_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        ProductConfig(**{"kind": "product", "name": "use", "path": "p", **changes})
