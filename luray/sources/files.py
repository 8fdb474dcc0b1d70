"""Finding, opening and reading NetCDF and GeoTIFF files, Zarr stores and kerchunk references, by box.

Every file is opened here, from a local path or any URL that fsspec knows: what a source keeps is a `NetcdfFile` or a
`RasterFile`, which hold the path and the layout.
"""

import errno
import logging
import os
import re
import shlex
import stat
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import aiohttp
import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from luray.grid import Grid
from luray.http import AbsentError, WebError
from luray.places import WEB
from luray.schema import F32
from luray.sources.absent import FILL_ATTRIBUTES, Index, require_chunks
from luray.sources.base import FilesConfig, InputError, equals
from luray.sources.layout import Layout, layout_of_axes, require_same
from luray.sources.magic import HEAD, NETCDF_3, NETCDF_4, TIFF, Form, form_of
from luray.sources.stores import NODES, is_store, open_dataset, open_group, values_of
from luray.sources.years import resolve_years
from luray.storage import RefusedError, accessing, filesystem, is_local, public
from luray.windows import Box

BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zlib.error, aiohttp.ClientError)
"""What the libraries of NetCDF and Zarr raise on a damaged file."""

os.environ.setdefault("GDAL_CACHEMAX", "128")  # MB: a band of 2000 rows around the globe, not a share of the machine

log = logging.getLogger(__name__)

DEPTH = 32
"""Levels of folders that are searched below the path of a source."""
LIMIT = 1_000_000
"""Files and folders that are looked at below it."""

ENGINES = {NETCDF_4: "h5netcdf", NETCDF_3: "scipy"}
"""xarray's name of the library that reads a form of NetCDF."""
EXPECTED = {"NetCDF": frozenset(ENGINES), "GeoTIFF": frozenset((TIFF,))}
"""Forms of a file that are read as a kind."""

LOCKED = "unable to lock file|already open for write|already open for read|No locks available"
"""What HDF5 says of a file that another process holds, or of a disk that has no locks."""
SHORT = r"truncated file: eof = (\d+),.*stored_eof = (\d+)"
"""What HDF5 says of a file that was cut: its bytes, and those that it should have."""

LAT_NAMES, LON_NAMES, TIME_NAMES = ("lat", "latitude"), ("lon", "longitude"), ("time", "year", "years")


STORES = re.compile(r"(.*?\.(?:zarr|parquet|parq))(?:/|$)")
"""Folders that are one file to a source: Zarr stores and kerchunk references in Parquet."""
STANDS_FOR = re.compile(r"\.(?:json|parquet|parq|zarr)$")
"""End that references and copies in Zarr add to the name of the file they stand for."""


def list_files(path: str) -> list[str]:
    """Files at or below a path or URL, sorted; a Zarr store counts as one.

    Links to folders are followed, each folder being searched once. Raises InputError where there is nothing, where
    access is denied, or where there are more folders than are searched.
    """
    nothing = InputError(f"{public(path)}: no such file or folder, or it is empty; set `path` to "
                         "where the files are")
    with refusal(path, "a folder", (OSError,), missing=nothing), accessing(path):
        fs, root = filesystem(path)
        if path.partition("://")[0] in WEB:
            found = [_web_file(fs, path)]
        elif is_local(path):
            found = [path] if _is_one_file(root) else sorted(_below_folder(root))
        elif STORES.fullmatch(root.rstrip("/")) or fs.info(root)["type"] != "directory":
            found = [path]
        else:
            found = [fs.unstrip_protocol(file) for file in sorted(_below_prefix(fs, root))]
    if not found:
        raise nothing
    return found


def _is_one_file(path: str) -> bool:
    """True for a file or a Zarr store, False for a folder. Raises OSError where there is neither."""
    one = bool(STORES.fullmatch(path.rstrip("/")))
    return one or not _is_folder(path)


def _is_folder(path: str) -> bool:
    """True for a folder, or a link to one. Raises OSError where there is nothing."""
    return stat.S_ISDIR(Path(path).stat().st_mode)


