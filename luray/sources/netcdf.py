"""Finding, opening and reading NetCDF and GeoTIFF files, Zarr stores and kerchunk references, by
box.

Every file is opened here, from a local path or any URL that fsspec knows: what a source keeps is a
`NetcdfFile` or a `RasterFile`, which hold the path and the layout.
"""

import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import F32
from luray.sources.base import equals
from luray.sources.file_forms import HEAD, form_of
from luray.sources.layout import Layout, layout_of_axes, require_same
from luray.sources.refusals import BROKEN, ENGINES, _foreign, refusal
from luray.sources.years import resolve_years
from luray.storage.absent_chunks import FILL_ATTRIBUTES, ArrayIndex, require_chunks
from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import is_local, public
from luray.storage.zarr_inputs import is_store, open_dataset, open_group, values_of

os.environ.setdefault(
    "GDAL_CACHEMAX", "128"
)  # MB: a band of 2000 rows around the globe, not a share of the machine

log = logging.getLogger(__name__)

LAT_NAMES, LON_NAMES, TIME_NAMES = (
    ("lat", "latitude"),
    ("lon", "longitude"),
    ("time", "year", "years"),
)


@contextmanager
def open_netcdf(url: str) -> Iterator[xr.Dataset]:
    """A NetCDF file (version 3 or 4), Zarr store or references, without any decoding.

    Raises InputError where it cannot be read.
    """
    if is_store(url):
        with refusal(url, "Zarr", BROKEN), open_dataset(url) as data:
            yield data
        return
    with refusal(url, "NetCDF", (OSError,)), _opened(url) as (source, engine):
        with refusal(url, "NetCDF", BROKEN):
            data = xr.open_dataset(source, engine=engine, decode_cf=False, cache=False)
        with data:
            yield data


@contextmanager
def open_values(url: str) -> Iterator[Callable[[str, ArrayIndex], NDArray[Any]]]:
    """A function from a variable and an index to undecoded values; for version 4 it costs a tenth
    of `open_netcdf`.
    """
    if is_store(url):
        with refusal(url, "Zarr", BROKEN):
            yield partial(values_of, open_group(url), where=public(url))
        return
    with refusal(url, "NetCDF", (OSError,)), _opened(url) as (source, engine):
        if engine == "scipy":
            with xr.open_dataset(source, engine=engine, decode_cf=False, cache=False) as data:
                yield lambda name, index: np.asarray(data.variables[name][index])
        else:
            with h5py.File(source, "r") as file:
                yield lambda name, index: _stored_values(
                    file[name], index, where=f"{public(url)}: {name}"
                )


def _stored_values(variable: h5py.Dataset, index: ArrayIndex, *, where: str) -> NDArray[Any]:
    """Undecoded values of a variable of an HDF5 file. Raises InputError for chunks that were never
    written.
    """
    values = np.asarray(variable[index])
    chunks = variable.chunks or variable.shape

    def is_stored(chunk: tuple[int, ...]) -> bool:
        if variable.chunks is None:
            return variable.id.get_offset() is not None or variable.id.get_storage_size() > 0
        cell = tuple(number * n for number, n in zip(chunk, chunks, strict=True))
        return variable.id.get_chunk_info_by_coord(cell).byte_offset is not None

    require_chunks(
        values,
        index,
        shape=variable.shape,
        chunks=chunks,
        fill=variable.fillvalue,
        attributes=variable.attrs,
        is_stored=is_stored,
        where=where,
    )
    return values


