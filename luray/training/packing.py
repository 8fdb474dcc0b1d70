"""One window's values in one run of bytes, as the cube stores them, to be read on one machine and
used on another.

The layout follows from the cube, the box and the years, so the bytes need no header: maps of each
year (uint8), then for every source its native cells under the window, in its own dtype, once for
years that share them. Nothing is resampled, scaled or spread over categories before it has
travelled.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from luray.cube.cube import Cube, Layer, NativeValues, Pieces
from luray.cube.region import Region
from luray.training.samples import SampleWindow


class _Entry(NamedTuple):
    """One array of the layout: its key in `NativeValues`, dtype and shape; `layer` None for a map
    of a year.
    """

    key: tuple[str | int, ...]
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    layer: Layer | None
    pieces: Pieces


def pack(cube: Cube, draw: SampleWindow) -> bytes:
    """Everything that `Cube.sample` reads for a draw."""
    parts = [
        cube.state(int(e.key[1]), draw.box)
        if e.layer is None
        else cube.native(e.layer, _lead(e), e.pieces)
        for e in _layout(cube, draw)
    ]
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def unpack(cube: Cube, draw: SampleWindow, data: bytes) -> NativeValues:
    """What `pack` packed, as `Cube.sample` takes it; the arrays are views of the bytes.

    Raises ValueError when the bytes are those of another draw or cube.
    """
    given, at = {}, 0
    for entry in _layout(cube, draw):
        n = int(np.prod(entry.shape))
        if at + n * entry.dtype.itemsize > len(data):
            break
        given[entry.key] = np.frombuffer(data, entry.dtype, n, at).reshape(entry.shape)
        at += n * entry.dtype.itemsize
    else:
        if at == len(data):
            return given
    raise ValueError(
        f"{len(data)} bytes are not what {cube.url} has for {draw.box} in {draw.years}; read them "
        "with "
        "the cube and the window that they were packed with"
    )


def _layout(cube: Cube, draw: SampleWindow) -> Iterator[_Entry]:
    for year in draw.years:
        yield _Entry(("state", year), np.dtype(np.uint8), draw.box.shape, None, ([], []))
    pieces = Region(cube, draw.box).pieces
    for layer in (*cube.forcing, *cube.static):
        size = tuple(sum(p.stop - p.start for p in axis) for axis in pieces[layer.path])
        shape, dtype = (len(layer.variables), *size), np.dtype(layer.variables[0].dtype)
        for lead in dict.fromkeys(layer.lead(year) for year in draw.years):
            yield _Entry((layer.path, *lead), dtype, shape, layer, pieces[layer.path])


def _lead(entry: _Entry) -> tuple[int, ...]:
    return tuple(int(i) for i in entry.key[1:])