def _web_file(fs: Any, url: str) -> str:
    """The URL of a file on a web server. Raises InputError for a page."""
    page = fs.info(url)["mimetype"] == "text/html"
    if page and not PurePosixPath(public(url)).suffix:
        raise InputError(f"{public(url)}: is a web page, expected a file: luray does not search "
                         "the pages of web servers for files; give the address of the file, list "
                         "several as `assets`, or catalogue them with `luray virtualize` and name "
                         "the catalog")
    return url


def _below_prefix(fs: Any, root: str) -> Iterator[str]:
    """Objects below a prefix of an object store."""
    pending, seen = [(root, 0)], 0
    while pending:
        folder, depth = pending.pop()
        for entry in fs.ls(folder, detail=True):
            name = entry["name"]
            seen = _counted(seen, root)
            if name.rstrip("/") == folder.rstrip("/"):  # the object by which some tools mark a folder
                continue
            if entry["type"] == "directory" and not STORES.fullmatch(name.rstrip("/").rsplit("/", 1)[-1]):
                pending.append((name, _deeper(depth, root, name)))
            else:
                yield name.rstrip("/")


def _below_folder(root: str) -> Iterator[str]:
    """Files below a folder of this machine, through links.

    A link that leads to where is searched anyway, up or down, is passed by: the files there are found under their own
    names, and nothing goes round in a circle.
    """
    pending: list[tuple[str, int, tuple[str, ...]]] = [(root, 0, (os.path.realpath(root),))]
    seen = 0
    while pending:
        folder, depth, searched = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except PermissionError:
            if folder == root:
                raise
            log.warning("%s is not searched for files: access is denied", folder)
            continue
        for entry in entries:
            seen = _counted(seen, root)
            linked = entry.is_symlink()
            try:
                folder_or_link_to_one, file = entry.is_dir(), entry.is_file()
            except OSError:  # a link in a circle
                folder_or_link_to_one = file = False
            if not folder_or_link_to_one:
                if file or linked:  # a link to nothing is told when it is opened
                    yield entry.path
            elif STORES.fullmatch(entry.name):
                yield entry.path
            elif not linked:
                pending.append((entry.path, _deeper(depth, root, entry.path), searched))
            else:
                target = os.path.realpath(entry.path)
                if not any(_overlap(target, other) for other in searched):
                    pending.append((entry.path, _deeper(depth, root, entry.path), (*searched, target)))


def _overlap(folder: str, other: str) -> bool:
    """True where one of two folders is the other, or lies in it."""
    shorter, longer = sorted((folder.rstrip("/") + "/", other.rstrip("/") + "/"), key=len)
    return longer.startswith(shorter)


def _deeper(depth: int, root: str, folder: str) -> int:
    """The level below. Raises InputError beyond the last one that is searched."""
    if depth == DEPTH:
        raise InputError(f"{root}: {folder} lies {DEPTH + 1} levels below, {DEPTH} are searched; "
                         "set `path` nearer to the files")
    return depth + 1


def _counted(seen: int, root: str) -> int:
    """One more file or folder. Raises InputError beyond the last one that is looked at."""
    if seen == LIMIT:
        raise InputError(f"{root}: there are more than {LIMIT} files and folders below; set "
                         "`path` nearer to the files")
    return seen + 1


def published_name(href: str) -> str:
    """Name of the file at a place, or of the file that references or a Zarr copy at this place stand for."""
    return STANDS_FOR.sub("", public(href).replace("\\", "/").rstrip("/"))


def matching(files: FilesConfig, pattern: str) -> list[tuple[str, re.Match[str]]]:
    """Places of a source's files whose trailing name matches a regular expression, with the match, sorted by name."""
    if files.assets:
        named = [(asset.name, asset.href) for asset in files.assets]
    else:
        named = [(published_name(file), file) for file in list_files(files.path)]
    regex = re.compile(r"(?:^|/)" + pattern + "$")
    matches = [(href, regex.search(name)) for name, href in sorted(named, key=lambda pair: pair[0])]
    return [(href, match) for href, match in matches if match]


