"""Rectangles of Zarr arrays, put together from decoded chunks that are remembered.

Training reads the same chunks over and over, in several threads. Inference reads each once, from
the top down, in strips.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from luray.core.arithmetic import ceil_div
from luray.core.tiling import Box
from luray.core.types import U64
from luray.storage.cache import ByteLRUCache
from luray.storage.objects import ByteRange, accessing, read_object, read_ranges
from luray.storage.places import is_local, public
from luray.storage.shards import ShardFormat, stored_range

STRIP_BYTES = 2**25
"""Most bytes of a strip; it has at least the rows of one chunk."""
REMOTE_STRIPS = 4
"""Strips that are read at once from a remote store: one is decoded while others are on their way.
"""

INDEX_OVERHEAD_BYTES = 400
"""What an index takes beside its numbers: two objects and the URL of its shard."""


class Strip(NamedTuple):
    """Consecutive rows of an array, with the row above them for interpolation.

    Valid until the next strip is asked for, which lies in the same memory.
    """

    rows: slice
    values: NDArray[Any]
    """(..., 1 + rows, columns): the first row is the one above, zero where there is none. Rows
    behind those of the strip are undefined.
    """


class StoredShard(NamedTuple):
    """A shard as it is stored."""

    values: NDArray[Any]
    """Decoded, as far as they lie in the array."""
    data: bytes | None
    """Encoded; None where nothing is stored, and all values are the fill value."""
    format: ShardFormat


Place = tuple[int, int]
"""Row and column of a chunk."""


class Chunks:
    """Reader of the arrays below a URL; threads may share it.

    Parameters
    ----------
    url : str
        Place of a Zarr group.
    most_bytes : int
        Decoded chunks and indices of shards that are remembered.
    """

    def __init__(self, url: str, *, most_bytes: int) -> None:
        self._url = url
        self._most_bytes = most_bytes
        self._arrays: dict[str, Any] = {}
        self._formats: dict[str, ShardFormat] = {}
        self._cache: ByteLRUCache[NDArray[Any]] = ByteLRUCache(most_bytes=most_bytes)

    def read(self, path: str, lead: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        """Return a rectangle of an array.

        Parameters
        ----------
        path : str
            The array, below the URL.
        lead : tuple of int
            Indices of its first axes.
        rows, cols : slice
            Along the last two axes.

        Returns
        -------
        array, shape (..., rows, cols)
            A copy.
        """
        array = self._array(path)
        n_rows = rows.stop - rows.start
        n_cols = cols.stop - cols.start
        values = np.empty((*array.shape[len(lead) : -2], n_rows, n_cols), array.dtype)
        places = _places(self._format(path), rows, cols)
        _lay(values, rows, cols, self._decoded(array, path, lead, places))
        return values

    def strips(self, path: str, rows: slice, cols: Sequence[slice]) -> Iterator[Strip]:
        """Yield an array from the top down, in strips of at most `STRIP_BYTES`.

        No chunk is remembered: whoever needs a large piece once needs no more memory than for a
        strip of it, or for `REMOTE_STRIPS` of a remote store.

        Parameters
        ----------
        path : str
            The array, of which all first axes are read.
        rows : slice
            Rows to read.
        cols : sequence of slice
            Pieces of columns, which are joined.
        """
        array = self._array(path)
        chunk_rows = array.chunks[-2]
        leading_shape = array.shape[:-2]
        n_columns = sum(piece.stop - piece.start for piece in cols)

        # Strips end where chunks end, so that no chunk is decoded twice.
        chunk_row_bytes = prod(leading_shape) * chunk_rows * n_columns * array.dtype.itemsize
        strip_rows = max(1, STRIP_BYTES // chunk_row_bytes) * chunk_rows
        first_end = (rows.start // strip_rows + 1) * strip_rows
        boundaries = [rows.start, *range(first_end, rows.stop, strip_rows), rows.stop]
        spans = list(pairwise(boundaries))

        # Each buffer has a row more than the tallest strip: that above it.
        tallest = max(bottom - top for top, bottom in spans)
        strips_at_once = 1 if is_local(self._url) else REMOTE_STRIPS
        n_buffers = min(len(spans), strips_at_once)
        buffers = [
            np.zeros((*leading_shape, 1 + tallest, n_columns), array.dtype)
            for _ in range(n_buffers)
        ]

        def read(number: int) -> None:
            """Read a strip into its buffer, below the row that is kept for the row above."""
            top, bottom = spans[number]
            buffer = buffers[number % n_buffers]
            left = 0
            for piece in cols:
                right = left + piece.stop - piece.start
                out = buffer[..., 1 : 1 + bottom - top, left:right]
                strip_rows = slice(top, bottom)
                places = _places(self._format(path), strip_rows, piece)
                _lay(out, strip_rows, piece, self._stored(array, path, (), places))
                left = right

        with ThreadPoolExecutor(n_buffers) as pool:
            arriving = deque(pool.submit(read, number) for number in range(n_buffers))
            above = np.zeros((*leading_shape, n_columns), array.dtype)
            for number, (top, bottom) in enumerate(spans):
                arriving.popleft().result()
                values = buffers[number % n_buffers]
                values[..., 0, :] = above
                yield Strip(slice(top, bottom), values)

                # The buffer is read into again only now that the caller is done with it; the last
                # row has to be saved before.
                above = values[..., bottom - top, :].copy()
                if number + n_buffers < len(spans):
                    arriving.append(pool.submit(read, number + n_buffers))

    def shard(self, path: str, lead: tuple[int, ...], box: Box) -> StoredShard | None:
        """Return the shard that holds a box of an array, None where the box is no whole shard.

        Parameters
        ----------
        path, lead
            As those of `read`; the array has as many axes before the last two as `lead` has.
        box : Box
            Rows and columns that lie in the array.

        Raises
        ------
        ValueError
            For a damaged shard.
        """
        array = self._array(path)
        shard_rows, shard_cols = array.shards[-2:]
        place = box.row // shard_rows, box.col // shard_cols
        whole = Box(place[0] * shard_rows, place[1] * shard_cols, shard_rows, shard_cols)
        if whole.clip(array.shape[-2:]) != box:
            return None

        key = array.metadata.encode_chunk_key((*lead, *place))
        url = f"{self._url}/{path}/{key}"
        shard_format = self._format(path)
        data = read_object(url)
        if data is None:
            return StoredShard(
                np.full(box.shape, array.fill_value, array.dtype), None, shard_format
            )
        with self._explained(url):
            values = shard_format.decode(data)
        return StoredShard(values[: box.height, : box.width], data, shard_format)

    def width(self, path: str) -> int:
        """Return the columns of a chunk of an array."""
        width: int = self._array(path).chunks[-1]
        return width

    def _array(self, path: str) -> Any:
        """Return an array, opened once."""
        if path not in self._arrays:
            with accessing(self._url):
                self._arrays[path] = zarr.open_array(f"{self._url}/{path}", mode="r", zarr_format=3)
        return self._arrays[path]

    def _format(self, path: str) -> ShardFormat:
        """Return how an array is stored, worked out once."""
        if path not in self._formats:
            self._formats[path] = ShardFormat.of(self._array(path))
        return self._formats[path]

    @contextmanager
    def _explained(self, shard: str) -> Iterator[None]:
        """Say which shard is damaged, and what to do."""
        try:
            yield
        except ValueError as error:
            raise ValueError(
                f"{public(shard)}: {error}; delete {public(self._url)} and build it again"
            ) from error

    def _decoded(
        self, array: Any, path: str, lead: tuple[int, ...], places: list[Place]
    ) -> Iterator[tuple[Place, NDArray[Any]]]:
        """Yield chunks with their row and column, of which those not remembered are read."""
        missing = []
        for place in places:
            chunk = self._cache.get((path, *lead, *place))
            if chunk is None:
                missing.append(place)
            else:
                yield place, chunk
        if not missing:
            return

        # Many chunks are those of a whole tile, which is read once: they would push out others.
        chunk_bytes = prod(array.chunks) * array.dtype.itemsize
        remember = len(missing) * chunk_bytes <= self._most_bytes // 4
        for place, chunk in self._stored(array, path, lead, missing):
            if remember:
                self._cache.put((path, *lead, *place), chunk, n_bytes=chunk.nbytes)
            yield place, chunk

    def _stored(
        self, array: Any, path: str, lead: tuple[int, ...], places: list[Place]
    ) -> Iterator[tuple[Place, NDArray[Any]]]:
        """Yield chunks as they are read, with their row and column.

        Zarr is not asked: for each chunk it starts a coroutine and a thread, and copies it twice.
        """
        shard_format = self._format(path)
        shard_chunks = [n // c for n, c in zip(array.shards[-2:], array.chunks[-2:], strict=True)]
        chunk_shape = (*array.shape[len(lead) : -2], *array.chunks[-2:])

        def shard_of(place: Place) -> str:
            row, col = place
            shard_place = (row // shard_chunks[0], col // shard_chunks[1])
            # All indices between the first axes and the last two share their shards.
            middle = (0,) * (array.ndim - len(lead) - 2)
            key = array.metadata.encode_chunk_key((*lead, *middle, *shard_place))
            return f"{self._url}/{path}/{key}"

        shards = {place: shard_of(place) for place in places}
        indices = self._indices(shard_format, list(dict.fromkeys(shards.values())))

        empty = []
        ranges = {}
        for place in places:
            row, col = place
            index = indices[shards[place]]
            in_shard = (row % shard_chunks[0], col % shard_chunks[1])
            stored = stored_range(index, (*(0,) * (index.ndim - 3), *in_shard))
            if stored is None:
                empty.append(place)
            else:
                ranges[place] = ByteRange(shards[place], stored)

        for place in empty:
            yield place, np.full(chunk_shape, array.fill_value, array.dtype)
        for place, data in zip(ranges, read_ranges(list(ranges.values())), strict=True):
            with self._explained(shards[place]):
                # A shard that has gone since its index was read is a damaged one.
                chunk = shard_format.decode_chunk(data or b"")
            yield place, chunk.reshape(chunk_shape)

    def _indices(self, shard_format: ShardFormat, shards: list[str]) -> dict[str, U64]:
        """Return where the chunks of shards lie, by URL; a shard that is not there has none."""
        indices = {}
        missing = []
        for shard in shards:
            index = self._cache.get(shard)
            if index is None:
                missing.append(shard)
            else:
                indices[shard] = index

        first_bytes = slice(0, shard_format.index_bytes)
        data_of_missing = read_ranges([ByteRange(shard, first_bytes) for shard in missing])
        for shard, data in zip(missing, data_of_missing, strict=True):
            with self._explained(shard):
                index = (
                    shard_format.empty_index if data is None else shard_format.decode_index(data)
                )
            self._cache.put(shard, index, n_bytes=index.nbytes + INDEX_OVERHEAD_BYTES)
            indices[shard] = index
        return indices


def _places(shard_format: ShardFormat, rows: slice, cols: slice) -> list[Place]:
    """Return the places of all chunks that a rectangle touches."""
    chunk_rows, chunk_cols = shard_format.chunk[-2:]
    return list(
        product(
            range(rows.start // chunk_rows, ceil_div(rows.stop, chunk_rows)),
            range(cols.start // chunk_cols, ceil_div(cols.stop, chunk_cols)),
        )
    )


def _lay(
    values: NDArray[Any], rows: slice, cols: slice, chunks: Iterable[tuple[Place, NDArray[Any]]]
) -> None:
    """Write to a rectangle what chunks have of it."""
    for (row, col), chunk in chunks:
        height, width = chunk.shape[-2:]
        rows_in_values, rows_in_chunk = _common(row * height, height, rows)
        cols_in_values, cols_in_chunk = _common(col * width, width, cols)
        values[..., rows_in_values, cols_in_values] = chunk[..., rows_in_chunk, cols_in_chunk]


def _common(first: int, length: int, wanted: slice) -> tuple[slice, slice]:
    """Return where the part of a chunk that is wanted lies among what is wanted, and in the chunk.

    The chunk has `length` cells of an axis from `first` on.
    """
    start = max(first, wanted.start)
    stop = min(first + length, wanted.stop)
    return slice(start - wanted.start, stop - wanted.start), slice(start - first, stop - first)
