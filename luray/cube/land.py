"""The list of the tiles with land, which is written when a cube is built.

No command has to read the land mask of the globe for it.
"""

from collections.abc import Iterable
from typing import Any

import zarr

from luray.core.tiling import Tile, Tiling
from luray.cube.cube import Cube
from luray.storage.objects import accessing

NOTED = "tiles_with_land"
"""Attribute of the land mask: row and column of each shard with land in it, row by row."""


def note_tiles(land: Any, tiles: Iterable[Tile]) -> None:
    """Note the shards with land in the attributes of a land mask, its Zarr array."""
    land.attrs[NOTED] = [list(tile) for tile in sorted(tiles)]


def tiles_with_land(cube: Cube, tiling: Tiling) -> tuple[Tile, ...]:
    """Return the tiles that have land, row by row.

    They are those noted where tiles are the shards of the cube; otherwise the mask is read.
    """
    with accessing(cube.url):
        land = zarr.open_array(f"{cube.url}/state/land", mode="r", zarr_format=3)
    if NOTED in land.attrs and land.shards == (tiling.tile, tiling.tile):
        noted: Any = land.attrs[NOTED]
        return tuple(Tile(row, col) for row, col in noted)

    tiles = []
    for tile in tiling.tiles():
        mask_HW = cube.land(tiling.tile_box(tile))
        if mask_HW.any():
            tiles.append(tile)
    return tuple(tiles)
