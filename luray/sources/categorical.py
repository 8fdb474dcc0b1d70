"""Any series of categorical rasters as the state or a forcing, and any GeoTIFF as static variables.

All are described in the run file. A state series has a crosswalk from its codes to the HILDA+
legend::

    kind = "categorical"
    name = "mapbiomas"
    path = "${LURAY_DATA}/mapbiomas_brazil"
    pattern = "mapbiomas23_brazil_5km_{year}.tif"
    crosswalk = { "3" = 44, "15" = 33, "26" = 77, "27" = 99 }

Several files of a year that lie side by side are one map: `pattern = "tile_*_{year}.tif"`. A file
with a band a year is a series, too: `pattern = "brazil.tif"` with `band = "classification_{year}"`,
the bands' descriptions, or with `first_year = 1985`, the year of the first band.

A series is a forcing with `role = "forcing"`: GeoTIFF, or NetCDF with the name of the `variable`,
of a legend or with a crosswalk to categories of one's own. Years of the run without a map may hold
that of another year::

    kind = "categorical"
    name = "land_cover"
    role = "forcing"
    path = "${LURAY_DATA}/mcd12q1"
    pattern = "igbp_{year}.tif"
    legend = "igbp"
    max_held_years = 2

Static rasters name their bands; a band with categories is seen as one-hot, another as a number::

    kind = "categorical"
    name = "terrain"
    role = "static"
    path = "${LURAY_DATA}/hildaplus_crete"
    pattern = "predictors_crete_001deg.tif"
    bands = [{ band = "globe_elev_m", name = "elevation", units = "m", range = [-500, 9000] }]

Shapes: H W box.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Self

from numpy.typing import NDArray
from pydantic import Field, model_validator

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import (
    About,
    Described,
    FilesConfig,
    Request,
    Source,
    held_years,
    legend_table,
    recode,
    state_variable,
    wanted_files,
)
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_raster, rules_of_files
from luray.sources.layout import shared_grid
from luray.sources.mosaic import Raster, join_rasters, map_series, require_one_band
from luray.sources.netcdf_map import NetcdfMap, inspect_netcdf_map, is_netcdf
from luray.sources.raster import inspect_raster
from luray.sources.raster_band import RasterBand
from luray.sources.static_raster import MISSING, Band, find_band, open_static_raster
from luray.sources.years import check_series, format_years, held_by, hold_rules, shared_years
from luray.storage.errors import InputError

YEAR = r"(\d{4})"
"""Regular expression that `{year}` stands for."""

ABOUT = About(
    title="Categorical rasters described in the run file",
    doi="",
    licence="",
    url="",
    files=("GeoTIFFs named by `pattern`, one a year for a state",),
    values="codes of the crosswalk, or numbers or categories of the bands",
)

AnyRaster = Raster | NetcdfMap

Maps = dict[int, tuple[AnyRaster, int]]
"""Raster and number of the band of each year's map."""


