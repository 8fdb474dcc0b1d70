"""Land cover of ESA CCI and the Copernicus Climate Change Service (C3S), 300 m, 1992-2022.

The files have one code for water, inland or sea. Water that fills a whole block of `sea_step`
degrees is read as sea, which costs nothing; water beside land stays a class.

Shapes: H W box.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import read_legend
from luray.core.tiling import Box
from luray.core.types import U8
from luray.sources.base import (
    About,
    Described,
    MapsConfig,
    Request,
    Source,
    recode,
    state_variable,
)
from luray.sources.class_resampling import ClassResampling, Method, lattice_over
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_netcdf, rules_of_files
from luray.sources.layout import shared_grid
from luray.sources.netcdf import NetcdfFile, inspect_netcdf
from luray.sources.years import check_series, shared_years
from luray.storage.errors import InputError

LEGEND = read_legend("esa_cci_lc")

STEP = 1 / 360
"""Cell size in degrees."""

VARIABLE = "lccs_class"

NAME = (
    r"(?P<series>ESACCI|C3S)-LC-L4-LCCS-Map-300m-P1Y-(?P<year>\d{4})-"
    r"v(?P<version>2\.0\.7\w*|2\.1(?:\.\d)?)(?P<region>[\w.-]*)\.nc"
)
"""Names of both series. A download of a region says so behind the version."""

PUBLISHED = [code for code in LEGEND.known() if code != LEGEND.ocean]
"""Codes that the files may hold: no data (0) and the classes. The sea is a code of luray's own."""

ABOUT = About(
    title="Land cover classification gridded maps, 1992-2022 (ESA CCI and C3S)",
    doi="10.24381/cds.006f2c9a",
    licence="ESA CCI licence and licence to use Copernicus products",
    url="https://cds.climate.copernicus.eu/datasets/satellite-land-cover",
    files=(
        "ESACCI-LC-L4-LCCS-Map-300m-P1Y-{year}-v2.0.7cds.nc for 1992-2015",
        "C3S-LC-L4-LCCS-Map-300m-P1Y-{year}-v2.1.1.nc for 2016-2022",
    ),
    values=f"1/360 degree; {VARIABLE} as bytes, codes {' '.join(map(str, PUBLISHED))}; a file a "
    "year without gaps",
)


