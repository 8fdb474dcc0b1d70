"""Observed years of small tiles, copied from cubes whose shards can be moved, or cannot."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import zarr

from luray.core.legend_files import HILDA
from luray.core.tiling import Tile
from luray.core.variable import Variable
from luray.cube.cube import Cube
from luray.cube.schema import LAND, OCEAN, WITHOUT_DATA, create_state
from luray.engine.copying import copy_years
from luray.engine.geometry import Geometry
from luray.engine.spec import InferenceSpec
from luray.product.dimensions import ProductDims
from luray.product.repair import damaged
from luray.product.trajectories import Span, TileYear
from luray.storage.arrays import consolidate
from tests import reference
from tests.cube.cubes import REGION, describe
from tests.product.products import OVERVIEWS, created

YEARS = (2001, 2002, 2003)
SPAN = Span(2001, 2003, (2001, 2003))
DIMS = ProductDims(("ssp126", "ssp585"), 0, ())


def stored_codes():
    """Codes of three years: land alone in the first tile; sea, no data and both in the others."""
    random = np.random.default_rng(3)
    codes = random.choice(HILDA.codes, (3, *REGION.shape))
    codes[:, :8, 12:] = HILDA.ocean
    codes[:, 10:, :3] = HILDA.nodata
    codes[1, 9, 9] = HILDA.ocean  # a class in the other years
    codes[2, 12, 10] = HILDA.nodata
    return codes


def cube_of(url, *, tile):
    codes = stored_codes()
    root = zarr.open_group(url, mode="w", zarr_format=3)
    create_state(root, grid=REGION, years=YEARS, tile=tile, legend=HILDA)
    root["state/land_use"][:] = codes
    mask = np.where((codes == HILDA.ocean).any(axis=0), OCEAN, WITHOUT_DATA)
    mask[np.isin(codes, HILDA.codes).all(axis=0)] = LAND
    root["state/land"][:] = mask.astype(np.uint8)
    state = (Variable("land_use", "state", "1", "land use", dtype="uint8"),)
    root["state"].attrs.update(describe("state", REGION, state, YEARS))
    root.attrs["luray"] = {
        "grid": asdict(REGION),
        "legend": HILDA.to_attributes(),
        "fingerprint": "f" * 64,
        "groups": {"hilda": "state"},
    }
    consolidate(url)
    return Cube.open(url)


def copied(cube, url, years=YEARS):
    product = created(cube, url, span=SPAN, dims=DIMS, overviews=OVERVIEWS)
    spec = InferenceSpec(
        cube, product, Geometry.of(cube, product.tiling), {}, "linear", batch=2, threads=1
    )
    for tile in spec.geometry.tiles:
        copy_years(spec, tile, years)
    return product


@pytest.mark.parametrize("tile", [8, 4])
def test_copies_are_the_maps_of_the_cube(tmp_path, tile):
    cube = cube_of(str(tmp_path / "cube.zarr"), tile=tile)
    product = copied(cube, tmp_path / "product.zarr")
    codes = stored_codes()
    is_land = np.isin(codes, HILDA.codes).all(axis=0)
    is_ocean = (codes == HILDA.ocean).any(axis=0)
    expected = np.where(is_land, codes, np.where(is_ocean, HILDA.ocean, HILDA.nodata))

    root = zarr.open_group(product.url, mode="r", use_consolidated=False)
    for scenario in range(2):
        np.testing.assert_array_equal(root["land_use"][scenario], expected)
        np.testing.assert_array_equal(
            root["confidence"][scenario], np.tile(100 * is_land, (3, 1, 1))
        )
    classes = np.where(is_land, HILDA.encode(codes), 255).astype(np.uint8)
    for step in (1, 2):
        for row, col in ((0, 0), (8, 8)):
            box = product.tiling.tile_box(Tile(row // 8, col // 8))
            cells = box.slices(origin=product.tiling.everything)
            coarse = box.coarsened(2).slices(origin=product.tiling.everything)
            area = product.coarse.fine.cell_area[cells[0]]
            coarse_area = product.coarse.grid.cell_area[coarse[0]]
            pair = classes[(step - 1, *cells)], classes[(step, *cells)]
            slow = reference.transitions(*pair, len(HILDA), area, coarse_area, 2)
            stored = root["transition"][(0, step, slice(None), slice(None), *coarse)]
            np.testing.assert_allclose(stored, slow, atol=1e-6)
    with_land = Geometry.of(cube, product.tiling).tiles
    units = [unit for unit in product.units(with_land) if isinstance(unit, TileYear)]
    assert len(units) == 2 * 3 * 5
    assert damaged(product, units) == []


def test_shards_are_moved_where_the_codes_are_the_same(tmp_path):
    cube = cube_of(str(tmp_path / "cube.zarr"), tile=8)
    # What lies behind the last chunk of a shard belongs to none, but goes with its bytes.
    for place in (tmp_path / "cube.zarr/state/land_use/c").rglob("*"):
        if place.is_file():
            place.write_bytes(place.read_bytes() + b"moved")

    product = copied(cube, tmp_path / "product.zarr")
    moved = set()
    encoded = set()
    for tile in Geometry.of(cube, product.tiling).tiles:
        for step in range(3):
            place = Path(product.url, f"land_use/c/0/{step}/{tile.row}/{tile.col}")
            (moved if place.read_bytes().endswith(b"moved") else encoded).add(tile)
    assert moved == {Tile(0, 0), Tile(0, 1), Tile(1, 0), Tile(1, 2)}
    assert encoded == {Tile(1, 1)}, "it has cells with a class in some years only"


def test_years_are_copied_in_any_order(tmp_path):
    cube = cube_of(str(tmp_path / "cube.zarr"), tile=8)
    product = copied(cube, tmp_path / "product.zarr")
    again = copied(cube, tmp_path / "again.zarr", years=(2003, 2001))
    copied_later = copied(cube, tmp_path / "again.zarr", years=(2002,))
    keys = product.ledger.done()
    assert keys == copied_later.ledger.done()
    for key in keys:
        assert product.ledger.sha256(key) == again.ledger.sha256(key)


def test_a_damaged_shard_of_the_cube_is_named(tmp_path):
    cube = cube_of(str(tmp_path / "cube.zarr"), tile=8)
    place = tmp_path / "cube.zarr/state/land_use/c/1/0/0"
    place.write_bytes(place.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match=r"land_use/c/1/0/0.*damaged.*build it again"):
        copied(cube, tmp_path / "product.zarr")
