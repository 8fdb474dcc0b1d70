"""Rectangles of Zarr arrays put together from decoded chunks, of which the latest are kept.

Training reads the same chunks over and over, in several threads; inference reads each once, from
the top down.
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

from luray.storage.cache import ByteLRUCache
from luray.storage.objects import accessing
from luray.storage.places import is_local

Key = tuple[Any, ...]

STRIP_BYTES = 2**25
"""Most bytes of a strip; it has at least the rows of one chunk."""
REMOTE_STRIPS = 4
"""Strips that are asked for at once where a store answers late: of a shard, Zarr asks for one chunk
after the other.
"""


class Strip(NamedTuple):
    """Some rows of an array from the top down, and the row above them. The next strip lies in the
    same memory.
    """

    rows: slice
    values: NDArray[Any]
    """(..., 1 + rows, columns): the first row is the one above, and nothing where there is none;
    rows that follow the strip's own mean nothing.
    """


class Chunks:
    """Reads the arrays below `url`, keeping at most `most_bytes` of decoded chunks. Threads may
    share it.
    """

    def __init__(self, url: str, *, most_bytes: int) -> None:
        self._url, self._most = url, most_bytes
        self._arrays: dict[str, Any] = {}
        self._kept: ByteLRUCache[NDArray[Any]] = ByteLRUCache(most_bytes=most_bytes)

    def read(self, path: str, lead: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        """A rectangle (..., rows, cols) of an array, `lead` being the indices of its first axes."""
        array = self._array(path)
        high, wide = array.chunks[-2:]
        out = np.empty(
            (*array.shape[len(lead) : -2], rows.stop - rows.start, cols.stop - cols.start),
            array.dtype,
        )
        places = list(
            product(
                range(rows.start // high, -(-rows.stop // high)),
                range(cols.start // wide, -(-cols.stop // wide)),
            )
        )
        for (r, c), chunk in self._decoded(array, (path, *lead), lead, places).items():
            top, left = max(rows.start, r * high), max(cols.start, c * wide)
            bottom, right = min(rows.stop, (r + 1) * high), min(cols.stop, (c + 1) * wide)
            out[
                ..., top - rows.start : bottom - rows.start, left - cols.start : right - cols.start
            ] = chunk[..., top - r * high : bottom - r * high, left - c * wide : right - c * wide]
        return out

    def strips(self, path: str, rows: slice, cols: Sequence[slice]) -> Iterator[Strip]:
        """Strips of an array with all of its first axes, its pieces of columns joined; no chunk is
        kept.

        Whoever needs a large piece once needs no more memory than for a strip of it, of a remote
        store for some.
        """
        array = self._array(path)
        high, lead, width = array.chunks[-2], array.shape[:-2], sum(c.stop - c.start for c in cols)
        n = max(1, STRIP_BYTES // (prod(lead) * high * width * array.dtype.itemsize)) * high
        spans = list(
            pairwise([rows.start, *range((rows.start // n + 1) * n, rows.stop, n), rows.stop])
        )
        shape = *lead, 1 + max(bottom - top for top, bottom in spans), width
        buffers = [
            np.zeros(shape, array.dtype)
            for _ in spans[: 1 if is_local(self._url) else REMOTE_STRIPS]
        ]

        def read(number: int) -> None:
            (top, bottom), left = spans[number], 0
            for c in cols:
                here = slice(left, left := left + c.stop - c.start)
                out = NDBuffer.from_numpy_array(
                    buffers[number % len(buffers)][..., 1 : 1 + bottom - top, here]
                )
                with accessing(self._url):
                    array.get_basic_selection((..., slice(top, bottom), c), out=out)

        with ThreadPoolExecutor(len(buffers)) as pool:
            arriving = deque(pool.submit(read, number) for number in range(len(buffers)))
            above = np.zeros((*lead, width), array.dtype)
            for number, (top, bottom) in enumerate(spans):
                arriving.popleft().result()
                values = buffers[number % len(buffers)]
                values[..., 0, :] = above
                yield Strip(slice(top, bottom), values)
                above = values[..., bottom - top, :].copy()
                if number + len(buffers) < len(spans):
                    arriving.append(pool.submit(read, number + len(buffers)))

    def width(self, path: str) -> int:
        """Columns of a chunk of an array."""
        width: int = self._array(path).chunks[-1]
        return width

    def _array(self, path: str) -> Any:
        """An array, opened once."""
        if path not in self._arrays:
            with accessing(self._url):
                self._arrays[path] = zarr.open_array(f"{self._url}/{path}", mode="r", zarr_format=3)
        return self._arrays[path]

    def _decoded(
        self, array: Any, name: Key, lead: tuple[int, ...], places: list[tuple[int, int]]
    ) -> dict[tuple[int, int], NDArray[Any]]:
        """Chunks by row and column: kept ones, and those that are missing from one read of the box
        around them.
        """
        found, missing = {}, []
        for place in places:
            chunk = self._kept.get((*name, *place))
            if chunk is None:
                missing.append(place)
            else:
                found[place] = chunk
        if missing:
            high, wide = array.chunks[-2:]
            (top, bottom), (left, right) = (
                (min(i), max(i) + 1) for i in zip(*missing, strict=True)
            )
            box = slice(top * high, bottom * high), slice(left * wide, right * wide)
            with accessing(self._url):
                block = np.asarray(array[(*lead, ..., *box)])
            for r, c in missing:
                row, col = (r - top) * high, (c - left) * wide
                found[r, c] = block[..., row : row + high, col : col + wide]
                if (
                    block.nbytes <= self._most // 4
                ):  # a large piece is that of a tile, which is read once
                    kept = found[r, c].copy()  # a view would keep the block that it was read in
                    self._kept.put((*name, r, c), kept, n_bytes=kept.nbytes)
        return found
