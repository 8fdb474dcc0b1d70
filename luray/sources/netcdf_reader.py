"""Open NetCDF files, Zarr stores and kerchunk references, and read their undecoded values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from luray.sources.file_formats import HEAD_BYTES, identify_format
from luray.sources.refusals import BROKEN, ENGINES, other_format, refusal
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
    with refusal(url, "NetCDF", (OSError,)), _open_source(url) as (source, engine):
        # Only opening may fail in all of these ways: inside the `with` of the caller a ValueError
        # is the caller's.
        with refusal(url, "NetCDF", BROKEN):
            if engine == "h5netcdf":
                # What h5netcdf cannot read at first it leaves half open, and when that goes, an
                # error is printed that nobody can catch. So the same is read here before.
                with h5py.File(source, "r") as file:
                    file.attrs.get("_nc3_strict")
            data = xr.open_dataset(source, engine=engine, decode_cf=False, cache=False)
        with data:
            yield data


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
    with refusal(url, "NetCDF", (OSError,)), _open_source(url) as (source, engine):
        if engine == "scipy":
            with xr.open_dataset(source, engine=engine, decode_cf=False, cache=False) as data:
                yield lambda name, index: np.asarray(data.variables[name][index])
        else:
            with h5py.File(source, "r") as file:

                def read_values(name: str, index: ArrayIndex) -> NDArray[Any]:
                    # A damaged file may open, and fail when a variable is looked up or read.
                    with refusal(url, "NetCDF", BROKEN):
                        return _values_of_hdf5(file[name], index, where=f"{public(url)}: {name}")

                yield read_values


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


@contextmanager
def _open_source(url: str) -> Iterator[tuple[Any, str]]:
    """Yield a path or file object, and xarray's name of the NetCDF library that opens it."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        file_format = identify_format(file.read(HEAD_BYTES))
        if file_format.name not in ENGINES:
            raise InputError(other_format(url, "NetCDF", file_format))
        file.seek(0)
        yield path if is_local(url) else file, ENGINES[file_format.name]
