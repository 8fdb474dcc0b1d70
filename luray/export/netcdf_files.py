"""NetCDF-4 files: axes, and variables that are filled year by year."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.time_steps import TimeSteps
from luray.core.types import F64

LUH2_EPOCH = 850
"""Year from which LUH2 counts."""

FIRST_DAY = 1850
"""Year from whose first of January CF's time counts."""

CRS = {
    "grid_mapping_name": "latitude_longitude",
    "longitude_of_prime_meridian": 0.0,
    "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257223563,
}
"""CF attributes of WGS 84."""

COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


class NetcdfWriter:
    """An open file; axes and variables are in it in the order in which they are added."""

    def __init__(self, file: Any, arrays: Any) -> None:
        self.file = file
        # h5netcdf goes through all variables at each access, to find the length of time
        self.arrays = arrays

    def dimension(self, name: str, length: int | None) -> None:
        """Add a dimension; a length of None is unlimited."""
        self.file.dimensions[name] = length

    def resize(self, name: str, length: int) -> None:
        """Set the length of an unlimited dimension."""
        self.file.resize_dimension(name, length)

    def variable(
        self,
        name: str,
        dimensions: Sequence[str],
        values: NDArray[Any],
        attributes: Mapping[str, Any],
        *,
        fill: Any = None,
    ) -> None:
        """Add a variable with all its values; `fill` is its `_FillValue`."""
        packing = COMPRESSION if values.ndim > 1 else {}
        variable = self.file.create_variable(
            name, tuple(dimensions), values.dtype, fillvalue=fill, **packing
        )
        variable.attrs.update(attributes)
        variable[...] = values

    def yearly(
        self,
        name: str,
        dimensions: Sequence[str],
        *,
        dtype: str,
        chunk: Sequence[int],
        attributes: Mapping[str, Any],
        fill: Any = None,
    ) -> None:
        """Add a variable whose first dimension is time, empty so far."""
        variable = self.file.create_variable(
            name, tuple(dimensions), dtype, fillvalue=fill, chunks=(1, *chunk), **COMPRESSION
        )
        variable.attrs.update(attributes)

    def put(self, name: str, step: int, values: NDArray[Any]) -> None:
        """Write the values of one time step."""
        self.arrays[name][step] = values


@contextmanager
def netcdf_file(path: Path, attributes: Mapping[str, Any]) -> Iterator[NetcdfWriter]:
    """Create a file with its global attributes."""
    with h5py.File(path, "w", track_order=True) as arrays, h5netcdf.File(arrays, "w") as file:
        file.attrs.update(attributes)
        yield NetcdfWriter(file, arrays)


@contextmanager
def reading(path: Path) -> Iterator[Mapping[str, Any]]:
    """Open a file to check what was written; gives its arrays by name."""
    with h5py.File(path, "r") as arrays:
        yield arrays


def add_axes(out: NetcdfWriter, grid: Grid, *, bounds: Sequence[str]) -> None:
    """Add `lat`, north first, and `lon` with their bounds, whose variables are named.

    Parameters
    ----------
    out : NetcdfWriter
    grid : Grid
        Of the cells.
    bounds : sequence of str
        Names of the bounds of latitude and longitude.
    """
    out.dimension("lat", grid.n_lat)
    out.dimension("lon", grid.n_lon)
    if "bounds" not in out.file.dimensions:
        out.dimension("bounds", 2)
    lat = {
        "standard_name": "latitude",
        "long_name": "latitude",
        "units": "degrees_north",
        "axis": "Y",
        "bounds": bounds[0],
    }
    lon: dict[str, Any] = {
        "standard_name": "longitude",
        "long_name": "longitude",
        "units": "degrees_east",
        "axis": "X",
        "bounds": bounds[1],
    }
    if grid.periodic:
        lon |= {"modulo": 360.0, "topology": "circular"}
    out.variable("lat", ("lat",), grid.lat, lat)
    out.variable("lon", ("lon",), grid.lon, lon)
    half = grid.step / 2
    out.variable(bounds[0], ("lat", "bounds"), edges(grid.lat, half=half), {})
    out.variable(bounds[1], ("lon", "bounds"), edges(grid.lon, half=-half), {})


def add_time(out: NetcdfWriter, year: int, *, dimensions: Sequence[str]) -> None:
    """Add `time` of a file that has one year, with its bounds, and the number of the `year`.

    Parameters
    ----------
    out : NetcdfWriter
        With the dimension `bounds`, see `add_axes`.
    year : int
    dimensions : sequence of str
        `("time",)`, or `()` for fields without a dimension of time.
    """
    days = (year - FIRST_DAY) * 365.0  # a year of the calendar noleap has 365 days
    shape = (1,) * len(dimensions)
    time = {
        "standard_name": "time",
        "long_name": "time",
        "units": f"days since {FIRST_DAY}-01-01",
        "calendar": "noleap",
        "axis": "T",
        "bounds": "time_bnds",
    }
    out.variable("time", dimensions, np.full(shape, days), time)
    bounds = np.broadcast_to([days, days + 365], (*shape, 2))
    out.variable("time_bnds", (*dimensions, "bounds"), bounds, {})
    described = {"long_name": "calendar year", "units": "1"}
    out.variable("year", dimensions, np.full(shape, year, np.int32), described)


def add_steps(out: NetcdfWriter, time: TimeSteps, steps: Sequence[int]) -> None:
    """Add `time` of a file with some time steps, each by its first day, with bounds."""
    bounds = np.array([time.bounds(step, epoch=FIRST_DAY) for step in steps], np.float64)
    attributes = {
        "standard_name": "time",
        "long_name": f"first day of the {time.each}",
        "units": f"days since {FIRST_DAY}-01-01",
        "calendar": "noleap",
        "axis": "T",
        "bounds": "time_bnds",
    }
    out.variable("time", ("time",), bounds[:, 0].copy(), attributes)
    out.variable("time_bnds", ("time", "bounds"), bounds, {})


def edges(centres: F64, *, half: float) -> F64:
    """Return both edges of cells, in the direction of the axis, shape (n, 2)."""
    return np.stack([centres + half, centres - half], axis=1).round(9)
