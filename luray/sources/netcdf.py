"""NetCDF files, Zarr stores and kerchunk references by box: what they hold and how they lie.

A file may be at a local path or any URL that fsspec knows. A source keeps a `NetcdfFile`, which
holds the path and the layout, no open file, so that it can travel to a worker. Files are opened by
`luray.sources.netcdf_reader`, which is imported when one is: a run file names its sources without
xarray and HDF5.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from luray.core.tiling import Box
from luray.core.types import F32
from luray.sources.base import equals
from luray.sources.layout import Layout, layout_of_axes
from luray.sources.years import moments_of_axis, resolve_years
from luray.storage.absent_chunks import FILL_ATTRIBUTES
from luray.storage.errors import InputError

if TYPE_CHECKING:
    import cftime
    import xarray as xr

    from luray.sources.netcdf_reader import ReadValues

LAT_NAMES = ("lat", "latitude")
LON_NAMES = ("lon", "longitude")
TIME_NAMES = ("time", "year", "years")
"""Names of the dimensions, in lower case."""

NUMBER_SUFFIX = re.compile(r"(?<=[\d.])(?:[fFdDlLsSbB]|ub|us|ull?|ll)$")
"""The type of a number, as the tool ncdump writes it: `1.e+20f`."""


@dataclass(frozen=True)
class Field:
    """A variable of a NetCDF file: its dimensions, dtype and undecoded attributes."""

    dims: tuple[str, ...]
    dtype: str
    attrs: Mapping[str, Any]

    @property
    def units(self) -> str:
        """The `units` attribute, empty where there is none."""
        return str(self.attrs.get("units", "")).strip()

    @property
    def fills(self) -> tuple[float, ...]:
        """Values that the attributes declare missing.

        Examples
        --------
        >>> Field(("lat", "lon"), "int16", {"missing_value": "-9999, -32768"}).fills
        (-9999.0, -32768.0)
        """
        numbers = [_number(value) for _, value in self._declared_fills()]
        return tuple(number for number in numbers if number is not None)

    @property
    def ignored_fills(self) -> tuple[str, ...]:
        """Declarations of missing values that are no number and declare nothing.

        Examples
        --------
        >>> Field(("lat", "lon"), "int16", {"missing_value": "none"}).ignored_fills
        ("missing_value 'none'",)
        """
        return tuple(
            f"{name} {value!r}" for name, value in self._declared_fills() if _number(value) is None
        )

    def _declared_fills(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and each value of the attributes that declare missing values."""
        import h5py

        for name, declared in self.attrs.items():
            if name.lower().replace("_", "") not in FILL_ATTRIBUTES:
                continue
            if isinstance(declared, h5py.Empty):
                continue
            # An attribute may be a number, several, a text of one, a text of several, or bytes.
            for value in np.ravel(declared).tolist():
                text = value.decode(errors="replace") if isinstance(value, bytes) else value
                if not isinstance(text, str):
                    yield name, text
                    continue
                for part in re.split(r"[,;\s]+", text.strip()):
                    yield name, part

    @property
    def packing(self) -> tuple[float, float]:
        """CF `scale_factor` and `add_offset`."""
        scale = float(np.ravel(self.attrs.get("scale_factor", 1))[0])
        offset = float(np.ravel(self.attrs.get("add_offset", 0))[0])
        return scale, offset