class CciLcConfig(MapsConfig):
    """Where the files are, and how their maps come onto the run grid."""

    about: ClassVar[About] = ABOUT
    maps_legend: ClassVar[Legend] = LEGEND
    native_step: ClassVar[float | None] = STEP

    kind: Literal["cci_lc"]
    resample: Method = "majority"
    """majority: a cell of the run grid has the code that covers most of it, the lower of two that
    cover as much; nearest: the code at its centre. A run grid of the maps' own cells, with
    grid.step = 0.002777777777777778, has them as they are.
    """
    sea_step: float = Field(0.25, ge=0, le=10)
    """Size in degrees of the blocks that are sea where all of their cells are water; 0 leaves all
    water a class.
    """

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_cci_lc`."""
        return open_cci_lc(self, run_years=request.run_years, run_grid=request.grid)


@dataclass(frozen=True, kw_only=True)
class CciLc(Described):
    """Codes of land cover of each year, 0 where there are no data and 230 at sea."""

    maps: Mapping[int, NetcdfFile]
    """The file of each year."""
    resampling: ClassResampling | None
    """None where the run grid has the cells of the maps."""
    sea_cells: int
    """Cells of the maps along a side of a block that may be sea; 0 for none."""
    sea_origin: tuple[int, int]
    """Row and column of the first cell of the maps, counted from 90 degrees north, 180 west."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the codes of one year, shape (1, H, W), uint8; see `Source.read`."""
        assert year is not None
        file = self.maps[year]
        resampling = self.resampling
        if resampling is None:
            return self._native_codes(file, box)[None]

        native_codes = self._native_codes(file, resampling.fine_box(box))
        return resampling.resample(native_codes, box)[None]

    def _native_codes(self, file: NetcdfFile, box: Box) -> U8:
        """Return the codes of a box of the maps' own cells, with the sea told from water."""
        # Whether a cell is sea depends on its whole block, so that is what is read.
        around = self._whole_blocks(box, file.layout.grid)
        index = {file.time_axis: 0} if file.time_axis else {}
        [raw_HW] = file.read((VARIABLE,), around, **index)
        codes_HW = recode(
            raw_HW.view(np.uint8),  # old files have signed bytes, with an attribute _Unsigned
            {code: code for code in PUBLISHED},
            where=file.url,
            legend=LEGEND.name,
            missing=LEGEND.nodata,
        )
        if self.sea_cells:
            codes_HW[self._sea(codes_HW, around)] = LEGEND.ocean
        return np.ascontiguousarray(codes_HW[box.slices(origin=around)])

    def _whole_blocks(self, box: Box, grid: Grid) -> Box:
        """Return a box with the whole of all blocks that it touches, as far as the maps reach."""
        if not self.sea_cells:
            return box
        row, height = _rounded(box.row, box.height, self.sea_origin[0], self.sea_cells)
        col, width = _rounded(box.col, box.width, self.sea_origin[1], self.sea_cells)
        inside = Box(row, col, height, width).clip(grid.shape)
        assert inside is not None
        return inside

    def _sea(self, codes_HW: U8, box: Box) -> NDArray[np.bool_]:
        """Find the cells that lie in blocks of nothing but water; Y X are the blocks."""
        # The block of each row and column, and where each block begins. Blocks at the edge of the
        # maps may be cut, so they cannot be had by a reshape.
        origin_row, origin_col = self.sea_origin
        block_H = (np.arange(box.height) + box.row + origin_row) // self.sea_cells
        block_W = (np.arange(box.width) + box.col + origin_col) // self.sea_cells
        first_row_Y = np.flatnonzero(np.diff(block_H, prepend=-1))
        first_col_X = np.flatnonzero(np.diff(block_W, prepend=-1))

        is_water_HW = codes_HW == LEGEND.water
        is_water_YW = np.logical_and.reduceat(is_water_HW, first_row_Y, axis=0)
        is_sea_YX = np.logical_and.reduceat(is_water_YW, first_col_X, axis=1)

        # Each block's answer, spread over its cells again.
        y_H = block_H - block_H[0]
        x_W = block_W - block_W[0]
        is_sea_HW: NDArray[np.bool_] = is_sea_YX[np.ix_(y_H, x_W)]
        return is_sea_HW


def _rounded(start: int, length: int, origin: int, block: int) -> tuple[int, int]:
    """Return where the blocks under some cells begin, and their cells in all."""
    first = (start + origin) // block * block - origin
    end = ceil_div(start + length + origin, block) * block - origin
    return first, end - first


def open_cci_lc(config: CciLcConfig, *, run_years: range, run_grid: Grid | None) -> Source:
    """Open the land cover of a run: every year of the run that there is a file of.

    Parameters
    ----------
    config : CciLcConfig
        Where the files are.
    run_years : range
        Years of the run.
    run_grid : Grid or None
        The run grid, onto which the maps are brought; None leaves them on their own cells.

    Raises
    ------
    InputError
        Where files are lacking, there twice, of another year than their name says, on different
        grids or without plain codes of the legend, or where a year of the run is missing between
        others.
    """
    maps = _maps(config, run_years)
    files = list(maps.values())
    native = shared_grid(files)
    grid = native
    resampling = None
    rules = list(rules_of_files(files))
    if run_grid is not None and abs(run_grid.step / native.step - 1) > 1e-4:
        grid = lattice_over(native, run_grid, where=files[0].url)
        resampling = ClassResampling(native, grid, config.resample)
        how = "that covers most of it, the lower of two"
        if config.resample == "nearest":
            how = "at its centre"
        rules.append(
            f"cells of {native.step:.6f} degrees read at {grid.step:g} degrees: the code {how}"
        )

    sea_cells = round(config.sea_step / native.step)
    if sea_cells:
        rules.append(
            f"water ({LEGEND.water}) that fills a block of {config.sea_step:g} degrees read as "
            f"sea ({LEGEND.ocean})"
        )
    return CciLc(
        name=config.label,
        about=ABOUT,
        grid=grid,
        variables=(state_variable(LEGEND),),
        years=tuple(maps),
        legend=LEGEND,
        rules=tuple(rules),
        files=tuple(file.url for file in files),
        encodings=(encoding_of_netcdf(VARIABLE, files),),
        maps=maps,
        resampling=resampling,
        sea_cells=sea_cells,
        sea_origin=(
            round((90 - native.north) / native.step),
            round((native.west + 180) / native.step),
        ),
    )


def _maps(config: CciLcConfig, run_years: range) -> dict[int, NetcdfFile]:
    """Return the file of each year of the run, checked."""
    url_of_year: dict[int, str] = {}
    for url, match in matching(config, NAME):
        year = int(match["year"])
        if year in url_of_year:
            raise InputError(
                f"{config.where}: {url_of_year[year]} and {url} are both of {year}, expected one "
                "file a year; keep one of them"
            )
        url_of_year[year] = url
    if not url_of_year:
        raise InputError(
            f"{config.where}: found no map of land cover, expected {' and '.join(ABOUT.files)}; "
            "get the files or correct `path`"
        )

    years = sorted(url_of_year)
    check_series(years, where=config.where, wanted=run_years)
    shared = shared_years(years, run_years, where=config.where)
    return {year: _checked(url_of_year[year], year) for year in years if year in shared}


def _checked(url: str, year: int) -> NetcdfFile:
    """Open the file of a year. Raises InputError for another year, type or legend."""
    file = inspect_netcdf(url)
    file.require(VARIABLE)
    field = file.variables[VARIABLE]
    if field.dtype not in ("uint8", "int8") or field.packing != (1, 0):
        raise InputError(
            f"{url}: {VARIABLE} is {field.dtype} with scale and offset {field.packing}, expected "
            "plain bytes; get the file as it is published"
        )
    if file.time_axis and file.years != (year,):
        raise InputError(
            f"{url}: holds the years {list(file.years)}, its name says {year}; get the file again"
        )

    declared = np.ravel(np.asarray(field.attrs.get("flag_values", ())))
    if declared.dtype.kind in "iu":
        flags = {int(code) % 256 for code in declared}
        unknown = sorted(flags - set(PUBLISHED))
        if unknown:
            raise InputError(
                f"{url}: flag_values of {VARIABLE} has the codes {unknown}, which {LEGEND.name} "
                f"lacks, expected {PUBLISHED}; get a file of version 2.0.7 or 2.1.1"
            )
    return file
