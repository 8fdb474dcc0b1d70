"""A series of maps of values as the state of a run: dates, grids, means, and levels.

What a data set has of its own (names of files, packing, flags) is a `SeriesFiles`. The rest is here
and the same for all: which time step a file belongs to, the mean over the cells of the run and over
its time steps, and the levels of the target's scale.

Shapes: H W box.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, combinations
from typing import Any, Literal

import cftime
import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend import NO_VALUE
from luray.core.tiling import Box, hull
from luray.core.time_steps import TimeSteps
from luray.core.types import F32, U8
from luray.sources.base import (
    About,
    Described,
    Encoding,
    Request,
    Source,
    refuse_cells,
    state_variable,
)
from luray.sources.class_resampling import lattice_over
from luray.sources.encoding import encoding_of_netcdf, encoding_of_raster, rules_of_files
from luray.sources.mosaic import require_one_band
from luray.sources.netcdf import NetcdfFile
from luray.sources.netcdf_map import is_netcdf
from luray.sources.netcdf_series import SeriesInspector
from luray.sources.projected_netcdf import (
    ProjectedNetcdf,
    degrees_of,
    inspect_projected,
    projection_of,
)
from luray.sources.raster import RasterFile, inspect_raster
from luray.sources.static_raster import find_band
from luray.sources.time_steps import (
    check_steps,
    format_steps,
    require_longer,
    step_around,
    step_of,
)
from luray.sources.value_maps import FlagMask, Packing, ValueMap, map_of_netcdf, map_of_raster
from luray.sources.value_resampling import MeanResampling
from luray.storage.errors import InputError
from luray.storage.places import public

ROWS_AT_ONCE = 500
"""Rows of a map that are held when it is looked through for a value."""

Outside = Literal["refused", "missing", "clipped"]
MissingSteps = Literal["refused", "left out"]


@dataclass(frozen=True)
class DatedFile:
    """A file, and the date that its name gives."""

    url: str
    name: str
    date: cftime.datetime | None = None
    """None where the name has none: the time axis of the file has the dates."""
    has_day: bool = True
    """False where the name has a year alone, of which `date` is the first day."""


@dataclass(frozen=True, kw_only=True)
class SeriesFiles:
    """The files of a series, and what is particular about them."""

    label: str
    about: About
    where: str
    """The place of the files, for messages."""
    files: Sequence[DatedFile]
    variable: str = ""
    """Variable of NetCDF files."""
    band: int | str | None = None
    """Band of GeoTIFFs, None for the only one."""
    interval: TimeSteps | None = None
    """Time steps of the files; by default those of the run."""
    packing: Callable[[str], Packing] = lambda dtype: Packing()
    """Packing of files of a dtype."""
    flags: tuple[FlagMask, ...] = ()
    outside: Outside = "refused"
    """Treatment of values outside the range of the target."""
    missing_steps: MissingSteps = "refused"
    """Treatment of steps that are lacking: a longer step of the run may go without some."""
    reproject: bool = False
    """Whether projected files are warped; without it they are refused."""
    crs: str = ""
    """Coordinate reference system of projected NetCDF files that declare none."""
    placed: Callable[[NetcdfFile], NetcdfFile] = lambda file: file
    """Corrects the place of a NetCDF file."""


Maps = dict[int, list[ValueMap]]
"""The maps of each time step of the files; several lie side by side."""


@dataclass(frozen=True, kw_only=True)
class ValueSeries(Described):
    """Levels of the target's scale at each time step, 255 where there is no value."""

    maps: Mapping[int, tuple[tuple[ValueMap, ...], ...]]
    """For each step of the run the maps that it is the mean of, each of several files."""
    fine: Grid
    """The cells of the files, or of the run where these are warped."""
    resampling: MeanResampling | None
    """None where the run grid has the cells of the files."""
    outside: Outside
    with_values: dict[str, bool] = field(default_factory=dict, compare=False)
    """Files that were looked through, and whether they have a value."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the levels of one time step, shape (1, H, W), uint8; see `Source.read`."""
        assert year is not None
        total_HW = np.zeros(box.shape, np.float64)
        known_HW = np.zeros(box.shape, np.int64)
        for parts in self.maps[year]:
            values_HW = self._values(parts, box)
            is_known_HW = ~np.isnan(values_HW)
            total_HW[is_known_HW] += values_HW[is_known_HW]
            known_HW += is_known_HW
        mean_HW = total_HW / np.maximum(known_HW, 1)
        return self._levels(mean_HW, known_HW > 0)[None]

    def _levels(self, values_HW: NDArray[np.float64], known_HW: NDArray[np.bool_]) -> U8:
        """Return the level of each known value, no value elsewhere."""
        assert self.legend.scale is not None
        levels_HW = np.full(values_HW.shape, NO_VALUE, np.uint8)
        levels_HW[known_HW] = self.legend.scale.levels_of(values_HW[known_HW])
        return levels_HW

    def _values(self, parts: Sequence[ValueMap], box: Box) -> F32:
        """Return the mean values of one map in a box, NaN where there are none."""
        fine_box = box if self.resampling is None else self.resampling.fine_box(box)
        values_YX = np.full(fine_box.shape, np.nan, np.float32)
        for part in parts:
            row, col = self.fine.offset_of(part.grid)
            common = fine_box.intersection(Box(row, col, *part.grid.shape))
            if common is None:
                continue
            in_part = common._replace(row=common.row - row, col=common.col - col)
            found = self._within_range(part.read(in_part), part, in_part)
            if np.isnan(found).all():
                self._require_some(part)
            # Files in a projection overlap where they are warped: the cells of one are gaps of the
            # other.
            target = values_YX[common.slices(origin=fine_box)]
            np.copyto(target, found, where=np.isnan(target))
        if self.resampling is None:
            return values_YX
        return self.resampling.mean(values_YX, box)

    def _within_range(self, values_HW: F32, part: ValueMap, box: Box) -> F32:
        """Return values within the target's range: others are refused, gaps or cut."""
        scale = self.legend.scale
        assert scale is not None
        rounding = scale.step / 2
        outside_HW = values_HW < scale.first - rounding
        outside_HW |= values_HW > scale.last + rounding
        if self.outside == "refused":
            refuse_cells(
                outside_HW,
                values_HW,
                grid=part.grid,
                box=box,
                where=part.where,
                found=f"lie outside the range of the target {self.legend.name}",
                expected=f"{scale.first:g}..{scale.last:g} {scale.units}; correct the packing, "
                "widen valid_range of the legend, or set `outside` of the source to missing or "
                "clipped",
            )
        elif self.outside == "missing":
            values_HW[outside_HW] = np.nan
        # Also what lies outside by rounding.
        return values_HW.clip(np.float32(scale.first), np.float32(scale.last))

    def _require_some(self, part: ValueMap) -> None:
        """Raise InputError for a map without any value: it is no map, whatever made it so."""
        if part.where not in self.with_values:
            n_lat, n_lon = part.grid.shape
            self.with_values[part.where] = False
            for row in range(0, n_lat, ROWS_AT_ONCE):
                rows = Box(row, 0, min(ROWS_AT_ONCE, n_lat - row), n_lon)
                if not np.isnan(part.read(rows)).all():
                    self.with_values[part.where] = True
                    break
        if not self.with_values[part.where]:
            raise InputError(
                f"{part.where}: has no value in any of its cells, expected some; get the file "
                "again, correct its packing or flags, or take it away"
            )


