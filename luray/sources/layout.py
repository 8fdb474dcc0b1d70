"""How a file's rows and columns lie on luray's grids: north first, longitudes -180..180, square
cells.

Everything that is turned round on the way is said in `Layout.rules`; what cannot be told for
certain is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import ALIGNMENT, Grid
from luray.core.tiling import Box
from luray.storage.errors import InputError

F64 = NDArray[np.float64]
Fetch = Callable[[slice, slice], NDArray[Any]]

SOUTH_FIRST = "rows stored south first, read north first"
TURNED = "longitudes 0..360 turned to -180..180"

SNAP = 1e-3
"""Offset that is rounding of coordinates stored in single precision, in cells."""


@dataclass(frozen=True)
class Layout:
    """A luray grid and where its cells are in a file."""

    grid: Grid
    file_rows: int
    south_first: bool = False
    skip: int = 0
    """Rows at the north of the file that the grid leaves out."""
    roll: int = 0
    """File column of the grid's first column."""
    rules: tuple[str, ...] = ()

    @property
    def orientation(self) -> str:
        """How the file's rows and columns lie, in words."""
        return (
            f"{'south' if self.south_first else 'north'} first, longitudes "
            f"{'0..360' if TURNED in self.rules else '-180..180'}"
        )

    def with_rules(self, *rules: str) -> "Layout":
        """The same layout, with more said of it."""
        return replace(self, rules=(*self.rules, *rules))

    def read(self, box: Box, fetch: Fetch) -> NDArray[Any]:
        """Cells of a box inside the grid, shape (..., height, width), north first.

        `fetch(rows, cols)` returns one rectangle of the file, shape (..., rows, cols); it is called
        twice where the box crosses the file's seam.
        """
        n_lat, n_lon = self.grid.shape
        inside = (
            min(box.row, box.col) >= 0
            and box.row + box.height <= n_lat
            and box.col + box.width <= n_lon
        )
        assert inside, f"{box} is not inside the grid of {n_lat} x {n_lon} cells"
        first = box.row + self.skip
        rows = slice(first, first + box.height)
        if self.south_first:
            rows = slice(self.file_rows - rows.stop, self.file_rows - rows.start)
        start = (box.col + self.roll) % n_lon
        stop = start + box.width
        columns = (
            [slice(start, stop)] if stop <= n_lon else [slice(start, n_lon), slice(0, stop - n_lon)]
        )
        values = np.concatenate([fetch(rows, cols) for cols in columns], axis=-1)
        return np.ascontiguousarray(values[..., ::-1, :]) if self.south_first else values


def layout_of_axes(lat: F64, lon: F64, *, where: str) -> Layout:
    """Layout of a file with coordinate axes of cell centres, shapes (rows,) and (cols,).

    Raises InputError for uneven, descending-longitude or non-square axes and for values that are no
    degrees.
    """
    d_lat, d_lon = (
        _spacing(axis, name=name, where=where)
        for axis, name in ((lat, "latitude"), (lon, "longitude"))
    )
    if d_lon < 0:
        raise InputError(
            f"{where}: longitudes descend from {lon[0]:.4f} to {lon[-1]:.4f}, expected west to "
            "east; "
            "reorder the file"
        )
    return make_layout(
        north=float(max(lat[0], lat[-1])) + abs(d_lat) / 2,
        west=float(lon[0]) - d_lon / 2,
        steps=(abs(d_lat), d_lon),
        shape=(lat.size, lon.size),
        south_first=d_lat > 0,
        where=where,
    )


def _spacing(axis: F64, *, name: str, where: str) -> float:
    if axis.size < 2 or not np.isfinite(axis).all():
        raise InputError(
            f"{where}: {name} has {axis.size} values or gaps, expected at least 2 numbers"
        )
    step = float(axis[-1] - axis[0]) / (axis.size - 1)
    if step == 0 or np.abs(np.diff(axis) / step - 1).max() > ALIGNMENT:
        raise InputError(
            f"{where}: {name} is not evenly spaced (from {axis[0]} to {axis[-1]} in {axis.size} "
            "values), "
            "expected a regular grid; resample the file"
        )
    return step


