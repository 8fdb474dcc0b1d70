"""Metadata of the two stores: groups, arrays, coordinates and attributes, no data."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike
from zarr.errors import ZarrUserWarning

from luray.grid import Grid
from luray.schema import HILDA, OUTSIDE, Legend, Role, Variable

ORIGINS = ("observed", "hindcast", "forecast")
COMPRESSORS: CompressorsLike = (BloscCodec(cname="zstd", clevel=5, shuffle="noshuffle"), Crc32cCodec())
"""For codes in one byte. The checksum is inside: the shard's own covers only its index."""

CHUNK = (64, 1024)
"""Fewest and most native cells along a side of a chunk."""
SHARD_BYTES = 2**26
"""Decoded bytes of a native shard: what a task that writes one holds."""


def chunk_of(tile: int) -> int:
    """Largest divisor of a tile of at most 256 cells: the inner chunk of a shard."""
    return max(d for d in range(1, min(tile, 256) + 1) if tile % d == 0)


def whole_shards(shard: tuple[int, ...]) -> Any:
    """A shard whose index comes first: readers find it by a range from 0, which every object store serves."""
    return {"shape": shard, "index_location": "start"}


def compressors_of(role: Role, dtype: str) -> CompressorsLike:
    """Codecs of native values: static numbers, read with every window, in lz4, which decodes in 0.6 of zstd's time."""
    if np.dtype(dtype).itemsize == 1:
        return COMPRESSORS
    return BloscCodec(cname="lz4" if role == "static" else "zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()


class NativeLayout(NamedTuple):
    """Cells (lat, lon) of a chunk and of a shard of one native grid."""

    chunk: tuple[int, int]
    shard: tuple[int, int]


def native_layout(native: Grid, variables: Sequence[Variable], *, window: float) -> NativeLayout:
    """Chunks about the size of a model window (`window` degrees on a side), so that reading one touches few of them.

    The shard is the whole grid where that fits into `SHARD_BYTES`, else a square of whole chunks: memory is bounded by
    it, not by the grid.
    """
    side = min(max(-(-round(window / native.step) // 32) * 32, CHUNK[0]), CHUNK[1])
    chunk = min(side, native.n_lat), min(side, native.n_lon)
    height, width = (-(-n // c) * c for n, c in zip(native.shape, chunk, strict=True))
    cell = len(variables) * np.dtype(variables[0].dtype).itemsize
    if height * width * cell > SHARD_BYTES:
        most = max(side, int((SHARD_BYTES / cell) ** 0.5) // side * side)
        height, width = min(height, most), min(width, most)
    return NativeLayout(chunk, (height, width))


def tile_array(group: zarr.Group, name: str, *, years: int | None, grid: Grid, tile: int,
               attributes: Mapping[str, Any]) -> None:
    """A uint8 array over (year, lat, lon), or (lat, lon) without years, one shard a tile and year."""
    chunk = chunk_of(tile)
    lead = () if years is None else (1,)
    group.create_array(name, shape=(*(() if years is None else (years,)), *grid.shape), dtype="uint8",
                       shards=whole_shards((*lead, tile, tile)), chunks=(*lead, chunk, chunk), fill_value=0,
                       compressors=COMPRESSORS, dimension_names=(*(() if years is None else ("year",)), "lat", "lon"),
                       attributes=dict(attributes))


def coordinates(group: zarr.Group, grid: Grid, years: Sequence[int] | None = None) -> None:
    """CF coordinates of a grid and, if given, the years (plain calendar years)."""
    axes: list[tuple[str, Any, dict[str, Any]]] = [
        ("lat", grid.lat, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}),
        ("lon", grid.lon, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"})]
    if years is not None:
        axes.append(("year", np.array(years, np.int32), {"long_name": "calendar year", "units": "1"}))
    for name, values, attributes in axes:
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=values.shape,
                                   dimension_names=(name,), attributes=attributes)
        array[:] = values


def create_state(root: zarr.Group, *, grid: Grid, years: Sequence[int], tile: int, legend: Legend = HILDA) -> None:
    """Group `state`: the observed maps and the land mask, on the run grid."""
    group = root.create_group("state", overwrite=True)
    tile_array(group, "land_use", years=len(years), grid=grid, tile=tile,
               attributes={"long_name": "observed land use", "units": "1", **legend.cf_attributes()})
    tile_array(group, "land", years=None, grid=grid, tile=tile,
               attributes={"long_name": "cells with a class in every observed year", "units": "1",
                           "flag_values": [0, 1], "flag_meanings": "outside land"})
    coordinates(group, grid, years)


def create_native(root: zarr.Group, name: str, *, role: Role, grid: Grid, variables: Sequence[Variable],
                  years: Sequence[int] | None, layout: NativeLayout) -> None:
    """Group `<role>/<name>`: the values of one source on its native grid, all variables in one chunk.

    `years` are those stored, None for a static source.
    """
    group = root.require_group(role).create_group(name, overwrite=True)
    n, dtype = len(variables), variables[0].dtype
    fill = np.nan if np.dtype(dtype).kind == "f" else OUTSIDE if dtype == "uint8" else 0
    length, lead, dims = ((), (), ()) if years is None else ((len(years),), (1,), ("year",))
    group.create_array("values", shape=(*length, n, *grid.shape), dtype=dtype, fill_value=fill,
                       compressors=compressors_of(role, dtype),
                       shards=whole_shards((*lead, n, *layout.shard)), chunks=(*lead, n, *layout.chunk),
                       attributes={"variables": [v.name for v in variables], "units": [v.units for v in variables]},
                       dimension_names=(*dims, "variable", "lat", "lon"))
    group.create_array("variable", data=np.arange(n, dtype=np.uint8), chunks=(n,), dimension_names=("variable",),
                       attributes={"long_name": "variable of the source", "flag_values": list(range(n)),
                                   "flag_meanings": " ".join(v.name for v in variables)})
    coordinates(group, grid, years)


def create_product(url: str, *, grid: Grid, years: Sequence[int], origins: Sequence[int], tile: int,
                   attributes: Mapping[str, Any], legend: Legend = HILDA) -> None:
    """The product: `land_use`, `confidence`, `origin`, with CF attributes; one shard a tile and year, no data yet.

    `attributes` are written last: a store without them is half created.
    """
    root = zarr.open_group(url, mode="w", zarr_format=3)
    tile_array(root, "land_use", years=len(years), grid=grid, tile=tile,
               attributes={"long_name": "land use", "units": "1", **legend.cf_attributes()})
    tile_array(root, "confidence", years=len(years), grid=grid, tile=tile,
               attributes={"long_name": "averaged probability of the class; 100 in observed years, 0 outside land",
                           "units": "percent"})
    array = root.create_array("origin", data=np.array(origins, np.uint8), dimension_names=("year",),
                              chunks=(len(years),))
    array.attrs.update({"long_name": "where the map of a year comes from", "flag_values": [0, 1, 2],
                        "flag_meanings": " ".join(ORIGINS)})
    coordinates(root, grid, years)
    root.attrs.update({"Conventions": "CF-1.11", **attributes})


def consolidate(url: str) -> None:
    """Write the consolidated metadata of a finished store: the mark by which readers know it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", ZarrUserWarning)
        zarr.consolidate_metadata(url, zarr_format=3)
