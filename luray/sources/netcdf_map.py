"""One map of classes of a NetCDF file, read as the band of a GeoTIFF is.

Shapes: H W box.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.base import equals
from luray.sources.layout import Layout
from luray.sources.netcdf import NetcdfFile, inspect_netcdf
from luray.sources.projected_netcdf import ProjectedNetcdf, inspect_projected, projection_of
from luray.sources.raster_band import RasterBand
from luray.storage.errors import InputError
from luray.storage.places import public

NETCDF_ENDINGS = (".nc", ".nc4", ".cdf", ".zarr")
"""Endings of the names of files that are opened as NetCDF; others are GeoTIFFs."""


def is_netcdf(name: str) -> bool:
    """Return whether a file is NetCDF, by the ending of its name."""
    return name.lower().endswith(NETCDF_ENDINGS)


@dataclass(frozen=True)
class NetcdfMap:
    """A variable over latitude and longitude alone, or of one time step."""

    file: NetcdfFile
    variable: str

    @property
    def url(self) -> str:
        """Where the file is."""
        return self.file.url

    @property
    def urls(self) -> tuple[str, ...]:
        """The files that are read."""
        return self.file.urls

    @property
    def layout(self) -> Layout:
        """How it lies."""
        return self.file.layout

    @property
    def rules(self) -> tuple[str, ...]:
        """Corrections that bring it onto luray's grids, in words."""
        return self.file.layout.rules

    @property
    def bands(self) -> tuple[RasterBand, ...]:
        """The variable as a band."""
        field = self.file.variables[self.variable]
        fills = field.fills
        return (
            RasterBand(
                number=1,
                dtype=field.dtype,
                nodata=fills[0] if fills else None,
                description=self.variable,
                units=field.units,
                masked=False,
            ),
        )

    def band(self, number: int) -> RasterBand:
        """Return the one band."""
        return self.bands[number - 1]

    def may_miss(self, number: int) -> bool:
        """Return whether `read` can mask cells."""
        return bool(self.file.variables[self.variable].fills) or self._is_projected

    @property
    def _is_projected(self) -> bool:
        return isinstance(self.file, ProjectedNetcdf)

    def read(self, box: Box, *, band: int = 1) -> "np.ma.MaskedArray[Any, Any]":
        """Read the map in a box, shape (H, W), masked where the file says that it is missing."""
        field = self.file.variables[self.variable]
        has_time = self.file.time_axis in field.dims
        index = {self.file.time_axis: 0} if has_time else {}
        [codes_HW] = self.file.read((self.variable,), box, **index)
        missing_HW = np.zeros(box.shape, np.bool_)
        for fill in field.fills:
            missing_HW |= equals(codes_HW, fill)
        if isinstance(self.file, ProjectedNetcdf):
            missing_HW |= self.file.outside(box)
        return np.ma.masked_array(codes_HW, missing_HW)


def inspect_netcdf_map(url: str, variable: str, *, warp_to: Grid | None, crs: str) -> NetcdfMap:
    """Read from a NetCDF file's header how a map in it lies.

    Parameters
    ----------
    url : str
        Local path or URL.
    variable : str
        The map.
    warp_to : Grid or None
        Grid onto whose cells a projected file is warped, nearest cell; without it such a file is
        refused.
    crs : str
        Coordinate reference system of a projected file that declares none.

    Raises
    ------
    InputError
        For a file without the variable, one of several maps or of packed numbers, and a projected
        one that may not be warped.
    """
    projection = projection_of(url, crs=crs)
    if projection is None:
        file = inspect_netcdf(url)
    elif warp_to is None:
        raise InputError(
            f"{public(url)}: is in a projection, expected longitude and latitude (EPSG:4326); set "
            "reproject = true of the source, which takes the nearest cell, or warp the file"
        )
    else:
        file = inspect_projected(url, projection, warp_to)
    file.require(variable)
    field = file.variables[variable]
    others = set(field.dims) - set(file.axes) - {file.time_axis}
    has_steps = file.time_axis in field.dims and len(file.times) != 1
    if others or has_steps or field.packing != (1, 0):
        raise InputError(
            f"{file.url}: {variable} has the dimensions {field.dims} ({len(file.times)} time "
            f"steps) and the packing {field.packing}, expected one map of plain codes; write each "
            "map to a file of its own"
        )
    return NetcdfMap(file, variable)
