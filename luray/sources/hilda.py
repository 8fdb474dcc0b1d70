"""HILDA+ land-use states, v1 and v2, as a series of GeoTIFFs or one NetCDF: the fine map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from luray.grid import Grid
from luray.schema import HILDA, U8, Variable
from luray.sources.base import (
    STATE,
    About,
    Described,
    FilesConfig,
    InputError,
    Request,
    Source,
    Stored,
    legend_table,
    recode,
)
from luray.sources.files import NetcdfFile, inspect_netcdf, matching, shared_grid
from luray.sources.layout import require_lattice
from luray.sources.raster import RasterFile, inspect_raster
from luray.sources.stored import stored_netcdf, stored_raster, turned
from luray.sources.years import check_series, shared_years
from luray.windows import Box

STEP = 0.01
VARIABLE = "LULC_states"

SERIES = {
    "v1": r"hilda_plus_(\d{4})_states_GLOB-v1-\d_wgs84(?:-nn)?\.tif",
    "v2": r"hilda_plus_states_(\d{4})_GLOB-v2[\w-]*_wgs84\.tif",
}
"""Names of the yearly GeoTIFFs of each version."""

NETCDF = r"hildaplus_v?GLOB-(\d)-?[\w.-]*_states\.nc"

ABOUT = About(
    title="HILDA+ global land use change 1960-2020 and its extension to 1899",
    doi="10.1594/PANGAEA.974335",
    licence="CC-BY-4.0",
    url="https://doi.pangaea.de/10.1594/PANGAEA.974335 (v2), https://doi.pangaea.de/10.1594/PANGAEA.921846 (v1)",
    files=("hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif", "hilda_plus_states_{year}_GLOB-v2_wgs84.tif",
           "hildaplus_vGLOB-1.0-f_states.nc", "hildaplus_GLOB-2-0_states.nc"),
    values="0.01 degrees; codes " + " ".join(str(c) for c in HILDA.known()) + "; a map a year without gaps",
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
        table = legend_table(HILDA)
        codes: U8
        if isinstance(file, RasterFile):
            codes = recode(file.read(box), table, where=file.url, legend=HILDA.name, nodata=file.bands[0].nodata)
        else:
            [raw] = file.read((VARIABLE,), box, **{file.time_axis: index})
            fills = file.variables[VARIABLE].fills
            codes = recode(raw, table, where=f"{file.url}, year {year}", legend=HILDA.name,
                           nodata=fills[0] if fills else None)
        return codes[None]


def open_hilda(config: HildaConfig, *, run_years: range) -> Source:
    """HILDA+ for a run: every year of the run that the files hold.

    Raises InputError where files are lacking, of two versions, unreadable, on different grids, not in EPSG:4326, or
    where a year is missing in the middle or there twice.
    """
    found = {version: matching(config, pattern) for version, pattern in {**SERIES, "nc": NETCDF}.items()}
    kinds = [kind for kind, files in found.items() if files]
    if len(kinds) != 1 or len(found["nc"]) > 1:
        some = [files[0][0] for files in found.values() if files] + [file for file, _ in found["nc"][1:]]
        raise InputError(f"{config.where}: found {', '.join(some) or 'no HILDA+ file'}, expected one series of "
                         f"{' or '.join(ABOUT.files[:2])}, or one of {' or '.join(ABOUT.files[2:])}; set `path` to one "
                         "of them")
    [kind] = kinds
    if kind == "nc":
        steps = _netcdf_steps(found["nc"][0][0], run_years)
    else:
        steps = _raster_steps(config.where, sorted((int(m[1]), f) for f, m in found[kind]), run_years)
    used = list({file.url: file for file, _ in steps.values()}.values())
    grid = shared_grid(used)
    return Hilda(name="hilda", about=ABOUT, grid=grid, variables=(STATE,), years=tuple(steps), steps=steps,
                 rules=_rules(used, grid), files=tuple(f.url for f in used), stored=(_stored(used),))


def _raster_steps(path: str, found: list[tuple[int, str]],
                  run_years: range) -> dict[int, tuple[RasterFile | NetcdfFile, int]]:
    """The file of each year, in order; only the headers of the run's years are opened."""
    check_series([year for year, _ in found], where=f"{path} ({found[0][1]} ...)")
    shared = shared_years([year for year, _ in found], run_years, where=path)
    return {year: (inspect_raster(file), 0) for year, file in found if year in shared}


def _netcdf_steps(url: str, run_years: range) -> dict[int, tuple[RasterFile | NetcdfFile, int]]:
    file = inspect_netcdf(url)
    file.require(VARIABLE)
    if file.variables[VARIABLE].packing != (1, 0):
        raise InputError(f"{url}: {VARIABLE} is packed with scale_factor or add_offset, expected plain class codes")
    held = file.years
    check_series(held, where=url)
    shared = shared_years(held, run_years, where=url)
    return {year: (file, i) for i, year in enumerate(held) if year in shared}


def _stored(files: Sequence[RasterFile | NetcdfFile]) -> Stored:
    rasters = [f for f in files if isinstance(f, RasterFile)]
    return stored_raster(rasters) if rasters else stored_netcdf(VARIABLE, [f for f in files
                                                                           if isinstance(f, NetcdfFile)])


def _rules(files: Sequence[RasterFile | NetcdfFile], grid: Grid) -> tuple[str, ...]:
    rules = ["codes 40-45 read as 44 forest, 23 and 24 as 22 cropland", *turned(files)]
    rules += [f"the file's no-data value {f:g} read as 99" for f in _stored(files).fills if f not in HILDA.known()]
    if abs(grid.step / STEP - 1) < 1e-4:
        require_lattice(grid, where=files[0].url)
    else:
        rules.append(f"cell size {grid.step:.8f} degrees as in the file, not {STEP}")
    return tuple(rules)
