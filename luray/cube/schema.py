"""Layout and metadata of the predictor cube: groups, arrays, coordinates and chunks, no data."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.legend import OUTSIDE, Legend
from luray.core.time_steps import YEARLY, TimeSteps, steps_of_a_year
from luray.core.types import Role
from luray.core.variable import Variable
from luray.storage.arrays import COMPRESSORS, coordinates, tile_array, whole_shards

OCEAN = 0
"""Code of the land mask where some observed year has ocean."""
LAND = 1
"""Where every observed year has a class."""
WITHOUT_DATA = 2
"""Elsewhere: some year has neither, as beyond what the maps cover."""

CHUNK = (64, 1024)
"""Fewest and most native cells along a side of a chunk."""
SHARD_BYTES = 2**26
"""Decoded bytes of a native shard: what a task that writes one holds."""


def compressors_of(role: Role, dtype: str) -> CompressorsLike:
    """Return the codecs of native values.

    Static numbers are read with every window, so they are in lz4, which decodes in 0.6 of zstd's
    time.
    """
    if np.dtype(dtype).itemsize == 1:
        return COMPRESSORS
    compressor: Literal["lz4", "zstd"] = "lz4" if role == "static" else "zstd"
    return BloscCodec(cname=compressor, clevel=5, shuffle="shuffle"), Crc32cCodec()


class NativeLayout(NamedTuple):
    """Cells (lat, lon) of a chunk and of a shard of one native grid."""

    chunk: tuple[int, int]
    shard: tuple[int, int]


def native_layout(native: Grid, variables: Sequence[Variable], *, window: float) -> NativeLayout:
    """Return chunks about the size of a model window, and shards of bounded memory.

    Reading a window touches few such chunks. A shard is the whole grid where that fits into
    `SHARD_BYTES`, else a square of whole chunks: memory is bounded by it, not by the grid.

    Parameters
    ----------
    native : Grid
        The native grid of a source, cut to the run.
    variables : sequence of Variable
        All variables of the source, which share their chunks.
    window : float
        Side of a model window in degrees.
    """
    # A multiple of 32 cells that covers a window, within the bounds of `CHUNK`.
    fewest, most = CHUNK
    covering = ceil_div(round(window / native.step), 32) * 32
    side = min(max(covering, fewest), most)
    chunk = min(side, native.n_lat), min(side, native.n_lon)

    # The whole grid, rounded up to whole chunks.
    height, width = (ceil_div(n, c) * c for n, c in zip(native.shape, chunk, strict=True))
    cell_bytes = len(variables) * np.dtype(variables[0].dtype).itemsize
    if height * width * cell_bytes > SHARD_BYTES:
        # A square of about `SHARD_BYTES`, rounded down to whole chunks, but one at least.
        cells_a_side = int((SHARD_BYTES / cell_bytes) ** 0.5)
        square = max(side, cells_a_side // side * side)
        height = min(height, square)
        width = min(width, square)
    return NativeLayout(chunk, (height, width))


def state_path(legend: Legend) -> str:
    """Return the path of the observed maps, such as state/land_use."""
    return f"state/{legend.variable}"


def create_state(
    root: zarr.Group,
    *,
    grid: Grid,
    years: Sequence[int],
    tile: int,
    legend: Legend,
    time: TimeSteps = YEARLY,
) -> None:
    """Create the group `state`: the observed maps and the land mask, on the run grid.

    `years` are time steps where `time` has several a year.
    """
    land_name = "cells with a class in every observed year, and why others are none"
    if legend.scale is not None:
        # Clouds hide values, so no map need have all of them.
        land_name = "cells with a value in some observed map"
    group = root.create_group("state", overwrite=True)
    tile_array(
        group,
        legend.variable,
        lead={time.dimension: len(years)},
        shape=grid.shape,
        tile=tile,
        attributes={
            "long_name": f"observed {legend.long_name}",
            "units": "1",
            **legend.cf_attributes(),
        },
        fill_value=legend.ocean,
    )
    tile_array(
        group,
        "land",
        lead={},
        shape=grid.shape,
        tile=tile,
        attributes={
            "long_name": land_name,
            "units": "1",
            "flag_values": [OCEAN, LAND, WITHOUT_DATA],
            "flag_meanings": "ocean land no_data",
        },
    )
    coordinates(group, grid, years, time=time)


def create_native(
    root: zarr.Group,
    name: str,
    *,
    role: Role,
    grid: Grid,
    variables: Sequence[Variable],
    years: Sequence[int] | None,
    layout: NativeLayout,
    per_year: int = 1,
) -> None:
    """Create the group `<role>/<name>`: the values of one source on its native grid.

    All variables are in one chunk, as they are read together. `years` are those stored, None for a
    static source; where `per_year` is not 1 they are steps of so many a year.

    Raises
    ------
    ValueError
        For a number of steps a year that no interval has.
    """
    time = steps_of_a_year(per_year)
    if time is None:
        raise ValueError(
            f"{name} has {per_year} values a year, expected 1, 12, 36 or 46: years, months, "
            "dekads or steps of 8 days; give it values of one of these"
        )
    group = root.require_group(role).create_group(name, overwrite=True)
    n_variables = len(variables)
    dtype = variables[0].dtype
    length: tuple[int, ...] = ()
    one_year: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()
    if years is not None:
        length = (len(years),)
        one_year = (1,)
        dims = (time.dimension,)

    group.create_array(
        "values",
        shape=(*length, n_variables, *grid.shape),
        dtype=dtype,
        fill_value=_missing(dtype),
        compressors=compressors_of(role, dtype),
        shards=whole_shards((*one_year, n_variables, *layout.shard)),
        chunks=(*one_year, n_variables, *layout.chunk),
        attributes={
            "variables": [v.name for v in variables],
            "units": [v.units for v in variables],
        },
        dimension_names=(*dims, "variable", "lat", "lon"),
    )
    group.create_array(
        "variable",
        data=np.arange(n_variables, dtype=np.uint8),
        chunks=(n_variables,),
        dimension_names=("variable",),
        attributes={
            "long_name": "variable of the source",
            "flag_values": list(range(n_variables)),
            "flag_meanings": " ".join(v.name for v in variables),
        },
    )
    coordinates(group, grid, years, time=time)


def _missing(dtype: str) -> float:
    """Return the value of cells that were never written."""
    if np.dtype(dtype).kind == "f":
        return np.nan
    return OUTSIDE if dtype == "uint8" else 0
