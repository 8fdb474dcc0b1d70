"""Layout of the arrays of a product, as xarray and Zarr see them."""

import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
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
        legend=HILDA,
        attributes={"title": "Land use", "caveats": ["made up"]},
    )
    return url


def test_xarray_opens_codes(product):
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
        assert ds.land_use.flag_values == [0, *(int(c) for c in HILDA.codes), 99]
        assert len(ds.land_use.flag_meanings.split()) == len(ds.land_use.flag_values)
        assert ds.origin.flag_meanings == "observed hindcast forecast"
        assert (ds.attrs["title"], ds.attrs["caveats"]) == ("Land use", ["made up"])


def test_tile_year_is_one_object(product, tmp_path):
    arrays = zarr.open_group(product, mode="r+")
    arrays["land_use"][2, 16:20, 16:30] = np.full((4, 14), 11, np.uint8)
    written = [
        p.relative_to(tmp_path / "product.zarr/land_use/c")
        for p in (tmp_path / "product.zarr/land_use/c").rglob("*")
        if p.is_file()
    ]
    assert [str(p) for p in written] == ["2/1/1"]


def test_flipped_byte_is_noticed(product, tmp_path):
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


def test_creating_again_begins_anew(product):
    zarr.open_group(product, mode="r+")["land_use"][0, :16, :16] = np.full((16, 16), 44, np.uint8)
    create_product(
        product, grid=GRID, years=[2000], origins=[0], tile=16, legend=HILDA, attributes={}
    )
    land_use = zarr.open_group(product, mode="r")["land_use"]
    assert land_use.shape == (1, 20, 30)
    assert not land_use[:].any()


def test_consolidate_raises_no_warning(product):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        consolidate(product)
    assert caught == []
    assert zarr.open_group(product, mode="r").metadata.consolidated_metadata is not None


@pytest.mark.parametrize(
    ("tile", "chunk"),
    [(2000, 250), (256, 256), (100, 100), (300, 150), (1, 1), (257, 1), (512, 256)],
)
def test_chunks_divide_the_tile(tile, chunk):
    assert chunk_of(tile) == chunk
