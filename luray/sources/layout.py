"""Position of the rows and columns of a file on luray's grids.

luray's grids have the north first, longitudes -180..180 and square cells. A `Layout` says where
their cells are in a file, and turns what it reads. Everything that is turned is recorded in
`Layout.rules`; a file whose place is ambiguous raises InputError.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import ALIGNMENT, Grid
from luray.core.tiling import Box, pieces_on_grid
from luray.core.types import F64
from luray.storage.errors import InputError

Fetch = Callable[[slice, slice], NDArray[Any]]
"""Reads a rectangle of a file, given its rows and columns: shape (..., rows, columns)."""

SOUTH_FIRST = "rows stored south first, read north first"
TURNED = "longitudes 0..360 turned to -180..180"

SNAP = 1e-3
"""Offset that counts as rounding of coordinates stored in single precision, in cells."""

SMALLEST, LARGEST = 1e-9, 1e9
"""Sizes of a cell that luray can count with, and of coordinates, whatever their unit.

The smallest is 0.1 mm in degrees; the largest is more than the way to the moon in metres.
"""


@dataclass(frozen=True)
class Layout:
    """A luray grid, and where its cells are in a file."""

    grid: Grid
    file_rows: int
    south_first: bool = False
    skip: int = 0
    """Rows at the north of the file that the grid leaves out."""
    roll: int = 0
    """File column of the grid's first column."""
    rules: tuple[str, ...] = ()
    """Corrections that bring the file onto the grid, in words."""

    @property
    def orientation(self) -> str:
        """Orientation of the file's rows and columns, in words."""
        first_row = "south" if self.south_first else "north"
        longitudes = "0..360" if TURNED in self.rules else "-180..180"
        return f"{first_row} first, longitudes {longitudes}"

    def with_rules(self, *rules: str) -> "Layout":
        """Return the same layout with further rules."""
        return replace(self, rules=(*self.rules, *rules))

    def read(self, box: Box, fetch: Fetch) -> NDArray[Any]:
        """Read the cells of a box inside the grid.

        Parameters
        ----------
        box : Box
            Cells of the grid.
        fetch : callable
            Reads one rectangle of the file; called twice where the box crosses the file's seam.

        Returns
        -------
        array, shape (..., height, width)
            North first.
        """
        n_lat, n_lon = self.grid.shape
        assert box.clip(self.grid.shape) == box, (
            f"{box} is not inside the grid of {n_lat} x {n_lon} cells"
        )
        first_row = box.row + self.skip
        if self.south_first:
            first_row = self.file_rows - (first_row + box.height)
        first_column = (box.col + self.roll) % n_lon
        in_file = Box(first_row, first_column, box.height, box.width)

        # A grid that begins in the middle of the file's columns ends there too: a box across the
        # file's last column goes on at its first.
        whole_file = Box(0, 0, self.file_rows, n_lon)
        pieces = []
        for piece in pieces_on_grid(in_file, whole_file.shape, periodic=True):
            rows, columns = piece.on_grid.slices(origin=whole_file)
            pieces.append(fetch(rows, columns))
        values = np.concatenate(pieces, axis=-1)
        return np.ascontiguousarray(values[..., ::-1, :]) if self.south_first else values


class GriddedFile(Protocol):
    """A file of a source that lies on a grid."""

    @property
    def url(self) -> str:
        """Where it is."""

    @property
    def layout(self) -> Layout:
        """Its position on luray's grids."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Corrections that bring it onto luray's grids, in words."""


def layout_of_axes(lat: F64, lon: F64, *, where: str) -> Layout:
    """Find the layout of a file with coordinate axes.

    Parameters
    ----------
    lat, lon : array, shapes (rows,) and (columns,)
        Cell centres in degrees, as the file has them.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        For axes that are uneven or descend in longitude, cells that are not square, and values
        that are no degrees.

    Examples
    --------
    >>> layout = layout_of_axes(np.array([-5.0, 5.0]), np.array([5.0, 15.0]), where="a.nc")
    >>> layout.grid
    Grid(north=10.0, west=0.0, step=10.0, n_lat=2, n_lon=2)
    >>> layout.rules
    ('rows stored south first, read north first',)
    """
    lat_step = _spacing(lat, name="latitude", where=where)
    lon_step = _spacing(lon, name="longitude", where=where)
    if lon_step < 0:
        raise InputError(
            f"{where}: longitudes descend from {lon[0]:.4f} to {lon[-1]:.4f}, expected west to "
            "east; reorder the file"
        )
    return make_layout(
        north=float(max(lat[0], lat[-1])) + abs(lat_step) / 2,
        west=float(lon[0]) - lon_step / 2,
        steps=(abs(lat_step), lon_step),
        shape=(lat.size, lon.size),
        south_first=lat_step > 0,
        where=where,
    )


