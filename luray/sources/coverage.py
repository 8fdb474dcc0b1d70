"""How much of a run its sources reach, and what becomes of the rest: missing, never the nearest
value they have.

A source lies on a rectangle of cells. What the run grid has beyond it is filled with missing values
when the source is read, so that nothing is smeared outwards. Shapes: H W cells of the run grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import ALIGNMENT, Grid
from luray.core.legend import OUTSIDE
from luray.core.tiling import Box
from luray.core.types import Bool
from luray.sources.base import Described, Source
from luray.sources.layout import describe
from luray.storage.errors import InputError

ROWS_AT_ONCE = 500
"""Rows of a map that are held when its land is counted."""


@dataclass(frozen=True)
class Coverage:
    """What a source reaches of a run, as shares between 0 and 1."""

    grid: float
    """Of the cells of the run grid."""
    land: float
    """Of the cells with land; that of the grid for the maps, which say where land is."""

    @property
    def is_whole(self) -> bool:
        """Whether every cell of the run grid is reached."""
        return self.grid == 1


def reached(native: Grid, run: Grid) -> tuple[Bool, Bool]:
    """Rows and columns of the run grid whose cell centres lie on a native grid, shapes (H,) and
    (W,).
    """
    rounding = ALIGNMENT * native.step
    rows = (run.lat < native.north + rounding) & (run.lat > native.south - rounding)
    if native.periodic:
        return rows, np.ones(run.n_lon, np.bool_)
    cols = (run.lon > native.west - rounding) & (run.lon < native.east + rounding)
    return rows, cols


def reaches_all(native: Grid, run: Grid) -> bool:
    """Whether a native grid lies under every cell of the run grid."""
    rows, cols = reached(native, run)
    return bool(rows.all() and cols.all())


def cut(native: Grid, run: Grid) -> tuple[Grid, Box]:
    """The part of a native grid under the run grid, with one cell around it; its box in the native
    grid.

    Where the run reaches beyond the native grid, so does the box: `read_part` fills it. Where the
    run crosses the edge of a global native grid, all of its columns are kept. Raises ValueError if
    no cell of the run is reached.
    """
    rows, cols = reached(native, run)
    if not rows.any() or not cols.any():
        raise ValueError(
            f"the source lies on {describe(native)} and reaches no cell of the run grid, "
            f"{describe(run)}; check the file's georeference, or correct [grid]"
        )
    top = int(np.floor((native.north - run.north) / native.step)) - 1
    bottom = int(np.ceil((native.north - run.south) / native.step)) + 1
    left = int(np.floor((run.west - native.west) / native.step)) - 1
    right = int(np.ceil((run.east - native.west) / native.step)) + 1

    # The cell around the run is for interpolation. Where the source ends with the run, its last
    # cell holds instead.
    top = max(0, top) if rows[0] else top
    bottom = min(native.n_lat, bottom) if rows[-1] else bottom
    if native.periodic and (left < 0 or right > native.n_lon):
        left, right = 0, native.n_lon
    left = max(0, left) if cols[0] else left
    right = min(native.n_lon, right) if cols[-1] else right

    # Beyond the native grid the box ends at the poles and goes round the globe once at most.
    top = max(top, -int((90 - native.north) / native.step + ALIGNMENT))
    bottom = min(bottom, native.n_lat + int((native.south + 90) / native.step + ALIGNMENT))
    around = int(360 / native.step + ALIGNMENT)
    right = min(right, max(left + around, native.n_lon))
    left = max(left, right - around)

    box = Box(top, left, bottom - top, right - left)
    north, west = native.north - top * native.step, native.west + left * native.step
    return Grid(north, west, native.step, *box.shape), box


def read_part(source: Source, year: int | None, box: Box) -> NDArray[Any]:
    """Values of a box in a source's native cells, (variable, height, width), missing beyond its
    grid.
    """
    inside = box.intersection(Box(0, 0, *source.grid.shape))
    if inside == box:
        return source.read(year, box)

    dtype = np.dtype(source.variables[0].dtype)
    missing = np.nan if dtype.kind == "f" else OUTSIDE
    values = np.full((len(source.variables), *box.shape), missing, dtype)
    if inside is not None:
        rows, cols = inside.slices(origin=box)
        values[:, rows, cols] = source.read(year, inside)
    return values


def read_map(source: Source, year: int, run: Grid, box: Box) -> NDArray[np.uint8]:
    """Published codes of a map over a box of the run grid, shape (height, width), ocean where the
    maps do not reach.

    Raises InputError for a code outside the legend, ValueError where the maps are not on the run's
    lattice.
    """
    row, col = run.offset_of(source.grid)
    codes = np.full(box.shape, source.legend.ocean, np.uint8)
    common = box.intersection(Box(row, col, *source.grid.shape))
    if common is not None:
        found = source.read(year, common._replace(row=common.row - row, col=common.col - col))[0]
        classes = source.legend.encode(found, where=f"{source.name} {year}")
        codes[common.slices(origin=box)] = source.legend.decode(classes)
    return codes


def coverages(sources: Sequence[Source], run: Grid) -> list[Coverage]:
    """What each source reaches of the run grid and of its land, which is that of the first map of
    the state among them.

    The map is read only where a source does not reach the whole run grid. Without a state, land
    counts as the grid.
    """
    masks = [reached(source.grid, run) for source in sources]
    grid_shares = [rows.mean() * cols.mean() for rows, cols in masks]
    state = next((source for source in sources if source.role == "state"), None)
    others = [
        i for i, source in enumerate(sources) if source.role != "state" and grid_shares[i] < 1
    ]
    land_cells = np.zeros(len(sources), np.int64)
    all_land = 0
    if state is not None and others:
        for first in range(0, run.n_lat, ROWS_AT_ONCE):
            box = Box(first, 0, min(ROWS_AT_ONCE, run.n_lat - first), run.n_lon)
            land_HW = state.legend.encode(read_map(state, state.years[0], run, box)) != OUTSIDE
            all_land += int(land_HW.sum())
            for i in others:
                rows, cols = masks[i]
                land_cells[i] += int(land_HW[rows[first : first + box.height]][:, cols].sum())

    found = []
    for i, share in enumerate(grid_shares):
        land = land_cells[i] / all_land if i in others and all_land else share
        found.append(Coverage(float(share), float(land)))
    return found


def covered(source: Source, coverage: Coverage) -> Source:
    """A source as the run takes it: what it does not reach is missing, and is said so in its rules.

    Raises InputError where it reaches less than `Source.min_coverage`.
    """
    if coverage.is_whole:
        return source
    whole = "run grid" if source.role == "state" else "run's land"
    share = coverage.land
    if share < source.min_coverage or coverage.grid == 0:
        raise InputError(
            f"{source.files[0] if source.files else source.name}: {source.name} reaches "
            f"{percent(share)} "
            f"of the {whole}, expected at least {percent(source.min_coverage)}; get files of the "
            "whole "
            "region, correct [grid], or set min_coverage of this source (what it does not reach "
            "is "
            "missing)"
        )
    if source.role == "state":
        rule = f"the maps reach {percent(share)} of the run grid; what lies beyond is left out, as ocean is"
        return with_rule(source, rule)
    rule = f"reaches {percent(share)} of the run's land; what lies beyond is missing"
    if any(
        np.dtype(variable.dtype).kind in "iu" and not variable.categories
        for variable in source.variables
    ):
        source = _floating(source)
    return with_rule(source, rule)


def percent(share: float) -> str:
    """A share in words: never 100 % of what is not whole."""
    rounded = f"{share:.1%}"
    return "99.9%" if rounded == "100.0%" and share < 1 else rounded


def with_rule(source: Source, rule: str) -> Source:
    """The same source, with one thing more that is done to its data."""
    described: Any = source
    changed: Source = replace(described, rules=(*source.rules, rule))
    return changed


@dataclass(frozen=True, kw_only=True)
class Floating(Described):
    """A source of whole numbers as one of floating-point numbers, of which some can be missing."""

    whole: Source

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Values in float32; see `Source.read`."""
        return self.whole.read(year, box).astype(np.float32)


def _floating(source: Source) -> Floating:
    described = {field.name: getattr(source, field.name) for field in fields(Described)}
    described["variables"] = tuple(
        replace(variable, dtype="float32") for variable in source.variables
    )
    return Floating(**described, whole=source)
