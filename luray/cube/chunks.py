"""Rectangles of Zarr arrays, put together from decoded chunks that are remembered.

Training reads the same chunks over and over, in several threads. Inference reads each once, from
the top down, in strips.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.buffer.cpu import NDBuffer

from luray.core.arithmetic import ceil_div
from luray.core.tiling import Box
from luray.storage.cache import ByteLRUCache
from luray.storage.objects import accessing, read_object
from luray.storage.places import is_local, public
from luray.storage.shards import ShardFormat

STRIP_BYTES = 2**25
"""Most bytes of a strip; it has at least the rows of one chunk."""
REMOTE_STRIPS = 4
"""Strips that are read at once from a remote store: of a shard, Zarr asks for one chunk after the
other, and each request waits for the network.
"""


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


class Chunks:
    """Reader of the arrays below a URL; threads may share it.

    Parameters
    ----------
    url : str
        Place of a Zarr group.
    most_bytes : int
        Decoded chunks that are remembered.
    """

    def __init__(self, url: str, *, most_bytes: int) -> None:
        self._url = url
        self._most_bytes = most_bytes
        self._arrays: dict[str, Any] = {}
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
        chunk_rows, chunk_cols = array.chunks[-2:]
        box = Box(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)

        # Rows and columns of the chunks that the box touches.
        chunk_row_range = range(rows.start // chunk_rows, ceil_div(rows.stop, chunk_rows))
        chunk_col_range = range(cols.start // chunk_cols, ceil_div(cols.stop, chunk_cols))
        places = list(product(chunk_row_range, chunk_col_range))

        values = np.empty((*array.shape[len(lead) : -2], *box.shape), array.dtype)
        for (row, col), chunk in self._decoded(array, path, lead, places).items():
            chunk_box = Box(row * chunk_rows, col * chunk_cols, chunk_rows, chunk_cols)
            common = chunk_box.intersection(box)
            assert common is not None
            in_box = (..., *common.slices(origin=box))
            in_chunk = (..., *common.slices(origin=chunk_box))
            values[in_box] = chunk[in_chunk]
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
                out = NDBuffer.from_numpy_array(buffer[..., 1 : 1 + bottom - top, left:right])
                with accessing(self._url):
                    array.get_basic_selection((..., slice(top, bottom), piece), out=out)
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
        shard_format = ShardFormat.of(array)
        data = read_object(url)
        if data is None:
            return StoredShard(
                np.full(box.shape, array.fill_value, array.dtype), None, shard_format
            )
        try:
            values = shard_format.decode(data)
        except ValueError as error:
            raise ValueError(
                f"{public(url)}: {error}; delete {public(self._url)} and build it again"
            ) from error
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

    def _decoded(
        self, array: Any, path: str, lead: tuple[int, ...], places: list[tuple[int, int]]
    ) -> dict[tuple[int, int], NDArray[Any]]:
        """Return chunks by their row and column; those that are not remembered are read at once."""
        decoded = {}
        missing = []
        for place in places:
            chunk = self._cache.get((path, *lead, *place))
            if chunk is None:
                missing.append(place)
            else:
                decoded[place] = chunk
        if not missing:
            return decoded

        # One read of the box around all missing chunks: Zarr decodes them in parallel.
        chunk_rows, chunk_cols = array.chunks[-2:]
        top = min(row for row, _ in missing)
        bottom = max(row for row, _ in missing) + 1
        left = min(col for _, col in missing)
        right = max(col for _, col in missing) + 1
        block_rows = slice(top * chunk_rows, bottom * chunk_rows)
        block_cols = slice(left * chunk_cols, right * chunk_cols)
        with accessing(self._url):
            block = np.asarray(array[(*lead, ..., block_rows, block_cols)])

        # A large block is that of a whole tile, which is read once: it would only push out others.
        remember = block.nbytes <= self._most_bytes // 4
        for row, col in missing:
            first_row = (row - top) * chunk_rows
            first_col = (col - left) * chunk_cols
            rows_in_block = slice(first_row, first_row + chunk_rows)
            cols_in_block = slice(first_col, first_col + chunk_cols)
            chunk = block[..., rows_in_block, cols_in_block]
            decoded[row, col] = chunk
            if remember:
                # A view would keep the whole block that it was read in.
                copy = chunk.copy()
                self._cache.put((path, *lead, row, col), copy, n_bytes=copy.nbytes)
        return decoded