def _spacing(axis: F64, *, name: str, where: str) -> float:
    """Return the step of an axis. Raises InputError where it has gaps or is not even."""
    if axis.size < 2 or not np.isfinite(axis).all():
        raise InputError(
            f"{where}: {name} has {axis.size} values or gaps, expected at least 2 numbers"
        )
    # Over the whole axis, because neighbours in single precision differ by a rounded step.
    step = float(axis[-1] - axis[0]) / (axis.size - 1)
    if step == 0 or np.abs(np.diff(axis) / step - 1).max() > ALIGNMENT:
        raise InputError(
            f"{where}: {name} is not evenly spaced (from {axis[0]} to {axis[-1]} in {axis.size} "
            "values), expected a regular grid; resample the file"
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
    """Make the layout of a file from its outer edges.

    Longitudes 0..360 are turned to -180..180; rows whose centres lie on the poles are left out.

    Parameters
    ----------
    north, west : float
        Outer edges of the file's cells in degrees.
    steps : tuple of float
        Cell sizes (latitude, longitude) in degrees.
    shape : tuple of int
        (rows, columns) of the file.
    south_first : bool
        Whether the file's first row is its southernmost.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        For cells that are not square, latitudes that are no degrees, and a region that crosses the
        dateline.
    """
    rows, columns = shape
    lat_step, lon_step = steps
    # Written so that NaN is refused too. What is counted in cells below then is finite.
    is_cell = SMALLEST <= lon_step <= LARGEST
    is_corner = abs(north) <= LARGEST and abs(west) <= LARGEST
    if not (is_cell and is_corner):
        raise InputError(
            f"{where}: cells of {lat_step:g} x {lon_step:g} from {north:g}, {west:g}, expected "
            "degrees; correct the coordinates"
        )
    # A difference matters as much as it adds up to over the whole grid.
    if abs(lat_step - lon_step) * max(shape) > ALIGNMENT * lon_step:
        raise InputError(
            f"{where}: cells of {lat_step:.8f} x {lon_step:.8f} degrees, expected squares; "
            "resample the file"
        )
    step = _nice_step(lon_step, max(shape))
    rules = [SOUTH_FIRST] if south_first else []

    # Models of the atmosphere often centre their first and last row on a pole. Half of such a cell
    # lies beyond 90 degrees, and no grid of luray has it.
    beyond_north = (north - 90) / step
    beyond_south = (rows * step - north - 90) / step
    north_rows_left_out = int(abs(beyond_north - 0.5) < ALIGNMENT)
    south_rows_left_out = int(abs(beyond_south - 0.5) < ALIGNMENT)
    if north_rows_left_out or south_rows_left_out:
        rules.append("rows centred on a pole left out")
    north -= north_rows_left_out * step
    n_lat = rows - north_rows_left_out - south_rows_left_out

    west, roll, turn_rule = _turn(west, step, columns, where=where)
    if turn_rule:
        rules.append(turn_rule)

    try:
        grid = Grid(_snap(north, 90, step), _snap(west, -180, step), step, n_lat, columns)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    return Layout(grid, rows, south_first, north_rows_left_out, roll, tuple(rules))


def _turn(west: float, step: float, n_lon: int, *, where: str) -> tuple[float, int, str]:
    """Turn a file to -180..180.

    Returns its western edge after the turn, the file column that lies there, and what was done in
    words, empty for nothing.
    """
    tolerance = ALIGNMENT * step
    east = west + n_lon * step
    if west < -180 - step or east > 360 + step:
        raise InputError(
            f"{where}: longitudes {west:.4f}..{east:.4f}, expected degrees within -180..180 or "
            "0..360; check that the file is in EPSG:4326"
        )

    is_global = abs(n_lon * step - 360) < tolerance
    if is_global:
        # The first column whose centre lies at or beyond 180 becomes the grid's first.
        roll = int(np.ceil((180 - west) / step - 0.5 - ALIGNMENT)) % n_lon
        return (west + roll * step - 360, roll, TURNED) if roll else (west, 0, "")
    if west >= 180 - tolerance:
        return west - 360, 0, TURNED
    if east > 180 + tolerance or west < -180 - tolerance:
        raise InputError(
            f"{where}: longitudes {west:.4f}..{east:.4f} cross the dateline, expected a region on "
            "one side of it or the whole globe; cut the file at 180"
        )
    return west, 0, ""


def _nice_step(step: float, n: int) -> float:
    """Return the cell size in whole arcseconds, if n cells do not add up to a difference."""
    nice = round(step * 3600) / 3600
    return nice if abs(nice - step) * n < SNAP * step else step


def _snap(edge: float, origin: float, step: float) -> float:
    """Return an edge on the global lattice, where it differs from it by rounding only."""
    cells = (edge - origin) / step
    return origin + round(cells) * step if abs(cells - round(cells)) < SNAP else edge


def require_lattice(grid: Grid, *, where: str, step: float | None = None) -> None:
    """Refuse a grid whose edges do not lie on the global lattice of its cell size.

    A file shifted by half a cell, such as one that gives corners for centres, is refused here.

    Parameters
    ----------
    grid : Grid
        The file's grid.
    where : str
        The file, for messages.
    step : float, optional
        The cell size that the grid must have, in degrees.

    Raises
    ------
    InputError
        For another cell size, or a shift that is no rounding.
    """
    if step is not None and abs(grid.step - step) * max(grid.shape) > ALIGNMENT * step:
        raise InputError(
            f"{where}: cells of {grid.step:.8f} degrees, expected {step:.8f}; check that it is the "
            "right file"
        )
    rows_from_pole = (90 - grid.north) / grid.step
    columns_from_dateline = (grid.west + 180) / grid.step
    shift = max(abs(n - round(n)) for n in (rows_from_pole, columns_from_dateline))
    if shift > ALIGNMENT:
        raise InputError(
            f"{where}: cells are shifted by {shift:.3f} of a cell against the global grid of "
            f"{grid.step:.6f} degrees (north-west corner {grid.north:.5f}, {grid.west:.5f}), "
            "expected 0; correct the coordinates: they must be cell centres"
        )


def require_same(grid: Grid, other: Grid, *, where: str, other_where: str) -> None:
    """Raise InputError unless two files of one source lie on the same grid."""
    try:
        same = grid.shape == other.shape and grid.offset_of(other) == (0, 0)
    except ValueError:
        same = False
    if not same:
        raise InputError(
            f"{other_where}: grid of {describe_grid(other)} differs from that of {where}, "
            f"{describe_grid(grid)}; all files of a source must lie on one grid"
        )


def shared_grid(files: Sequence[GriddedFile]) -> Grid:
    """Return the grid on which all files of a source lie.

    Raises InputError naming the first file that lies on another.
    """
    first, *further_files = files
    for file in further_files:
        require_same(first.layout.grid, file.layout.grid, where=first.url, other_where=file.url)
    return first.layout.grid


def warped_layout(
    bounds: tuple[float, float, float, float], grid: Grid, *, projection: str, where: str
) -> Layout:
    """Return the layout of a projected file after warping: the part of a grid that it reaches.

    Parameters
    ----------
    bounds : tuple of float
        West, south, east and north of the file in degrees.
    grid : Grid
        The cells that it is warped onto.
    projection : str
        That of the file, for the rule.
    where : str
        The file, for the error.

    Raises
    ------
    InputError
        Where the file does not reach the grid.
    """
    west, south, east, north = bounds
    top = int(np.floor((grid.north - north) / grid.step))
    bottom = int(np.ceil((grid.north - south) / grid.step))
    left = int(np.floor((west - grid.west) / grid.step))
    right = int(np.ceil((east - grid.west) / grid.step))
    box = Box(top, left, bottom - top, right - left).clip(grid.shape)
    if box is None:
        raise InputError(
            f"{where}: lies at longitudes {west:.4f}..{east:.4f}, latitudes "
            f"{south:.4f}..{north:.4f}, expected some of the run grid of {describe_grid(grid)}; "
            "correct [grid] or the file"
        )
    part = Grid(
        grid.north - box.row * grid.step, grid.west + box.col * grid.step, grid.step, *box.shape
    )
    rule = f"warped from {projection[:60]} onto the run grid, nearest cell"
    return Layout(part, part.n_lat, rules=(rule,))


def describe_grid(grid: Grid) -> str:
    """Return a grid in words.

    Examples
    --------
    >>> describe_grid(Grid(north=90, west=-180, step=0.25, n_lat=720, n_lon=1440))
    '720 x 1440 cells of 0.250000 degrees from 90.00000, -180.00000'
    """
    return (
        f"{grid.n_lat} x {grid.n_lon} cells of {grid.step:.6f} degrees from {grid.north:.5f}, "
        f"{grid.west:.5f}"
    )
