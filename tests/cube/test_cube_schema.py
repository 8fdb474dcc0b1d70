import json
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec

from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.core.variable import Variable
from luray.cube.schema import (
    CHUNK,
    SHARD_BYTES,
    NativeLayout,
    create_native,
    create_state,
    native_layout,
)
from luray.product.create import ORIGINS, create_product
from luray.storage.arrays import chunk_of, consolidate

GRID = Grid(50, -10, 0.5, 20, 30)


@pytest.fixture
def product(tmp_path):
    url = str(tmp_path / "product.zarr")
    create_product(
        url,
        grid=GRID,
        years=range(2000, 2004),
        origins=[1, 0, 0, 2],
        tile=16,
        attributes={"title": "Land use", "caveats": ["made up"]},
    )
    return url


@pytest.mark.parametrize(
    ("tile", "chunk"),
    [(2000, 250), (256, 256), (100, 100), (300, 150), (1, 1), (257, 1), (512, 256)],
)
def test_chunks_divide_the_tile(tile, chunk):
    assert chunk_of(tile) == chunk


def test_a_product_opens_in_xarray_as_codes(product):
    zarr.open_group(product, mode="r+")["land_use"][1, :16, :16] = np.full((16, 16), 44, np.uint8)
    consolidate(product)
    with xr.open_zarr(product) as ds:
        assert ds.land_use.dims == ds.confidence.dims == ("year", "lat", "lon")
        assert ds.land_use.dtype == ds.confidence.dtype == np.uint8, (
            "a fill value would make it float"
        )
        assert ds.year.values.tolist() == [2000, 2001, 2002, 2003]
        assert np.array_equal(ds.lat.values, GRID.lat)
        assert np.array_equal(ds.lon.values, GRID.lon)
        assert (ds.lat.units, ds.lon.units) == ("degrees_north", "degrees_east")
        assert set(np.unique(ds.land_use.sel(year=2001))) == {0, 44}
        assert (ds.land_use.sel(year=2000) == 0).all()
        assert [ORIGINS[i] for i in ds.origin.values] == [
            "hindcast",
            "observed",
            "observed",
            "forecast",
        ]
        assert ds.land_use.flag_values == [0, *(int(c) for c in HILDA.codes)]
        assert len(ds.land_use.flag_meanings.split()) == len(ds.land_use.flag_values)
        assert ds.origin.flag_meanings == "observed hindcast forecast"
        assert (ds.attrs["title"], ds.attrs["caveats"]) == ("Land use", ["made up"])


def test_a_tile_year_is_one_object_and_its_neighbours_do_not_exist(product, tmp_path):
    arrays = zarr.open_group(product, mode="r+")
    arrays["land_use"][2, 16:20, 16:30] = np.full((4, 14), 11, np.uint8)
    written = [
        p.relative_to(tmp_path / "product.zarr/land_use/c")
        for p in (tmp_path / "product.zarr/land_use/c").rglob("*")
        if p.is_file()
    ]
    assert [str(p) for p in written] == ["2/1/1"]


def test_a_flipped_byte_inside_a_chunk_is_noticed(product, tmp_path):
    random = np.random.default_rng(0).integers(0, 200, (16, 16)).astype(np.uint8)
    arrays = zarr.open_group(product, mode="r+")
    arrays["land_use"][0, :16, :16] = random
    assert any(isinstance(c, Crc32cCodec) for c in arrays["land_use"].compressors)
    shard = tmp_path / "product.zarr/land_use/c/0/0/0"
    data = bytearray(shard.read_bytes())
    for at in range(0, len(data), 7):
        bad = bytearray(data)
        bad[at] ^= 0x10
        shard.write_bytes(bad)
        with pytest.raises(
            Exception, match=r"(?i)checksum|crc|corrupt|size|index|shard|decompress|bytes"
        ):
            zarr.open_group(product, mode="r")["land_use"][0, :16, :16]


def test_creating_a_product_again_begins_anew(product):
    zarr.open_group(product, mode="r+")["land_use"][0, :16, :16] = np.full((16, 16), 44, np.uint8)
    create_product(product, grid=GRID, years=[2000], origins=[0], tile=16, attributes={})
    land_use = zarr.open_group(product, mode="r")["land_use"]
    assert land_use.shape == (1, 20, 30)
    assert not land_use[:].any()


