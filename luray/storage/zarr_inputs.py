"""Zarr stores, and references that stand for one, opened as plain data: no CF decoding, no codec
that runs code.
"""

import math
import re
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
from luray.storage.objects import exists, filesystem
from luray.storage.places import is_local, public
from luray.storage.references import ReferenceStore, is_references, load_references

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
"""Codecs that only move bytes; `pickle`, which runs what it reads, and those that nobody knows are
not among them.
"""

MAX_CHUNK = 2**30
"""Bytes of the largest chunk that is read: a worker holds it whole."""

NODES = ("zarr.json", ".zgroup", ".zmetadata")
FILES = re.compile(r"\.\w{2,5}$")


def is_store(url: str) -> bool:
    """True for a Zarr store or kerchunk references: by name, and for a folder without a suffix by
    what is in it.
    """
    name = public(url).rstrip("/")
    if is_references(url) or name.endswith(".zarr"):
        return True
    return not FILES.search(name) and any(exists(f"{url.rstrip('/')}/{node}") for node in NODES)


def open_group(url: str) -> Group:
    """The root group of a Zarr store of version 2 or 3, or behind references; consolidated metadata
    where there is.

    Raises InputError for an array that could run code or whose chunks fill the memory.
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
    """A store over the file system that everything else reads through; zarr's own would leave its
    sessions open.
    """
    if is_local(url):
        return url
    fs, path = filesystem(url)
    return FsspecStore(
        AsyncFileSystemWrapper(fs, asynchronous=True), read_only=True, path=path.rstrip("/")
    )


@contextmanager
def open_dataset(url: str) -> Iterator[xr.Dataset]:
    """The root group as a dataset without any decoding; attributes are those of the file it was
    made of.

    Zarr 2 keeps `_FillValue` as the array's fill value. Behind references a fill value of 0 is no
    such thing unless the attribute says so: HDF5 gives it to every variable that declares none.
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
            variable.attrs = {k: v for k, v in variable.attrs.items() if k != "_FillValue"}
            variable.attrs |= {} if fill is None else {"_FillValue": fill}
        yield data


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that a codec or dtype is not in the specification of Zarr 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        yield


def _fill_of(array: Any, attributes: Mapping[str, Any], *, references: bool) -> Any:
    """The value that a variable declares missing, None where it declares none."""
    declared = attributes.get("_FillValue")
    if isinstance(declared, str) and array.dtype.kind == "f":
        return FillValueCoder.decode(declared, array.dtype)
    if declared is not None or array.metadata.zarr_format == 3:
        return declared
    fill = array.metadata.fill_value
    return (
        None
        if fill is None or array.dtype.kind not in "iuf" or (references and fill == 0)
        else fill
    )


def _require_plain(array: Any, *, where: str) -> None:
    metadata = array.metadata
    names = set(_codecs(metadata))
    if names - CODECS:
        raise InputError(
            f"{where} is packed with {', '.join(sorted(names - CODECS))}, which luray does not "
            "run; "
            f"expected one of {', '.join(sorted(CODECS))}: write the store again"
        )
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAX_CHUNK:
        raise InputError(
            f"{where} has chunks of {array.chunks} ({size} bytes), expected at most {MAX_CHUNK} "
            "bytes; "
            "rechunk it (`luray virtualize` splits the chunks of uncompressed NetCDF)"
        )
    if array.ndim == 1 and array.nbytes > MAX_CHUNK:
        raise InputError(
            f"{where} has {array.shape[0]} values on one axis; the metadata is damaged, get it "
            "again"
        )


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of the codecs of an array, without the prefix that Zarr 3 gives those of numcodecs."""
    if isinstance(metadata, ArrayV2Metadata):
        held = [*(metadata.filters or ()), metadata.compressor]
        yield from (str(getattr(codec, "codec_id", codec)) for codec in held if codec is not None)
        if metadata.dtype.to_native_dtype().kind == "O" and not metadata.filters:
            yield "objects"
        return
    pending = list(metadata.codecs)
    while pending:
        codec = pending.pop()
        settings = codec.to_dict()
        yield str(settings["name"]).removeprefix("numcodecs.")
        pending += [*getattr(codec, "codecs", ()), *getattr(codec, "index_codecs", ())]


def values_of(group: Group, name: str, index: Any, *, where: str = "") -> np.ndarray[Any, Any]:
    """Undecoded values of a variable at an index of whole numbers and slices; only the chunks under
    it are read.

    Raises InputError for a chunk that is not in the store where no declared fill value says that it
    is missing: it would be read as the array's fill value, often 0, which is a value.
    """
    with quiet():
        array: Any = group[name]
        values = np.asarray(array[index])
        _require_stored(array, index, values, where=f"{where}: {name}")
    return values


def _require_stored(
    array: Any, index: ArrayIndex, values: np.ndarray[Any, Any], *, where: str
) -> None:
    fill = array.metadata.fill_value
    if array.metadata.zarr_format == 2 and fill != 0:
        return  # Zarr 2 keeps `_FillValue` there; 0 is what it writes where nobody declares one

    def is_stored(chunk: tuple[int, ...]) -> bool:
        # A chunk that is there holds the same whatever fill value the metadata names; an absent one
        # takes it.
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
    """The same array with another fill value in its metadata."""
    other = np.nan if array.dtype.kind == "f" else int(array.metadata.fill_value == 0)
    metadata = replace(array.metadata, fill_value=array.dtype.type(other))
    stored = array.async_array
    return Array(AsyncArray(metadata=metadata, store_path=stored.store_path, config=stored.config))
