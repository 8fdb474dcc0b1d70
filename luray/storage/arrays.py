"""TO BE WRITTEN."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike
from zarr.errors import ZarrUserWarning

from luray.core.grid import Grid

COMPRESSORS: CompressorsLike = (
    BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle"),
    Crc32cCodec(),
)
"""For codes in one byte: level 5 would take six times as long for a tenth less. The checksum is
inside: the shard's own covers only its index.
"""


def chunk_of(tile: int) -> int:
    """Largest divisor of a tile of at most 256 cells: the inner chunk of a shard."""
    return max(d for d in range(1, min(tile, 256) + 1) if tile % d == 0)


def whole_shards(shard: tuple[int, ...]) -> Any:
    """A shard whose index comes first: readers find it by a range from 0, which every object store
    serves.
    """
    return {"shape": shard, "index_location": "start"}


def tile_array(
    group: zarr.Group,
    name: str,
    *,
    lead: Mapping[str, int],
    grid: Grid,
    tile: int,
    attributes: Mapping[str, Any],
    fill_value: int = 0,
) -> None:
    """A uint8 array over the dimensions of `lead` with their lengths, then (lat, lon); a shard is a
    tile of one index.

    Of a tile all classes are in one shard, each in chunks of its own.
    """
    chunk = chunk_of(tile)
    shard = tuple(n if dimension == "class" else 1 for dimension, n in lead.items())
    group.create_array(
        name,
        shape=(*lead.values(), *grid.shape),
        dtype="uint8",
        fill_value=fill_value,
        shards=whole_shards((*shard, tile, tile)),
        chunks=(*(1 for _ in lead), chunk, chunk),
        compressors=COMPRESSORS,
        dimension_names=(*lead, "lat", "lon"),
        attributes=dict(attributes),
    )


def coordinates(group: zarr.Group, grid: Grid, years: Sequence[int] | None = None) -> None:
    """CF coordinates of a grid and, if given, the years (plain calendar years)."""
    _coordinate(
        group, "lat", grid.lat, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}
    )
    _coordinate(
        group, "lon", grid.lon, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}
    )
    if years is not None:
        _coordinate(
            group, "year", np.array(years, np.int32), {"long_name": "calendar year", "units": "1"}
        )


def _coordinate(
    group: zarr.Group, name: str, values: NDArray[Any], attributes: Mapping[str, Any]
) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        dimension_names=(name,),
        attributes=dict(attributes),
    )
    array[:] = values


def consolidate(url: str) -> None:
    """Write the consolidated metadata of a finished store: the mark by which readers know it."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Consolidated metadata is currently not part", ZarrUserWarning
        )
        zarr.consolidate_metadata(url, zarr_format=3)
