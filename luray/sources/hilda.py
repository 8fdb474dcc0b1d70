"""HILDA+ land-use states, v1 and v2, as a series of GeoTIFFs or one NetCDF: the fine map.

Shapes: H W box.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.sources.base import (
    About,
    Described,
    Encoding,
    MapsConfig,
    Request,
    Source,
    equals,
    legend_table,
    recode,
    state_variable,
)
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_netcdf, encoding_of_raster, rules_of_files
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.mosaic import Raster, map_series, require_one_band
from luray.sources.netcdf import NetcdfFile, inspect_netcdf
from luray.sources.years import check_series, shared_years
from luray.storage.errors import InputError

LEGEND = HILDA
"""The legend of the maps, as published: its sub-codes are merged when a map is read."""

STEP = 0.01
"""Cell size in degrees."""

VARIABLE = "LULC_states"
"""Name of the maps in the NetCDF files."""

PREFIX = r"(?:[^/]*[_-])?"
"""Prefix that users put before the published name of a region: `crete_hilda_plus_...`."""

SERIES = {
    "v1": rf"(?i:{PREFIX}hilda_plus_(\d{{4}})_states_GLOB-v1[\w-]*_wgs84[\w-]*\.tiff?)",
    "v2": rf"(?i:{PREFIX}hilda_plus_states_(\d{{4}})_GLOB-v2[\w-]*_wgs84[\w-]*\.tiff?)",
}
"""Names of the yearly GeoTIFFs of each version."""

NETCDF = rf"(?i:{PREFIX}hildaplus_v?GLOB-(\d)-?[\w.-]*_states\.nc)"
"""Name of the NetCDF file of all years: the version."""

BASE_MAP = re.compile(r"base-?_?map", re.IGNORECASE)
"""Name in the archive for the map of 2015 in version 1, the only one of that year."""

BASE_YEARS = {"1": 2015}
"""Year of the base map of a version."""

BASE_MAP_WORDS = (
    "a base map of another kind: part of the change into and out of it is no change of the land"
)

KEPT = "it is kept as if it were of the same kind (base_maps)"
"""Words of the rules for a base map that the run file keeps."""

ABOUT = About(
    title="HILDA+ global land use change 1960-2020 and its extension to 1899",
    doi="10.1594/PANGAEA.974335",
    licence="CC-BY-4.0",
    url="https://doi.pangaea.de/10.1594/PANGAEA.974335 (v2), "
    "https://doi.pangaea.de/10.1594/PANGAEA.921846 (v1)",
    files=(
        "hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif",
        "hilda_plus_states_{year}_GLOB-v2_wgs84.tif",
        "hildaplus_vGLOB-1.0-f_states.nc",
        "hildaplus_GLOB-2-0_states.nc",
    ),
    values=f"0.01 degrees; codes {' '.join(str(code) for code in LEGEND.known())}; a map a year "
    "without gaps; in version 1 that of 2015 is ..._GLOB-v1-0_base-map_wgs84-nn.tif",
)

Map = tuple[Raster | NetcdfFile, int]
"""The file of a year's map, and its time index there: 0 in a GeoTIFF."""


