"""Metadata of the two stores: groups, arrays, coordinates and attributes, no data."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike

from luray.core.grid import Grid
from luray.core.legend import HILDA, OUTSIDE, Legend
from luray.core.types import Role
from luray.core.variable import Variable
from luray.storage.arrays import COMPRESSORS, coordinates, tile_array, whole_shards

CHUNK = (64, 1024)
"""Fewest and most native cells along a side of a chunk."""
SHARD_BYTES = 2**26
"""Decoded bytes of a native shard: what a task that writes one holds."""


def compressors_of(role: Role, dtype: str) -> CompressorsLike:
    """Codecs of native values: static numbers, read with every window, in lz4, which decodes in 0.6
    of zstd's time.
    """
    if np.dtype(dtype).itemsize == 1:
        return COMPRESSORS
    return BloscCodec(
        cname="lz4" if role == "static" else "zstd", clevel=5, shuffle="shuffle"
    ), Crc32cCodec()


class NativeLayout(NamedTuple):
    """Cells (lat, lon) of a chunk and of a shard of one native grid."""

    chunk: tuple[int, int]
    shard: tuple[int, int]


def native_layout(native: Grid, variables: Sequence[Variable], *, window: float) -> NativeLayout:
    """Chunks about the size of a model window (`window` degrees on a side), so that reading one
    touches few of them.

    The shard is the whole grid where that fits into `SHARD_BYTES`, else a square of whole chunks:
    memory is bounded by it, not by the grid.
    """
    side = min(max(-(-round(window / native.step) // 32) * 32, CHUNK[0]), CHUNK[1])
    chunk = min(side, native.n_lat), min(side, native.n_lon)
    height, width = (-(-n // c) * c for n, c in zip(native.shape, chunk, strict=True))
    cell = len(variables) * np.dtype(variables[0].dtype).itemsize
    if height * width * cell > SHARD_BYTES:
        most = max(side, int((SHARD_BYTES / cell) ** 0.5) // side * side)
        height, width = min(height, most), min(width, most)
    return NativeLayout(chunk, (height, width))


def create_state(
    root: zarr.Group, *, grid: Grid, years: Sequence[int], tile: int, legend: Legend = HILDA
) -> None:
    """Group `state`: the observed maps and the land mask, on the run grid."""
    group = root.create_group("state", overwrite=True)
    tile_array(
        group,
        "land_use",
        lead={"year": len(years)},
        grid=grid,
        tile=tile,
        attributes={"long_name": "observed land use", "units": "1", **legend.cf_attributes()},
    )
    tile_array(
        group,
        "land",
        lead={},
        grid=grid,
        tile=tile,
        attributes={
            "long_name": "cells with a class in every observed year",
            "units": "1",
            "flag_values": [0, 1],
            "flag_meanings": "outside land",
        },
    )
    coordinates(group, grid, years)


def create_native(
    root: zarr.Group,
    name: str,
    *,
    role: Role,
    grid: Grid,
    variables: Sequence[Variable],
    years: Sequence[int] | None,
    layout: NativeLayout,
) -> None:
    """Group `<role>/<name>`: the values of one source on its native grid, all variables in one
    chunk.

    `years` are those stored, None for a static source.
    """
    group = root.require_group(role).create_group(name, overwrite=True)
    n, dtype = len(variables), variables[0].dtype
    fill = np.nan if np.dtype(dtype).kind == "f" else OUTSIDE if dtype == "uint8" else 0
    length, lead, dims = ((), (), ()) if years is None else ((len(years),), (1,), ("year",))
    group.create_array(
        "values",
        shape=(*length, n, *grid.shape),
        dtype=dtype,
        fill_value=fill,
        compressors=compressors_of(role, dtype),
        shards=whole_shards((*lead, n, *layout.shard)),
        chunks=(*lead, n, *layout.chunk),
        attributes={
            "variables": [v.name for v in variables],
            "units": [v.units for v in variables],
        },
        dimension_names=(*dims, "variable", "lat", "lon"),
    )
    group.create_array(
        "variable",
        data=np.arange(n, dtype=np.uint8),
        chunks=(n,),
        dimension_names=("variable",),
        attributes={
            "long_name": "variable of the source",
            "flag_values": list(range(n)),
            "flag_meanings": " ".join(v.name for v in variables),
        },
    )
    coordinates(group, grid, years)
