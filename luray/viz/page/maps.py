"""The maps of a report, as pictures that stand in the page itself.

Shapes: H W cells of a picture, each of which stands for a block of cells of the grid.
"""

import base64
import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.legend import OCEAN_COLOUR, OUTSIDE, Legend, rgb
from luray.core.tiling import Box
from luray.core.types import F64, I64, U8
from luray.viz.figure import INK
from luray.viz.projection import projected_grid

PIXELS = 900
"""Pixels of a map along its longer side."""

SHADES = 50
"""Steps of the colours of a value: a small picture has few colours."""

BAND_BYTES = 64_000_000
"""Bytes of cells that are read at once."""

ERROR_COLOURS = "PuOr_r"
"""Colours of errors: purple below 0, white, orange above. None is like the sea."""

WATER = OCEAN_COLOUR
UNCHANGED = "#e3e6e8"
WITHOUT_VALUE = "#c4cacf"
"""Land whose value is not known."""

AGREEMENT = {
    "hit": "#2d6a4f",
    "wrong gain": "#e9c46a",
    "miss": "#3a7ca5",
    "false alarm": "#c0392b",
}
"""Kinds of agreement of observed and predicted change, and their colours."""

ReadBox = Callable[[Box], U8]
"""Returns class indices of a box, `OUTSIDE` where there is no land."""


class MapPicture(NamedTuple):
    """A picture and how it is shown."""

    url: str
    """A data URL."""
    ratio: float
    """Width over height."""


class TestMaps(NamedTuple):
    """Thinned maps of one test, (H, W) each: class indices, `OUTSIDE` where there is no land."""

    year: int
    initial_HW: U8
    truth_HW: U8
    predicted_HW: U8


