"""Any series of categorical rasters as the state, and any GeoTIFF as static variables, described in
the run file.

A state series has a crosswalk from its codes to the HILDA+ legend::

    kind = "categorical"
    name = "mapbiomas"
    path = "${LURAY_DATA}/mapbiomas_brazil"
    pattern = "mapbiomas23_brazil_5km_{year}.tif"
    crosswalk = { "3" = 44, "15" = 33, "26" = 77, "27" = 99 }

Several files of a year that lie side by side are one map: `pattern = "tile_*_{year}.tif"`. A file
with a band a year is a series, too: `pattern = "brazil.tif"` with `band = "classification_{year}"`,
the bands' descriptions, or with `first_year = 1985`, the year of the first band.

Static rasters name their bands; a band with categories is seen as one-hot, another as a number::

    kind = "categorical" name = "terrain" role = "static" path = "${LURAY_DATA}/hildaplus_crete"
    pattern = "predictors_crete_001deg.tif" bands = [{ band = "globe_elev_m", name = "elevation",
    units = "m", scale = 1000.0, range = [-500, 9000] }]
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from luray.core.config import Config
from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.core.tiling import Box
from luray.core.types import F32, Bool
from luray.core.variable import Variable
from luray.sources.base import (
    STATE,
    About,
    Described,
    FilesConfig,
    Request,
    Source,
    equals,
    recode,
    refuse_cells,
)
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_raster, turned
from luray.sources.layout import shared_grid
from luray.sources.mosaic import Raster, join_rasters, map_series, require_one_band
from luray.sources.raster import RasterBand, inspect_raster
from luray.sources.units import Conversion, conversion
from luray.sources.years import check_series, shared_years
from luray.storage.errors import InputError

MISSING = 255
"""Stored value of a missing category; the model sees no category there."""

SMALL_INTEGERS = ("uint8", "int16", "uint16")
"""Dtypes of the files in which a band without missing values is stored as it is."""

TARGETS = (HILDA.ocean, *(int(c) for c in HILDA.codes), HILDA.nodata)
"""What a crosswalk may lead to: 0 outside, the seven classes, 99 no data."""

SENTINELS = (-99999, -32768, -32767, -9999, -999, 32767, 65535, -(2**31), 2**31 - 1, 2**32 - 1)
"""Numbers that files use for missing values without declaring them; of bytes, 255 is another."""
HUGE = 1e15
"""No variable of land has numbers like these: fill values of floats are 1e20, 9.97e36 and 3.4e38.
"""

NEAR = 0.05
"""A number is among others of its kind where one lies within this share of it."""
FLAT = 64
"""Cells that hold such a number alone before it is no value: one cell tells nothing."""

WILDCARDS = {"\\{year\\}": "(\\d{4})", "\\*": "[^/]*", "\\?": "[^/]"}
"""What may stand in a `pattern`, escaped, and the regular expression of each."""

ABOUT = About(
    title="Categorical rasters described in the run file",
    doi="",
    licence="",
    url="",
    files=("GeoTIFFs named by `pattern`, one a year for a state",),
    values="codes of the crosswalk, or numbers or categories of the bands",
)


class Band(Config):
    """One band of a static raster: which, and what it becomes."""

    band: int | str = 1
    """Number from 1, or its description in the file."""
    name: str
    units: str = ""
    """Unit of the stored values: a file in another one is converted. By default the unit that the
    file declares.
    """
    long_name: str = ""
    scale: float = 1.0
    transform: Literal["linear", "log1p"] = "linear"
    categories: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """Values of a categorical band; empty for a continuous one."""
    missing: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """Values that are missing, beside the file's own no-data value."""
    range: Annotated[tuple[float, float], Field(strict=False)] | None = None
    """Lowest and highest valid value in `units`. Without it, numbers that look like undeclared
    no-data are refused.
    """
    outside: Literal["refused", "missing", "clipped"] = "refused"
    """What becomes of values outside `range`."""

    def variable(self, dtype: str, *, units: str = "") -> Variable:
        """The variable that the band is stored as; `units` are those of the file where the band
        names none.
        """
        return Variable(
            name=self.name,
            role="static",
            units=self.units or units or "1",
            long_name=self.long_name or self.name,
            dtype=dtype,
            resampling="nearest" if self.categories else "bilinear",
            transform=self.transform,
            scale=self.scale,
            categories=self.categories,
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [c for c in self.categories if not 0 <= c < MISSING or c in self.missing]
        wrong += [c for c in self.missing if self.categories and not 0 <= c <= MISSING]
        if wrong:
            raise ValueError(
                f"band {self.name}: {wrong} must be within 0..{MISSING - 1} and either in "
                "`categories` or "
                "in `missing`"
            )
        if self.range is not None and (self.categories or not self.range[0] < self.range[1]):
            raise ValueError(
                f"band {self.name}: range {list(self.range)}, expected [lowest, highest] of a band "
                "without "
                "`categories`; correct or remove it"
            )
        if self.range is None and self.outside != "refused":
            raise ValueError(
                f"band {self.name}: outside = {self.outside!r} needs a `range`; give it"
            )
        return self


class CategoricalConfig(FilesConfig):
    """A series of categorical maps (`crosswalk`) or a static raster (`bands`), and where it comes
    from.
    """

    about: ClassVar[About] = ABOUT
    kind: Literal["categorical"]
    name: str
    """Group of the cube."""
    pattern: str
    """File name below `path`; `{year}` stands for four digits, `*` for anything, `?` for one
    character.
    """
    role: Literal["state", "static"] = "state"
    crosswalk: dict[str, int] = Field(default_factory=dict)
    """HILDA+ code (0 outside, 99 no data) of each code in the files."""
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
        """The crosswalk with numbers for keys."""
        return {int(code): target for code, target in self.crosswalk.items()}

    @property
    def label(self) -> str:
        """The name: a run may have several sources of this kind."""
        return self.name

    @property
    def wanted(self) -> str:
        """The pattern of the files, and what the run file says of who publishes them."""
        origin = ", ".join(filter(None, (self.title, self.url or self.doi))) or "your own"
        return f"{self.where}/{self.pattern} ({origin})"

    @property
    def described(self) -> About:
        """Where the data come from, as the run file says."""
        if self.role == "state":
            values = "codes " + ", ".join(self.crosswalk)
        else:
            values = "; ".join(f"{band.name}: {_expected_of(band)}" for band in self.bands)
        ranges = {band.name: _expected_of(band) for band in self.bands if band.range is not None}
        return About(
            self.title or self.name,
            self.doi,
            self.licence,
            self.url,
            (self.pattern,),
            values,
            ranges,
        )

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The map of a state, or the bands; the stored dtype of a band is known once the file is
        open.
        """
        return (
            (STATE,)
            if self.role == "state"
            else tuple(band.variable("float32") for band in self.bands)
        )

    @property
    def band_a_year(self) -> bool:
        """Whether one file holds a band for each year."""
        return self.first_year is not None or (isinstance(self.band, str) and "{year}" in self.band)

    def open(self, request: Request) -> Source:
        """The source for a run; see `open_categorical`."""
        return open_categorical(self, run_years=request.run_years, grid=request.grid)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_state() if self.role == "state" else self._check_static()
        wrong = [
            f"{code} = {target}"
            for code, target in self.crosswalk.items()
            if not re.fullmatch(r"\d{1,3}", code) or int(code) > 255 or target not in TARGETS
        ]
        if wrong:
            raise ValueError(
                f"source {self.name}: crosswalk {', '.join(wrong)}: expected a code 0..255 = one "
                "of "
                f"{TARGETS}"
            )
        return self

    def _check_state(self) -> None:
        years_in_names = self.pattern.count("{year}")
        if not self.crosswalk or self.bands or (years_in_names != 1 and not self.band_a_year):
            raise ValueError(
                f"source {self.name}: a state needs {{year}} once in `pattern` ({self.pattern!r}), "
                "a "
                "`crosswalk` and no `bands`; for a static raster set role = 'static', for one file "
                "with a "
                "band a year set `band` to its descriptions with {year}, or `first_year`"
            )
        if self.band_a_year and years_in_names:
            raise ValueError(
                f"source {self.name}: {{year}} is in `pattern` ({self.pattern!r}) and the years "
                "are those "
                "of bands, too; name the file, or the band of each file"
            )
        if self.first_year is not None and self.band is not None:
            raise ValueError(
                f"source {self.name}: `band` and `first_year` are both given; the years follow "
                "from one of "
                "them: remove the other"
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
                "raster "
                "names its bands in `bands`"
            )
        numbers = [band.name for band in self.bands if not band.categories]
        if self.reproject and numbers:
            raise ValueError(
                f"source {self.name}: reproject = true takes the nearest cell, which is for "
                "categories; "
                f"{', '.join(numbers)} are numbers: warp the file (gdalwarp -t_srs EPSG:4326 -r "
                "average)"
            )


def _expected_of(band: Band) -> str:
    """The values of a band in words."""
    if band.categories:
        return " ".join(map(str, band.categories))
    if band.range is None:
        return "numbers"
    low, high = band.range
    return f"{low:g}..{high:g}{f' {band.units}' if band.units else ''}"


@dataclass(frozen=True, kw_only=True)
class MapSeries(Described):
    """A land-use map a year, in codes of the HILDA legend."""

    maps: Mapping[int, tuple[Raster, int]]
    """Raster and number of its band for each year."""
    table: Mapping[int, int]
    """HILDA+ code of each published code."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Codes of one year, shape (1, height, width), uint8; see `Source.read`."""
        assert year is not None
        raster, band = self.maps[year]
        where = raster.url if len(raster.bands) == 1 else f"{raster.url}, band {band}"
        codes = recode(
            raster.read(box, band=band),
            self.table,
            where=where,
            legend=f"the crosswalk of {self.name}",
            nodata=raster.band(band).nodata,
        )
        return codes[None]


@dataclass(frozen=True)
class StaticBand:
    """A band of an open raster, and what it becomes."""

    config: Band
    stored: RasterBand
    converted: Conversion
    """From the unit of the file into that of the run file."""
    may_miss: bool
    """Whether cells of it can be missing."""

    @property
    def keeps_dtype(self) -> bool:
        """Whether its values are stored as they are in the file: small integers of which none is
        missing.
        """
        return (
            self.stored.dtype in SMALL_INTEGERS and not self.may_miss and not self.converted.changes
        )


@dataclass(frozen=True, kw_only=True)
class StaticRaster(Described):
    """Bands of one raster, each categorical or continuous."""

    raster: Raster
    bands: tuple[StaticBand, ...]

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Values, shape (variable, height, width), in the widest dtype of the variables; see
        `Source.read`.
        """
        return np.stack(
            [
                self._categories(band, box) if band.config.categories else self._numbers(band, box)
                for band in self.bands
            ]
        )

    def _where(self, band: StaticBand) -> str:
        return f"{self.raster.url}, band {band.config.band}"

    def _categories(self, band: StaticBand, box: Box) -> NDArray[Any]:
        raw = self.raster.read(box, band=band.stored.number)
        table = {c: c for c in band.config.categories} | dict.fromkeys(band.config.missing, MISSING)
        return recode(
            raw,
            table,
            where=self._where(band),
            legend=f"the categories of {band.config.name}",
            nodata=band.stored.nodata,
            missing=MISSING,
        )

    def _numbers(self, band: StaticBand, box: Box) -> NDArray[Any]:
        raw_HW = self.raster.read(box, band=band.stored.number)
        missing_HW: Bool = np.array(np.ma.getmaskarray(raw_HW))
        values_HW: NDArray[Any] = np.ma.getdata(raw_HW)
        nodata = [] if band.stored.nodata is None else [band.stored.nodata]
        for code in (*band.config.missing, *nodata):
            missing_HW |= equals(values_HW, code)
        if values_HW.dtype.kind == "f":
            missing_HW |= np.isnan(values_HW)
        known_HW = ~missing_HW
        refuse_cells(
            known_HW & np.isinf(values_HW),
            values_HW,
            grid=self.grid,
            box=box,
            where=self._where(band),
            found="are infinite",
            expected="numbers; declare them as no data in the file",
        )
        if band.config.range is None:
            refuse_cells(
                _looks_missing(values_HW, known_HW),
                values_HW,
                grid=self.grid,
                box=box,
                where=self._where(band),
                found="hold a number that files use for no data, undeclared",
                expected=f"numbers; add it to `missing` of band {band.config.name}, or give the band's `range`",
            )
        if band.keeps_dtype:
            return self._within(values_HW, known_HW, band, box)
        converted_HW: F32 = band.converted(values_HW).astype(np.float32)
        converted_HW[missing_HW] = np.nan
        return self._within(converted_HW, known_HW, band, box)

    def _within(
        self, values_HW: NDArray[Any], known_HW: Bool, band: StaticBand, box: Box
    ) -> NDArray[Any]:
        """Values in the valid range; what lies outside is refused, missing or cut, as the run file
        says.
        """
        if band.config.range is None:
            return values_HW
        low, high = band.config.range
        outside_HW = known_HW & ((values_HW < low) | (values_HW > high))
        if band.config.outside == "refused":
            refuse_cells(
                outside_HW,
                values_HW,
                grid=self.grid,
                box=box,
                where=self._where(band),
                found="lie outside the valid range",
                expected=f"{low:g}..{high:g} by `range`; correct it, or "
                "set `outside` to missing or clipped",
            )
        elif band.config.outside == "missing":
            values_HW[outside_HW] = np.nan
        else:
            values_HW = np.where(known_HW, values_HW.clip(low, high), values_HW)
        return values_HW


def _looks_missing(values: NDArray[Any], known: Bool) -> Bool:
    """Where known values are numbers that files use for missing ones, far from all the others.

    Depths of the sea come to -9999, too, but not without -9998 and its like beside it.
    """
    suspect: Bool = known & (np.abs(values.astype(np.float64)) >= HUGE)
    sentinels = (MISSING,) if values.dtype == np.uint8 else SENTINELS
    for sentinel in sentinels:
        equal = known & (values == sentinel)
        if not equal.any():
            continue
        others = values[known & ~equal].astype(np.float64)
        others = others[~np.isin(others, SENTINELS)]
        isolated = not (np.abs(others - sentinel) <= NEAR * abs(sentinel)).any()
        if isolated and (others.size or equal.sum() >= FLAT):
            suspect |= equal
    return suspect


def open_categorical(
    config: CategoricalConfig, *, run_years: range, grid: Grid | None = None
) -> Source:
    """The series or raster of a config, for a run on a grid.

    Raises InputError where no file matches, a year of the run is missing between others, files of a
    year overlap, a band is not in the file or cannot be told from others, or the files differ in
    grid or are not in EPSG:4326.
    """
    pattern = re.escape(config.pattern)
    for wildcard, expression in WILDCARDS.items():
        pattern = pattern.replace(wildcard, expression)
    found = matching(config, pattern)
    if not found:
        raise InputError(
            f"{config.where}: no file is named {config.pattern}; get the files or correct `path` "
            "or "
            "`pattern`"
        )
    warp_to = grid if config.reproject else None
    if config.role == "static":
        return _open_static(config, [url for url, _ in found], warp_to)
    where = f"{config.where} ({config.pattern})"
    if config.band_a_year:
        maps = _bands_of_years(config, [url for url, _ in found], run_years, warp_to)
    else:
        rasters = map_series(
            [(int(m[1]), url) for url, m in found], run_years, where=where, warp_to=warp_to
        )
        maps = {
            year: (raster, _band_of_map(config, raster, year)) for year, raster in rasters.items()
        }
    used = list({raster.url: raster for raster, _ in maps.values()}.values())
    return MapSeries(
        name=config.name,
        about=config.described,
        grid=shared_grid(used),
        variables=(STATE,),
        years=tuple(maps),
        rules=_rules_of_maps(config, maps),
        files=tuple(url for raster in used for url in raster.urls),
        stored=(
            encoding_of_raster(
                [raster for raster, _ in maps.values()], band=next(iter(maps.values()))[1]
            ),
        ),
        maps=maps,
        table=config.table,
    )


def _rules_of_maps(
    config: CategoricalConfig, maps: Mapping[int, tuple[Raster, int]]
) -> tuple[str, ...]:
    codes = ", ".join(f"{code} as {target}" for code, target in sorted(config.table.items()))
    rules = [f"codes read as HILDA+: {codes}"]
    nodata = {raster.band(band).nodata for raster, band in maps.values()}
    rules += [
        _nodata_rule(value, str(HILDA.nodata))
        for value in nodata
        if value is not None and value not in config.table
    ]
    if config.band_a_year:
        bands = ", ".join(f"{year} from band {band}" for year, (_, band) in maps.items())
        rules.append(f"a band a year: {bands}")
    elif config.band is not None:
        rules.append(f"band {config.band} read as the map")
    return (*dict.fromkeys(rules), *turned([raster for raster, _ in maps.values()]))


def _band_of_map(config: CategoricalConfig, raster: Raster, year: int) -> int:
    """Number of the band that is the map of a year."""
    if config.band is not None:
        return find_band(raster, config.band).number
    return require_one_band(raster).number


def _bands_of_years(
    config: CategoricalConfig, urls: Sequence[str], run_years: range, warp_to: Grid | None
) -> dict[int, tuple[Raster, int]]:
    """Raster and band of each year of the run, of a raster that holds a band a year."""
    # With the first year given, every band is a year's, whatever GDAL takes the last one for.
    alpha: Literal["mask", "data"] = "mask" if config.first_year is None else "data"
    raster = join_rasters([inspect_raster(url, warp_to=warp_to, alpha=alpha) for url in urls])
    years: list[tuple[int, int]] = []
    for position, band in enumerate(raster.bands):
        if config.first_year is not None:
            years.append((config.first_year + position, band.number))
            continue
        template = re.escape(str(config.band)).replace(*next(iter(WILDCARDS.items())))
        match = re.fullmatch(template, band.description)
        if match:
            years.append((int(match[1]), band.number))
    if not years:
        described = ", ".join(band.description or "(none)" for band in raster.bands[:8])
        raise InputError(
            f"{raster.url}: no band is described as {config.band}, found {described}; correct "
            "`band`, or "
            "set `first_year` where the bands have no descriptions"
        )
    years.sort()
    check_series([year for year, _ in years], where=raster.url, wanted=run_years)
    shared = shared_years([year for year, _ in years], run_years, where=raster.url)
    return {year: (raster, number) for year, number in years if year in shared}


def _open_static(config: CategoricalConfig, urls: Sequence[str], warp_to: Grid | None) -> Source:
    raster = join_rasters([inspect_raster(url, warp_to=warp_to) for url in urls])
    bands = tuple(_static_band(raster, band) for band in config.bands)
    rules = [*raster.rules]
    for band in bands:
        rules += [f"{band.config.name}: {rule}" for rule in _rules_of_band(band)]
    dtype = _shared_dtype(bands)
    return StaticRaster(
        name=config.name,
        about=config.described,
        grid=raster.layout.grid,
        variables=tuple(band.config.variable(dtype, units=band.stored.units) for band in bands),
        years=(),
        rules=tuple(rules),
        files=raster.urls,
        raster=raster,
        bands=bands,
        stored=tuple(encoding_of_raster([raster], band=band.stored.number) for band in bands),
    )


def _static_band(raster: Raster, config: Band) -> StaticBand:
    stored = find_band(raster, config.band)
    where = f"{raster.url}, band {config.band}"
    converted = conversion(stored.units, config.units or stored.units or "1", where=where)
    declared = stored.nodata is not None or bool(config.missing) or config.outside == "missing"
    may_miss = declared or raster.may_miss(stored.number)
    return StaticBand(config, stored, converted, may_miss)


def find_band(raster: Raster, band: int | str) -> RasterBand:
    """A band given by number or description. Raises InputError where the raster has none, or
    several, of the name.
    """
    if isinstance(band, str):
        found = [b for b in raster.bands if b.description == band]
    else:
        found = [b for b in raster.bands if b.number == band]
    if len(found) == 1:
        return found[0]
    names = [b.description for b in raster.bands]
    raise InputError(
        f"{raster.url}: has no band {band!r}, found {len(names)} bands {names}; correct `band`"
    )


def _rules_of_band(band: StaticBand) -> list[str]:
    """What is done to the values of a band, in words."""
    config, rules = band.config, []
    if config.missing:
        rules.append(f"{', '.join(map(str, config.missing))} read as missing")
    if not config.categories and band.stored.dtype.startswith("float"):
        rules.append("NaN read as missing")
    if band.stored.nodata is not None and band.stored.nodata not in (
        *config.categories,
        *config.missing,
    ):
        rules.append(_nodata_rule(band.stored.nodata, "missing"))
    if band.converted.changes:
        rules.append(band.converted.rule)
    if config.range is not None:
        low, high = config.range
        rules.append(f"values outside {low:g}..{high:g} are {config.outside}")
    return rules


def _shared_dtype(bands: Sequence[StaticBand]) -> str:
    """One dtype for all: uint8 of categories, the file's integers where nothing is missing, else
    float32.
    """
    if all(band.config.categories for band in bands):
        return "uint8"
    plain = all(band.keeps_dtype and not band.config.categories for band in bands)
    return bands[0].stored.dtype if plain else "float32"


def _nodata_rule(value: float, becomes: str) -> str:
    return f"no-data value {value:g} read as {becomes}"
