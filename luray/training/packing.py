"""The values of one window in one run of bytes: read on one machine and used on another.

The layout follows from the cube, the box and the years, so the bytes need no header: maps of each
year and older year (uint8), then for every source its native cells under the window, in its own
dtype, once for years that share them. Nothing is resampled, scaled or spread over categories before
it has travelled.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.cube.cube import Cube, Layer, NativeValues, Pieces
from luray.cube.region import Region
from luray.training.sample_window import SampleWindow


class _MapEntry(NamedTuple):
    """The map of a year in the layout."""

    year: int
    shape: tuple[int, ...]

    @property
    def key(self) -> tuple[str | int, ...]:
        """Key in `NativeValues`."""
        return ("state", self.year)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Class indices."""
        return np.dtype(np.uint8)


class _LayerEntry(NamedTuple):
    """The native values of a source in the layout, at one index of its first axis (`lead`)."""

    layer: Layer
    lead: tuple[int, ...]
    pieces: Pieces

    @property
    def key(self) -> tuple[str | int, ...]:
        """Key in `NativeValues`."""
        return (self.layer.path, *self.lead)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values; all variables of a source have one."""
        return np.dtype(self.layer.variables[0].dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(variables, native rows, native columns)."""
        rows, cols = self.pieces
        n_rows = sum(piece.stop - piece.start for piece in rows)
        n_cols = sum(piece.stop - piece.start for piece in cols)
        return (len(self.layer.variables), n_rows, n_cols)


def pack(cube: Cube, window: SampleWindow) -> bytes:
    """Read everything that `sample_reader.read_samples` needs for a window, as bytes."""
    arrays = [_read(cube, window, entry) for entry in _layout(cube, window)]
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def unpack(cube: Cube, window: SampleWindow, data: bytes) -> NativeValues:
    """Return what `pack` packed, as `sample_reader.read_samples` takes it.

    The arrays are views of the bytes.

    Raises
    ------
    ValueError
        If the bytes are those of another window or cube.
    """
    entries = list(_layout(cube, window))
    n_bytes = sum(int(np.prod(entry.shape)) * entry.dtype.itemsize for entry in entries)
    if n_bytes != len(data):
        raise ValueError(
            f"{len(data)} bytes are not what {cube.url} has for {window.box} in {window.years}; "
            "read them with the cube and the window that they were packed with"
        )

    values = {}
    position = 0
    for entry in entries:
        size = int(np.prod(entry.shape))
        flat = np.frombuffer(data, entry.dtype, size, position)
        values[entry.key] = flat.reshape(entry.shape)
        position += flat.nbytes
    return values


def _layout(cube: Cube, window: SampleWindow) -> Iterator[_MapEntry | _LayerEntry]:
    """Arrays of a window in the order of their bytes."""
    older_years = [year for year in window.older_years if year is not None]
    for year in (*window.years, *older_years):
        yield _MapEntry(year, window.box.shape)

    pieces = Region(cube, window.box).pieces
    for layer in (*cube.forcing, *cube.static):
        # Years that share their values have one lead; a dict keeps the first of each, in order.
        leads = dict.fromkeys(layer.lead(year) for year in window.years)
        for lead in leads:
            yield _LayerEntry(layer, lead, pieces[layer.path])


def _read(cube: Cube, window: SampleWindow, entry: _MapEntry | _LayerEntry) -> NDArray[Any]:
    if isinstance(entry, _MapEntry):
        return cube.state(entry.year, window.box)
    return cube.native(entry.layer, entry.lead, entry.pieces)
