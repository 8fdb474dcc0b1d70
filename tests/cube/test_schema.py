"""Layout of the arrays of a cube."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.variable import Variable
from luray.cube.schema import (
    CHUNK,
    SHARD_BYTES,
    NativeLayout,
    create_native,
    create_state,
    native_layout,
)
from luray.storage.arrays import consolidate

GRID = Grid(50, -10, 0.5, 20, 30)


def test_arrays_lie_where_the_cube_looks(tmp_path):
    root = zarr.open_group(str(tmp_path / "cube.zarr"), mode="w", zarr_format=3)
    create_state(root, grid=GRID, years=[1990, 1991], tile=8, legend=HILDA)
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
def test_chunks_cover_windows_and_shards_are_bounded(native, n, dtype, chunk, shard):
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
