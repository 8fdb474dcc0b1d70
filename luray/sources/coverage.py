"""Coverage of a run by its sources; values beyond them are missing.

A source lies on a rectangle of cells. What the run grid has beyond it is filled with missing values
when the source is read: the nearest value is never smeared outwards. Shapes: H W cells of the run
grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import ALIGNMENT, Grid
from luray.core.legend import NO_DATA, OUTSIDE
from luray.core.tiling import Box
from luray.core.types import U8, Bool
from luray.core.variable import Variable
from luray.sources.base import Described, Source
from luray.sources.layout import describe_grid
from luray.storage.errors import InputError

ROWS_AT_ONCE = 500
"""Rows of a map that are held when its land is counted."""


@dataclass(frozen=True)
class Coverage:
    """Shares of a run that a source reaches, between 0 and 1."""

    grid: float
    """Share of the cells of the run grid."""
    land: float
    """Share of the cells with land. For the maps, which define land, that of the grid."""

    @property
    def is_whole(self) -> bool:
        """Whether every cell of the run grid is reached."""
        return self.grid == 1


def reached(native: Grid, run: Grid) -> tuple[Bool, Bool]:
    """Find the rows and columns of the run grid whose cell centres lie on a native grid.

    Returns
    -------
    rows, columns : array of bool, shapes (H,) and (W,)
        A cell is reached where both its row and its column are.
    """
    # Edges carry rounding: a centre on an edge counts as inside.
    rounding = ALIGNMENT * native.step
    rows = (run.lat < native.north + rounding) & (run.lat > native.south - rounding)
    if native.periodic:
        return rows, np.ones(run.n_lon, np.bool_)
    columns = (run.lon > native.west - rounding) & (run.lon < native.east + rounding)
    return rows, columns


def cut(native: Grid, run: Grid) -> tuple[Grid, Box]:
    """Cut the part of a native grid that lies under the run grid, with one cell around it.

    Where the run reaches beyond the native grid, so does the part: `read_part` fills it. Where the
    run crosses the edge of a global native grid, all of its columns are kept.

    Returns
    -------
    part : Grid
        The part as a grid of its own.
    box : Box
        The same in cells of the native grid; its rows and columns may lie beyond it.

    Raises
    ------
    ValueError
        If no cell of the run is reached.

    Examples
    --------
    >>> run = Grid(north=50, west=10, step=0.5, n_lat=20, n_lon=30)
    >>> part, box = cut(Grid(north=90, west=-180, step=1, n_lat=180, n_lon=360), run)
    >>> box
    Box(row=39, col=189, height=12, width=17)
    >>> part
    Grid(north=51, west=9, step=1, n_lat=12, n_lon=17)
    """
    rows, columns = reached(native, run)
    if not rows.any() or not columns.any():
        raise ValueError(
            f"the source lies on {describe_grid(native)} and reaches no cell of the run grid, "
            f"{describe_grid(run)}; check the file's georeference, or correct [grid]"
        )
    # One native cell more on every side: interpolation needs a neighbour beyond the run.
    top = int(np.floor((native.north - run.north) / native.step)) - 1
    bottom = int(np.ceil((native.north - run.south) / native.step)) + 1
    left = int(np.floor((run.west - native.west) / native.step)) - 1
    right = int(np.ceil((run.east - native.west) / native.step)) + 1

    # Each side is clipped by itself. Where the source ends with the run there is no such neighbour,
    # and the last cell holds instead. Where the run goes on beyond the source, the side stays out
    # there, so that `read_part` makes those cells missing.
    if rows[0]:
        top = max(0, top)
    if rows[-1]:
        bottom = min(native.n_lat, bottom)
    if native.periodic and (left < 0 or right > native.n_lon):
        # The run crosses the edge of a global source: all columns, and the window wraps.
        left = 0
        right = native.n_lon
    if columns[0]:
        left = max(0, left)
    if columns[-1]:
        right = min(native.n_lon, right)

    # The part is a grid too: it ends at the poles, and goes round the globe once at most.
    rows_to_north_pole = int((90 - native.north) / native.step + ALIGNMENT)
    rows_to_south_pole = int((native.south + 90) / native.step + ALIGNMENT)
    top = max(top, -rows_to_north_pole)
    bottom = min(bottom, native.n_lat + rows_to_south_pole)
    columns_of_globe = int(360 / native.step + ALIGNMENT)
    right = min(right, max(left + columns_of_globe, native.n_lon))
    left = max(left, right - columns_of_globe)

    box = Box(top, left, bottom - top, right - left)
    north = native.north - top * native.step
    west = native.west + left * native.step
    return Grid(north, west, native.step, *box.shape), box


def read_part(source: Source, year: int | None, box: Box) -> NDArray[Any]:
    """Read a box in a source's native cells, which may reach beyond its grid.

    Returns
    -------
    array, shape (variable, height, width)
        Beyond the grid NaN, or `OUTSIDE` where the source has whole numbers.
    """
    inside = box.clip(source.grid.shape)
    if inside == box:
        return source.read(year, box)

    dtype = np.dtype(source.variables[0].dtype)
    missing = np.nan if dtype.kind == "f" else OUTSIDE
    values = np.full((len(source.variables), *box.shape), missing, dtype)
    if inside is not None:
        rows, columns = inside.slices(origin=box)
        values[:, rows, columns] = source.read(year, inside)
    return values


def read_map(source: Source, year: int, run: Grid, box: Box) -> U8:
    """Read the map of a year over a box of the run grid.

    Parameters
    ----------
    source : Source
        The state source, whose maps may be smaller than the run grid.
    year : int
        One of its years.
    run : Grid
        The run grid.
    box : Box
        Cells of it.

    Returns
    -------
    array of uint8, shape (height, width)
        Codes of the source's legend, sub-codes merged; no data where the maps do not reach.

    Raises
    ------
    InputError
        For a code outside the legend.
    ValueError
        Where the maps are not on the run's lattice.
    """
    legend = source.legend
    row, col = run.offset_of(source.grid)
    codes_HW = np.full(box.shape, legend.nodata, np.uint8)
    common = box.intersection(Box(row, col, *source.grid.shape))
    if common is None:
        return codes_HW

    in_maps = common._replace(row=common.row - row, col=common.col - col)
    published_HW = source.read(year, in_maps)[0]
    classes_HW = legend.encode(published_HW, where=f"{source.name} {year}")
    # Both ocean and no data are outside land, but readers of a product are told which.
    classes_HW[published_HW == legend.nodata] = NO_DATA
    codes_HW[common.slices(origin=box)] = legend.decode(classes_HW)
    return codes_HW


def coverages(sources: Sequence[Source], run: Grid) -> list[Coverage]:
    """Measure what each source reaches of the run grid and of its land.

    Land is that of the first map of the state source among `sources`. The map is read only where
    another source does not reach the whole run grid. Without a state source, land counts as the
    grid.
    """
    masks = [reached(source.grid, run) for source in sources]
    grid_shares = [float(rows.mean() * columns.mean()) for rows, columns in masks]
    states = [source for source in sources if source.role == "state"]
    partial = []
    for i, source in enumerate(sources):
        if source.role != "state" and grid_shares[i] < 1:
            partial.append(i)

    # A source that reaches the whole grid reaches all land; and the maps say where land is.
    land_shares = list(grid_shares)
    if states and partial:
        land_cells, reached_cells = _count_land(states[0], run, [masks[i] for i in partial])
        if land_cells:
            for i, cells in zip(partial, reached_cells, strict=True):
                land_shares[i] = cells / land_cells

    return [Coverage(grid, land) for grid, land in zip(grid_shares, land_shares, strict=True)]


def _count_land(
    state: Source, run: Grid, masks: Sequence[tuple[Bool, Bool]]
) -> tuple[int, list[int]]:
    """Count the land cells of a run, and those of them within each pair of rows and columns."""
    land_cells = 0
    reached_cells = [0] * len(masks)
    for first_row in range(0, run.n_lat, ROWS_AT_ONCE):
        band = Box(first_row, 0, min(ROWS_AT_ONCE, run.n_lat - first_row), run.n_lon)
        codes_HW = read_map(state, state.years[0], run, band)
        land_HW = state.legend.encode(codes_HW) != OUTSIDE
        land_cells += int(land_HW.sum())
        for i, (rows, columns) in enumerate(masks):
            rows_of_band = rows[band.row : band.row + band.height]
            reached_cells[i] += int(land_HW[rows_of_band][:, columns].sum())
    return land_cells, reached_cells


def covered(source: Source, coverage: Coverage) -> Source:
    """Return a source as the run takes it, with a rule that says what it does not reach.

    Whole numbers without categories become float32, as some of them are missing.

    Raises
    ------
    InputError
        Where it reaches less than `Source.min_coverage`.
    """
    if coverage.is_whole:
        return source
    region = "run grid" if source.role == "state" else "run's land"
    share = coverage.land
    if share < source.min_coverage or coverage.grid == 0:
        where = source.files[0] if source.files else source.name
        raise InputError(
            f"{where}: {source.name} reaches "
            f"{format_share(share)} of the {region}, expected at least "
            f"{format_share(source.min_coverage)}; get files of the whole region, correct [grid], "
            "or set min_coverage of this source (what it does not reach is missing)"
        )
    if source.role == "state":
        return with_rule(
            source,
            f"the maps reach {format_share(share)} of the run grid; what lies beyond is left out, "
            "as ocean is",
        )
    if any(_is_whole_number(variable) for variable in source.variables):
        source = _floating(source)
    rule = f"reaches {format_share(share)} of the run's land; what lies beyond is missing"
    return with_rule(source, rule)


def _is_whole_number(variable: Variable) -> bool:
    """Return whether a variable has no value that could mean missing."""
    return np.dtype(variable.dtype).kind in "iu" and not variable.categories


def format_share(share: float) -> str:
    """Return a share in percent; one that is not whole never reads 100 %.

    Examples
    --------
    >>> format_share(1), format_share(0.99999), format_share(0.5)
    ('100.0%', '99.9%', '50.0%')
    """
    rounded = f"{share:.1%}"
    return "99.9%" if rounded == "100.0%" and share < 1 else rounded


def with_rule(source: Source, rule: str) -> Source:
    """Return the same source with one more rule that says what is done to its data."""
    described: Any = source
    changed: Source = replace(described, rules=(*source.rules, rule))
    return changed


@dataclass(frozen=True, kw_only=True)
class Floating(Described):
    """A source of whole numbers read as floating-point numbers, of which some can be missing."""

    whole: Source

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return values in float32; see `Source.read`."""
        return self.whole.read(year, box).astype(np.float32)


def _floating(source: Source) -> Floating:
    variables = [replace(variable, dtype="float32") for variable in source.variables]
    described = {field.name: getattr(source, field.name) for field in fields(Described)}
    described["variables"] = tuple(variables)
    return Floating(**described, whole=source)
