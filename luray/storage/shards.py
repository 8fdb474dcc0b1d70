"""Shards of Zarr arrays as bytes, encoded and decoded without Zarr, whole or chunk by chunk.

For each chunk of a shard Zarr starts a coroutine and a thread: a map of 2000 x 2000 cells takes it
three times as long as its compression. What is written here is, to the byte, what Zarr writes.

The format: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Self

import numpy as np
from numcodecs import Blosc
from numcodecs.checksum32 import CRC32C
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

from luray.core.types import U8, U64

EMPTY = np.uint64(2**64 - 1)
"""Offset and length of a chunk that is not stored, as it holds nothing but the fill value."""
SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE}
CHECKSUM = CRC32C(location="end")
CHECKSUM_BYTES = 4
WHOLE = slice(None)


@dataclass(frozen=True)
class ShardFormat:
    """How values become a shard; two arrays of one format hold equal values in equal bytes.

    Shapes leave out the first axes of a shard along which it has one index only, such as years.
    """

    shard: tuple[int, ...]
    """Shape of a shard."""
    chunk: tuple[int, ...]
    """Shape of a chunk, which divides it."""
    dtype: np.dtype[Any]
    fill_value: Any
    compressor: Blosc

    @classmethod
    def of(cls, array: Any) -> Self:
        """Return the format of a Zarr array that luray created, see `storage.arrays.tile_array`."""
        metadata: Any = array.metadata
        shape = metadata.chunk_grid.chunk_shape
        [sharding] = metadata.codecs
        assert isinstance(sharding, ShardingCodec), f"{array.path} has no shards"
        assert sharding.index_location.value == "start", f"{array.path}: the index comes last"
        to_bytes, blosc, checksum = sharding.codecs
        assert isinstance(to_bytes, BytesCodec), f"{array.path}: {to_bytes}"
        assert isinstance(blosc, BloscCodec), f"{array.path}: {blosc}"
        assert isinstance(checksum, Crc32cCodec), f"{array.path}: {checksum}"

        n_single = 0
        while n_single < len(shape) - 2 and shape[n_single] == 1:
            n_single += 1
        compressor = Blosc(
            cname=blosc.cname.value,
            clevel=blosc.clevel,
            shuffle=SHUFFLES[blosc.shuffle.value],
            blocksize=blosc.blocksize,
            typesize=blosc.typesize,
        )
        return cls(
            shape[n_single:],
            sharding.chunk_shape[n_single:],
            array.dtype,
            array.fill_value,
            compressor,
        )

    def encode(self, values: NDArray[Any]) -> bytes | None:
        """Return the shard of some values, None for one that Zarr does not store.

        Parameters
        ----------
        values : array
            Of a whole shard, or of the part of it that lies in the array.
        """
        padded = self._padded(values)
        index = self.empty_index
        begin = index.nbytes + CHECKSUM_BYTES
        encoded_chunks = []
        for place in self._z_order:
            chunk = np.ascontiguousarray(padded[self._cells(place)])
            if self._is_empty(chunk):
                continue
            encoded = _with_checksum(self.compressor.encode(chunk))
            index[place] = begin, len(encoded)
            begin += len(encoded)
            encoded_chunks.append(encoded)
        if not encoded_chunks:
            return None
        return b"".join([_with_checksum(index.astype("<u8").tobytes()), *encoded_chunks])

    def decode(self, shard: bytes) -> NDArray[Any]:
        """Return the values of a shard, those beyond the edge of the array included.

        Raises
        ------
        ValueError
            If a checksum does not fit.
        """
        values = np.full(self.shard, self.fill_value, self.dtype)
        index = self.decode_index(shard[: self.index_bytes])
        for place in np.ndindex(self._chunks):
            stored = stored_range(index, place)
            if stored is not None:
                values[self._cells(place)] = self.decode_chunk(shard, stored)
        return values

    @property
    def index_bytes(self) -> int:
        """Length of the index, with which a shard begins."""
        return 2 * EMPTY.nbytes * int(np.prod(self._chunks)) + CHECKSUM_BYTES

    @property
    def empty_index(self) -> U64:
        """Index of a shard that holds nothing but the fill value, and so is not stored."""
        return np.full((*self._chunks, 2), EMPTY, np.uint64)

    def decode_index(self, data: bytes) -> U64:
        """Return the first byte and the length of each chunk of a shard, `EMPTY` for those of fill.

        Parameters
        ----------
        data : bytes
            The first `index_bytes` of the shard.

        Returns
        -------
        array of uint64, shape (chunks along each axis, 2)

        Raises
        ------
        ValueError
            If the checksum does not fit.
        """
        index: U64 = _checked(data).view("<u8")
        return index.reshape(*self._chunks, 2)

    def decode_chunk(self, data: bytes, stored: slice = WHOLE) -> NDArray[Any]:
        """Return the values of one chunk, which is all of some bytes or a part of them.

        Raises
        ------
        ValueError
            If the checksum does not fit.
        """
        chunk = np.empty(self.chunk, self.dtype)
        self.compressor.decode(_checked(data, stored), out=chunk)
        return chunk

    def _is_empty(self, chunk: NDArray[Any]) -> bool:
        """Return whether a chunk holds nothing but the fill value, which may be NaN."""
        # Most chunks are told by their first value alone.
        empty = np.array(self.fill_value, self.dtype)
        equal_nan = self.dtype.kind == "f"
        first_is_empty = np.array_equal(chunk.flat[0], empty, equal_nan=equal_nan)
        return first_is_empty and np.array_equal(
            chunk, np.broadcast_to(empty, chunk.shape), equal_nan=equal_nan
        )

    @cached_property
    def _z_order(self) -> list[tuple[int, ...]]:
        return z_order(self._chunks)

    @cached_property
    def _chunks(self) -> tuple[int, ...]:
        """Chunks of a shard along each axis."""
        return tuple(n // c for n, c in zip(self.shard, self.chunk, strict=True))

    def _cells(self, place: tuple[int, ...]) -> tuple[slice, ...]:
        """Return where a chunk lies in its shard."""
        return tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, self.chunk, strict=True))

    def _padded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of a whole shard: beyond the edge of the array it holds the fill value."""
        assert values.dtype == self.dtype, f"{values.dtype} is not {self.dtype}"
        values = values.reshape(values.shape[values.ndim - len(self.shard) :])
        if values.shape == self.shard:
            return values
        padded = np.full(self.shard, self.fill_value, self.dtype)
        lengths: tuple[int, ...] = values.shape
        padded[tuple(slice(0, length) for length in lengths)] = values
        return padded


