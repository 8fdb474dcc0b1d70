"""kerchunk references: a Zarr store whose chunks are byte ranges of files elsewhere.

They are a JSON, or a folder of Parquet files. The format is that of version 1 of
https://fsspec.github.io/kerchunk/spec.html, without its templates and generators.

References come from strangers. They are read as plain data into one table, and nothing that they
lead to is opened before every file behind them is known to lie where the run may read.
"""

import asyncio
import base64
import binascii
import io
import json
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import pyarrow
import pyarrow.parquet
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import public
from luray.storage.store_names import is_references
from luray.storage.trust import configured, require_within

Part = bytes | tuple[str, int | None, int | None]
"""A value of the store: its bytes, or a target with offset and length (None: the whole file)."""

MAX_BYTES = 2**28
"""Largest JSON or Parquet file of references."""
MAX_REFERENCES = 5_000_000
"""References of the largest table."""
COLUMNS = ("path", "offset", "size", "raw")
"""The columns of a Parquet file that are read."""
CACHED_TABLES = 16
"""Tables of references that a process remembers."""

STAMP_KEYS = ("ETag", "etag", "mtime", "LastModified", "size")
"""Keys of file systems for properties of a file that change with its content."""
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
    pyarrow.ArrowException,
    FileNotFoundError,
)
"""Errors of reading a file that holds no references."""


def targets(url: str) -> tuple[str, ...]:
    """Return the files behind references, sorted; none for anything else than references.

    Raises
    ------
    InputError
        For references that cannot be read.
    RefusedError
        Where one leads outside of what the run allows.
    """
    return load_references(url).targets if is_references(url) else ()


@dataclass(frozen=True)
class References:
    """A table of references: where it was read, and the value of each key of the Zarr store."""

    url: str
    parts: Mapping[str, Part]

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The files that it leads to, sorted."""
        files = {part[0] for part in self.parts.values() if not isinstance(part, bytes)}
        return tuple(sorted(files))


def load_references(url: str) -> References:
    """Read the references at a place and check all of them.

    They are remembered until the file changes.

    Parameters
    ----------
    url : str
        A JSON file, or a folder of Parquet files with its .zmetadata.

    Raises
    ------
    InputError
        For a file that holds no references or is damaged.
    RefusedError
        Where a target lies neither beside the references nor below a root that the run allows.
    """
    fs, path = filesystem(url)
    is_parquet = not public(url).endswith(".json")
    index = f"{path.rstrip('/')}/.zmetadata" if is_parquet else path
    try:
        info = fs.info(index)
    except FileNotFoundError:
        lacking = " (no .zmetadata)" if is_parquet else ""
        raise InputError(
            f"{public(url)}: found no kerchunk references{lacking}; write them with "
            "`luray virtualize`"
        ) from None
    if (info.get("size") or 0) > MAX_BYTES:
        raise InputError(
            f"{public(url)}: references of {info['size']} bytes, expected at most {MAX_BYTES}; "
            "write them as Parquet with `luray virtualize`"
        )
    stamp = tuple(str(info.get(key)) for key in STAMP_KEYS)
    return _load(url, stamp, configured().allow)


@lru_cache(maxsize=CACHED_TABLES)
def _load(url: str, stamp: tuple[str, ...], allow: tuple[str, ...]) -> References:
    """Read and check references.

    `stamp` and `allow` are part of the key under which they are remembered: another file, or other
    roots, and they are read and checked again.
    """
    fs, path = filesystem(url)
    folder = url.rstrip("/").rsplit("/", 1)[0]
    try:
        if public(url).endswith(".json"):
            parts = _of_json(fs.cat_file(path))
        else:
            parts = _of_parquet(fs, path.rstrip("/"))
    except UNREADABLE as error:
        raise InputError(
            f"{public(url)}: cannot be read as kerchunk references ({error}); write them with "
            "`luray virtualize`"
        ) from error

    absolute = {target: _absolute(target, folder) for target in References(url, parts).targets}
    for target in absolute.values():
        require_within(target, [folder + "/"], led_by=f"{public(url)}, kerchunk references,")

    # what is opened later is what was checked here
    checked: dict[str, Part] = {}
    for key, part in parts.items():
        if isinstance(part, bytes):
            checked[key] = part
        else:
            target, offset, length = part
            checked[key] = absolute[target], offset, length
    return References(url, checked)


def _absolute(target: str, folder: str) -> str:
    """Return a target as a URL or an absolute path; a relative one is beside the references."""
    if target.startswith("file://"):
        return target.removeprefix("file://")
    return target if "://" in target or target.startswith("/") else f"{folder}/{target}"


def _of_json(text: bytes) -> dict[str, Part]:
    """Return the table of a JSON file. Raises ValueError where it holds none."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"a JSON {type(content).__name__}, expected an object")
    for key in ("templates", "gen"):
        if content.get(key):
            raise ValueError(
                f"{key!r} of references is code, which is not run; expected plain references"
            )

    refs = content.get("refs", content)
    if ".zgroup" not in refs:
        raise ValueError(
            "no .zgroup among its keys, expected references to a Zarr group of version 2"
        )
    if len(refs) > MAX_REFERENCES:
        raise ValueError(f"{len(refs)} references, expected at most {MAX_REFERENCES}")
    return {key: _part(key, value) for key, value in refs.items()}