def open_series(files: SeriesFiles, request: Request) -> Source:
    """Open the maps of a run.

    Parameters
    ----------
    files : SeriesFiles
        The files, and what is particular about them.
    request : Request
        Years, time steps, grid and target of the run.

    Raises
    ------
    InputError
        Where there is no file, one cannot be read or lies elsewhere, two are of one date, dates are
        missing or contradict the files' time axes, or the run's steps are shorter than the files'.
    """
    scale = request.legend.scale
    assert scale is not None, "a source of values opens for a target of values"
    time = files.interval or request.time
    require_longer(time, request.time, where=files.where)
    if not files.files:
        raise InputError(
            f"{files.where}: found no file, expected {' and '.join(files.about.files)}; get the "
            "files or correct `path`"
        )
    run_years = request.run_years
    in_run = [file for file in files.files if file.date is None or file.date.year in run_years]
    maps: Maps = {}
    warp = _warp_grid(files, in_run, request.grid)
    inspector = SeriesInspector()
    for file in in_run:
        for step, value_map in _maps_of_file(
            files, file, time, warp, inspector=inspector, units=scale.units
        ):
            if time.year(step) in run_years:
                maps.setdefault(step, []).append(value_map)
    steps = _require_series(files, maps, time, request)

    fine = _hull(chain.from_iterable(maps[step] for step in maps), where=files.where)
    grid, resampling = _resampling(fine, request.grid, where=files.where)
    used = [maps[step] for run_step in steps for step in steps[run_step]]
    opened = {part.file.url: part for part in chain.from_iterable(used)}
    return ValueSeries(
        name=files.label,
        about=files.about,
        grid=grid,
        variables=(state_variable(request.legend),),
        years=tuple(steps),
        per_year=request.time.per_year,
        legend=request.legend,
        rules=_rules(files, list(opened.values()), time, request.time, resampling),
        files=tuple(dict.fromkeys(chain.from_iterable(p.file.urls for p in opened.values()))),
        encodings=(_encoding(list(opened.values())),),
        maps={
            run_step: tuple(tuple(maps[step]) for step in of_run_step)
            for run_step, of_run_step in steps.items()
        },
        fine=fine,
        resampling=resampling,
        outside=files.outside,
    )


