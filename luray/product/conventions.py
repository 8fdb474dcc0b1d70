"""Metadata for readers of a product: coordinates, bounds, cell areas and projection.

They are in the words of CF 1.12 (https://cfconventions.org), and of the GeoZarr conventions `proj`,
`spatial` and `multiscales` (https://geozarr.org/conventions). With them xarray, rioxarray, GDAL and
web maps open a product without a parameter.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import zarr
import zarr_cm

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid, row_areas
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import F64
from luray.product.overviews import Overviews
from luray.storage.arrays import EPOCH, TIME, coordinate, time_coordinate, variable

CONVENTIONS = "CF-1.12"

EPSG = 4326
"""WGS 84, longitude and latitude in degrees."""

COORDINATES = (
    "time",
    "time_bnds",
    "lat_bnds",
    "lon_bnds",
    "cell_area",
    "crs",
)
"""Variables that readers take for coordinates beside those of dimensions."""

COARSE_COORDINATES = ("coarse_lat_bnds", "coarse_lon_bnds", "coarse_cell_area", "coarse_crs")
"""The same of coarse cells."""


class Lattice(NamedTuple):
    """A grid as readers see it. Unlike that of a `Grid`, its last row may reach past the pole."""

    north: float
    west: float
    step: float
    n_lat: int
    n_lon: int

    @classmethod
    def of(cls, grid: Grid, *, level: int = 0) -> Self:
        """Return a grid, or the cells of a level of its overviews."""
        factor = 2**level
        n_lat = ceil_div(grid.n_lat, factor)
        n_lon = ceil_div(grid.n_lon, factor)
        return cls(grid.north, grid.west, grid.step * factor, n_lat, n_lon)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_lat, n_lon)."""
        return self.n_lat, self.n_lon

    @property
    def lat_edges(self) -> F64:
        """Latitudes between the rows, from north to south, at most those of the poles."""
        edges = self.north - np.arange(self.n_lat + 1, dtype=np.float64) * self.step
        return np.clip(edges, -90, 90)

    @property
    def lon_edges(self) -> F64:
        """Longitudes between the columns."""
        return self.west + np.arange(self.n_lon + 1, dtype=np.float64) * self.step

    @property
    def lat(self) -> F64:
        """Latitude of each row, evenly spaced."""
        return self.north - (np.arange(self.n_lat, dtype=np.float64) + 0.5) * self.step

    @property
    def lon(self) -> F64:
        """Longitude of each column."""
        return self.west + (np.arange(self.n_lon, dtype=np.float64) + 0.5) * self.step

    @property
    def transform(self) -> tuple[float, ...]:
        """The affine transform from column and row to longitude and latitude, row by row."""
        return (self.step, 0.0, self.west, 0.0, -self.step, self.north)

    @property
    def bbox(self) -> tuple[float, ...]:
        """West, south, east, north."""
        south = self.north - self.n_lat * self.step
        east = self.west + self.n_lon * self.step
        return tuple(round(edge, 9) for edge in (self.west, south, east, self.north))


def write_coordinates(
    group: zarr.Group,
    lattice: Lattice,
    years: Sequence[int],
    *,
    more: Sequence[str] = (),
    time: TimeSteps = YEARLY,
) -> None:
    """Write years and cells, and name what else is a coordinate.

    Parameters
    ----------
    group : zarr.Group
        The maps, or a level of their overviews.
    lattice : Lattice
        Its cells.
    years : sequence of int
        Calendar years, or time steps where `time` has several a year.
    more : sequence of str
        Further variables that are coordinates.
    time : TimeSteps
        Of the maps.
    """
    if time.dimension == "time":
        time_coordinate(group, years, time)
    else:
        _write_years(group, years)
    lat_attributes = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    _write_axis(group, "lat", lattice.lat, lattice.lat_edges, lat_attributes)
    lon_attributes = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
    _write_axis(group, "lon", lattice.lon, lattice.lon_edges, lon_attributes)
    _write_area(group, "cell_area", "lat", lattice)
    _write_crs(group, "crs", lattice)
    # xarray takes what the attribute of a group names for coordinates of all its arrays.
    group.attrs["coordinates"] = " ".join([*COORDINATES, *more])


def _write_years(group: zarr.Group, years: Sequence[int]) -> None:
    """Write the coordinate of plain years, and the time at which each begins."""
    calendar_years = np.array(years, np.int32)
    coordinate(group, "year", calendar_years, {"long_name": "calendar year", "units": "1"})
    time_attributes = {
        "standard_name": "time",
        "long_name": "first day of the year",
        **{name: TIME[name] for name in ("units", "calendar", "bounds")},
    }
    variable(group, "time", 365 * (calendar_years - EPOCH), ("year",), time_attributes)
    time_bounds = 365 * (calendar_years[:, None] + np.arange(2, dtype=np.int32) - EPOCH)
    variable(group, "time_bnds", time_bounds, ("year", "bnds"), {})