@contextmanager
def _opened(url: str) -> Iterator[tuple[Any, str]]:
    """What a NetCDF library opens, a local path or a file object, and xarray's name of the library."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        form = form_of(file.read(HEAD))
        if form.name not in ENGINES:
            raise InputError(_foreign(url, "NetCDF", form))
        file.seek(0)
        yield path if is_local(url) else file, ENGINES[form.name]


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
        """Values that the attributes declare missing."""
        return tuple(
            value for _, text in self._declared_fills() if (value := _number(text)) is not None
        )

    @property
    def ignored_fills(self) -> tuple[str, ...]:
        """Declarations of missing values that are no number, such as `missing_value none`: they
        declare nothing.
        """
        return tuple(
            f"{name} {text!r}" for name, text in self._declared_fills() if _number(text) is None
        )

    def _declared_fills(self) -> Iterator[tuple[str, Any]]:
        """Name and each value of the attributes that declare missing values; a text may list
        several.
        """
        for name, declared in self.attrs.items():
            if name.lower().replace("_", "") in FILL_ATTRIBUTES:
                values = () if isinstance(declared, h5py.Empty) else np.ravel(declared).tolist()
                for value in values:
                    text = value.decode(errors="replace") if isinstance(value, bytes) else value
                    parts = re.split(r"[,;\s]+", text.strip()) if isinstance(text, str) else [text]
                    yield from ((name, part) for part in parts)

    @property
    def packing(self) -> tuple[float, float]:
        """CF `scale_factor` and `add_offset`."""
        return tuple(
            float(np.ravel(self.attrs.get(n, d))[0])  # type: ignore[return-value]
            for n, d in (("scale_factor", 1), ("add_offset", 0))
        )


def _number(text: Any) -> float | None:
    """A number, or a text that is one, also as the tool ncdump prints it (1.e+20f); None for
    anything else.
    """
    plain = (
        re.sub(r"(?<=[\d.])(?:[fFdDlLsSbB]|ub|us|ull?|ll)$", "", text)
        if isinstance(text, str)
        else text
    )
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
        """What is done to bring it onto luray's grids and years, in words."""
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
            return ()
        return rules

    @cached_property
    def _resolved_years(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
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
        return resolve_years(
            times,
            units=str(self.time_attrs.get("units", "")),
            calendar=str(self.time_attrs.get("calendar", "standard")),
            where=self.url,
            bounds=None if self.time_bounds is None else np.array(self.time_bounds),
        )

    def require(self, *names: str) -> None:
        """Raise InputError unless the file has these variables on its grid."""
        lacking = [n for n in names if n not in self.variables]
        if lacking:
            raise InputError(
                f"{self.url}: has no variable {', '.join(lacking)}, found "
                f"{', '.join(self.variables)}; "
                "check that it is the right file"
            )
        for name in names:
            if not set(self.axes) <= set(self.variables[name].dims):
                raise InputError(
                    f"{self.url}: variable {name} has dimensions {self.variables[name].dims}, "
                    "expected "
                    f"{self.axes} among them"
                )

    def read(self, names: tuple[str, ...], box: Box, **index: int) -> list[NDArray[Any]]:
        """Undecoded values of variables in a box, each (..., height, width), at one index of the
        named dimensions.
        """
        with open_values(self.url) as values:
            return [
                self.layout.read(box, partial(self._fetch, values, name, index)) for name in names
            ]

    def _fetch(
        self,
        values: Callable[[str, ArrayIndex], NDArray[Any]],
        name: str,
        index: Mapping[str, int],
        rows: slice,
        cols: slice,
    ) -> NDArray[Any]:
        """One rectangle of a variable in the machine's byte order, latitude and longitude last."""
        lat, lon = self.axes
        wanted: dict[str, int | slice] = {lat: rows, lon: cols, **index}
        dims = self.variables[name].dims
        part = values(name, tuple(wanted.get(d, slice(None)) for d in dims))
        kept = [d for d in dims if d not in index]
        ordered = np.moveaxis(part, (kept.index(lat), kept.index(lon)), (-2, -1))
        return ordered.astype(ordered.dtype.newbyteorder("="), copy=False)


def inspect_netcdf(url: str) -> NetcdfFile:
    """What a NetCDF file holds and how it lies, read from its header and axes only.

    Raises InputError for an unreadable file, one without latitude and longitude axes, or one in
    another projection.
    """
    with open_netcdf(url) as data:
        sizes = [str(s) for s in data.sizes]
        lat, lon, time = (_axis(sizes, names) for names in (LAT_NAMES, LON_NAMES, TIME_NAMES))
        if not lat or not lon or lat not in data.variables or lon not in data.variables:
            raise InputError(
                f"{url}: has dimensions {', '.join(sizes)}, expected latitude and longitude with "
                "coordinates"
            )
        _require_degrees(data, (lat, lon), where=url)
        layout = layout_of_axes(
            data[lat].values.astype(float), data[lon].values.astype(float), where=url
        )
        times, time_attrs = (
            ((), {})
            if time not in data.variables
            else (data[time].values.tolist(), data[time].attrs)
        )
        time_bounds = _time_bounds(data, time_attrs, where=url)
        fields = {
            str(name): Field(
                tuple(map(str, variable.dims)), str(variable.dtype), dict(variable.attrs)
            )
            for name, variable in data.variables.items()
        }
        layout = layout.with_rules(*_rules_of_fills(fields.values()))
        return NetcdfFile(
            url, layout, (lat, lon), time, tuple(times), dict(time_attrs), fields, time_bounds
        )


def _time_bounds(
    data: xr.Dataset, time_attrs: Mapping[str, Any], *, where: str
) -> tuple[tuple[float, ...], ...] | None:
    """Start and end of each time step, None where the axis names no bounds or they are absent.

    LUH2 v2f names bounds that its files do not have.
    """
    name = str(time_attrs.get("bounds") or time_attrs.get("climatology") or "")
    if name not in data.variables:
        return None
    bounds = data[name]
    for attribute in ("units", "calendar"):
        own = str(bounds.attrs.get(attribute, "")).strip()
        of_axis = str(time_attrs.get(attribute, "")).strip()
        if own and own.lower() != of_axis.lower():
            raise InputError(
                f"{where}: time bounds {name} have the {attribute} {own!r}, expected {of_axis!r} "
                "as their axis has; give both the same"
            )
    if bounds.ndim != 2:
        raise InputError(
            f"{where}: time bounds {name} have the dimensions {bounds.dims}, expected steps and "
            "two edges; correct them or take the attribute `bounds` away"
        )
    return tuple(map(tuple, bounds.values.tolist()))


def _rules_of_fills(fields: Collection[Field]) -> tuple[str, ...]:
    """What is done about declarations of missing values that are no number, each once, in words."""
    ignored = dict.fromkeys(declared for field in fields for declared in field.ignored_fills)
    return tuple(f"{declared} is no number, and declares no missing value" for declared in ignored)


def _require_degrees(data: xr.Dataset, axes: tuple[str, str], *, where: str) -> None:
    """Raise InputError unless coordinates are degrees from Greenwich in no projection."""
    for name, variable in data.variables.items():
        mapping = variable.attrs.get("grid_mapping_name", "latitude_longitude")
        if mapping != "latitude_longitude":
            raise InputError(
                f"{where}: {name} declares the projection {mapping}, expected longitude and "
                "latitude "
                "(EPSG:4326); reproject the file"
            )
        meridian = float(np.ravel(variable.attrs.get("longitude_of_prime_meridian", 0))[0])
        if meridian != 0:
            raise InputError(
                f"{where}: {name} counts longitudes from {meridian:g} degrees, expected from "
                "Greenwich; "
                "add them to the longitudes and correct the attribute"
            )
    for name in axes:
        units = str(data[name].attrs.get("units", "")).strip()
        if units and not units.lower().startswith(("deg", "°")):
            raise InputError(
                f"{where}: {name} is in {units!r}, expected degrees; convert the coordinates"
            )


def _axis(sizes: list[str], names: tuple[str, ...]) -> str:
    return next((s for s in sizes if s.lower() in names), "")


def unpack(raw: NDArray[Any], field: Field, *, fills: tuple[float, ...] = ()) -> F32:
    """Physical values, same shape: declared missing values (and `fills`) are NaN, CF packing
    undone.
    """
    scale, offset = field.packing
    missing = np.zeros(raw.shape, np.bool_)
    for fill in (*field.fills, *fills):
        missing |= equals(raw, fill)
    values = (raw * scale + offset if (scale, offset) != (1, 0) else raw).astype(np.float32)
    values[missing] = np.nan
    return values


class LaidFile(Protocol):
    """A file of a source that lies on a grid."""

    @property
    def url(self) -> str:
        """Where it is."""

    @property
    def layout(self) -> Layout:
        """How it lies."""

    @property
    def rules(self) -> tuple[str, ...]:
        """What is done to bring it onto luray's grids, in words."""


def shared_grid(files: Sequence[LaidFile]) -> Grid:
    """The grid on which all files of a source lie. Raises InputError naming the first file that
    differs.
    """
    for file in files[1:]:
        require_same(
            files[0].layout.grid, file.layout.grid, where=files[0].url, other_where=file.url
        )
    return files[0].layout.grid
