"""HILDA+ land-use states, v1 and v2, as a series of GeoTIFFs or one NetCDF: the fine map."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.grid import Grid
from luray.schema import HILDA, Variable
from luray.sources.base import (
    STATE,
    About,
    Described,
    FilesConfig,
    InputError,
    Request,
    Source,
    Stored,
    equals,
    legend_table,
    recode,
)
from luray.sources.files import (
    NetcdfFile,
    RasterFile,
    inspect_netcdf,
    inspect_raster,
    matching,
    shared_grid,
)
from luray.sources.layout import require_lattice
from luray.sources.stored import stored_netcdf, stored_raster, turned
from luray.sources.years import check_series, shared_years, span
from luray.windows import Box

STEP = 0.01
MESSAGES = 3
"""Repeated years whose files are named."""

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

    steps: Mapping[int, tuple[RasterFile | NetcdfFile, int]]
    """File and time index (0 for a GeoTIFF) of each year."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Codes of one year, shape (1, height, width), uint8; see `Source.read`."""
        assert year is not None
        file, index = self.steps[year]
        if isinstance(file, RasterFile):
            raw = file.read(box)
            fills: tuple[float, ...] = () if file.nodata is None else (file.nodata,)
            where = file.url
        else:
            [raw] = file.read((VARIABLE,), box, **{file.time_axis: index})
            fills = file.variables[VARIABLE].fills
            where = f"{file.url}, year {year}"
        if raw.dtype.kind == "f":
            raw = np.where(np.isnan(raw), HILDA.nodata, raw)
        for fill in fills:
            if fill not in HILDA.known():
                raw = np.where(equals(raw, fill), raw.dtype.type(HILDA.nodata), raw)
        return recode(raw, legend_table(HILDA), where=where, legend=HILDA.name)[None]


def open_hilda(config: HildaConfig, *, run_years: range) -> Source:
    """HILDA+ for a run: every year of the run that the files hold.

    Raises InputError where files are lacking, of two versions, unreadable, on different grids, not in EPSG:4326, or
    where a year of the run is missing between others or there twice.
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
            f"{' or '.join(ABOUT.files[:2])}, or one of {' or '.join(ABOUT.files[2:])}; set `path` to one "
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
        files=tuple(f.url for f in used),
        stored=(_stored(used),),
        other_kind=other_kind,
    )


def _raster_steps(
    found: Sequence[tuple[str, re.Match[str]]], run_years: range, *, where: str
) -> dict[int, tuple[RasterFile | NetcdfFile, int]]:
    """The file of each year of the run, in order.

    No other file is opened, so other years may be lacking or there twice.
    """
    files: dict[int, list[str]] = {}
    for url, match in sorted(found, key=lambda one: int(one[1][1])):
        files.setdefault(int(match[1]), []).append(url)
    shared = shared_years(list(files), run_years, where=where)
    files = {year: urls for year, urls in files.items() if year in shared}

    repeated = {year: urls for year, urls in files.items() if len(urls) > 1}
    if repeated:
        listed = "; ".join(
            f"{year} in {' and '.join(urls)}" for year, urls in list(repeated.items())[:MESSAGES]
        )
        raise InputError(
            f"{where}: years {span(repeated)} occur more than once ({listed}), expected one "
            "file a year; set `path` to the folder of one series where they are copies, join them "
            "where they are tiles"
        )
    check_series(list(files), where=where)
    return {year: (inspect_raster(urls[0]), 0) for year, urls in files.items()}


def _netcdf_steps(url: str, run_years: range) -> dict[int, tuple[RasterFile | NetcdfFile, int]]:
    file = inspect_netcdf(url)
    file.require(VARIABLE)
    if file.variables[VARIABLE].packing != (1, 0):
        raise InputError(
            f"{url}: {VARIABLE} is packed with scale_factor or add_offset, expected plain class codes"
        )
    held = file.years
    shared = shared_years(held, run_years, where=url)
    check_series([year for year in held if year in shared], where=url)
    return {year: (file, i) for i, year in enumerate(held) if year in shared}


def _base_maps(
    steps: Mapping[int, tuple[RasterFile | NetcdfFile, int]], version: str
) -> dict[int, str]:
    """Years whose map is of another kind, in words: that of the version, and by its file's name."""
    return {
        year: BASE_MAP_WORDS
        for year, (file, _) in steps.items()
        if year == BASE_YEARS.get(version) or BASE_MAP.search(file.url.rpartition("/")[2])
    }


def _stored(files: Sequence[RasterFile | NetcdfFile]) -> Stored:
    rasters = [f for f in files if isinstance(f, RasterFile)]
    return (
        stored_raster(rasters)
        if rasters
        else stored_netcdf(VARIABLE, [f for f in files if isinstance(f, NetcdfFile)])
    )


def _rules(files: Sequence[RasterFile | NetcdfFile], grid: Grid) -> tuple[str, ...]:
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
