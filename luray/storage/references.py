"""kerchunk references: a Zarr store whose chunks are byte ranges of files elsewhere, as JSON or as
a folder of Parquet.

References come from strangers. They are read as plain data into one table, and nothing that they
lead to is opened before every file behind them is known to lie where the run may read.
"""

import asyncio
import base64
import binascii
import io
import json
import math
from collections.abc import AsyncIterator, Iterable, Mapping
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
from luray.storage.trust import configured, require_within

Part = bytes | tuple[str, int | None, int | None]
"""A value of the store: its bytes, or a target with offset and length (None for the whole file)."""

SUFFIXES = (".json", ".parquet", ".parq")
MAX_BYTES = 2**28
"""Largest JSON or Parquet file of references."""
MAX_REFERENCES = 5_000_000
COLUMNS = ("path", "offset", "size", "raw")
CACHED_TILES = 16
"""Tables of references that a process remembers."""


def is_references(url: str) -> bool:
    """True for the name of kerchunk references."""
    return public(url).rstrip("/").endswith(SUFFIXES)


def targets(url: str) -> tuple[str, ...]:
    """The files behind references, sorted; empty for anything else than references.

    Raises InputError for references that cannot be read, RefusedError where one leads outside.
    """
    return load_references(url).targets if is_references(url) else ()