def _number(value: Any) -> float | None:
    """Return a number, or that of a text, also as ncdump writes it; None for anything else."""
    plain = NUMBER_SUFFIX.sub("", value) if isinstance(value, str) else value
    try:
        return float(plain)
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True)
class NetcdfFile:
    """A NetCDF file on a longitude-latitude grid: where it is, how it lies, what it holds."""

    url: str
    layout: Layout
    axes: tuple[str, str]
    """Names of its latitude and longitude dimensions."""
    time_axis: str
    """Name of its time dimension, empty where there is none."""
    times: tuple[float, ...]
    time_attrs: Mapping[str, Any]
    variables: Mapping[str, Field]
    time_bounds: tuple[tuple[float, ...], ...] | None = None
    """Start and end of each time step, None where the file has none."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The files that are read."""
        return (self.url,)

    @property
    def rules(self) -> tuple[str, ...]:
        """Corrections that bring it onto luray's grids and years, in words."""
        return (*self.layout.rules, *self.time_rules)

    @property
    def years(self) -> tuple[int, ...]:
        """Year of each time step. Raises InputError for a time axis that has none."""
        years, _ = self._resolved_years
        return years

    @property
    def time_rules(self) -> tuple[str, ...]:
        """How years were told where stamps alone would mislead, in words; else empty."""
        try:
            _, rules = self._resolved_years
        except InputError:
            return ()  # no time axis, or none that is a year: whoever needs years asks for them
        return rules

    @cached_property
    def moments(self) -> tuple["cftime.datetime", ...]:
        """The moment of each time step: the middle of its bounds, else its stamp.

        Raises InputError for a time axis that cannot be decoded.
        """
        times = self._plain_times()
        return moments_of_axis(
            times,
            units=str(self.time_attrs.get("units", "")),
            calendar=str(self.time_attrs.get("calendar", "standard")),
            where=self.url,
            bounds=None if self.time_bounds is None else np.array(self.time_bounds),
        )

    @cached_property
    def _resolved_years(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        return resolve_years(
            self._plain_times(),
            units=str(self.time_attrs.get("units", "")),
            calendar=str(self.time_attrs.get("calendar", "standard")),
            where=self.url,
            bounds=None if self.time_bounds is None else np.array(self.time_bounds),
        )

    def _plain_times(self) -> NDArray[Any]:
        """Return the numbers of the time axis. Raises InputError for gaps and packed ones."""
        if not self.time_axis:
            raise InputError(f"{self.url}: has no time dimension, expected one of {TIME_NAMES}")
        times = np.array(self.times)
        axis = self.variables.get(self.time_axis)
        if axis is not None and axis.packing != (1, 0):
            raise InputError(
                f"{self.url}: the time axis is packed with scale_factor or add_offset, expected "
                "plain numbers; unpack it"
            )
        if axis is not None and any(equals(times, fill).any() for fill in axis.fills):
            raise InputError(
                f"{self.url}: the time axis has gaps (its declared missing value), expected a "
                "number for every step; fill them in"
            )
        return times

    def require(self, *names: str) -> None:
        """Raise InputError unless the file has these variables on its grid."""
        lacking = [name for name in names if name not in self.variables]
        if lacking:
            raise InputError(
                f"{self.url}: has no variable {', '.join(lacking)}, found "
                f"{', '.join(self.variables)}; check that it is the right file"
            )
        for name in names:
            if not set(self.axes) <= set(self.variables[name].dims):
                raise InputError(
                    f"{self.url}: variable {name} has dimensions {self.variables[name].dims}, "
                    f"expected {self.axes} among them"
                )

    def read(self, names: tuple[str, ...], box: Box, **index: int) -> list[NDArray[Any]]:
        """Read undecoded values of variables in a box.

        Parameters
        ----------
        names : tuple of str
            The variables.
        box : Box
            Cells of the layout's grid.
        **index : int
            Position along dimensions by their name, such as `time=3`.

        Returns
        -------
        list of array, shape (..., height, width)
            One a variable; in front are the dimensions that `index` does not name.

        Raises
        ------
        InputError
            For a variable that is not there or not on the grid, and for a damaged file.
        """
        from luray.sources.netcdf_reader import open_values

        self.require(*names)
        with open_values(self.url) as read_values:
            arrays = []
            for name in names:
                fetch = partial(self._fetch, read_values, name, index)
                arrays.append(self.layout.read(box, fetch))
            return arrays

    def _fetch(
        self,
        read_values: "ReadValues",
        name: str,
        index: Mapping[str, int],
        rows: slice,
        cols: slice,
    ) -> NDArray[Any]:
        """Read a rectangle of a variable, latitude and longitude last, in native byte order."""
        lat, lon = self.axes
        dims = self.variables[name].dims
        part: dict[str, int | slice] = {lat: rows, lon: cols, **index}
        index_of_all_dims = tuple(part.get(dim, slice(None)) for dim in dims)
        values = read_values(name, index_of_all_dims)

        # An index takes its dimension away; the others are in the file's order, whichever that is.
        remaining_dims = [dim for dim in dims if dim not in index]
        lat_axis = remaining_dims.index(lat)
        lon_axis = remaining_dims.index(lon)
        ordered = np.moveaxis(values, (lat_axis, lon_axis), (-2, -1))

        # NetCDF-3 is big-endian, which numba and torch do not take.
        native_dtype = ordered.dtype.newbyteorder("=")
        return ordered.astype(native_dtype, copy=False)


def inspect_netcdf(url: str) -> NetcdfFile:
    """Read from a NetCDF file's header and axes what it holds and how it lies.

    Raises
    ------
    InputError
        For an unreadable file, one without latitude and longitude axes, or one in another
        projection.
    """
    from luray.sources.netcdf_reader import open_netcdf

    with open_netcdf(url) as data:
        dims = [str(dim) for dim in data.sizes]
        lat = _dim_named(dims, LAT_NAMES)
        lon = _dim_named(dims, LON_NAMES)
        if not lat or not lon or lat not in data.variables or lon not in data.variables:
            raise InputError(
                f"{url}: has dimensions {', '.join(dims)}, expected latitude and longitude with "
                "coordinates"
            )
        _require_degrees(data, (lat, lon), where=url)
        layout = layout_of_axes(
            data[lat].values.astype(float), data[lon].values.astype(float), where=url
        )
        return netcdf_contents(data, (lat, lon), layout, where=url)


def netcdf_contents(
    data: "xr.Dataset", axes: tuple[str, str], layout: Layout, *, where: str
) -> NetcdfFile:
    """Return what an open file holds: its variables and its time axis.

    Parameters
    ----------
    data : Dataset
        The file, undecoded.
    axes : tuple of str
        Names of the dimensions of rows and columns.
    layout : Layout
        How these lie on a grid.
    where : str
        The file.
    """
    time = _dim_named([str(dim) for dim in data.sizes], TIME_NAMES)
    times: tuple[float, ...] = ()
    time_attrs: dict[str, Any] = {}
    if time in data.variables:
        times = tuple(data[time].values.tolist())
        time_attrs = dict(data[time].attrs)
    time_bounds = _time_bounds(data, time_attrs, where=where)

    fields = {}
    for name, variable in data.variables.items():
        dims_of_variable = tuple(map(str, variable.dims))
        fields[str(name)] = Field(dims_of_variable, str(variable.dtype), dict(variable.attrs))
    return NetcdfFile(
        url=where,
        layout=layout.with_rules(*_rules_of_fills(fields.values())),
        axes=axes,
        time_axis=time,
        times=times,
        time_attrs=time_attrs,
        variables=fields,
        time_bounds=time_bounds,
    )


def _dim_named(dims: list[str], names: tuple[str, ...]) -> str:
    """Return the first dimension that has one of the names, empty where there is none."""
    return next((dim for dim in dims if dim.lower() in names), "")


def _time_bounds(
    data: "xr.Dataset", time_attrs: Mapping[str, Any], *, where: str
) -> tuple[tuple[float, ...], ...] | None:
    """Return the start and end of each time step, None where the file has no bounds.

    Bounds that are named and absent are none: LUH2 v2f names some that its files do not have.
    """
    name = str(time_attrs.get("bounds") or time_attrs.get("climatology") or "")
    if name not in data.variables:
        return None
    bounds = data[name]
    for attribute in ("units", "calendar"):
        of_bounds = str(bounds.attrs.get(attribute, "")).strip()
        of_axis = str(time_attrs.get(attribute, "")).strip()
        if of_bounds and of_bounds.lower() != of_axis.lower():
            raise InputError(
                f"{where}: time bounds {name} have the {attribute} {of_bounds!r}, expected "
                f"{of_axis!r} as their axis has; give both the same"
            )
    if bounds.ndim != 2:
        raise InputError(
            f"{where}: time bounds {name} have the dimensions {bounds.dims}, expected steps and "
            "two edges; correct them or take the attribute `bounds` away"
        )
    return tuple(map(tuple, bounds.values.tolist()))


def _rules_of_fills(fields: Collection[Field]) -> tuple[str, ...]:
    """Say which declarations of missing values are passed over as no numbers, each once."""
    ignored = chain.from_iterable(field.ignored_fills for field in fields)
    each_once = dict.fromkeys(ignored)
    return tuple(f"{fill} is no number, and declares no missing value" for fill in each_once)


def _require_degrees(data: "xr.Dataset", axes: tuple[str, str], *, where: str) -> None:
    """Raise InputError unless coordinates are degrees from Greenwich in no projection."""
    for name, variable in data.variables.items():
        mapping = variable.attrs.get("grid_mapping_name", "latitude_longitude")
        if mapping != "latitude_longitude":
            raise InputError(
                f"{where}: {name} declares the projection {mapping}, expected longitude and "
                "latitude (EPSG:4326); reproject the file"
            )
        meridian = float(np.ravel(variable.attrs.get("longitude_of_prime_meridian", 0))[0])
        if meridian != 0:
            raise InputError(
                f"{where}: {name} counts longitudes from {meridian:g} degrees, expected from "
                "Greenwich; add them to the longitudes and correct the attribute"
            )
    for name in axes:
        units = str(data[name].attrs.get("units", "")).strip()
        if units and not units.lower().startswith(("deg", "°")):
            raise InputError(
                f"{where}: {name} is in {units!r}, expected degrees; convert the coordinates"
            )


def unpack(raw: NDArray[Any], field: Field, *, fills: tuple[float, ...] = ()) -> F32:
    """Turn raw values into physical ones: missing is NaN, CF packing is undone.

    Parameters
    ----------
    raw : array
        Undecoded values, any shape.
    field : Field
        Their variable, which declares missing values, scale and offset.
    fills : tuple of float
        Further missing values that the file does not declare.

    Returns
    -------
    array of float32, same shape

    Examples
    --------
    >>> field = Field(("lat", "lon"), "int16", {"_FillValue": -1, "scale_factor": 0.5})
    >>> unpack(np.array([[4, -1]], np.int16), field)
    array([[ 2., nan]], dtype=float32)
    """
    # Missing values are declared in the file's own numbers, so they are found before scaling.
    missing = np.zeros(raw.shape, np.bool_)
    for fill in (*field.fills, *fills):
        missing |= equals(raw, fill)

    # Plain values are cast as they are: arithmetic would be one more pass, in float64 for integers.
    scale, offset = field.packing
    physical = raw
    if (scale, offset) != (1, 0):
        physical = raw * scale + offset

    values = physical.astype(np.float32)
    values[missing] = np.nan
    return values
