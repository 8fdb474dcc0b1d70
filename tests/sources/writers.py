"""Small files with the names, dimensions, dtypes, attributes and quirks of the published ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import rasterio
from numpy.typing import NDArray

from luray.core.grid import Grid

LAT_UNITS, LON_UNITS = {"units": "degrees_north"}, {"units": "degrees_east"}


def write_tif(
    path: Path,
    bands: NDArray[Any],
    *,
    north: float,
    west: float,
    step: float,
    crs: str | None = "EPSG:4326",
    nodata: float | None = None,
    names: tuple[str, ...] = (),
    south_up: bool = False,
) -> Path:
    """A deflated GeoTIFF of one band (lat, lon) or several (band, lat, lon), given north first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = bands[None] if bands.ndim == 2 else bands
    height, width = bands.shape[1:]
    transform = rasterio.Affine(step, 0, west, 0, -step, north)
    if south_up:
        transform = rasterio.Affine(step, 0, west, 0, step, north - height * step)
        bands = bands[:, ::-1]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=bands.dtype,
        count=len(bands),
        height=height,
        width=width,
        crs=crs,
        transform=transform,
        nodata=nodata,
        compress="deflate",
    ) as out:
        out.write(bands)
        for i, name in enumerate(names, start=1):
            out.set_band_description(i, name)
    return path


def write_nc(
    path: Path, variables: Mapping[str, tuple[tuple[str, ...], NDArray[Any], Mapping[str, Any]]]
) -> Path:
    """A netCDF-4 file; each variable is its dimensions, values and attributes, coordinates first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5netcdf.File(path, "w") as out:
        for name, (dims, values, attrs) in variables.items():
            for dim, size in zip(dims, values.shape, strict=True):
                if dim not in out.dimensions:
                    out.dimensions[dim] = size
            attrs = dict(attrs)
            fill = attrs.pop("_FillValue", None)
            out.create_variable(name, dims, values.dtype, data=values, fillvalue=fill).attrs.update(
                attrs
            )
    return path


def axes(
    grid: Grid, *, names: tuple[str, str] = ("lat", "lon"), ascending: bool = False
) -> dict[str, Any]:
    """Latitude and longitude coordinates of a grid; the data must be turned by the caller where
    `ascending`.
    """
    lat, lon = names
    rows = grid.lat[::-1].copy() if ascending else grid.lat
    return {lat: ((lat,), rows, LAT_UNITS), lon: ((lon,), grid.lon, LON_UNITS)}