@dataclass(frozen=True)
class References:
    """A table of references: where it was, and the value of each key of the Zarr store."""

    url: str
    parts: Mapping[str, Part]

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The files that it leads to, sorted."""
        return tuple(
            sorted({part[0] for part in self.parts.values() if not isinstance(part, bytes)})
        )


def load_references(url: str) -> References:
    """The references at a place, all of them checked; remembered until the file changes.

    Raises InputError for a file that holds none or is damaged, RefusedError where a target lies
    neither beside the references nor below a root that the run allows.
    """
    fs, path = filesystem(url)
    parquet = not public(url).endswith(".json")
    index = f"{path.rstrip('/')}/.zmetadata" if parquet else path
    try:
        info = fs.info(index)
    except FileNotFoundError:
        raise InputError(
            f"{public(url)}: found no kerchunk references{' (no .zmetadata)' if parquet else ''}; "
            "write "
            "them with `luray virtualize`"
        ) from None
    if (info.get("size") or 0) > MAX_BYTES:
        raise InputError(
            f"{public(url)}: references of {info['size']} bytes, expected at most {MAX_BYTES}; "
            "write them "
            "as Parquet with `luray virtualize`"
        )
    stamp = tuple(str(info.get(key)) for key in ("ETag", "etag", "mtime", "LastModified", "size"))
    return _load(url, stamp, configured().allow)


@lru_cache(maxsize=CACHED_TILES)
def _load(url: str, stamp: tuple[str, ...], allow: tuple[str, ...]) -> References:
    """The references at a place; `stamp` and `allow` tell apart what must be read and checked
    again.
    """
    fs, path = filesystem(url)
    folder = url.rstrip("/").rsplit("/", 1)[0]
    try:
        parts = (
            _of_json(fs.cat_file(path))
            if public(url).endswith(".json")
            else _of_parquet(fs, path.rstrip("/"))
        )
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        pyarrow.ArrowException,
        FileNotFoundError,
    ) as error:
        raise InputError(
            f"{public(url)}: cannot be read as kerchunk references ({error}); write them with "
            "`luray "
            "virtualize`"
        ) from error
    absolute = {target: _absolute(target, folder) for target in References(url, parts).targets}
    for target in absolute.values():
        require_within(target, [folder + "/"], led_by=f"{public(url)}, kerchunk references,")
    return References(
        url,
        {
            key: part if isinstance(part, bytes) else (absolute[part[0]], *part[1:])
            for key, part in parts.items()
        },
    )


def _absolute(target: str, folder: str) -> str:
    """A target as a URL or an absolute path; a relative one is beside the references."""
    if target.startswith("file://"):
        return target.removeprefix("file://")
    return target if "://" in target or target.startswith("/") else f"{folder}/{target}"


def _of_json(text: bytes) -> dict[str, Part]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"a JSON {type(found).__name__}, expected an object")
    for key in ("templates", "gen"):
        if found.get(key):
            raise ValueError(
                f"{key!r} of references is code, which is not run; expected plain references"
            )
    refs = found.get("refs", found)
    if ".zgroup" not in refs:
        raise ValueError(
            "no .zgroup among its keys, expected references to a Zarr group of version 2"
        )
    if len(refs) > MAX_REFERENCES:
        raise ValueError(f"{len(refs)} references, expected at most {MAX_REFERENCES}")
    return {key: _part(key, value) for key, value in refs.items()}


def _part(key: str, value: Any) -> Part:
    """A checked value of the table. Raises ValueError for anything but data and byte ranges."""
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
    """References of a folder: metadata in `.zmetadata`, and for each variable its chunks in order,
    a file a record.
    """
    index = json.loads(fs.cat_file(f"{path}/.zmetadata"))
    metadata, size = index["metadata"], index["record_size"]
    if not isinstance(size, int) or not 0 < size <= MAX_REFERENCES or ".zgroup" not in metadata:
        raise ValueError(
            f"record_size {size!r} and keys {list(metadata)[:5]}, expected a Zarr group of version "
            "2"
        )
    parts = {key: _part(key, value) for key, value in metadata.items()}
    total = 0
    for name in [key.removesuffix("/.zarray") for key in metadata if key.endswith("/.zarray")]:
        array = metadata[f"{name}/.zarray"]
        counts = [
            math.ceil(n / chunk) for n, chunk in zip(array["shape"], array["chunks"], strict=True)
        ]
        total += math.prod(counts)
        if total > MAX_REFERENCES or {"", ".", ".."} & set(name.split("/")):
            raise ValueError(
                f"variable {name[:80]!r} of {counts} chunks, expected a plain name and at most "
                f"{MAX_REFERENCES} chunks in all"
            )
        keys = (
            (".".join(map(str, index)) for index in product(*map(range, counts)))
            if counts
            else iter(["0"])
        )
        for record in range(math.ceil(math.prod(counts) / size)):
            file = f"{path}/{name}/refs.{record}.parq"
            if not counts and not fs.exists(file):
                continue  # a scalar that only carries attributes
            rows = _rows(fs.cat_file(file), size, f"{name}/refs.{record}.parq")
            parts |= {
                f"{name}/{key}": part
                for part, key in zip(rows, keys, strict=False)
                if part is not None
            }
    return parts


def _rows(data: bytes, size: int, where: str) -> Iterable[Part | None]:
    """The values of one Parquet file, None for a chunk that is not there; only its four plain
    columns are looked at.
    """
    file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
    held = file.metadata
    unpacked = sum(held.row_group(i).total_byte_size for i in range(held.num_row_groups))
    if held.num_rows > size or unpacked > MAX_BYTES:
        raise ValueError(
            f"{where} has {held.num_rows} rows in {unpacked} bytes, expected at most {size} rows "
            "in "
            f"{MAX_BYTES} bytes"
        )
    table = file.read(columns=[c for c in COLUMNS if c in file.schema_arrow.names])
    none = [None] * len(table)
    paths, offsets, sizes, raws = (
        table[c].to_pylist() if c in table.column_names else none for c in COLUMNS
    )
    for path, offset, length, raw in zip(paths, offsets, sizes, raws, strict=True):
        if raw is not None:
            yield raw if isinstance(raw, bytes) else _part(where, raw)
        elif path is None:
            yield None
        else:
            target = path.decode() if isinstance(path, bytes) else path
            yield _part(where, [target] if not length else [target, offset, length])


@dataclass(eq=False)
class ReferenceStore(Store):
    """Read-only Zarr store over references; a byte range that is not there is an error, never a
    missing chunk.
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
        """The value of a key, None where it has none. Raises InputError where a target is gone or
        too short.
        """
        part = self.references.parts.get(key)
        if part is None:
            return None
        data = part if isinstance(part, bytes) else await self._fetch(key, *part)
        return prototype.buffer.from_bytes(data[_slice(byte_range, len(data))])

    async def _fetch(self, key: str, target: str, offset: int | None, length: int | None) -> bytes:
        start, end = (None, None) if offset is None or length is None else (offset, offset + length)
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
                "was cut "
                "or replaced: write the references again"
            )
        return data

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Values of several keys, one after another."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """True when there is a value or a reference."""
        return key in self.references.parts

    async def set(self, key: str, value: Buffer) -> None:
        """References are only read."""
        raise NotImplementedError("references are only read")

    async def delete(self, key: str) -> None:
        """References are only read."""
        raise NotImplementedError("references are only read")

    async def list(self) -> AsyncIterator[str]:
        """Every key."""
        for key in self.references.parts:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Every key that begins with a prefix."""
        for key in self.references.parts:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names directly below a folder."""
        folder = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
        names = {
            key[len(folder) :].split("/", 1)[0]
            for key in self.references.parts
            if key.startswith(folder)
        }
        for name in sorted(names):
            yield name


def _slice(byte_range: ByteRequest | None, length: int) -> slice:
    match byte_range:
        case RangeByteRequest(start, end):
            return slice(start, end)
        case OffsetByteRequest(offset):
            return slice(offset, None)
        case SuffixByteRequest(suffix):
            return slice(max(0, length - suffix), None)
    return slice(None)
