"""Zarr stores, and references that stand for one, opened as plain data.

Nothing is decoded by the CF conventions, and no codec runs that could run code.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from xarray.backends.zarr import FillValueCoder
from zarr import Array, AsyncArray
from zarr.core.group import Group
from zarr.core.metadata.v2 import ArrayV2Metadata
from zarr.errors import UnstableSpecificationWarning, ZarrUserWarning
from zarr.storage import FsspecStore

from luray.storage.absent_chunks import ArrayIndex, require_chunks
from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import is_local, public
from luray.storage.references import ReferenceStore, load_references
from luray.storage.store_names import is_references

CODECS = frozenset(
    (
        "bytes",
        "transpose",
        "sharding_indexed",
        "crc32c",
        "vlen-utf8",
        "vlen-bytes",
        "blosc",
        "zlib",
        "gzip",
        "bz2",
        "lzma",
        "lz4",
        "zstd",
        "pcodec",
        "zfpy",
        "shuffle",
        "delta",
        "fixedscaleoffset",
        "quantize",
        "bitround",
        "astype",
        "packbits",
        "crc32",
        "adler32",
        "fletcher32",
        "jenkins_lookup3",
    )
)
"""Codecs that only move bytes.

`pickle`, which runs what it reads, is not among them, nor is any codec that nobody has looked at.
"""

MAX_CHUNK = 2**30
"""Bytes of the largest chunk that is read: a worker holds it whole."""


def open_group(url: str) -> Group:
    """Open the root group of a Zarr store, or behind references.

    Parameters
    ----------
    url : str
        A store of version 2 or 3, with consolidated metadata or without, or kerchunk references.

    Raises
    ------
    InputError
        For an array that could run code or whose chunks fill the memory.
    """
    with quiet():
        if is_references(url):
            store = ReferenceStore(load_references(url))
            group: Group = zarr.open_group(store, mode="r", zarr_format=2, use_consolidated=False)
        else:
            group = zarr.open_group(_store(url), mode="r")
        for name, array in group.arrays():
            _require_plain(array, where=f"{public(url)}: {name}")
    return group


def _store(url: str) -> Any:
    """Return a store over the file system that everything else reads through.

    Zarr's own file systems would leave their sessions open.
    """
    if is_local(url):
        return url
    fs, path = filesystem(url)
    return FsspecStore(
        AsyncFileSystemWrapper(fs, asynchronous=True), read_only=True, path=path.rstrip("/")
    )


@contextmanager
def open_dataset(url: str) -> Iterator[xr.Dataset]:
    """Open the root group as a dataset without any decoding.

    Attributes are those of the file that the store was made of. Zarr 2 keeps `_FillValue` as the
    array's fill value; here it is an attribute again.
    """
    group = open_group(url)
    consolidated = group.metadata.consolidated_metadata is not None
    with (
        quiet(),
        xr.open_zarr(
            group.store,
            chunks=None,
            consolidated=consolidated,
            decode_cf=False,
            zarr_format=group.metadata.zarr_format,
            use_zarr_fill_value_as_mask=False,
            create_default_indexes=False,
        ) as data,
    ):
        for name, variable in data.variables.items():
            fill = _fill_of(group[str(name)], variable.attrs, references=is_references(url))
            attributes = {k: v for k, v in variable.attrs.items() if k != "_FillValue"}
            if fill is not None:
                attributes["_FillValue"] = fill
            variable.attrs = attributes
        yield data


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings that a codec or dtype is not in the specification of Zarr 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        yield


def _fill_of(array: Any, attributes: Mapping[str, Any], *, references: bool) -> Any:
    """Return the value that a variable declares missing, None where it declares none."""
    declared = attributes.get("_FillValue")
    if isinstance(declared, str) and array.dtype.kind == "f":
        return FillValueCoder.decode(declared, array.dtype)
    if declared is not None or array.metadata.zarr_format == 3:
        return declared

    fill = array.metadata.fill_value
    if fill is None or array.dtype.kind not in "iuf":
        return None
    # HDF5 gives a fill value of 0 to every variable that declares none
    if references and fill == 0:
        return None
    return fill


def _require_plain(array: Any, *, where: str) -> None:
    """Raise InputError for an array that could run code or whose chunks fill the memory."""
    unknown = set(_codecs(array.metadata)) - CODECS
    if unknown:
        raise InputError(
            f"{where} is packed with {', '.join(sorted(unknown))}, which luray does not run; "
            f"expected one of {', '.join(sorted(CODECS))}: write the store again"
        )

    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAX_CHUNK:
        raise InputError(
            f"{where} has chunks of {array.chunks} ({size} bytes), expected at most {MAX_CHUNK} "
            "bytes; rechunk it (`luray virtualize` splits the chunks of uncompressed NetCDF)"
        )
    # axes are read whole
    if array.ndim == 1 and array.nbytes > MAX_CHUNK:
        raise InputError(
            f"{where} has {array.shape[0]} values on one axis, expected at most {MAX_CHUNK} bytes;"
            " the metadata is damaged, get it again"
        )


def _codecs(metadata: Any) -> Iterator[str]:
    """Yield the names of an array's codecs, without Zarr 3's prefix for those of numcodecs."""
    if isinstance(metadata, ArrayV2Metadata):
        for codec in (*(metadata.filters or ()), metadata.compressor):
            if codec is not None:
                yield str(getattr(codec, "codec_id", codec))
        # objects without a filter are pickled
        if metadata.dtype.to_native_dtype().kind == "O" and not metadata.filters:
            yield "objects"
        return

    # sharding has codecs of its own, for the chunks inside and for their index
    pending = list(metadata.codecs)
    while pending:
        codec = pending.pop()
        settings = codec.to_dict()
        yield str(settings["name"]).removeprefix("numcodecs.")
        pending += [*getattr(codec, "codecs", ()), *getattr(codec, "index_codecs", ())]


def values_of(group: Group, name: str, index: Any, *, where: str = "") -> np.ndarray[Any, Any]:
    """Read undecoded values of a variable; only the chunks under the index are fetched.

    Parameters
    ----------
    group : Group
        From `open_group`.
    name : str
        Of the variable.
    index : tuple
        Whole numbers and slices, one for each dimension.
    where : str
        What the group is, for the error.

    Raises
    ------
    InputError
        For a chunk that is not in the store where no declared fill value says that it is missing:
        it would be read as the array's fill value, often 0, which is a value.
    """
    with quiet():
        array: Any = group[name]
        values = np.asarray(array[index])
        _require_stored(array, index, values, where=f"{where}: {name}")
    return values


def _require_stored(
    array: Any, index: ArrayIndex, values: np.ndarray[Any, Any], *, where: str
) -> None:
    """Raise InputError for values of a chunk that is not in the store, see `require_chunks`."""
    fill = array.metadata.fill_value
    # Zarr 2 keeps a declared `_FillValue` there, and 0 where none is declared
    if array.metadata.zarr_format == 2 and fill != 0:
        return

    def is_stored(chunk: tuple[int, ...]) -> bool:
        # A chunk that is there holds the same whatever fill value the metadata names; an absent
        # one is read as that value.
        cell = tuple(number * n for number, n in zip(chunk, array.chunks, strict=True))
        return bool(_with_other_fill(array)[cell] == fill)

    require_chunks(
        values,
        index,
        shape=array.shape,
        chunks=array.chunks,
        fill=fill,
        attributes=array.attrs,
        is_stored=is_stored,
        where=where,
    )


def _with_other_fill(array: Any) -> Any:
    """Return the same array with another fill value in its metadata."""
    other = np.nan if array.dtype.kind == "f" else int(array.metadata.fill_value == 0)
    metadata = replace(array.metadata, fill_value=array.dtype.type(other))
    stored = array.async_array
    return Array(AsyncArray(metadata=metadata, store_path=stored.store_path, config=stored.config))
