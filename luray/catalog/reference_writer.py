"""kerchunk references of a NetCDF file: made by VirtualiZarr, corrected, and written.

`luray.storage.references` reads them.
"""

import asyncio
import base64
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.parsers import HDFParser, NetCDF3Parser

from luray.storage.errors import InputError
from luray.storage.objects import filesystem, remove, write_atomically
from luray.storage.places import is_local
from luray.storage.zarr_inputs import quiet

CHUNK_BYTES = 2**22
"""Bytes into which uncompressed arrays are divided: a file that is one chunk could only be read
whole.
"""
RECORDS = 100_000
"""Most references in a Parquet file."""


def virtual_references(url: str) -> dict[str, Any]:
    """Return kerchunk references of a NetCDF file.

    Parameters
    ----------
    url : str
        A local path or a URL.

    Returns
    -------
    dict
        By the key of a Zarr 2 store: metadata as JSON, and [url, offset, length] of chunks.

    Raises
    ------
    InputError
        Where the file cannot be described by references.
    """
    place = f"file://{url}" if is_local(url) else url
    scheme, host = re.findall(r"^(\w+)://([^/]*)", place)[0]
    base = f"{scheme}://{host}/" if host else "/"
    registry: Any = ObjectStoreRegistry({f"{scheme}://{host}": _Files(base)})
    try:
        is_hdf5 = _first_bytes(url) == b"\x89HDF"
        parser = HDFParser(reader_factory=_open_in) if is_hdf5 else NetCDF3Parser()
        with quiet():
            store = parser(place, registry)
            dataset = store.to_virtual_dataset(loadable_variables=[], decode_times=False)
            refs: dict[str, Any] = dataset.vz.to_kerchunk(None, format="dict")["refs"]
    except (ValueError, TypeError, KeyError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{url}: cannot be described by references ({error}); leave it out and name the file "
            "itself in the run file, or write it as NetCDF-4"
        ) from error

    for name in _arrays(refs):
        _name_scalar(refs, name)
        _declare_fill(refs, name)
        _divide(refs, name)
    return refs


def _arrays(refs: Mapping[str, Any]) -> list[str]:
    """Return the names of the arrays."""
    return [key.removesuffix("/.zarray") for key in refs if key.endswith("/.zarray")]


class _Files:
    """The files of one store as VirtualiZarr wants them.

    They are read through luray's own file systems, with their options.
    """

    def __init__(self, base: str) -> None:
        self.base = base

    def open(self, path: str) -> Any:
        """Open a file."""
        fs, inner = filesystem(self.base + path)
        return fs.open(inner, "rb")

    def get(self, path: str) -> bytes:
        """Read a whole file."""
        fs, inner = filesystem(self.base + path)
        return bytes(fs.cat_file(inner))

    async def get_range_async(self, path: str, *, start: int, end: int) -> bytes:
        """Read bytes `start` to `end`."""
        fs, inner = filesystem(self.base + path)
        return bytes(await asyncio.to_thread(fs.cat_file, inner, start=start, end=end))


def _open_in(files: Any, path: str) -> Any:
    return files.open(path)


def _first_bytes(url: str) -> bytes:
    """Return the bytes by which HDF5 is told from NetCDF 3."""
    fs, path = filesystem(url)
    return bytes(fs.cat_file(path, start=0, end=4))


def _name_scalar(refs: dict[str, Any], name: str) -> None:
    """Give the only chunk of an array without dimensions the name that Zarr 2 looks for."""
    if f"{name}/" in refs:
        refs[f"{name}/0"] = refs.pop(f"{name}/")


def _declare_fill(refs: dict[str, Any], name: str) -> None:
    """Keep the declared missing value where Zarr 2 has it, and no other.

    VirtualiZarr takes HDF5's fill value, 0 in most files, which xarray would then read as missing.
    """
    array = json.loads(refs[f"{name}/.zarray"])
    attributes = json.loads(refs[f"{name}/.zattrs"])
    if attributes.pop("_FillValue", None) is None:
        array["fill_value"] = None
    refs[f"{name}/.zarray"] = json.dumps(array)
    refs[f"{name}/.zattrs"] = json.dumps(attributes)


