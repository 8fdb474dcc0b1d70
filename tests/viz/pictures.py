"""A small product in a store, and how to find its cells again in a picture."""

import numpy as np
import xarray as xr
import zarr
from PIL import Image

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.product.create import create_product
from luray.product.dimensions import ONE_MAP
from luray.viz.projection import ProjectedGrid

GRID = Grid(50, 70, 0.5, 12, 16)  # far from any coast, which would hide cells
YEARS = (1998, 1999, 2000, 2001, 2002)
ORIGINS = (1, 0, 0, 0, 2)
CODES = (0, *(int(c) for c in HILDA.codes))
FLAGS = HILDA.cf_attributes()
COLOURS = {
    code: tuple(bytes.fromhex(colour[1:]))
    for code, colour in zip(FLAGS["flag_values"], FLAGS["flag_colors"].split(), strict=True)
}


def write_product(url, land_use, *, grid, years, origins, confidence=None, tile=20, dims=ONE_MAP):
    """Write a product of the given codes, opened as a reader would.

    They have the shape (year, lat, lon), below scenarios and members where there are any.
    """
    create_product(
        str(url),
        grid=grid,
        years=years,
        origins=origins,
        tile=tile,
        dims=dims,
        legend=HILDA,
        attributes={"title": "a small world", "caveats": ["forcing: aggregated target"]},
    )
    root = zarr.open_group(str(url), mode="r+", use_consolidated=False)
    root["land_use"][:] = land_use
    root["confidence"][:] = 100 if confidence is None else confidence
    return xr.open_zarr(str(url), consolidated=False)


def random_codes(seed=0, *, years=5, shape=(12, 16)):
    """Codes of every class, the ocean in the first columns; half of the cells change each year."""
    rng = np.random.default_rng(seed)
    codes = np.array(CODES[1:], np.uint8)[rng.integers(0, 7, (years, *shape))]
    for n in range(1, years):
        codes[n] = np.where(rng.random(shape) < 0.5, codes[n], codes[n - 1])
    codes[:, :, :3] = 0
    return codes


def image_of(path):
    return np.asarray(Image.open(path).convert("RGB"))


def cells_in(image, grid):
    """Colours at the cells' centres of a map that fills `image`, shape (lat, lon, 3)."""
    projected = ProjectedGrid(grid)
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    height, width, _ = image.shape
    columns, rows = projected.to_pixels(*projected.to_metres(lon, lat), (width, height))
    return image[rows.astype(int), columns.astype(int)]


def painted(codes):
    """Legend colours of codes, shape (..., 3)."""
    table = np.zeros((256, 3), np.uint8)
    for code, colour in COLOURS.items():
        table[code] = colour
    return table[codes]