def test_state_and_sources_lie_where_the_cube_looks_for_them(tmp_path):
    root = zarr.open_group(str(tmp_path / "cube.zarr"), mode="w", zarr_format=3)
    create_state(root, grid=GRID, years=[1990, 1991], tile=8)
    levels = [Variable("a", "forcing", "1", "a"), Variable("b", "forcing", "m", "b")]
    create_native(
        root,
        "luh2",
        role="forcing",
        grid=Grid(50, -10, 0.25, 300, 10),
        variables=levels,
        years=[1990, 1991],
        layout=NativeLayout((128, 10), (384, 10)),
    )
    create_native(
        root,
        "zone",
        role="static",
        grid=Grid(50, -10, 0.01, 300, 400),
        years=None,
        variables=[Variable("z", "static", "1", "z", dtype="uint8", categories=(1,))],
        layout=NativeLayout((256, 256), (512, 512)),
    )
    consolidate(str(tmp_path / "cube.zarr"))
    cube = zarr.open_group(str(tmp_path / "cube.zarr"), mode="r")
    use, land = cube["state/land_use"], cube["state/land"]
    forcing, static = cube["forcing/luh2/values"], cube["static/zone/values"]
    assert (use.shape, use.shards, use.chunks) == ((2, 20, 30), (1, 8, 8), (1, 8, 8))
    assert (land.shape, land.dtype) == ((20, 30), np.uint8)
    assert (forcing.shape, forcing.chunks, forcing.shards) == (
        (2, 2, 300, 10),
        (1, 2, 128, 10),
        (1, 2, 384, 10),
    )
    assert (static.shape, static.chunks, static.shards) == (
        (1, 300, 400),
        (1, 256, 256),
        (1, 512, 512),
    )
    assert forcing.metadata.dimension_names == ("year", "variable", "lat", "lon")
    assert static.metadata.dimension_names == ("variable", "lat", "lon")
    assert all(
        json.loads((tmp_path / "cube.zarr" / path / "zarr.json").read_text())["codecs"][0][
            "configuration"
        ]["index_location"]
        == "start"
        for path in ("state/land_use", "state/land", "forcing/luh2/values")
    )
    assert forcing.attrs["variables"] == ["a", "b"]
    assert forcing.attrs["units"] == ["1", "m"]
    assert np.isnan(forcing[:]).all(), "what was never written is missing, not zero"
    assert (static[:] == 255).all()
    with xr.open_zarr(str(tmp_path / "cube.zarr"), group="forcing/luh2") as ds:
        assert ds["values"].sel(year=1991).shape == (2, 300, 10)
        assert ds["variable"].attrs["flag_meanings"] == "a b"


@pytest.mark.parametrize(
    ("native", "n", "dtype", "chunk", "shard"),
    [
        (Grid(90, -180, 0.25, 720, 1440), 12, "float32", (64, 64), (768, 1472)),
        (Grid(90, -180, 0.5, 360, 720), 1, "float32", (64, 64), (384, 768)),
        (Grid(90, -180, 0.01, 18000, 36000), 1, "uint8", (256, 256), (8192, 8192)),
        (Grid(90, -180, 1 / 240, 43200, 86400), 1, "int16", (640, 640), (5760, 5760)),
        (Grid(90, -180, 0.00025, 100000, 100000), 7, "float32", (1024, 1024), (1024, 1024)),
        (Grid(50, 0, 0.01, 100, 150), 1, "uint8", (100, 150), (100, 150)),
    ],
)
def test_a_chunk_is_about_a_window_and_a_shard_bounded(native, n, dtype, chunk, shard):
    layout = native_layout(
        native, [Variable("v", "static", "1", "v", dtype=dtype)] * n, window=2.56
    )
    assert layout == (chunk, shard)
    assert all(s % c == 0 for s, c in zip(layout.shard, layout.chunk, strict=True))
    window = min(2.56 / native.step, *native.shape, CHUNK[1])
    assert min(layout.chunk) >= window * 0.99
    assert (
        layout.shard == layout.chunk
        or np.prod(layout.shard) * n * np.dtype(dtype).itemsize <= 1.1 * SHARD_BYTES
    )


def test_only_the_known_warning_of_zarr_is_silenced(product):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        consolidate(product)
    assert caught == []
    assert zarr.open_group(product, mode="r").metadata.consolidated_metadata is not None