def _warp_grid(files: SeriesFiles, dated: Sequence[DatedFile], run: Grid | None) -> Grid | None:
    """Return the cells onto which projected files are warped; None for longitude and latitude.

    They are those of the run, or several in each of these where the files have smaller ones.
    """
    if not dated:
        return None
    first = dated[0]
    if is_netcdf(first.name):
        projection = projection_of(first.url, crs=files.crs)
        native_step = None if projection is None else degrees_of(projection)
    else:
        from luray.sources.raster_header import projected_step

        native_step = projected_step(first.url)
    if native_step is None:
        return None
    if not files.reproject:
        raise InputError(
            f"{public(first.url)}: is in a projection, expected longitude and latitude "
            "(EPSG:4326); set reproject = true of the source, which takes the nearest cell, or "
            "warp the file"
        )
    assert run is not None
    parts = max(1, round(run.step / native_step))
    step = run.step / parts
    return Grid(run.north, run.west, step, run.n_lat * parts, run.n_lon * parts)


def _maps_of_file(
    files: SeriesFiles,
    dated: DatedFile,
    time: TimeSteps,
    warp: Grid | None,
    *,
    inspector: SeriesInspector,
    units: str,
) -> list[tuple[int, ValueMap]]:
    """Return the time steps of a file with their maps."""
    if not is_netcdf(dated.name):
        raster = inspect_raster(dated.url, warp_to=warp, packed="kept")
        if files.flags:
            raise InputError(
                f"{public(dated.url)}: a GeoTIFF has no flags beside its values, expected NetCDF "
                f"with {', '.join(flag.variable for flag in files.flags)}; get NetCDF files, or "
                "do without the flags"
            )
        band = require_one_band(raster) if files.band is None else find_band(raster, files.band)
        packing = files.packing(band.dtype)
        value_map = map_of_raster(raster, band.number, packing=packing, units=units)
        if dated.date is None or not (dated.has_day or time.per_year == 1):
            raise InputError(
                f"{public(dated.url)}: its name does not say which {time.interval} it is of, "
                "expected {date} in `pattern`, or {year} for a map a year"
            )
        return [(step_of(dated.date, time, where=dated.url), value_map)]

    file = files.placed(_open_netcdf(dated.url, files, warp, inspector))
    file.require(files.variable)
    packing = files.packing(file.variables[files.variable].dtype)
    map_at = partial(
        map_of_netcdf, file, files.variable, packing=packing, flags=files.flags, units=units
    )
    if file.time_axis not in file.variables[files.variable].dims:
        if dated.date is None or not (dated.has_day or time.per_year == 1):
            raise InputError(
                f"{file.url}: {files.variable} has no time axis, and the name of the file does not "
                f"say which {time.interval} it is of, expected one of both; give {{date}} in "
                "`pattern`, or {year} for a map a year"
            )
        return [(step_of(dated.date, time, where=file.url), map_at(-1))]

    steps = [step_of(moment, time, where=file.url) for moment in file.moments]
    check_steps(steps, time, where=file.url, wanted=())
    _require_date(dated, steps, time)
    return [(step, map_at(index)) for index, step in enumerate(steps)]


def _open_netcdf(
    url: str, files: SeriesFiles, warp: Grid | None, inspector: SeriesInspector
) -> NetcdfFile:
    if warp is None:
        return inspector.inspect(url)
    projection = projection_of(url, crs=files.crs)
    if projection is None:
        raise InputError(
            f"{public(url)}: is in longitude and latitude, other files of {files.label} in a "
            "projection, expected all alike; take one kind away"
        )
    return inspect_projected(url, projection, warp)


def _require_date(dated: DatedFile, steps: Sequence[int], time: TimeSteps) -> None:
    """Raise InputError where the time axis of a file contradicts the date in its name."""
    if dated.date is None:
        return
    named = step_of(dated.date, time, where=dated.url)
    if dated.has_day and len(steps) == 1 and steps[0] != named:
        raise InputError(
            f"{public(dated.url)}: holds {time.label(steps[0])}, its name says "
            f"{time.label(named)}; get the file again, or correct its time axis and calendar"
        )
    if any(time.year(step) != dated.date.year for step in steps):
        raise InputError(
            f"{public(dated.url)}: holds {format_steps(steps, time)}, its name says "
            f"{dated.date.year}; get the file again, or correct its time axis and calendar"
        )