class LatestShards:
    """The latest shard of each array, for values that come again.

    The confidence of observed maps is the same in every year, say. It needs the bytes of one shard
    of each array, and of its values.
    """

    def __init__(self) -> None:
        self._latest: dict[str, tuple[NDArray[Any], bytes | None]] = {}

    def put(self, array: str, values: NDArray[Any], shard: bytes | None) -> None:
        """Remember the shard of some values, which must not change any more."""
        self._latest[array] = values, shard

    def encode(self, array: str, values: NDArray[Any], shard_format: ShardFormat) -> bytes | None:
        """Return the shard of some values, see `ShardFormat.encode`."""
        latest_values, latest_shard = self._latest.get(array, (None, None))
        if latest_values is not None and np.array_equal(latest_values, values):
            return latest_shard
        shard = shard_format.encode(values)
        self.put(array, values, shard)
        return shard


def z_order(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return all places of a small array in the order in which Zarr stores chunks in a shard.

    Places are ordered by their bits: the last ones of all axes first, the first axis last of them.

    Examples
    --------
    >>> z_order((2, 3))
    [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    """

    def bits(place: tuple[int, ...]) -> int:
        number = 0
        for axis, position in enumerate(place):
            for bit in range(position.bit_length()):
                number |= (position >> bit & 1) << (bit * len(place) + axis)
        return number

    return sorted(product(*map(range, shape)), key=bits)


def stored_range(index: U64, place: tuple[int, ...]) -> slice | None:
    """Return where the bytes of a chunk lie in its shard; None for one that is not stored."""
    begin, length = index[place]
    if begin == EMPTY:
        return None
    return slice(int(begin), int(begin + length))


def _with_checksum(data: bytes) -> bytes:
    """Return data with its checksum behind it."""
    return bytes(CHECKSUM.encode(data))


def _checked(data: bytes, part: slice = WHOLE) -> U8:
    """Return a part of data without the checksum at its end.

    Raises ValueError where that does not fit.
    """
    # A view: to copy a chunk takes about as long as to decompress it.
    checked: U8 = np.frombuffer(data, np.uint8)[part]
    content = checked[:-CHECKSUM_BYTES]
    checksum = checked[-CHECKSUM_BYTES:].tobytes()
    if int.from_bytes(checksum, "little") != CHECKSUM.checksum(content) or not content.size:
        raise ValueError("a chunk does not fit its checksum: the shard is damaged")
    return content
