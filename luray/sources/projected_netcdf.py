"""NetCDF files in a projection, read on the cells of a grid in longitude and latitude.

Each cell takes the value of the file's cell that its centre lies in, as GeoTIFFs in a projection
are warped (`luray.sources.raster`).

Shapes: H W cells of the grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import Bool, Index
from luray.sources.layout import Layout, warped_layout
from luray.sources.netcdf import NetcdfFile, netcdf_contents
from luray.storage.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

AXES = (("y", "x"), ("ydim", "xdim"))
"""Names of the dimensions of projected files, in lower case."""

METRES_PER_DEGREE = 111_320.0
"""Length of a degree of latitude."""

EVEN = 0.02
"""Largest difference of the steps along an axis, as a share of a step."""


@dataclass(frozen=True)
class Projection:
    """Place of the cells of a projected file."""

    crs: str
    """Coordinate reference system as WKT or PROJ string."""
    y: tuple[float, float, int]
    x: tuple[float, float, int]
    """First centre, step (of either sign) and number of cells along each axis."""

    def cells_at(self, lat_HW: NDArray[Any], lon_HW: NDArray[Any]) -> tuple[Index, Index]:
        """Return row and column of the cells that some places lie in; they may lie outside."""
        from pyproj import Transformer

        transformer = Transformer.from_crs("EPSG:4326", self.crs, always_xy=True)
        x_HW, y_HW = transformer.transform(lon_HW, lat_HW)
        first_y, step_y, _ = self.y
        first_x, step_x, _ = self.x
        # Where a place has no coordinates in the projection, it lies in no cell.
        rows_HW = np.nan_to_num((y_HW - first_y) / step_y, nan=-9, posinf=-9, neginf=-9)
        cols_HW = np.nan_to_num((x_HW - first_x) / step_x, nan=-9, posinf=-9, neginf=-9)
        return (
            np.floor(rows_HW + 0.5).astype(np.int64),
            np.floor(cols_HW + 0.5).astype(np.int64),
        )


@dataclass(frozen=True, kw_only=True)
class ProjectedNetcdf(NetcdfFile):
    """A NetCDF file in a projection; `layout` is the part of the grid that it reaches."""

    projection: Projection

    def read(self, names: tuple[str, ...], box: Box, **index: int) -> list[NDArray[Any]]:
        """Read undecoded values of variables in a box; see `NetcdfFile.read`.

        Cells outside the file have the value of its nearest edge; see `outside`.
        """
        from luray.sources.netcdf_reader import open_values

        rows_HW, cols_HW = self._cells(box)
        rows_HW = rows_HW.clip(0, self.projection.y[2] - 1)
        cols_HW = cols_HW.clip(0, self.projection.x[2] - 1)
        first_row, first_col = int(rows_HW.min()), int(cols_HW.min())
        rows = slice(first_row, int(rows_HW.max()) + 1)
        cols = slice(first_col, int(cols_HW.max()) + 1)
        with open_values(self.url) as read_values:
            arrays = []
            for name in names:
                fetch = partial(self._fetch, read_values, name, index)
                window = fetch(rows, cols)
                arrays.append(window[..., rows_HW - first_row, cols_HW - first_col])
            return arrays

    def outside(self, box: Box) -> Bool:
        """Return which cells of a box lie outside the file, shape (H, W)."""
        rows_HW, cols_HW = self._cells(box)
        outside_HW: Bool = (rows_HW < 0) | (rows_HW >= self.projection.y[2])
        outside_HW |= (cols_HW < 0) | (cols_HW >= self.projection.x[2])
        return outside_HW

    def _cells(self, box: Box) -> tuple[Index, Index]:
        grid = self.layout.grid
        lat_H = grid.lat[box.row : box.row + box.height]
        lon_W = grid.lon[box.col : box.col + box.width]
        lon_HW, lat_HW = np.meshgrid(lon_W, lat_H)
        return self.projection.cells_at(lat_HW, lon_HW)


def projection_of(url: str, *, crs: str = "") -> Projection | None:
    """Read the projection of a NetCDF file; None for one in longitude and latitude.

    Parameters
    ----------
    url : str
        Local path or URL.
    crs : str
        Coordinate reference system of a file that declares none.

    Raises
    ------
    InputError
        For a projected file without a coordinate reference system, or with uneven axes.
    """
    from luray.sources.netcdf_reader import open_netcdf

    with open_netcdf(url) as data:
        axes = _axes(data)
        if axes is None:
            return None
        declared = crs or _declared_crs(data)
        if not declared:
            raise InputError(
                f"{url}: has the axes {axes[0]} and {axes[1]} and no coordinate reference system, "
                "expected CF's grid_mapping with crs_wkt or spatial_ref; give `crs` in the run file"
            )
        y, x = (_even_axis(data, name, where=url) for name in axes)
        return Projection(declared, y, x)


def inspect_projected(url: str, projection: Projection, grid: Grid) -> ProjectedNetcdf:
    """Read what a projected NetCDF file holds, and how it lies on a grid.

    Parameters
    ----------
    url : str
        Local path or URL.
    projection : Projection
        See `projection_of`.
    grid : Grid
        The cells on which it is read.

    Raises
    ------
    InputError
        Where the file reaches no cell of the grid.
    """
    from luray.sources.netcdf_reader import open_netcdf

    layout = _layout(projection, grid, where=url)
    with open_netcdf(url) as data:
        axes = _axes(data)
        assert axes is not None
        contents = netcdf_contents(data, axes, layout, where=url)
    return ProjectedNetcdf(**vars(contents), projection=projection)


def degrees_of(projection: Projection) -> float:
    """Return about how large the cells are in degrees of latitude."""
    _, step, _ = projection.y
    return abs(step) / METRES_PER_DEGREE


def _axes(data: "xr.Dataset") -> tuple[str, str] | None:
    """Return the names of the projected axes, None where there are none."""
    by_lower_case = {str(dim).lower(): str(dim) for dim in data.sizes}
    for y, x in AXES:
        if y in by_lower_case and x in by_lower_case:
            return by_lower_case[y], by_lower_case[x]
    return None


def _declared_crs(data: "xr.Dataset") -> str:
    """Return the coordinate reference system that a file declares, empty for none."""
    for variable in data.variables.values():
        attributes: Mapping[str, Any] = variable.attrs
        for name in ("crs_wkt", "spatial_ref"):
            if attributes.get(name):
                return str(attributes[name])
    return str(data.attrs.get("crs", ""))


def _even_axis(data: "xr.Dataset", name: str, *, where: str) -> tuple[float, float, int]:
    """Return first centre, step and number of cells of an axis."""
    values = np.asarray(data[name].values, np.float64) if name in data.variables else np.zeros(0)
    steps = np.diff(values)
    is_even = steps.size and np.isfinite(steps).all() and steps[0] != 0
    if not is_even or np.abs(steps / steps.mean() - 1).max() > EVEN:
        raise InputError(
            f"{where}: {name} is no evenly spaced axis, expected the centres of cells in the units "
            "of the projection; correct the coordinates"
        )
    return float(values[0]), float(values[-1] - values[0]) / (values.size - 1), values.size


def _layout(projection: Projection, grid: Grid, *, where: str) -> Layout:
    """Return the part of a grid that the cells of a projection reach."""
    from pyproj import Transformer
    from pyproj.exceptions import CRSError

    try:
        transformer = Transformer.from_crs(projection.crs, "EPSG:4326", always_xy=True)
    except CRSError as error:
        raise InputError(
            f"{where}: the coordinate reference system {projection.crs[:80]!r} cannot be read "
            f"({error}); correct it, or give `crs` in the run file"
        ) from error
    edges = []
    for first, step, number in (projection.x, projection.y):
        edges += [first - step / 2, first + (number - 0.5) * step]
    left, right, first_y, last_y = edges
    bounds = transformer.transform_bounds(
        min(left, right), min(first_y, last_y), max(left, right), max(first_y, last_y)
    )
    return warped_layout(bounds, grid, projection=projection.crs, where=where)