def thinned(read: ReadBox, grid: Grid) -> U8:
    """Return every n-th cell of a map in each direction, at most `PIXELS` along the longer one.

    Parameters
    ----------
    read : callable
        Reads a box of the map; it is called with bands of rows, so memory is bounded.
    grid : Grid
        Of the map.
    """
    factor = _thinning(grid)
    rows_at_once = factor * max(1, BAND_BYTES // (factor * grid.n_lon))
    middle = factor // 2
    bands = []
    for top in range(0, grid.n_lat, rows_at_once):
        height = min(rows_at_once, grid.n_lat - top)
        band = read(Box(top, 0, height, grid.n_lon))
        bands.append(band[min(middle, height - 1) :: factor, min(middle, grid.n_lon - 1) :: factor])
    return np.concatenate(bands)


def _thinning(grid: Grid) -> int:
    """Cells of the grid along a side of a picture cell."""
    return ceil_div(max(grid.shape), PIXELS)


def classes(classes_HW: U8, legend: Legend, grid: Grid) -> MapPicture:
    """Return the picture of a map in the colours of its legend."""
    colours = np.tile(np.array(rgb(WATER), np.uint8), (256, 1))
    for k, land_class in enumerate(legend.classes):
        colours[k] = rgb(land_class.colour)
    return _picture(colours[classes_HW], grid, factor=_thinning(grid))


def agreement(maps: TestMaps, grid: Grid) -> MapPicture:
    """Return the picture of hits, wrong gain, misses and false alarms of one test."""
    observed = maps.truth_HW != maps.initial_HW
    predicted = maps.predicted_HW != maps.initial_HW
    right = maps.truth_HW == maps.predicted_HW
    kinds = {
        "hit": observed & right,
        "wrong gain": observed & predicted & ~right,
        "miss": observed & ~predicted,
        "false alarm": predicted & ~observed,
    }
    image = np.empty((*observed.shape, 3), np.uint8)
    image[:] = rgb(UNCHANGED)
    for kind, where in kinds.items():
        image[where] = rgb(AGREEMENT[kind])
    image[(maps.initial_HW == OUTSIDE) | (maps.truth_HW == OUTSIDE)] = rgb(WATER)
    return _picture(image, grid, factor=_thinning(grid))


def blocks(side: int, places_N2: I64, values_N: F64, grid: Grid, *, most: float) -> MapPicture:
    """Return the picture of a value by block of the map, from 0 to `most`; nan is grey.

    Parameters
    ----------
    side : int
        Cells along a side of a block.
    places_N2 : array, shape (N, 2)
        Row and column of each block.
    values_N : array, shape (N,)
        Its value.
    grid : Grid
        Of the map.
    most : float
        Value of the last colour.
    """
    shape = (ceil_div(grid.n_lat, side), ceil_div(grid.n_lon, side))
    image = np.empty((*shape, 3), np.uint8)
    image[:] = rgb(WATER)
    # Few shades, as the picture has a palette of 256 colours at most.
    share_N = np.clip(values_N / most, 0, 1)
    shade_N = np.rint(share_N * SHADES) / SHADES
    colours_N3 = colormaps["viridis"](shade_N, bytes=True)[:, :3]
    colours_N3[np.isnan(values_N)] = rgb(UNCHANGED)

    row_N, col_N = places_N2.T
    image[row_N, col_N] = colours_N3
    return _picture(image, grid, factor=side)


class ValueTestMaps(NamedTuple):
    """Thinned maps of a step of a test of values, (H, W) each: levels, and what is none."""

    label: str
    """First day of the step."""
    truth_HW: U8
    predicted_HW: U8


def values(levels_HW: U8, legend: Legend, grid: Grid) -> MapPicture:
    """Return the picture of a map of values in the colours of its scale."""
    colours = np.tile(np.array(rgb(WITHOUT_VALUE), np.uint8), (256, 1))
    for level, of_level in enumerate(legend.classes):
        colours[level] = rgb(of_level.colour)
    colours[OUTSIDE] = rgb(WATER)
    return _picture(colours[levels_HW], grid, factor=_thinning(grid))


def largest_error(maps: ValueTestMaps, n_levels: int) -> int:
    """Return the error in levels that 98 % of the cells do not exceed, at least 1."""
    known = (maps.truth_HW < n_levels) & (maps.predicted_HW < n_levels)
    if not known.any():
        return 1
    errors = np.abs(maps.predicted_HW[known].astype(int) - maps.truth_HW[known])
    return max(1, int(np.quantile(errors, 0.98)))


def errors(maps: ValueTestMaps, n_levels: int, grid: Grid, *, most: int) -> MapPicture:
    """Return the picture of predicted minus true, purple where too low and orange where too high.

    `most` is the error in levels of the last colours.
    """
    error_HW = maps.predicted_HW.astype(np.float64) - maps.truth_HW
    share_HW = np.clip(error_HW / most, -1, 1)
    # Few shades, as the picture has a palette of 256 colours at most.
    shade_HW = np.rint(share_HW * SHADES) / SHADES
    image = colormaps[ERROR_COLOURS]((shade_HW + 1) / 2, bytes=True)[..., :3]
    image[(maps.truth_HW >= n_levels) | (maps.predicted_HW >= n_levels)] = rgb(WITHOUT_VALUE)
    image[maps.predicted_HW == OUTSIDE] = rgb(WATER)
    return _picture(image, grid, factor=_thinning(grid))


def ramp(colours: Sequence[str]) -> str:
    """Return CSS's linear gradient of colours from left to right."""
    return f"linear-gradient(90deg, {', '.join(colours)})"


def error_ramp() -> str:
    """Return the gradient of the colours of `errors`."""
    shades = colormaps[ERROR_COLOURS](np.linspace(0, 1, 11), bytes=True)[:, :3]
    return ramp(["#" + bytes(shade.tolist()).hex() for shade in shades])


def _picture(image_HW3: U8, grid: Grid, *, factor: int) -> MapPicture:
    """Return the picture of a map as a small PNG in a data URL, projected and with coastlines.

    `image_HW3` has a colour for each block of `factor` x `factor` cells of the grid.
    """
    colours_N3, number = np.unique(image_HW3.reshape(-1, 3), axis=0, return_inverse=True)
    number_HW = number.reshape(image_HW3.shape[:2]).astype(np.uint8)
    clear = len(colours_N3)
    coast = clear + 1
    assert coast < 256, "a picture with a palette has 256 colours"

    projected = projected_grid(grid)
    painted = projected.raster(PIXELS).paint(number_HW, factor=factor, background=clear)
    picture = Image.fromarray(painted)
    picture.putpalette([*colours_N3.ravel().tolist(), *rgb("#ffffff"), *rgb(INK)])
    projected.draw_coastlines(ImageDraw.Draw(picture), picture.size, colour=coast)

    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True, transparency=clear)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return MapPicture(f"data:image/png;base64,{encoded}", picture.width / picture.height)
