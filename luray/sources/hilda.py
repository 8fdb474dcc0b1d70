"""HILDA+ land-use states, v1 and v2, as a series of GeoTIFFs or one NetCDF: the fine map."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import (
    STATE,
    About,
    Described,
    Encoding,
    FilesConfig,
    Request,
    Source,
    equals,
    legend_table,
    recode,
)
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_netcdf, encoding_of_raster, turned
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.mosaic import Raster, map_series, require_one_band
from luray.sources.netcdf import NetcdfFile, inspect_netcdf
from luray.sources.years import check_series, shared_years
from luray.storage.errors import InputError

STEP = 0.01
VARIABLE = "LULC_states"

PREFIX = r"(?:[^/]*[_-])?"
"""What those who cut a region put before the published name: `crete_hilda_plus_...`."""

SERIES = {
    "v1": rf"(?i:{PREFIX}hilda_plus_(\d{{4}})_states_GLOB-v1[\w-]*_wgs84[\w-]*\.tiff?)",
    "v2": rf"(?i:{PREFIX}hilda_plus_states_(\d{{4}})_GLOB-v2[\w-]*_wgs84[\w-]*\.tiff?)",
}
"""Names of the yearly GeoTIFFs of each version."""

NETCDF = rf"(?i:{PREFIX}hildaplus_v?GLOB-(\d)-?[\w.-]*_states\.nc)"

BASE_MAP = re.compile(r"base-?_?map", re.IGNORECASE)
"""What the archive calls the map of 2015 in version 1, the only one of that year."""

BASE_YEARS = {"1": 2015}
"""Year of the base map of a version."""

BASE_MAP_WORDS = (
    "a base map of another kind: part of the change into and out of it is no change of the land"
)

ABOUT = About(
    title="HILDA+ global land use change 1960-2020 and its extension to 1899",
    doi="10.1594/PANGAEA.974335",
    licence="CC-BY-4.0",
    url="https://doi.pangaea.de/10.1594/PANGAEA.974335 (v2), https://doi.pangaea.de/10.1594/PANGAEA.921846 (v1)",
    files=(
        "hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif",
        "hilda_plus_states_{year}_GLOB-v2_wgs84.tif",
        "hildaplus_vGLOB-1.0-f_states.nc",
        "hildaplus_GLOB-2-0_states.nc",
    ),
    values="0.01 degrees; codes "
    + " ".join(str(c) for c in HILDA.known())
    + "; a map a year without gaps; in "
    "version 1 that of 2015 is ..._GLOB-v1-0_base-map_wgs84-nn.tif",
)


class HildaConfig(FilesConfig):
    """Where the HILDA+ files are: a folder (searched with its subfolders) or one NetCDF file."""

    about: ClassVar[About] = ABOUT
    kind: Literal["hilda"]

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The map."""
        return (STATE,)

    def open(self, request: Request) -> Source:
        """The source for a run; see `open_hilda`."""
        return open_hilda(self, run_years=request.run_years)


@dataclass(frozen=True, kw_only=True)
class Hilda(Described):
    """Class codes 0 11 22 33 44 55 66 77 99 of each year that HILDA+ has."""

    steps: Mapping[int, tuple[Raster | NetcdfFile, int]]
    """File and time index (0 for a GeoTIFF) of each year."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Codes of one year, shape (1, height, width), uint8; see `Source.read`."""
        assert year is not None
        file, index = self.steps[year]
        if isinstance(file, NetcdfFile):
            [raw_HW] = file.read((VARIABLE,), box, **{file.time_axis: index})
            fills = file.variables[VARIABLE].fills
            where = f"{file.url}, year {year}"
        else:
            raw_HW = file.read(box)
            nodata = file.bands[0].nodata
            fills = () if nodata is None else (nodata,)
            where = file.url

        codes_HW = np.ma.getdata(raw_HW)
        missing_HW = np.array(np.ma.getmaskarray(raw_HW))
        if codes_HW.dtype.kind == "f":
            missing_HW |= np.isnan(codes_HW)
        for fill in fills:
            if fill not in HILDA.known():
                missing_HW |= equals(codes_HW, fill)
        known_HW = np.ma.masked_array(codes_HW, missing_HW)
        return recode(known_HW, legend_table(HILDA), where=where, legend=HILDA.name)[None]


