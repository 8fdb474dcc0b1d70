import shutil
from dataclasses import replace

import numpy as np
import pytest
import zarr

from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.product.store import Product
from luray.product.trajectories import Span
from tests.emulator.conftest import END, START, World, assert_same, run

REGIONS = {
    "patch": [(5.0, 47.0, 8.0, 50.0), (4.0, 45.5, 12.5, 52.0), (10.0, 45.5, 12.5, 48.0)],
    "globe": [(-180.0, -36.0, -90.0, 45.0), (-45.0, -90.0, 180.0, 9.0), (-180.0, 0.0, 180.0, 45.0)],
}


@pytest.fixture(scope="module", params=["patch", "globe"])
def with_product(request, tmp_path_factory):
    """A world, the finished product of its serial maps, and some regions of it."""
    world = request.getfixturevalue(request.param)
    serial = world.serial()
    cube = world.cube
    tiling = cube.tiling(window=8, stride=4, tile=8)
    url = str(tmp_path_factory.mktemp("product") / "product.zarr")
    product = Product(url, Span(START, END, (START, START)), tiling, "p" * 64, legend=cube.legend)
    tiles = list(tiling.tiles())
    product.create(cube, title="t", models={}, tiles=len(tiles))
    for year in range(START, END + 1):
        for tile in tiles:
            box = tiling.tile_box(tile)
            at = box.slices(origin=tiling.everything)
            if year == START:
                classes = cube.state(year, box)
                confidence = np.zeros(box.shape, np.uint8)
            else:
                classes = cube.legend.encode(serial[year][0][at])
                confidence = np.ascontiguousarray(serial[year][1][at])
            product.write(year, tile, classes, confidence)
    product.finish()
    return world, url, serial, REGIONS[request.param]


def test_nested_region_equals_the_product(with_product):
    world, url, serial, regions = with_product
    for region in regions:
        emulator = world.land_surface(region=region, edge="product", product=url)
        box = emulator._running.domain.region
        assert_same(run(emulator, 2), serial, at=box)


def test_held_surroundings_differ_near_the_edge_only_at_first(with_product):
    world, _, serial, regions = with_product
    emulator = world.land_surface(region=regions[0], edge="observed")
    box = emulator._running.domain.region
    maps = run(emulator, 2)
    # the first year starts from observed maps on both sides, the second does not
    assert_same({2002: maps[2002]}, serial, at=box)
    at = box.slices(origin=Box(0, 0, 0, 0))
    pairs = zip(maps[2003], serial[2003], strict=True)
    assert any((field != whole[at]).any() for field, whole in pairs)


def test_open_region_is_refused_as_closed(patch):
    with pytest.raises(ValueError, match=r"not closed: its windows see \d+ land cells around it"):
        patch.land_surface(region=REGIONS["patch"][0])


def island(world: World, folder, box: Box) -> World:
    """Write the same world with land in a box alone."""
    url = str(folder / "island.zarr")
    shutil.copytree(world.cube.url, url)
    land = zarr.open_array(f"{url}/state/land", mode="r+")
    inside = np.zeros(land.shape, bool)
    inside[box.slices(origin=Box(0, 0, 0, 0))] = True
    land[:] = np.where(inside, land[:], 0)
    return replace(world, cube=Cube.open(url))


def test_island_equals_the_serial_rollout_of_the_grid(patch, tmp_path):
    box = Box(5, 6, 3, 5)
    alone = island(patch, tmp_path, box)
    emulator = alone.land_surface(region=(7.0, 48.0, 9.5, 49.5))
    assert emulator._running.domain.region == box
    assert_same(run(emulator, 2), alone.serial(), at=box)


def test_ocean_is_stepped_without_windows(patch, tmp_path):
    alone = island(patch, tmp_path, Box(0, 0, 1, 1))
    emulator = alone.land_surface(region=(10.0, 45.5, 12.5, 47.0))
    maps = run(emulator, 2)
    assert (maps[2003][0] == alone.cube.legend.ocean).all()


@pytest.mark.parametrize("region", [(5.2, 47.0, 8.0, 50.0), (5.0, 47.0, 5.0, 50.0), (0, 47, 8, 50)])
def test_region_of_no_cells_of_the_grid_is_refused(patch, region):
    with pytest.raises(ValueError, match=r"expected edges of cells of 0.5 degrees within 4, 45.5"):
        patch.land_surface(region=tuple(map(float, region)), edge="observed")


def test_product_that_does_not_reach_is_refused(with_product):
    world, url, _, regions = with_product
    with pytest.raises(ValueError, match=r"predicts 2002-2003, expected every year from 2003"):
        world.land_surface(region=regions[0], edge="product", product=url, start=2002, end=2003)