def _part(key: str, value: Any) -> Part:
    """Return a value of the table. Raises ValueError for anything but data and byte ranges."""
    match value:
        case str() if value.startswith("base64:"):
            try:
                return base64.b64decode(value.removeprefix("base64:"), validate=True)
            except binascii.Error as error:
                raise ValueError(f"{key} is not base64: {error}") from None
        case str():
            return value.encode()
        case dict():
            return json.dumps(value).encode()
        case [str(target)] if target:
            return target, None, None
        case [str(target), int(offset), int(length)] if target and offset >= 0 and length >= 0:
            return target, offset, length
    raise ValueError(f"{key} is {str(value)[:80]}, expected data or [target, offset, length]")


def _of_parquet(fs: Any, path: str) -> dict[str, Part]:
    """Return the table of a folder of Parquet files.

    The file .zmetadata has the metadata of all variables. The chunks of a variable lie in order in
    records, each a file of `record_size` rows.
    """
    content = json.loads(fs.cat_file(f"{path}/.zmetadata"))
    metadata = content["metadata"]
    size = content["record_size"]
    if not isinstance(size, int) or not 0 < size <= MAX_REFERENCES or ".zgroup" not in metadata:
        raise ValueError(
            f"record_size {size!r} and keys {list(metadata)[:5]}, expected a Zarr group of "
            "version 2"
        )

    parts = {key: _part(key, value) for key, value in metadata.items()}
    names = [key.removesuffix("/.zarray") for key in metadata if key.endswith("/.zarray")]
    total = 0
    for name in names:
        counts = _chunk_counts(metadata[f"{name}/.zarray"])
        # before any record is read: the metadata may claim any number of chunks
        total += math.prod(counts)
        if total > MAX_REFERENCES or {"", ".", ".."} & set(name.split("/")):
            raise ValueError(
                f"variable {name[:80]!r} of {counts} chunks, expected a plain name and at most "
                f"{MAX_REFERENCES} chunks in all"
            )

        keys = _chunk_keys(counts)
        for record in range(math.ceil(math.prod(counts) / size)):
            file = f"{path}/{name}/refs.{record}.parq"
            if not counts and not fs.exists(file):
                continue  # a scalar that only carries attributes
            rows = _rows(fs.cat_file(file), size, f"{name}/refs.{record}.parq")
            # The keys go on where those of the record before ended. The rows come first: zip asks
            # its first argument first, so no key is lost when they end.
            for part, key in zip(rows, keys, strict=False):
                if part is not None:
                    parts[f"{name}/{key}"] = part
    return parts


def _chunk_counts(array: Mapping[str, Any]) -> list[int]:
    """Return the number of chunks along each dimension of an array, from its metadata."""
    shape = array["shape"]
    chunks = array["chunks"]
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"shape {str(shape)[:80]}, expected whole numbers of at least 0")
    if not all(type(length) is int and length > 0 for length in chunks):
        raise ValueError(f"chunks {str(chunks)[:80]}, expected whole numbers of at least 1")
    return [math.ceil(length / chunk) for length, chunk in zip(shape, chunks, strict=True)]