def open_hilda(config: HildaConfig, *, run_years: range) -> Source:
    """HILDA+ for a run: every year of the run that the files hold.

    Raises InputError where files are lacking, of two versions, unreadable, on different grids, not
    in EPSG:4326, or where a year of the run is missing between others or there twice.
    """
    found = {
        version: matching(config, pattern) for version, pattern in {**SERIES, "nc": NETCDF}.items()
    }
    kinds = [kind for kind, files in found.items() if files]
    if len(kinds) != 1 or len(found["nc"]) > 1:
        some = [files[0][0] for files in found.values() if files] + [
            file for file, _ in found["nc"][1:]
        ]
        raise InputError(
            f"{config.where}: found {', '.join(some) or 'no HILDA+ file'}, expected one series of "
            f"{' or '.join(ABOUT.files[:2])}, or one of {' or '.join(ABOUT.files[2:])}; set `path` "
            "to one "
            "of them"
        )

    [kind] = kinds
    if kind == "nc":
        [(url, match)] = found["nc"]
        version, steps = match[1], _netcdf_steps(url, run_years)
    else:
        version, steps = (
            kind.removeprefix("v"),
            _raster_steps(found[kind], run_years, where=config.where),
        )
    used = list({file.url: file for file, _ in steps.values()}.values())
    grid = shared_grid(used)
    other_kind = _base_maps(steps, version)
    return Hilda(
        name="hilda",
        about=ABOUT,
        grid=grid,
        variables=(STATE,),
        years=tuple(steps),
        steps=steps,
        rules=(*_rules(used, grid), *(f"{year} is {words}" for year, words in other_kind.items())),
        files=tuple(url for file in used for url in file.urls),
        stored=(_stored(used),),
        other_kind=other_kind,
    )


def _raster_steps(
    found: Sequence[tuple[str, re.Match[str]]], run_years: range, *, where: str
) -> dict[int, tuple[Raster | NetcdfFile, int]]:
    """The map of each year of the run, in order.

    No other file is opened, so other years may be lacking or there twice.
    """
    maps = map_series([(int(match[1]), url) for url, match in found], run_years, where=where)
    for raster in maps.values():
        require_one_band(raster)
    return {year: (raster, 0) for year, raster in maps.items()}


def _netcdf_steps(url: str, run_years: range) -> dict[int, tuple[Raster | NetcdfFile, int]]:
    file = inspect_netcdf(url)
    file.require(VARIABLE)
    if file.variables[VARIABLE].packing != (1, 0):
        raise InputError(
            f"{url}: {VARIABLE} is packed with scale_factor or add_offset, expected plain class "
            "codes"
        )
    held = file.years
    shared = shared_years(held, run_years, where=url)
    check_series([year for year in held if year in shared], where=url)
    return {year: (file, i) for i, year in enumerate(held) if year in shared}


def _base_maps(
    steps: Mapping[int, tuple[Raster | NetcdfFile, int]], version: str
) -> dict[int, str]:
    """Years whose map is of another kind, in words: that of the version, and by its file's name."""
    return {
        year: BASE_MAP_WORDS
        for year, (file, _) in steps.items()
        if year == BASE_YEARS.get(version) or BASE_MAP.search(file.urls[0].rpartition("/")[2])
    }


def _stored(files: Sequence[Raster | NetcdfFile]) -> Encoding:
    rasters = [file for file in files if not isinstance(file, NetcdfFile)]
    if rasters:
        return encoding_of_raster(rasters, band=rasters[0].bands[0].number)
    return encoding_of_netcdf(VARIABLE, [file for file in files if isinstance(file, NetcdfFile)])


def _rules(files: Sequence[Raster | NetcdfFile], grid: Grid) -> tuple[str, ...]:
    rules = ["codes 40-45 read as 44 forest, 23 and 24 as 22 cropland", *turned(files)]
    stored = _stored(files)
    rules += [
        f"the file's no-data value {f:g} read as 99" for f in stored.fills if f not in HILDA.known()
    ]
    if "float" in stored.dtype and not np.isnan(stored.fills).any():
        rules.append("NaN read as 99, no data")
    if abs(grid.step / STEP - 1) < 1e-4:
        require_lattice(grid, where=files[0].url)
    else:
        rules.append(f"cell size {grid.step:.8f} degrees as in the file, not {STEP}")
    return tuple(rules)