def _require_series(
    files: SeriesFiles, maps: Maps, time: TimeSteps, request: Request
) -> dict[int, list[int]]:
    """Return the steps of the files in each step of the run, those that are complete.

    Raises InputError for steps that are missing or there twice.
    """
    run_time = request.time
    if not maps:
        years = request.run_years
        raise InputError(
            f"{files.where}: holds no map of the run's years {years.start}-{years.stop - 1}; "
            "correct the run's years or get the files"
        )
    for step, parts in maps.items():
        _require_apart(parts, step, time)
    available = sorted(maps)
    is_strict = files.missing_steps == "refused"
    if is_strict:
        check_steps(available, time, where=files.where)

    wanted: dict[int, list[int]] = {}
    for step in time.of_years(time.year(available[0]), time.year(available[-1])):
        wanted.setdefault(step_around(step, time, run_time), []).append(step)
    steps = {}
    for run_step, of_run_step in wanted.items():
        there = [step for step in of_run_step if step in maps]
        # The first and the last step of the run may be cut: the mean of a part is another one.
        if there and (len(there) == len(of_run_step) or not is_strict):
            steps[run_step] = there
    check_steps(list(steps), run_time, where=files.where)
    return steps


def _require_apart(parts: Sequence[ValueMap], step: int, time: TimeSteps) -> None:
    """Raise InputError for two maps of one place and date."""
    for a, b in combinations(parts, 2):
        is_warped = isinstance(a.file, ProjectedNetcdf)
        if isinstance(a.file, RasterFile):
            is_warped = bool(a.file.warp_from)
        row, col = a.grid.offset_of(b.grid)
        # Warped files reach over the rectangle of their neighbours, but never lie on the same.
        overlap = Box(0, 0, *a.grid.shape).intersection(Box(row, col, *b.grid.shape))
        if (overlap and not is_warped) or a.grid == b.grid:
            raise InputError(
                f"{public(a.file.url)} and {public(b.file.url)} are both of {time.label(step)}, "
                "expected one file a date, or several that lie side by side; keep one of the two"
            )


def _hull(parts: Iterable[ValueMap], *, where: str) -> Grid:
    """Return the grid around all maps. Raises InputError for maps of different lattices."""
    grids = list(dict.fromkeys(part.grid for part in parts))
    first = grids[0]
    boxes = []
    for grid in grids:
        try:
            boxes.append(Box(*first.offset_of(grid), *grid.shape))
        except ValueError as error:
            raise InputError(
                f"{where}: files lie on different grids ({error}); all files of a source must lie "
                "on one"
            ) from error
    around = hull(boxes)
    north = first.north - around.row * first.step
    west = first.west + around.col * first.step
    return Grid(north, west, first.step, *around.shape)


def _resampling(fine: Grid, run: Grid | None, *, where: str) -> tuple[Grid, MeanResampling | None]:
    """Return the cells on which a series is read, and how it comes onto them."""
    if run is None:
        return fine, None
    try:
        run.offset_of(fine)
    except ValueError:
        grid = lattice_over(fine, run, where=where)
        return grid, MeanResampling(fine, grid)
    return fine, None


def _rules(
    files: SeriesFiles,
    parts: Sequence[ValueMap],
    time: TimeSteps,
    run_time: TimeSteps,
    resampling: MeanResampling | None,
) -> tuple[str, ...]:
    """Return what is done to the maps, in words."""
    rules: list[str] = []
    for part in parts:
        rules += part.packing.rules
        if part.to_units.changes or not part.to_units.declared:
            rules.append(part.to_units.rule)
    rules += [flag.rule for flag in files.flags]
    if files.outside != "refused":
        rules.append(f"values outside the range of the target are {files.outside}")
    if resampling is not None:
        rules.append(
            f"cells of {resampling.fine.step:.6f} degrees read at {resampling.coarse.step:g} "
            "degrees: the mean of those with a value, where these are at least half"
        )
    if time != run_time:
        rules.append(f"each {run_time.interval} is the mean of the {time.interval}s in it")
    rules += rules_of_files(part.file for part in parts)
    return tuple(dict.fromkeys(rules))


def _encoding(parts: Sequence[ValueMap]) -> Encoding:
    """Return how the values are in the files."""
    netcdf = [part.file for part in parts if isinstance(part.file, NetcdfFile)]
    rasters = [part.file for part in parts if isinstance(part.file, RasterFile)]
    if netcdf:
        return encoding_of_netcdf(parts[0].variable, netcdf)
    return encoding_of_raster(rasters, band=parts[0].index)
