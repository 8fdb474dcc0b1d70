"""Open NetCDF files, Zarr stores and kerchunk references, and read their undecoded values."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from traceback import clear_frames
from typing import Any, NamedTuple

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import H5NetCDFStore

from luray.sources.file_formats import HEAD_BYTES, NETCDF_4, identify_format
from luray.sources.hdf5_guard import HeapGuard, require_one_file
from luray.sources.netcdf_3_header import require_whole_header
from luray.sources.refusals import BROKEN, BROKEN_NETCDF_3, EXPECTED, other_format, refusal
from luray.storage.absent_chunks import ArrayIndex, require_chunks
from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import is_local, public
from luray.storage.store_names import is_store
from luray.storage.zarr_inputs import open_dataset, open_group, values_of

ReadValues = Callable[[str, ArrayIndex], NDArray[Any]]
"""Reads the undecoded values of a variable at an index."""


@contextmanager
def open_netcdf(url: str) -> Iterator[xr.Dataset]:
    """Open a NetCDF file (version 3 or 4), Zarr store or references, without any decoding.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    if is_store(url):
        with refusal(url, "Zarr", BROKEN), open_dataset(url) as data:
            yield data
        return
    # Only opening and closing may fail in all of the ways that the libraries do. Inside the `with`
    # of the caller a ValueError is the caller's.
    with refusal(url, "NetCDF", (OSError,)), _open_source(url) as source:
        if source.is_hdf5:
            with ExitStack() as resources:
                with refusal(url, "NetCDF", BROKEN):
                    store = _hdf5_store(source, resources)
                    data = xr.open_dataset(store, engine="store", decode_cf=False, cache=False)
                with data:
                    yield data
        else:
            with _open_netcdf_3(url, source) as data:
                yield data


def _hdf5_store(source: "_Source", resources: ExitStack) -> H5NetCDFStore:
    """Open an HDF5 file for xarray; `resources` close it.

    xarray would close a file that it has opened itself, but not one that it could not open.
    """
    if source.is_local:
        # A file that another process is writing is told by its lock, which only a path has.
        resources.enter_context(h5py.File(source.path_or_file, "r"))
    guard = HeapGuard(source.file, where=source.shown)
    file = resources.enter_context(h5py.File(guard, "r"))
    # What h5netcdf cannot read at first it leaves half made, and when that goes, an error is
    # printed that nobody can catch. So the same is read here before.
    file.attrs.get("_nc3_strict")
    return H5NetCDFStore(h5netcdf.File(file, "r", decode_vlen_strings=True))


@contextmanager
def _open_netcdf_3(url: str, source: "_Source") -> Iterator[xr.Dataset]:
    """Open a file of version 3 with xarray."""
    require_whole_header(source.file, where=source.shown)
    source.file.seek(0)
    with refusal(url, "NetCDF", BROKEN_NETCDF_3), _closed_on_error():
        data = xr.open_dataset(source.path_or_file, engine="scipy", decode_cf=False, cache=False)
    try:
        yield data
    finally:
        with refusal(url, "NetCDF", BROKEN_NETCDF_3):
            data.close()


@contextmanager
def _closed_on_error() -> Iterator[None]:
    """Close what SciPy has opened and could not read.

    It leaves that to the collector of garbage, and prints a warning then.
    """
    try:
        yield
    except Exception as error:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The half-made object of SciPy is among the variables of the calls that failed.
            clear_frames(error.__traceback__)
        raise


@contextmanager
def open_values(url: str) -> Iterator[ReadValues]:
    """Open a file for reading undecoded values alone.

    For version 4 it costs a tenth of `open_netcdf`, which reads every variable's metadata.
    """
    if is_store(url):
        # The whole of it, reading included: a chunk that is damaged is found when it is decoded.
        with refusal(url, "Zarr", BROKEN):
            yield partial(values_of, open_group(url), where=public(url))
        return
    with refusal(url, "NetCDF", (OSError,)), _open_source(url) as source:
        # A damaged file may open, and fail when a variable is looked up or read.
        if source.is_hdf5:
            with h5py.File(source.path_or_file, "r") as file:

                def read_hdf5(name: str, index: ArrayIndex) -> NDArray[Any]:
                    with refusal(url, "NetCDF", BROKEN):
                        return _values_of_hdf5(file[name], index, where=f"{public(url)}: {name}")

                yield read_hdf5
        else:
            with _open_netcdf_3(url, source) as data:

                def read_netcdf_3(name: str, index: ArrayIndex) -> NDArray[Any]:
                    with refusal(url, "NetCDF", BROKEN_NETCDF_3):
                        return np.asarray(data.variables[name][index])

                yield read_netcdf_3


