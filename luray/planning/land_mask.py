"""The land of the globe, for plans that are made before a cube is built."""

import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from luray.core.grid import Grid
from luray.core.regrid import grid_map
from luray.core.tiling import Box
from luray.core.types import U8, Bool

MASK = Grid(90, -180, 1 / 120, 21600, 43200)
"""Grid of the land mask, 30 arcsec."""

ROWS_AT_ONCE = 480
"""Rows of the mask that are unpacked at once: 4 degrees of latitude."""


def land_mask() -> U8:
    """Return the land of the globe at 30 arcsec, packed.

    Returns
    -------
    array, uint8, shape (21600, 5400)
        Eight cells a byte as `np.packbits` has them, north first; 1 is land.

    Raises
    ------
    ValueError
        Without the package global-land-mask.
    """
    package = find_spec("global_land_mask")
    if package is None or not package.submodule_search_locations:
        raise ValueError(
            "the land mask of the globe is the package global-land-mask, which is not "
            "installed; run `pip install luray[bench]` or `pip install global-land-mask`"
        )
    path = Path(package.submodule_search_locations[0]) / "globe_combined_mask_compressed.npz"
    packed = np.empty((MASK.n_lat, MASK.n_lon // 8), np.uint8)
    # Unpacked as a stream: the mask as the package loads it is 0.9 GB.
    with zipfile.ZipFile(path) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
        assert (*shape, by_column, dtype.kind) == (*MASK.shape, False, "b"), (
            f"{path} holds {shape} of {dtype}"
        )
        for row in range(0, MASK.n_lat, ROWS_AT_ONCE):
            data = file.read(ROWS_AT_ONCE * MASK.n_lon)
            ocean = np.frombuffer(data, np.bool_).reshape(ROWS_AT_ONCE, MASK.n_lon)
            packed[row : row + ROWS_AT_ONCE] = np.packbits(~ocean, axis=1)
    return packed


def land_on_grid(grid: Grid) -> Callable[[Box], Bool]:
    """Return a function that gives the land of a box of a grid, the nearest cells of the mask.

    Raises
    ------
    ValueError
        Without the package global-land-mask.
    """
    packed = land_mask()
    cells_of_mask = grid_map(MASK, grid, "nearest")

    def land(box: Box) -> Bool:
        row_map, col_map = cells_of_mask.take(box)
        rows = row_map.low
        cols = col_map.low

        # Only the bytes around the box are unpacked, from the first whole byte on.
        top = rows.min()
        first_byte = cols.min() // 8
        last_byte = cols.max() // 8
        band = packed[top : rows.max() + 1, first_byte : last_byte + 1]
        cells = np.unpackbits(band, axis=1)
        on_land: Bool = cells[np.ix_(rows - top, cols - 8 * first_byte)] == 1
        return on_land

    return land