def make_layout(
    *,
    north: float,
    west: float,
    steps: tuple[float, float],
    shape: tuple[int, int],
    south_first: bool,
    where: str,
) -> Layout:
    """Layout of a file from its outer edges in degrees, cell sizes (lat, lon) and shape (rows,
    cols).

    Longitudes 0..360 are turned to -180..180; rows whose centres lie on the poles are left out.
    Raises InputError for cells that are not square, latitudes that are no degrees, and a region
    that crosses the dateline.
    """
    rows, cols = shape
    if abs(steps[0] - steps[1]) * max(shape) > ALIGNMENT * steps[1]:
        raise InputError(
            f"{where}: cells of {steps[0]:.8f} x {steps[1]:.8f} degrees, expected squares; "
            "resample the "
            "file"
        )
    step = _nice_step(steps[1], max(shape))
    rules = [SOUTH_FIRST] if south_first else []
    over_north, over_south = (north - 90) / step, (rows * step - north - 90) / step
    skip, drop = (int(abs(over - 0.5) < ALIGNMENT) for over in (over_north, over_south))
    if skip or drop:
        rules.append("rows centred on a pole left out")
        north, rows_kept = north - skip * step, rows - skip - drop
    else:
        rows_kept = rows
    west, roll, turned = _turn(west, step, cols, where=where)
    rules += [turned] if turned else []
    try:
        grid = Grid(_snap(north, 90, step), _snap(west, -180, step), step, rows_kept, cols)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    return Layout(grid, rows, south_first, skip, roll, tuple(rules))


def _turn(west: float, step: float, n_lon: int, *, where: str) -> tuple[float, int, str]:
    """Western edge in -180..180, the file column that lies there, and what was done, in words."""
    tolerance = ALIGNMENT * step
    east = west + n_lon * step
    if west < -180 - step or east > 360 + step:
        raise InputError(
            f"{where}: longitudes {west:.4f}..{east:.4f}, expected degrees within -180..180 or "
            "0..360; "
            "check that the file is in EPSG:4326"
        )
    if abs(n_lon * step - 360) < tolerance:
        roll = int(np.ceil((180 - west) / step - 0.5 - ALIGNMENT)) % n_lon
        return (west + roll * step - 360, roll, TURNED) if roll else (west, 0, "")
    if west >= 180 - tolerance:
        return west - 360, 0, TURNED
    if east > 180 + tolerance or west < -180 - tolerance:
        raise InputError(
            f"{where}: longitudes {west:.4f}..{east:.4f} cross the dateline, expected a region on "
            "one "
            "side of it or the whole globe; cut the file at 180"
        )
    return west, 0, ""


def _nice_step(step: float, n: int) -> float:
    """The cell size in whole arcseconds, where the axis cannot tell the two apart."""
    nice = round(step * 3600) / 3600
    return nice if abs(nice - step) * n < SNAP * step else step


def _snap(edge: float, origin: float, step: float) -> float:
    """An edge on the global lattice where it differs from it by rounding only."""
    cells = (edge - origin) / step
    return origin + round(cells) * step if abs(cells - round(cells)) < SNAP else edge


def require_lattice(grid: Grid, *, where: str, step: float | None = None) -> None:
    """Raise InputError unless a grid's edges lie on the global lattice of its cell size (and that
    size is `step`).

    A file shifted by half a cell, such as one that gives corners for centres, is refused here.
    """
    if step is not None and abs(grid.step - step) * max(grid.shape) > ALIGNMENT * step:
        raise InputError(
            f"{where}: cells of {grid.step:.8f} degrees, expected {step:.8f}; check that it is the "
            "right "
            "file"
        )
    offsets = [(90 - grid.north) / grid.step, (grid.west + 180) / grid.step]
    shift = max(abs(o - round(o)) for o in offsets)
    if shift > ALIGNMENT:
        raise InputError(
            f"{where}: cells are shifted by {shift:.3f} of a cell against the global grid of "
            f"{grid.step:.6f} degrees (north-west corner {grid.north:.5f}, {grid.west:.5f}), "
            "expected 0; "
            "correct the coordinates: they must be cell centres"
        )


def require_same(grid: Grid, other: Grid, *, where: str, other_where: str) -> None:
    """Raise InputError unless two files of one source lie on the same grid."""
    try:
        same = grid.shape == other.shape and grid.offset_of(other) == (0, 0)
    except ValueError:
        same = False
    if not same:
        raise InputError(
            f"{other_where}: grid of {describe(other)} differs from that of {where}, "
            f"{describe(grid)}; "
            "all files of a source must lie on one grid"
        )


def describe(grid: Grid) -> str:
    """A grid in words."""
    return f"{grid.n_lat} x {grid.n_lon} cells of {grid.step:.6f} degrees from {grid.north:.5f}, {grid.west:.5f}"