class RawHeader(NamedTuple):
    """The header of a NetCDF-4 file as HDF5 has it."""

    structure: tuple[object, ...]
    """Names, shapes, types and attributes of all variables, and the values of all coordinates but
    the times: equal for files that differ in values and times alone.
    """
    times: tuple[float, ...]


def raw_header(url: str, *, time_axis: str) -> RawHeader | None:
    """Read the header of a NetCDF-4 file without making sense of it.

    None for other formats and for files with groups.

    Parameters
    ----------
    url : str
        Local path or URL.
    time_axis : str
        Name of the time axis, empty for none.
    """
    if is_store(url):
        return None
    with refusal(url, "NetCDF", (OSError,)), _open_source(url) as source:
        if not source.is_hdf5:
            return None
        guard = HeapGuard(source.file, where=source.shown)
        with refusal(url, "NetCDF", BROKEN), h5py.File(guard, "r") as file:
            structure: list[object] = [_raw_attributes(file)]
            times: tuple[float, ...] = ()
            for name, variable in file.items():
                if not isinstance(variable, h5py.Dataset):
                    return None
                described = (name, variable.shape, variable.dtype.str, _raw_attributes(variable))
                structure.append(described)
                if name == time_axis:
                    times = tuple(variable[()].tolist())
                elif "CLASS" in variable.attrs:  # a dimension scale: a coordinate
                    structure.append(variable[()].tobytes())
            return RawHeader(tuple(structure), times)


REFERENCES = ("DIMENSION_LIST", "REFERENCE_LIST")
"""Attributes that name places in the file itself."""


def _raw_attributes(item: h5py.Group | h5py.Dataset) -> tuple[tuple[str, str], ...]:
    """Return the attributes of a file or variable in a form that can be compared."""
    described = []
    for name in item.attrs:
        if name in REFERENCES:
            continue
        value = item.attrs[name]
        # The text of a long array leaves out its middle.
        text = value.tobytes().hex() if isinstance(value, np.ndarray) else ""
        described.append((name, f"{type(value)} {getattr(value, 'dtype', '')} {value!r} {text}"))
    return tuple(described)


def _values_of_hdf5(variable: h5py.Dataset, index: ArrayIndex, *, where: str) -> NDArray[Any]:
    """Read the undecoded values of a variable of an HDF5 file.

    Raises InputError for chunks that were never written, which HDF5 reads as its fill value.
    """
    values = np.asarray(variable[index])
    chunks = variable.chunks or variable.shape

    def is_stored(chunk: tuple[int, ...]) -> bool:
        if variable.chunks is None:
            # Stored in one piece, or in the header of a small variable, which has no offset.
            return variable.id.get_offset() is not None or variable.id.get_storage_size() > 0
        first_cell = tuple(number * size for number, size in zip(chunk, chunks, strict=True))
        return variable.id.get_chunk_info_by_coord(first_cell).byte_offset is not None

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


class _Source(NamedTuple):
    """An open NetCDF file, and how libraries open it once more."""

    file: Any
    path_or_file: Any
    """The path of a local file, which libraries read faster."""
    is_local: bool
    is_hdf5: bool
    """Whether it is of version 4, not 3."""
    shown: str
    """Its place, for messages."""


@contextmanager
def _open_source(url: str) -> Iterator[_Source]:
    """Open a NetCDF file. Raises InputError for another format."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        file_format = identify_format(head)
        if file_format.name not in EXPECTED["NetCDF"]:
            raise InputError(other_format(url, "NetCDF", file_format))
        is_hdf5 = file_format.name == NETCDF_4
        if is_hdf5:
            require_one_file(head, where=public(url))
        file.seek(0)
        local = is_local(url)
        yield _Source(
            file=file,
            path_or_file=path if local else file,
            is_local=local,
            is_hdf5=is_hdf5,
            shown=public(url),
        )