def only(files: list[str], *, path: str, expected: str) -> str:
    """The one file that was found. Raises InputError for none or several."""
    if not files:
        raise InputError(f"{path}: found no {expected}; get the file or correct `path`")
    if len(files) > 1:
        raise InputError(f"{path}: found {len(files)} files that are {expected} ({', '.join(files)}), expected one; "
                         "set `path` to the one to use")
    return files[0]


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
def open_values(url: str) -> Iterator[Callable[[str, Index], NDArray[Any]]]:
    """A function from a variable and an index to undecoded values; for version 4 it costs a tenth of `open_netcdf`."""
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
                yield lambda name, index: _stored_values(file[name], index, where=f"{public(url)}: {name}")


def _stored_values(variable: h5py.Dataset, index: Index, *, where: str) -> NDArray[Any]:
    """Undecoded values of a variable of an HDF5 file. Raises InputError for chunks that were never written."""
    values = np.asarray(variable[index])
    chunks = variable.chunks or variable.shape

    def is_stored(chunk: tuple[int, ...]) -> bool:
        if variable.chunks is None:
            return variable.id.get_offset() is not None or variable.id.get_storage_size() > 0
        cell = tuple(number * n for number, n in zip(chunk, chunks, strict=True))
        return variable.id.get_chunk_info_by_coord(cell).byte_offset is not None

    require_chunks(values, index, shape=variable.shape, chunks=chunks, fill=variable.fillvalue,
                   attributes=variable.attrs, is_stored=is_stored, where=where)
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


@contextmanager
def refusal(url: str, kind: str, errors: tuple[type[Exception], ...], *,
            missing: InputError | None = None) -> Iterator[None]:
    """Say what a library or a store raises inside as an InputError that names the file and what to do."""
    shown = public(url)
    try:
        yield
    except (InputError, RefusedError):
        raise
    except AbsentError as error:
        raise InputError(str(error)) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_local(url) and Path(url).is_symlink():
            raise InputError(f"{shown}: is a link to {Path(url).readlink()}, where there is nothing; "
                             "get the file or correct the link") from error
        raise missing or InputError(f"{shown}: there is no such file; get it or correct `path`") from error
    except IsADirectoryError as error:
        raise InputError(_folder_in_place(url, kind)) from error
    except WebError as error:
        raise InputError(str(error)) from error
    except PermissionError as error:
        raise InputError(f"{shown}: access is denied; check the permissions or credentials") from error
    except errors as error:
        raise InputError(_damage(url, kind, error)) from error


def _folder_in_place(url: str, kind: str) -> str:
    """What to do about a folder where a file was expected."""
    store = is_local(url) and any((Path(url) / node).exists() for node in NODES)
    if store:
        return (f"{public(url)}: is a Zarr store under a name that does not end in .zarr, "
                f"expected {kind}; rename it, or link to it under such a name")
    return (f"{public(url)}: is a folder, expected {kind}; set `path` to the file in it, or take the "
            "folder away")


def _damage(url: str, kind: str, error: Exception) -> str:
    """Why a file cannot be read: another form, a lock, a circle of links, or a file that was cut."""
    shown, said = public(url), f"{public(url)}: cannot be read as {kind} ({error})"
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return f"{shown}: is a link that leads in a circle; correct it"
    if re.search(LOCKED, str(error)):
        return (f"{said}: another process has it open for writing, or its disk has no locks; wait "
                "until it is written, or if nobody writes it set the environment variable "
                "HDF5_USE_FILE_LOCKING=FALSE. If its writer was killed, `h5clear -s "
                f"{shlex.quote(shown)}` takes its mark away")
    form = _form_of_file(url) if kind in EXPECTED else None
    if form is not None and form.name not in EXPECTED[kind]:
        return _foreign(url, kind, form)
    short = re.search(SHORT, str(error))
    why = f", as it has {short[1]} of {short[2]} bytes" if short else ""
    return f"{said}; it may be truncated{why}: get it again"


def _form_of_file(url: str) -> Form | None:
    """The form of a file by its first bytes; None where they cannot be read."""
    fs, path = filesystem(url)
    try:
        with fs.open(path, "rb") as file:
            return form_of(file.read(HEAD))
    except (OSError, ValueError, RuntimeError):
        return None