def _divide(refs: dict[str, Any], name: str) -> None:
    """Divide the one chunk of an uncompressed array into even pieces of few bytes.

    Nothing is copied: uncompressed values can be read from any offset.
    """
    array = json.loads(refs[f"{name}/.zarray"])
    shape = array["shape"]
    item_bytes = np.dtype(array["dtype"]).itemsize
    array_bytes = math.prod(shape) * item_bytes
    is_plain = array["order"] == "C" and not array["filters"] and not array["compressor"]
    if not is_plain or array["chunks"] != shape or array_bytes <= CHUNK_BYTES:
        return
    whole = refs.get(f"{name}/{'.'.join('0' for _ in shape)}")
    if not isinstance(whole, list) or whole[2] != array_bytes:
        return
    url, offset, _ = whole

    # Pieces are whole rows of the first axis whose rows are small enough. The largest divisor of
    # its length that fits makes them even: Zarr wants chunks of one size.
    axis = next(
        i for i in range(len(shape)) if math.prod(shape[i + 1 :]) * item_bytes <= CHUNK_BYTES
    )
    row_bytes = math.prod(shape[axis + 1 :]) * item_bytes
    divisors = (d for d in range(1, shape[axis] + 1) if shape[axis] % d == 0)
    step = max(d for d in divisors if d * row_bytes <= CHUNK_BYTES)
    piece_bytes = step * row_bytes

    array["chunks"] = [1] * axis + [step] + shape[axis + 1 :]
    counts = [n // chunk for n, chunk in zip(shape, array["chunks"], strict=True)]
    for number, index in enumerate(np.ndindex(*counts)):
        key = f"{name}/{'.'.join(map(str, index))}"
        refs[key] = [url, offset + number * piece_bytes, piece_bytes]
    refs[f"{name}/.zarray"] = json.dumps(array)


def write_references(refs: Mapping[str, Any], place: str) -> None:
    """Write references as JSON or, where the place ends in .parquet, as kerchunk's Parquet folder.

    The index of a folder is written last: without it nothing else in the folder is looked at.

    The Parquet files are written here, by pyarrow, because no library's writer serves: kerchunk's
    `refs_to_dataframe`, which VirtualiZarr calls, works with fastparquet alone, an engine that
    pandas is dropping, and stops at arrays without dimensions; with pyarrow, fsspec's
    `LazyReferenceMapper` writes files that it cannot read by default. Files without empty columns,
    as here, are read by both engines.
    """
    if not place.endswith(".parquet"):
        write_atomically(place, json.dumps({"version": 1, "refs": refs}).encode())
        return

    remove(place)
    for name in _arrays(refs):
        array = json.loads(refs[f"{name}/.zarray"])
        chunks = [refs.get(f"{name}/{key}") for key in _chunk_keys(array)]
        for record, first in enumerate(range(0, len(chunks), RECORDS)):
            part = _parquet(chunks[first : first + RECORDS])
            write_atomically(f"{place}/{name}/refs.{record}.parq", part)

    metadata = {key: json.loads(refs[key]) for key in refs if _is_metadata(key)}
    index = {"metadata": metadata, "record_size": RECORDS}
    write_atomically(f"{place}/.zmetadata", json.dumps(index).encode())


def _is_metadata(key: str) -> bool:
    return key.rsplit("/", 1)[-1].startswith(".z")


def _chunk_keys(array: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of all chunks of an array in C order; 0 is that of one without dimensions."""
    if not array["shape"]:
        yield "0"
        return
    sizes = zip(array["shape"], array["chunks"], strict=True)
    counts = [math.ceil(length / chunk) for length, chunk in sizes]
    for index in np.ndindex(*counts):
        yield ".".join(map(str, index))


def _parquet(chunks: Sequence[Any]) -> bytes:
    """Return references of chunks in order, None for one that is not there, as a Parquet file."""
    ranges = [chunk if isinstance(chunk, list) else [None, 0, 0] for chunk in chunks]
    paths, offsets, sizes = zip(*ranges, strict=True)
    columns: dict[str, Any] = {
        "path": pyarrow.array(paths, pyarrow.string()).dictionary_encode(),
        "offset": pyarrow.array(offsets, pyarrow.int64()),
        "size": pyarrow.array(sizes, pyarrow.int64()),
    }
    inlined = [_bytes(chunk) if isinstance(chunk, str) else None for chunk in chunks]
    if any(value is not None for value in inlined):
        columns["raw"] = pyarrow.array(inlined, pyarrow.binary())
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, compression="zstd")
    return file.getvalue()


def _bytes(value: str) -> bytes:
    """Return the values of a chunk that is in the references themselves."""
    if value.startswith("base64:"):
        return base64.b64decode(value.removeprefix("base64:"))
    return value.encode()