def write_coarse_coordinates(group: zarr.Group, grid: Grid) -> None:
    """Write the coordinates of coarse cells."""
    lattice = Lattice.of(grid)
    # Without `axis` and `standard_name`: readers that look for the axes of a whole dataset, such
    # as rioxarray, find those of the maps alone. CF knows both by their units.
    lat_attributes = {"long_name": "latitude of coarse cells", "units": "degrees_north"}
    _write_axis(group, "coarse_lat", lattice.lat, lattice.lat_edges, lat_attributes)
    lon_attributes = {"long_name": "longitude of coarse cells", "units": "degrees_east"}
    _write_axis(group, "coarse_lon", lattice.lon, lattice.lon_edges, lon_attributes)
    _write_area(group, "coarse_cell_area", "coarse_lat", lattice)
    _write_crs(group, "coarse_crs", lattice)


def _write_axis(
    group: zarr.Group, name: str, centres: F64, edges: F64, attributes: Mapping[str, str]
) -> None:
    """Write the coordinate of a dimension, with its bounds."""
    bounds = f"{name}_bnds"
    coordinate(group, name, centres, {**attributes, "bounds": bounds})
    variable(group, bounds, np.stack([edges[:-1], edges[1:]], axis=1), (name, "bnds"), {})


def _write_area(group: zarr.Group, name: str, dimension: str, lattice: Lattice) -> None:
    """Write the area of a cell of each row."""
    attributes = {
        "standard_name": "cell_area",
        "long_name": "area of a cell of the row, on the sphere with the Earth's surface area",
        "units": "m2",
    }
    areas = row_areas(lattice.lat_edges, lattice.step)
    variable(group, name, areas, (dimension,), attributes)


def _write_crs(group: zarr.Group, name: str, lattice: Lattice) -> None:
    """Write the coordinate system, with the transform where rioxarray and GDAL look for it."""
    # Imported here, as a worker that writes tiles creates no store.
    import pyproj

    crs = pyproj.CRS.from_epsg(EPSG)
    step, _, west, _, step_down, north = lattice.transform
    attributes = {
        **crs.to_cf(),
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": f"{west!r} {step!r} 0.0 {north!r} 0.0 {step_down!r}",
    }
    variable(group, name, np.array(0, np.int32), (), attributes)


def geozarr_attributes(
    lattice: Lattice, *, dimensions: tuple[str, str] = ("lat", "lon")
) -> dict[str, Any]:
    """Return what GeoZarr says of a group or an array: coordinate system, extent, transform."""
    return dict(zarr_cm.create_many(_conventions(lattice, dimensions)))


def pyramid_attributes(
    grid: Grid, overviews: Overviews, resampling: Literal["mode", "average"] = "mode"
) -> dict[str, Any]:
    """Return what GeoZarr says of the root group: that of the maps, and of their overviews.

    `resampling` is how four cells became one.
    """
    lattice = Lattice.of(grid)
    conventions = _conventions(lattice, ("lat", "lon"))
    if overviews.levels:
        layout: list[dict[str, Any]] = [{"asset": ".", **_placed(lattice)}]
        for level in range(1, overviews.levels + 1):
            # The first cells of both levels begin at the same corner, so their centres are half a
            # cell of the finer level apart.
            transform = {"scale": [2.0, 2.0], "translation": [0.5, 0.5]}
            layout.append(
                {
                    "asset": str(level),
                    "derived_from": str(level - 1) if level > 1 else ".",
                    "transform": transform,
                    "resampling_method": resampling,
                    **_placed(Lattice.of(grid, level=level)),
                }
            )
        conventions["multiscales"] = {"layout": layout}
    return dict(zarr_cm.create_many(conventions))


def _conventions(lattice: Lattice, dimensions: tuple[str, str]) -> dict[Any, dict[str, Any]]:
    spatial = {
        "spatial:dimensions": list(dimensions),
        "spatial:bbox": list(lattice.bbox),
        "spatial:registration": "pixel",
        **_placed(lattice),
    }
    return {"proj": {"proj:code": f"EPSG:{EPSG}"}, "spatial": spatial}


def _placed(lattice: Lattice) -> dict[str, Any]:
    """Return shape and transform of a grid."""
    return {
        "spatial:shape": list(lattice.shape),
        "spatial:transform": list(lattice.transform),
    }
