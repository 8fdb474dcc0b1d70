"""Metadata of the two stores: groups, arrays, coordinates and attributes, no data."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike
from zarr.errors import ZarrUserWarning

from luray.grid import Grid
from luray.schema import HILDA, OUTSIDE, Legend, Role, Variable

ORIGINS = ("observed", "hindcast", "forecast")
COMPRESSORS: CompressorsLike = (BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle"), Crc32cCodec())
"""For codes in one byte: level 5 would take six times as long for a tenth less. The checksum is inside: the shard's own
covers only its index."""

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


def tile_array(group: zarr.Group, name: str, *, lead: Mapping[str, int], grid: Grid, tile: int,
               attributes: Mapping[str, Any]) -> None:
    """A uint8 array over the dimensions of `lead` with their lengths, then (lat, lon); a shard is a tile of one index.

    Of a tile all classes are in one shard, each in chunks of its own.
    """
    chunk = chunk_of(tile)
    shard = tuple(n if dimension == "class" else 1 for dimension, n in lead.items())
    group.create_array(name, shape=(*lead.values(), *grid.shape), dtype="uint8", fill_value=0,
                       shards=whole_shards((*shard, tile, tile)), chunks=(*(1 for _ in lead), chunk, chunk),
                       compressors=COMPRESSORS, dimension_names=(*lead, "lat", "lon"), attributes=dict(attributes))


def coordinates(group: zarr.Group, grid: Grid, years: Sequence[int] | None = None) -> None:
    """CF coordinates of a grid and, if given, the years (plain calendar years)."""
    _coordinate(group, "lat", grid.lat, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"})
    _coordinate(group, "lon", grid.lon, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"})
    if years is not None:
        _coordinate(group, "year", np.array(years, np.int32), {"long_name": "calendar year", "units": "1"})


def _coordinate(group: zarr.Group, name: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
    array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=values.shape,
                               dimension_names=(name,), attributes=dict(attributes))
    array[:] = values


def create_state(root: zarr.Group, *, grid: Grid, years: Sequence[int], tile: int, legend: Legend = HILDA) -> None:
    """Group `state`: the observed maps and the land mask, on the run grid."""
    group = root.create_group("state", overwrite=True)
    tile_array(group, "land_use", lead={"year": len(years)}, grid=grid, tile=tile,
               attributes={"long_name": "observed land use", "units": "1", **legend.cf_attributes()})
    tile_array(group, "land", lead={}, grid=grid, tile=tile,
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


class Several(NamedTuple):
    """Dimensions of a product beside year, lat and lon, each only where it is asked for."""

    scenarios: tuple[str, ...] = ()
    """Names along `scenario`."""
    members: int = 0
    """Length of `member`, which brings `class_probability` and `entropy` across it."""
    probability_years: tuple[int, ...] = ()
    """Years along `probability_year`, of which `probability` has every class."""

    @property
    def lead(self) -> dict[str, int]:
        """The leading dimensions of a map and their lengths."""
        lengths = {"scenario": len(self.scenarios), "member": self.members}
        return {name: n for name, n in lengths.items() if n}

    @property
    def receipts(self) -> int:
        """Those of a finished tile in a year: one a map, and one a scenario for what is across members."""
        return max(1, len(self.scenarios)) * (self.members + 1 if self.members else 1)


ONE_MAP = Several()


def create_product(url: str, *, grid: Grid, years: Sequence[int], origins: Sequence[int], tile: int,
                   attributes: Mapping[str, Any], legend: Legend = HILDA, several: Several = ONE_MAP) -> None:
    """The product: `land_use`, `confidence`, `origin`, with CF attributes; one shard a tile and year, no data yet.

    `several` adds leading dimensions, and arrays across them. `attributes` are written last: a store without them is
    half created.
    """
    root = zarr.open_group(url, mode="w", zarr_format=3)
    lead, year = several.lead, {"year": len(years)}
    tile_array(root, "land_use", lead={**lead, **year}, grid=grid, tile=tile,
               attributes={"long_name": "land use", "units": "1", **legend.cf_attributes()})
    tile_array(root, "confidence", lead={**lead, **year}, grid=grid, tile=tile,
               attributes={"long_name": "averaged probability of the class; 100 in observed years, 0 outside land",
                           "units": "percent"})
    array = root.create_array("origin", data=np.array(origins, np.uint8), dimension_names=("year",),
                              chunks=(len(years),))
    array.attrs.update({"long_name": "where the map of a year comes from", "flag_values": [0, 1, 2],
                        "flag_meanings": " ".join(ORIGINS)})
    coordinates(root, grid, years)
    _create_several(root, several, year=year, grid=grid, tile=tile, legend=legend)
    root.attrs.update({"Conventions": "CF-1.11", **attributes})


def _create_several(root: zarr.Group, several: Several, *, year: Mapping[str, int], grid: Grid, tile: int,
                    legend: Legend) -> None:
    """Arrays and coordinates of the dimensions that are asked for."""
    lead, classes, (names, members, kept) = several.lead, {"class": len(legend)}, several
    across = {name: n for name, n in lead.items() if name != "member"}
    if members:
        tile_array(root, "class_probability", lead={**across, **year, **classes}, grid=grid, tile=tile,
                   attributes={"long_name": "share of the members that have the class; 0 outside land",
                               "units": "percent"})
        tile_array(root, "entropy", lead={**across, **year}, grid=grid, tile=tile,
                   attributes={"long_name": "entropy of the members' classes; 0 where all have one, 100 where every "
                                            "class is as frequent", "units": "percent"})
        _coordinate(root, "member", np.arange(members, dtype=np.int32), {"long_name": "member of the ensemble",
                                                                        "units": "1", "standard_name": "realization"})
    if kept:
        tile_array(root, "probability", lead={**lead, "probability_year": len(kept), **classes}, grid=grid, tile=tile,
                   attributes={"long_name": "averaged probability of the class; 0 outside land", "units": "percent"})
        _coordinate(root, "probability_year", np.array(kept, np.int32), {"long_name": "calendar year", "units": "1"})
    if names:
        _coordinate(root, "scenario", np.array(names, np.dtypes.StringDType()), {"long_name": "scenario"})
    if members or kept:
        _coordinate(root, "class", legend.codes, {
            "long_name": "land use class", "flag_values": [int(code) for code in legend.codes],
            "flag_meanings": " ".join(c.name for c in legend.classes)})


def consolidate(url: str) -> None:
    """Write the consolidated metadata of a finished store: the mark by which readers know it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", ZarrUserWarning)
        zarr.consolidate_metadata(url, zarr_format=3)