class CategoricalConfig(FilesConfig):
    """A series of categorical maps (`crosswalk`) or a static raster (`bands`)."""

    about: ClassVar[About] = ABOUT

    kind: Literal["categorical"]
    name: str
    """Group of the cube."""
    pattern: str
    """File name below `path`; `{year}` stands for four digits, `*` for anything, `?` for one
    character.
    """
    role: Literal["state", "forcing", "static"] = "state"
    crosswalk: dict[str, int] = Field(default_factory=dict)
    """Code of the target's legend for each code in the files (of HILDA+ 0 outside, 99 no data). Of
    a forcing the category for each code, 255 for none.
    """
    legend: str = ""
    """Legend of the maps of a forcing that needs no crosswalk, as in `target.legend`."""
    variable: str = ""
    """Variable of the NetCDF files of a forcing."""
    crs: str = ""
    """Coordinate reference system of projected NetCDF files that declare none."""
    max_held_years: int = Field(0, ge=0)
    """Of a forcing, how many years of the run may hold the map of another year: the last one before
    them, or the first of all.
    """
    band: int | str | None = None
    """Band of a yearly map with several: number from 1, or its description. With `{year}` in it,
    the descriptions of the bands of a file that holds a band a year.
    """
    first_year: int | None = None
    """Year of the first band of a file that holds a band a year, where the bands have no
    descriptions.
    """
    bands: Annotated[tuple[Band, ...], Field(strict=False)] = ()
    reproject: bool = False
    """Warp projected maps onto the run grid, nearest cell; without it they are refused."""
    title: str = ""
    doi: str = ""
    licence: str = ""
    url: str = ""

    @property
    def table(self) -> dict[int, int]:
        """The crosswalk with numbers for keys, or that of the legend of a forcing."""
        if self.legend:
            legend = read_legend(self.legend)
            not_land = (legend.ocean, legend.nodata)
            return {
                code: MISSING if code in not_land else target
                for code, target in legend_table(legend).items()
            }
        return {int(code): target for code, target in self.crosswalk.items()}

    @property
    def _forcing(self) -> Variable:
        """The variable of a forcing."""
        categories = sorted({code for code in self.table.values() if code != MISSING})
        return Variable(
            name=self.name,
            role="forcing",
            units="1",
            long_name=self.title or self.name.replace("_", " "),
            dtype="uint8",
            categories=tuple(categories),
        )

    @property
    def label(self) -> str:
        """The name: a run may have several sources of this kind."""
        return self.name

    @property
    def wanted(self) -> str:
        """The pattern of the files, and what the run file says of who publishes them."""
        return wanted_files(self.where, self.pattern, self.title, self.url or self.doi)

    @property
    def described(self) -> About:
        """Where the data come from, as the run file says."""
        if self.role != "static":
            values = "codes " + ", ".join(map(str, self.table))
        else:
            values = "; ".join(f"{band.name}: {band.expected}" for band in self.bands)
        return About(
            title=self.title or self.name,
            doi=self.doi,
            licence=self.licence,
            url=self.url,
            files=(self.pattern,),
            values=values,
            ranges={band.name: band.expected for band in self.bands if band.range is not None},
        )

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The map of a state, or the bands, whose stored dtype is known once the file is open."""
        if self.role == "state":
            return (state_variable(HILDA),)
        if self.role == "forcing":
            return (self._forcing,)
        return tuple(band.variable("float32") for band in self.bands)

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return the same; ValueError for a crosswalk that leads out of the target's legend."""
        if self.role != "state":
            return self.declared
        targets = (legend.ocean, *(int(code) for code in legend.codes), legend.nodata)
        wrong = [f"{code} = {to}" for code, to in self.crosswalk.items() if to not in targets]
        if wrong:
            raise ValueError(
                f"source {self.name}: crosswalk {', '.join(wrong)}: expected a code 0..255 = one "
                f"of {targets}, the codes of the target's legend {legend.name}"
            )
        return (state_variable(legend),)

    @property
    def band_a_year(self) -> bool:
        """Whether one file holds a band for each year."""
        is_described = isinstance(self.band, str) and "{year}" in self.band
        return self.first_year is not None or is_described

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_categorical`."""
        self.declared_for(request.legend)  # refuses a crosswalk to codes of another legend
        return open_categorical(
            self, run_years=request.run_years, grid=request.grid, legend=request.legend
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.role == "state":
            self._check_state()
        elif self.role == "forcing":
            self._check_forcing()
        else:
            self._check_static()
        wrong = []
        for code, target in self.crosswalk.items():
            is_byte = re.fullmatch(r"\d{1,3}", code) and int(code) <= 255
            if not is_byte:
                wrong.append(f"{code} = {target}")
        if wrong:
            raise ValueError(
                f"source {self.name}: crosswalk {', '.join(wrong)}: expected a code 0..255 = a "
                "code of the target's legend"
            )
        return self

    def _check_state(self) -> None:
        years_in_names = self.pattern.count("{year}")
        if not self.crosswalk or self.bands or (years_in_names != 1 and not self.band_a_year):
            raise ValueError(
                f"source {self.name}: a state needs {{year}} once in `pattern` ({self.pattern!r}), "
                "a `crosswalk` and no `bands`; for a static raster set role = 'static', for one "
                "file with a band a year set `band` to its descriptions with {year}, or "
                "`first_year`"
            )
        if self.band_a_year and years_in_names:
            raise ValueError(
                f"source {self.name}: {{year}} is in `pattern` ({self.pattern!r}) and the years "
                "are those of bands, too; name the file, or the band of each file"
            )
        if self.first_year is not None and self.band is not None:
            raise ValueError(
                f"source {self.name}: `band` and `first_year` are both given; the years follow "
                "from one of them: remove the other"
            )

    def _check_forcing(self) -> None:
        if bool(self.crosswalk) == bool(self.legend) or self.bands:
            raise ValueError(
                f"source {self.name}: a forcing needs the `legend` of its maps or a `crosswalk` to "
                "categories, one of the two, and no `bands`"
            )
        if self.pattern.count("{year}") != 1 or self.first_year is not None:
            raise ValueError(
                f"source {self.name}: a forcing needs {{year}} once in `pattern` "
                f"({self.pattern!r}), a map a year"
            )
        if is_netcdf(self.pattern) != bool(self.variable) or (self.variable and self.band):
            raise ValueError(
                f"source {self.name}: `variable` is the name of the map in NetCDF files, `band` of "
                f"one in GeoTIFFs, expected the one that fits {self.pattern!r}"
            )
        if self.legend and read_legend(self.legend).scale is not None:
            raise ValueError(
                f"source {self.name}: legend {self.legend!r} has values, expected classes"
            )

    def _check_static(self) -> None:
        if self.crosswalk or not self.bands or "{year}" in self.pattern:
            raise ValueError(
                f"source {self.name}: a static raster needs `bands`, no {{year}} in `pattern` "
                f"({self.pattern!r}) and no `crosswalk`"
            )
        if self.band is not None or self.first_year is not None:
            raise ValueError(
                f"source {self.name}: `band` and `first_year` are of a series of maps; a static "
                "raster names its bands in `bands`"
            )
        numbers = [band.name for band in self.bands if not band.categories]
        if self.reproject and numbers:
            raise ValueError(
                f"source {self.name}: reproject = true takes the nearest cell, which is for "
                f"categories; {', '.join(numbers)} are numbers: warp the file (gdalwarp -t_srs "
                "EPSG:4326 -r average)"
            )


@dataclass(frozen=True, kw_only=True)
class MapSeries(Described):
    """A map of classes a year, in codes of the legend or categories."""

    maps: Mapping[int, tuple[AnyRaster, int]]
    """Raster and number of its band for each year."""
    table: Mapping[int, int]
    """Code of the legend, or category, for each published code."""
    missing: int
    """Code of cells without data."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the codes of one year, shape (1, H, W), uint8; see `Source.read`."""
        assert year is not None
        raster, band = self.maps[year]
        where = raster.url if len(raster.bands) == 1 else f"{raster.url}, band {band}"
        codes_HW = recode(
            raster.read(box, band=band),
            self.table,
            where=where,
            legend=f"the crosswalk of {self.name}",
            nodata=raster.band(band).nodata,
            missing=self.missing,
        )
        return codes_HW[None]


def open_categorical(
    config: CategoricalConfig,
    *,
    run_years: range,
    grid: Grid | None = None,
    legend: Legend = HILDA,
) -> Source:
    """Open the series or raster of a config for a run.

    Parameters
    ----------
    config : CategoricalConfig
        Where the files are, and what their codes or bands mean.
    run_years : range
        Years of the run.
    grid : Grid, optional
        The run grid, onto which projected maps are warped where the config says so.
    legend : Legend
        The one that the crosswalk leads to.

    Raises
    ------
    InputError
        Where no file matches, a year of the run is missing between others, files of a year overlap,
        a band is not in the file or cannot be told from others, or the files differ in grid or are
        not in EPSG:4326.
    """
    matches = matching(config, _name_expression(config.pattern))
    if not matches:
        raise InputError(
            f"{config.where}: no file is named {config.pattern}; get the files or correct `path` "
            "or `pattern`"
        )
    urls = [url for url, _ in matches]
    warp_to = grid if config.reproject else None
    if config.role == "static":
        raster = join_rasters([inspect_raster(url, warp_to=warp_to) for url in urls])
        return open_static_raster(config.label, config.described, config.bands, raster)

    if config.role == "forcing":
        return _open_forcing(config, matches, run_years, warp_to)

    if config.band_a_year:
        maps = _bands_of_years(config, urls, run_years, warp_to)
    else:
        years_and_urls = [(int(match[1]), url) for url, match in matches]
        maps = _files_of_years(config, years_and_urls, run_years, warp_to)
    # Several years may be bands of one raster, which is listed once.
    rasters = [raster for raster, _ in maps.values()]
    raster_by_url = {raster.url: raster for raster in rasters}
    different_rasters = list(raster_by_url.values())
    _, first_band = next(iter(maps.values()))
    return MapSeries(
        name=config.label,
        about=config.described,
        grid=shared_grid(different_rasters),
        variables=(state_variable(legend),),
        years=tuple(maps),
        legend=legend,
        rules=_rules(config, maps, legend),
        files=tuple(chain.from_iterable(raster.urls for raster in different_rasters)),
        encodings=(encoding_of_raster(rasters, band=first_band),),
        maps=maps,
        table=config.table,
        missing=legend.nodata,
    )


def _open_forcing(
    config: CategoricalConfig,
    matches: Sequence[tuple[str, re.Match[str]]],
    run_years: range,
    warp_to: Grid | None,
) -> Source:
    """Open a series of maps as a forcing of every year of the run."""
    years_and_urls = [(int(match[1]), url) for url, match in matches]
    available = sorted({year for year, _ in years_and_urls})
    # Maps from before or after the run may be held, too.
    held = held_by(available, run_years)
    if len(held) > config.max_held_years:
        raise InputError(
            f"{config.where}: source {config.name} has maps of {format_years(available)}, the run "
            f"needs {format_years(held)}, too; get their files, shorten the run's years, or set "
            f"max_held_years = {len(held)}: they would hold the map beside them"
        )
    needed = {held.get(year, year) for year in run_years}
    urls = [(year, url) for year, url in years_and_urls if year in needed]
    span = range(min(needed), max(needed) + 1)
    where = f"{config.where} ({config.pattern})"
    rasters: dict[int, AnyRaster] = {}
    if config.variable:
        check_series([year for year, _ in sorted(urls)], where=where, wanted=())
        for year, url in urls:
            rasters[year] = inspect_netcdf_map(
                url, config.variable, warp_to=warp_to, crs=config.crs
            )
    else:
        rasters |= map_series(urls, span, where=where, warp_to=warp_to)
    maps: Maps = {}
    for year in run_years:
        raster = rasters[held.get(year, year)]
        maps[year] = (raster, _band_of_map(config, raster).number)
    used = list(rasters.values())
    _, first_band = maps[run_years[0]]
    rules = [*hold_rules(held), *rules_of_files(used)]
    if config.crosswalk:
        codes = ", ".join(f"{code} as {target}" for code, target in sorted(config.table.items()))
        rules.insert(0, f"codes read as categories: {codes}")
    return MapSeries(
        name=config.label,
        about=config.described,
        grid=shared_grid(used),
        variables=config.declared,
        years=tuple(run_years),
        held=held_years({year: held.get(year, year) for year in run_years}),
        rules=tuple(rules),
        files=tuple(chain.from_iterable(raster.urls for raster in used)),
        encodings=(encoding_of_raster(used, band=first_band),),
        maps=maps,
        table=config.table,
        missing=MISSING,
    )


def _name_expression(pattern: str) -> str:
    """The regular expression of a `pattern`, whose group is the year."""
    expression = re.escape(pattern)
    for wildcard, stands_for in (("{year}", YEAR), ("*", "[^/]*"), ("?", "[^/]")):
        expression = expression.replace(re.escape(wildcard), stands_for)
    return expression


def _files_of_years(
    config: CategoricalConfig,
    years_and_urls: Sequence[tuple[int, str]],
    run_years: range,
    warp_to: Grid | None,
) -> Maps:
    """Raster and band of each year of the run, of files that hold a year each."""
    where = f"{config.where} ({config.pattern})"
    maps: Maps = {}
    rasters = map_series(years_and_urls, run_years, where=where, warp_to=warp_to)
    for year, raster in rasters.items():
        maps[year] = (raster, _band_of_map(config, raster).number)
    return maps


def _band_of_map(config: CategoricalConfig, raster: AnyRaster) -> RasterBand:
    """The band that is the map of a file: the one that the run file names, or the only one."""
    if isinstance(raster, NetcdfMap):
        return raster.band(1)
    if config.band is None:
        return require_one_band(raster)
    return find_band(raster, config.band)


def _bands_of_years(
    config: CategoricalConfig, urls: Sequence[str], run_years: range, warp_to: Grid | None
) -> Maps:
    """Raster and band of each year of the run, of a raster that holds a band a year."""
    # With the first year given, every band is a year's, whatever GDAL takes the last one for.
    alpha: Literal["mask", "data"] = "mask" if config.first_year is None else "data"
    raster = join_rasters([inspect_raster(url, warp_to=warp_to, alpha=alpha) for url in urls])

    band_of_year: list[tuple[int, int]] = []
    if config.first_year is not None:
        for position, band in enumerate(raster.bands):
            band_of_year.append((config.first_year + position, band.number))
    else:
        description = re.escape(str(config.band)).replace(re.escape("{year}"), YEAR)
        for band in raster.bands:
            match = re.fullmatch(description, band.description)
            if match:
                band_of_year.append((int(match[1]), band.number))
    if not band_of_year:
        described = ", ".join(band.description or "(none)" for band in raster.bands[:8])
        raise InputError(
            f"{raster.url}: no band is described as {config.band}, found {described}; correct "
            "`band`, or set `first_year` where the bands have no descriptions"
        )

    band_of_year.sort()
    years = [year for year, _ in band_of_year]
    check_series(years, where=raster.url, wanted=run_years)
    years_of_run = shared_years(years, run_years, where=raster.url)
    maps: Maps = {}
    for year, number in band_of_year:
        if year in years_of_run:
            maps[year] = (raster, number)
    return maps


def _rules(config: CategoricalConfig, maps: Maps, legend: Legend) -> tuple[str, ...]:
    """Corrections of the maps, in words."""
    codes = ", ".join(f"{code} as {target}" for code, target in sorted(config.table.items()))
    rules = [f"codes read as {legend.name}: {codes}"]
    nodata_values = {raster.band(band).nodata for raster, band in maps.values()}
    missing = [value for value in nodata_values if value is not None and value not in config.table]
    rules += [f"no-data value {value:g} read as {legend.nodata}" for value in missing]
    if config.band_a_year:
        bands = ", ".join(f"{year} from band {band}" for year, (_, band) in maps.items())
        rules.append(f"a band a year: {bands}")
    elif config.band is not None:
        rules.append(f"band {config.band} read as the map")
    return (*dict.fromkeys(rules), *rules_of_files([raster for raster, _ in maps.values()]))
