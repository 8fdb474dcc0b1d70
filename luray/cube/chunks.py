"""Rectangles of Zarr arrays put together from decoded chunks, of which the latest are kept.

Training reads the same chunks over and over, in several threads; inference reads each once, in large pieces.
"""

from itertools import product
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from luray.cube.kept import Kept
from luray.storage import accessing

Key = tuple[Any, ...]


class Chunks:
    """Reads the arrays below `url`, keeping at most `most_bytes` of decoded chunks. Threads may share it."""

    def __init__(self, url: str, *, most_bytes: int) -> None:
        self._url, self._most = url, most_bytes
        self._arrays: dict[str, Any] = {}
        self._kept: Kept[NDArray[Any]] = Kept(most_bytes=most_bytes)

    def read(self, path: str, lead: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        """A rectangle (..., rows, cols) of an array, `lead` being the indices of its first axes."""
        if path not in self._arrays:
            with accessing(self._url):
                self._arrays[path] = zarr.open_array(f"{self._url}/{path}", mode="r", zarr_format=3)
        array = self._arrays[path]
        high, wide = array.chunks[-2:]
        out = np.empty((*array.shape[len(lead) : -2], rows.stop - rows.start, cols.stop - cols.start), array.dtype)
        places = list(product(range(rows.start // high, -(-rows.stop // high)),
                              range(cols.start // wide, -(-cols.stop // wide))))
        for (r, c), chunk in self._decoded(array, (path, *lead), lead, places).items():
            top, left = max(rows.start, r * high), max(cols.start, c * wide)
            bottom, right = min(rows.stop, (r + 1) * high), min(cols.stop, (c + 1) * wide)
            out[..., top - rows.start : bottom - rows.start, left - cols.start : right - cols.start] = chunk[
                ..., top - r * high : bottom - r * high, left - c * wide : right - c * wide]
        return out

    def _decoded(self, array: Any, name: Key, lead: tuple[int, ...],
                 places: list[tuple[int, int]]) -> dict[tuple[int, int], NDArray[Any]]:
        """Chunks by row and column: kept ones, and those that are missing from one read of the box around them."""
        found, missing = {}, []
        for place in places:
            chunk = self._kept.get((*name, *place))
            if chunk is None:
                missing.append(place)
            else:
                found[place] = chunk
        if missing:
            high, wide = array.chunks[-2:]
            (top, bottom), (left, right) = ((min(i), max(i) + 1) for i in zip(*missing, strict=True))
            box = slice(top * high, bottom * high), slice(left * wide, right * wide)
            with accessing(self._url):
                block = np.asarray(array[(*lead, ..., *box)])
            for r, c in missing:
                row, col = (r - top) * high, (c - left) * wide
                found[r, c] = block[..., row : row + high, col : col + wide]
                if block.nbytes <= self._most // 4:  # a large piece is that of a tile, which is read once
                    kept = found[r, c].copy()  # a view would keep the block that it was read in
                    self._kept.put((*name, r, c), kept, n_bytes=kept.nbytes)
        return found
