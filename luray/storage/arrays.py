"""Zarr arrays as luray writes them: whole tiles as shards, CF coordinates, one metadata file."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike
from zarr.errors import ZarrUserWarning

from luray.core.grid import Grid
from luray.core.time_steps import YEARLY, TimeSteps

COMPRESSORS: CompressorsLike = (
    BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle"),
    Crc32cCodec(),
)
"""How codes in one byte are compressed.

Level 5 would take six times as long for a tenth less. The checksum is inside: the shard's own
covers only its index.
"""

CLASS_DIMENSIONS = ("class", "class_from", "class_to")
"""Dimensions whose indices share a shard."""

EPOCH = 1850
"""Year from which `time` counts days, in a calendar whose years all have 365."""

TIME = {
    "standard_name": "time",
    "units": f"days since {EPOCH}-01-01",
    "calendar": "noleap",
    "bounds": "time_bnds",
}
"""CF attributes of a coordinate of time."""

MAX_CHUNK_CELLS = 256
"""Rows, and columns, of the largest chunk inside a shard."""


def chunk_of(tile: int) -> int:
    """Return the inner chunk of a shard: the largest divisor of a tile of at most 256 cells.

    Examples
    --------
    >>> chunk_of(2000)
    250
    """
    sizes = range(1, min(tile, MAX_CHUNK_CELLS) + 1)
    return max(size for size in sizes if tile % size == 0)


def whole_shards(shard: tuple[int, ...]) -> Any:
    """Return the configuration of shards whose index comes first.

    Readers find it by a range from 0, which every object store serves; a range that counts from the
    end is not served by all.
    """
    return {"shape": shard, "index_location": "start"}


def tile_array(
    group: zarr.Group,
    name: str,
    *,
    lead: Mapping[str, int],
    shape: tuple[int, int],
    tile: int,
    attributes: Mapping[str, Any],
    fill_value: float = 0,
    dtype: str = "uint8",
    compressors: CompressorsLike = COMPRESSORS,
    cell_dimensions: tuple[str, str] = ("lat", "lon"),
    classes_of_a_chunk: Literal["one", "all"] = "one",
) -> None:
    """Create an array of which a shard is a tile.

    Parameters
    ----------
    group : zarr.Group
        Where the array is created.
    name : str
        Of the array.
    lead : mapping
        Names and lengths of the dimensions before (lat, lon). Every index has shards of its own,
        but for `CLASS_DIMENSIONS`: all classes of a tile are in one shard.
    shape : tuple of int
        Lengths of the last two dimensions, those of the cells.
    tile : int
        Rows, and columns, of a tile.
    attributes : mapping
        Of the array.
    fill_value : float, optional
        What cells hold that were never written.
    dtype : str, optional
        Of the values.
    compressors : optional
        Of the chunks.
    cell_dimensions : tuple of str, optional
        Names of the last two dimensions.
    classes_of_a_chunk : {"one", "all"}, optional
        Whether each class has chunks of its own, or all of them share one.
    """
    chunk = chunk_of(tile)
    lead_shard = [n if dimension in CLASS_DIMENSIONS else 1 for dimension, n in lead.items()]
    lead_chunk = lead_shard if classes_of_a_chunk == "all" else [1] * len(lead)
    group.create_array(
        name,
        shape=(*lead.values(), *shape),
        dtype=dtype,
        fill_value=fill_value,
        shards=whole_shards((*lead_shard, tile, tile)),
        chunks=(*lead_chunk, chunk, chunk),
        compressors=compressors,
        dimension_names=(*lead, *cell_dimensions),
        attributes=dict(attributes),
    )


def coordinates(
    group: zarr.Group,
    grid: Grid,
    years: Sequence[int] | None = None,
    *,
    time: TimeSteps = YEARLY,
) -> None:
    """Write the CF coordinates of a grid and, if given, of time.

    `years` are plain calendar years where `time` is of one step a year, else time steps.
    """
    lat_attributes = {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}
    coordinate(group, "lat", grid.lat, lat_attributes)

    lon_attributes = {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}
    coordinate(group, "lon", grid.lon, lon_attributes)

    if years is None:
        return
    if time.dimension == "time":
        time_coordinate(group, years, time)
        return
    year_attributes = {"long_name": "calendar year", "units": "1"}
    coordinate(group, "year", np.array(years, np.int32), year_attributes)


def time_coordinate(group: zarr.Group, steps: Sequence[int], time: TimeSteps) -> None:
    """Write the coordinate of dimension `time`, the first day of each step, with its bounds."""
    bounds = np.array([time.bounds(step, epoch=EPOCH) for step in steps], np.int32).reshape(-1, 2)
    attributes = {"long_name": f"first day of the {time.each}", "axis": "T", **TIME}
    coordinate(group, "time", bounds[:, 0], attributes)
    variable(group, "time_bnds", bounds, ("time", "bnds"), {})


def coordinate(
    group: zarr.Group, name: str, values: NDArray[Any], attributes: Mapping[str, Any]
) -> None:
    """Write the coordinate of one dimension, in one chunk."""
    variable(group, name, values, (name,), attributes)


def variable(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    dimensions: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> None:
    """Write a variable in one chunk."""
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        dimension_names=dimensions,
        attributes=dict(attributes),
    )
    array[...] = values


def consolidate(url: str, *, path: str | None = None) -> None:
    """Write the consolidated metadata of a finished store: the mark by which readers know it.

    With a `path`, that of the group there.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Consolidated metadata is currently not part", ZarrUserWarning
        )
        zarr.consolidate_metadata(url, path=path, zarr_format=3)