class HildaConfig(MapsConfig):
    """Where the HILDA+ files are: a folder (searched with its subfolders) or one NetCDF file."""

    about: ClassVar[About] = ABOUT
    maps_legend: ClassVar[Legend] = LEGEND

    kind: Literal["hilda"]
    base_maps: Literal["leave out", "keep"] = "leave out"
    """leave out: change into and out of a base map (version 1 has one, 2015) is neither learned nor
    scored, and the memory of a cell ends before it; keep: it counts as any other map.
    """

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_hilda`."""
        return open_hilda(self, run_years=request.run_years)


@dataclass(frozen=True, kw_only=True)
class Hilda(Described):
    """Class codes 0 11 22 33 44 55 66 77 99 of each year that HILDA+ has."""

    maps: Mapping[int, Map]
    """The map of each year."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the codes of one year, shape (1, H, W), uint8; see `Source.read`."""
        assert year is not None
        file, time_index = self.maps[year]
        if isinstance(file, NetcdfFile):
            [raw_HW] = file.read((VARIABLE,), box, **{file.time_axis: time_index})
            fills = file.variables[VARIABLE].fills
            where = f"{file.url}, year {year}"
        else:
            raw_HW = file.read(box)
            nodata = file.bands[0].nodata
            fills = () if nodata is None else (nodata,)
            where = file.url

        published_HW = np.ma.getdata(raw_HW)
        missing_HW = np.array(np.ma.getmaskarray(raw_HW))
        if published_HW.dtype.kind == "f":
            missing_HW |= np.isnan(published_HW)
        # A published code keeps its meaning where the file declares it as no data, too: 0 is ocean.
        for fill in fills:
            if fill not in LEGEND.known():
                missing_HW |= equals(published_HW, fill)
        codes_HW = recode(
            np.ma.masked_array(published_HW, missing_HW),
            legend_table(LEGEND),
            where=where,
            legend=LEGEND.name,
            missing=LEGEND.nodata,
        )
        return codes_HW[None]


def open_hilda(config: HildaConfig, *, run_years: range) -> Source:
    """Open HILDA+ for a run: every year of the run that the files hold.

    Parameters
    ----------
    config : HildaConfig
        Where the files are.
    run_years : range
        Years of the run.

    Raises
    ------
    InputError
        Where files are lacking, of two versions, unreadable, on different grids or not in
        EPSG:4326, or where a year of the run is missing between others or there twice.
    """
    form, matches = _find_files(config)
    if form == "nc":
        [(url, match)] = matches
        version = match[1]
        maps = _netcdf_maps(url, run_years)
    else:
        version = form.removeprefix("v")
        maps = _raster_maps(matches, run_years, where=config.where)

    # A NetCDF file holds all years: each file once.
    file_by_url = {file.url: file for file, _ in maps.values()}
    files = list(file_by_url.values())
    grid = shared_grid(files)
    base_maps = _base_maps(maps, version)
    base_map_rules = [f"{year} is {words}" for year, words in base_maps.items()]
    if config.base_maps == "keep":
        base_map_rules = [f"{rule}; {KEPT}" for rule in base_map_rules]
    return Hilda(
        name=config.label,
        about=ABOUT,
        grid=grid,
        variables=(state_variable(LEGEND),),
        years=tuple(maps),
        maps=maps,
        legend=LEGEND,
        rules=(*_rules(files, grid), *base_map_rules),
        files=tuple(chain.from_iterable(file.urls for file in files)),
        encodings=(_encoding(files),),
        other_kind=base_maps if config.base_maps == "leave out" else {},
    )


def _find_files(config: HildaConfig) -> tuple[str, list[tuple[str, re.Match[str]]]]:
    """The form in which HILDA+ is there, `v1`, `v2` or `nc`, and its files with their names.

    Raises InputError for none, for several forms, and for several NetCDF files.
    """
    files_of_form = {form: matching(config, pattern) for form, pattern in SERIES.items()}
    files_of_form["nc"] = matching(config, NETCDF)
    forms = [form for form, files in files_of_form.items() if files]
    if len(forms) == 1 and len(files_of_form["nc"]) <= 1:
        return forms[0], files_of_form[forms[0]]

    examples = [files_of_form[form][0][0] for form in forms]
    examples += [url for url, _ in files_of_form["nc"][1:]]
    raise InputError(
        f"{config.where}: found {', '.join(examples) or 'no HILDA+ file'}, expected one series of "
        f"{' or '.join(ABOUT.files[:2])}, or one of {' or '.join(ABOUT.files[2:])}; set `path` "
        "to one of them"
    )


def _raster_maps(
    matches: Sequence[tuple[str, re.Match[str]]], run_years: range, *, where: str
) -> dict[int, Map]:
    """The map of each year of the run, in order.

    No other file is opened, so other years may be lacking or there twice.
    """
    years_and_urls = [(int(match[1]), url) for url, match in matches]
    rasters = map_series(years_and_urls, run_years, where=where)
    for raster in rasters.values():
        require_one_band(raster)
    return {year: (raster, 0) for year, raster in rasters.items()}


def _netcdf_maps(url: str, run_years: range) -> dict[int, Map]:
    """The map of each year of the run that one NetCDF file has."""
    file = inspect_netcdf(url)
    file.require(VARIABLE)
    if file.variables[VARIABLE].packing != (1, 0):
        raise InputError(
            f"{url}: {VARIABLE} is packed with scale_factor or add_offset, expected plain class "
            "codes; get the file as it is published"
        )
    years_of_run = shared_years(file.years, run_years, where=url)
    check_series([year for year in file.years if year in years_of_run], where=url)
    return {year: (file, index) for index, year in enumerate(file.years) if year in years_of_run}


def _base_maps(maps: Mapping[int, Map], version: str) -> dict[int, str]:
    """Years whose map is of another kind, in words: that of the version, and by its file's name."""
    base_maps = {}
    for year, (file, _) in maps.items():
        file_name = file.urls[0].rpartition("/")[2]
        if year == BASE_YEARS.get(version) or BASE_MAP.search(file_name):
            base_maps[year] = BASE_MAP_WORDS
    return base_maps


def _encoding(files: Sequence[Raster | NetcdfFile]) -> Encoding:
    """How the map is in its files, which are all rasters or one NetCDF file."""
    rasters = [file for file in files if not isinstance(file, NetcdfFile)]
    if rasters:
        return encoding_of_raster(rasters, band=rasters[0].bands[0].number)
    return encoding_of_netcdf(VARIABLE, [file for file in files if isinstance(file, NetcdfFile)])


def _rules(files: Sequence[Raster | NetcdfFile], grid: Grid) -> tuple[str, ...]:
    """What is done to the maps, in words. Raises InputError for 0.01 degree cells off lattice."""
    encoding = _encoding(files)
    rules = ["codes 40-45 read as 44 forest, 23 and 24 as 22 cropland", *rules_of_files(files)]
    fills = [fill for fill in encoding.fills if fill not in LEGEND.known()]
    rules += [f"the file's no-data value {fill:g} read as {LEGEND.nodata}" for fill in fills]
    if "float" in encoding.dtype and not np.isnan(encoding.fills).any():
        rules.append("NaN read as 99, no data")
    # Those who cut a region may have resampled it: another cell size is taken as it is.
    if abs(grid.step / STEP - 1) < 1e-4:
        require_lattice(grid, where=files[0].url)
    else:
        rules.append(f"cell size {grid.step:.8f} degrees as in the file, not {STEP}")
    return tuple(rules)