def _chunk_keys(counts: list[int]) -> Iterator[str]:
    """Yield the keys of the chunks of an array, in order; a scalar has the one chunk 0."""
    if not counts:
        yield "0"
        return
    for numbers in product(*map(range, counts)):
        yield ".".join(map(str, numbers))


def _rows(data: bytes, size: int, where: str) -> Iterable[Part | None]:
    """Yield the values of one Parquet file, None for a chunk that is not there.

    Its four plain columns are read and nothing else.
    """
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        about = file.metadata
        n_bytes = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > size or n_bytes > MAX_BYTES:
            raise ValueError(
                f"{where} has {about.num_rows} rows in {n_bytes} bytes, expected at most {size} "
                f"rows in {MAX_BYTES} bytes"
            )
        table = file.read(columns=[name for name in COLUMNS if name in file.schema_arrow.names])
    except OSError as error:  # what pyarrow says of damaged pages, though no store is asked
        raise ValueError(f"{where}: {error}") from error

    def column(name: str) -> list[Any]:
        return table[name].to_pylist() if name in table.column_names else [None] * len(table)

    for path, offset, length, raw in zip(*map(column, COLUMNS), strict=True):
        if raw is not None:
            yield raw if isinstance(raw, bytes) else _part(where, raw)
        elif path is None:
            yield None
        else:
            target = path.decode() if isinstance(path, bytes) else path
            yield _part(where, [target] if not length else [target, offset, length])


@dataclass(eq=False)
class ReferenceStore(Store):
    """Read-only Zarr store over references.

    A byte range that is not there is an error, never a missing chunk.
    """

    references: References

    def __post_init__(self) -> None:
        super().__init__(read_only=True)
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReferenceStore) and other.references == self.references

    supports_writes = supports_deletes = False
    supports_listing = True

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the value of a key, None where it has none.

        Raises InputError where a target is gone or too short.
        """
        part = self.references.parts.get(key)
        if part is None:
            return None
        data = part if isinstance(part, bytes) else await self._fetch(key, *part)
        return prototype.buffer.from_bytes(data[_slice(byte_range, len(data))])

    async def _fetch(self, key: str, target: str, offset: int | None, length: int | None) -> bytes:
        """Read a byte range of a target, or the whole file."""
        start = None
        end = None
        if offset is not None and length is not None:
            start = offset
            end = offset + length
        fs, path = filesystem(target)
        where = f"{public(self.references.url)}: {key} is in {public(target)}"
        try:
            data: bytes = await asyncio.to_thread(fs.cat_file, path, start=start, end=end)
        except FileNotFoundError as error:
            raise InputError(
                f"{where}, which is not there; get it or write the references again"
            ) from error
        if length is not None and len(data) != length:
            raise InputError(
                f"{where}, which gives {len(data)} bytes at {offset}, expected {length}; the file "
                "was cut or replaced: write the references again"
            )
        return data

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return the values of several keys, one after another."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return True when there is a value or a reference."""
        return key in self.references.parts

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: references are only read."""
        raise NotImplementedError("references are only read")

    async def delete(self, key: str) -> None:
        """Refuse: references are only read."""
        raise NotImplementedError("references are only read")

    async def list(self) -> AsyncIterator[str]:
        """Yield every key."""
        for key in self.references.parts:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield every key that begins with a prefix."""
        for key in self.references.parts:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a folder."""
        folder = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
        below = [
            key.removeprefix(folder) for key in self.references.parts if key.startswith(folder)
        ]
        names = {key.split("/", 1)[0] for key in below}
        for name in sorted(names):
            yield name


def _slice(byte_range: ByteRequest | None, length: int) -> slice:
    """Return the part of a value of `length` bytes that Zarr asks for."""
    match byte_range:
        case RangeByteRequest(start, end):
            return slice(start, end)
        case OffsetByteRequest(offset):
            return slice(offset, None)
        case SuffixByteRequest(suffix):
            return slice(max(0, length - suffix), None)
    return slice(None)