def _foreign(url: str, kind: str, form: Form) -> str:
    """What to do about a file of another form than the expected one."""
    name = PurePosixPath(public(url)).name
    advice = form.advice.format(name=shlex.quote(name), end=PurePosixPath(name).suffix)
    return f"{public(url)}: cannot be read as {kind}: it is {form.name}; {advice}"


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
        return tuple(value for _, text in self._declared_fills() if (value := _number(text)) is not None)

    @property
    def ignored_fills(self) -> tuple[str, ...]:
        """Declarations of missing values that are no number, such as `missing_value none`: they declare nothing."""
        return tuple(f"{name} {text!r}" for name, text in self._declared_fills() if _number(text) is None)

    def _declared_fills(self) -> Iterator[tuple[str, Any]]:
        """Name and each value of the attributes that declare missing values; a text may list several."""
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
        return tuple(float(np.ravel(self.attrs.get(n, d))[0])  # type: ignore[return-value]
                     for n, d in (("scale_factor", 1), ("add_offset", 0)))


def _number(text: Any) -> float | None:
    """A number, or a text that is one, also as the tool ncdump prints it (1.e+20f); None for anything else."""
    plain = re.sub(r"(?<=[\d.])(?:[fFdDlLsSbB]|ub|us|ull?|ll)$", "", text) if isinstance(text, str) else text
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
            raise InputError(f"{self.url}: has no variable {', '.join(lacking)}, found {', '.join(self.variables)}; "
                             "check that it is the right file")
        for name in names:
            if not set(self.axes) <= set(self.variables[name].dims):
                raise InputError(f"{self.url}: variable {name} has dimensions {self.variables[name].dims}, expected "
                                 f"{self.axes} among them")

    def read(self, names: tuple[str, ...], box: Box, **index: int) -> list[NDArray[Any]]:
        """Undecoded values of variables in a box, each (..., height, width), at one index of the named dimensions."""
        with open_values(self.url) as values:
            return [self.layout.read(box, partial(self._fetch, values, name, index)) for name in names]

    def _fetch(self, values: Callable[[str, Index], NDArray[Any]], name: str, index: Mapping[str, int], rows: slice,
               cols: slice) -> NDArray[Any]:
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

    Raises InputError for an unreadable file, one without latitude and longitude axes, or one in another projection.
    """
    with open_netcdf(url) as data:
        sizes = [str(s) for s in data.sizes]
        lat, lon, time = (_axis(sizes, names) for names in (LAT_NAMES, LON_NAMES, TIME_NAMES))
        if not lat or not lon or lat not in data.variables or lon not in data.variables:
            raise InputError(f"{url}: has dimensions {', '.join(sizes)}, expected latitude and longitude with "
                             "coordinates")
        _require_degrees(data, (lat, lon), where=url)
        layout = layout_of_axes(data[lat].values.astype(float), data[lon].values.astype(float), where=url)
        times, time_attrs = ((), {}) if time not in data.variables else (data[time].values.tolist(), data[time].attrs)
        time_bounds = _time_bounds(data, time_attrs, where=url)
        fields = {str(name): Field(tuple(map(str, variable.dims)), str(variable.dtype), dict(variable.attrs))
                  for name, variable in data.variables.items()}
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
            raise InputError(f"{where}: {name} declares the projection {mapping}, expected longitude and latitude "
                             "(EPSG:4326); reproject the file")
        meridian = float(np.ravel(variable.attrs.get("longitude_of_prime_meridian", 0))[0])
        if meridian != 0:
            raise InputError(f"{where}: {name} counts longitudes from {meridian:g} degrees, expected from Greenwich; "
                             "add them to the longitudes and correct the attribute")
    for name in axes:
        units = str(data[name].attrs.get("units", "")).strip()
        if units and not units.lower().startswith(("deg", "°")):
            raise InputError(f"{where}: {name} is in {units!r}, expected degrees; convert the coordinates")


def _axis(sizes: list[str], names: tuple[str, ...]) -> str:
    return next((s for s in sizes if s.lower() in names), "")


def unpack(raw: NDArray[Any], field: Field, *, fills: tuple[float, ...] = ()) -> F32:
    """Physical values, same shape: declared missing values (and `fills`) are NaN, CF packing undone."""
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
    """The grid on which all files of a source lie. Raises InputError naming the first file that differs."""
    for file in files[1:]:
        require_same(files[0].layout.grid, file.layout.grid, where=files[0].url, other_where=file.url)
    return files[0].layout.grid
