"""Any series of categorical rasters as the state, and any GeoTIFF as static variables, described in the run file.

A state series has a crosswalk from its codes to the HILDA+ legend::

    kind = "categorical"
    name = "mapbiomas"
    path = "${LURAY_DATA}/mapbiomas_brazil"
    pattern = "mapbiomas23_brazil_5km_{year}.tif"
    crosswalk = { "3" = 44, "15" = 33, "26" = 77, "27" = 99 }

Static rasters name their bands; a band with categories is seen as one-hot, another as a number::

    kind = "categorical"
    name = "terrain"
    role = "static"
    path = "${LURAY_DATA}/hildaplus_crete"
    pattern = "predictors_crete_001deg.tif"
    bands = [{ band = "globe_elev_m", name = "elevation", units = "m", scale = 1000.0 }]
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from luray.schema import HILDA, Config, Variable
from luray.sources.base import STATE, About, Described, FilesConfig, InputError, Request, Source, equals, recode
from luray.sources.files import RasterFile, inspect_raster, matching, only, shared_grid
from luray.sources.stored import stored_raster, turned
from luray.sources.years import check_series, shared_years
from luray.windows import Box

MISSING = 255
"""Stored value of a missing category; the model sees no category there."""

FLOATS = ("float32", "float64")

TARGETS = (HILDA.ocean, *(int(c) for c in HILDA.codes), HILDA.nodata)
"""What a crosswalk may lead to: 0 outside, the seven classes, 99 no data."""

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
    units: str = "1"
    long_name: str = ""
    scale: float = 1.0
    transform: Literal["linear", "log1p"] = "linear"
    categories: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """Values of a categorical band; empty for a continuous one."""
    missing: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """Values that are missing, beside the file's own no-data value."""

    def variable(self, dtype: str) -> Variable:
        """The variable that the band is stored as."""
        return Variable(name=self.name, role="static", units=self.units, long_name=self.long_name or self.name,
                        dtype=dtype, resampling="nearest" if self.categories else "bilinear", transform=self.transform,
                        scale=self.scale, categories=self.categories)

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [c for c in self.categories if not 0 <= c < MISSING or c in self.missing]
        wrong += [c for c in self.missing if self.categories and not 0 <= c <= MISSING]
        if wrong:
            raise ValueError(f"band {self.name}: {wrong} must be within 0..{MISSING - 1} and either in `categories` or "
                             "in `missing`")
        return self


class CategoricalConfig(FilesConfig):
    """A series of categorical maps (`crosswalk`) or a static raster (`bands`), and where it comes from."""

    about: ClassVar[About] = ABOUT
    kind: Literal["categorical"]
    name: str
    """Group of the cube."""
    pattern: str
    """File name below `path`; `{year}` stands for four digits."""
    role: Literal["state", "static"] = "state"
    crosswalk: dict[str, int] = Field(default_factory=dict)
    """HILDA+ code (0 outside, 99 no data) of each code in the files."""
    bands: Annotated[tuple[Band, ...], Field(strict=False)] = ()
    title: str = ""
    doi: str = ""
    licence: str = ""
    url: str = ""

    @property
    def table(self) -> dict[int, int]:
        """The crosswalk with numbers for keys."""
        return {int(code): target for code, target in self.crosswalk.items()}

    @property
    def described(self) -> About:
        """Where the data come from, as the run file says."""
        values = "codes " + ", ".join(self.crosswalk) if self.role == "state" else "; ".join(
            f"{b.name}: {' '.join(map(str, b.categories)) or 'numbers'}" for b in self.bands)
        return About(self.title or self.name, self.doi, self.licence, self.url, (self.pattern,), values)

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The map of a state, or the bands; the stored dtype of a band is known once the file is open."""
        return (STATE,) if self.role == "state" else tuple(band.variable("float32") for band in self.bands)

    def open(self, request: Request) -> Source:
        """The source for a run; see `open_categorical`."""
        return open_categorical(self, run_years=request.run_years)

    @model_validator(mode="after")
    def _check(self) -> Self:
        serial = self.pattern.count("{year}")
        if self.role == "state" and (serial != 1 or not self.crosswalk or self.bands):
            raise ValueError(f"source {self.name}: a state needs {{year}} once in `pattern` ({self.pattern!r}), a "
                             "`crosswalk` and no `bands`; for a static raster set role = 'static'")
        if self.role == "static" and (serial or self.crosswalk or not self.bands):
            raise ValueError(f"source {self.name}: a static raster needs `bands`, no {{year}} in `pattern` "
                             f"({self.pattern!r}) and no `crosswalk`")
        wrong = [f"{code} = {target}" for code, target in self.crosswalk.items()
                 if not re.fullmatch(r"\d{1,3}", code) or int(code) > 255 or target not in TARGETS]
        if wrong:
            raise ValueError(f"source {self.name}: crosswalk {', '.join(wrong)}: expected a code 0..255 = one of "
                             f"{TARGETS}")
        return self


@dataclass(frozen=True, kw_only=True)
class MapSeries(Described):
    """A land-use map a year, in codes of the HILDA legend."""

    maps: Mapping[int, RasterFile]
    table: Mapping[int, int]
    """HILDA+ code of each published code."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Codes of one year, shape (1, height, width), uint8; see `Source.read`."""
        assert year is not None
        file = self.maps[year]
        return recode(file.read(box), self.table, where=file.url, legend=f"the crosswalk of {self.name}",
                      nodata=file.nodata)[None]


@dataclass(frozen=True, kw_only=True)
class StaticRaster(Described):
    """Bands of one GeoTIFF, each categorical or continuous."""

    file: RasterFile
    bands: tuple[tuple[int, Band], ...]
    """Number in the file and description of each variable."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Values, shape (variable, height, width), in the widest dtype of the variables; see `Source.read`."""
        return np.stack([self._band(number, band, box) for number, band in self.bands])

    def _band(self, number: int, band: Band, box: Box) -> NDArray[Any]:
        raw = self.file.read(box, band=number)
        where = f"{self.file.url}, band {band.band}"
        if band.categories:
            table = {c: c for c in band.categories} | dict.fromkeys(band.missing, MISSING)
            return recode(raw, table, where=where, legend=f"the categories of {band.name}", nodata=self.file.nodata,
                          missing=MISSING)
        if not _lossy(self.file, band):
            return raw
        values = raw.astype(np.float32)
        for code in (*band.missing, *([] if self.file.nodata is None else [self.file.nodata])):
            values[equals(raw, code)] = np.nan
        if np.isinf(values).any():
            raise InputError(f"{where}: {int(np.isinf(values).sum())} cells are infinite, expected numbers; declare "
                             "them as no data in the file")
        return values


def open_categorical(config: CategoricalConfig, *, run_years: range) -> Source:
    """The series or raster of a config, for a run.

    Raises InputError where no file matches, a year is missing in the middle or there twice, a band is not in the file,
    or the files differ in grid or are not in EPSG:4326.
    """
    about = config.described
    pattern = re.escape(config.pattern).replace(re.escape("{year}"), r"(\d{4})")
    found = matching(config, pattern)
    if config.role == "static":
        return _open_static(config, about, only([f for f, _ in found], path=config.where, expected=config.pattern))
    if not found:
        raise InputError(f"{config.where}: no file is named {config.pattern}; get the files or correct `path` or "
                         "`pattern`")
    series = sorted((int(m[1]), file) for file, m in found)
    check_series([year for year, _ in series], where=f"{config.where} ({config.pattern})")
    shared = shared_years([year for year, _ in series], run_years, where=config.where)
    maps = {year: inspect_raster(file) for year, file in series if year in shared}
    files = list(maps.values())
    rules = ("codes read as HILDA+: " + ", ".join(f"{a} as {b}" for a, b in sorted(config.table.items())),
             *_nodata_rule(files[0], config.table, str(HILDA.nodata)), *turned(files))
    return MapSeries(name=config.name, about=about, grid=shared_grid(files), variables=(STATE,), years=tuple(maps),
                     rules=rules, files=tuple(f.url for f in files), maps=maps, table=config.table,
                     stored=(stored_raster(files),))


def _open_static(config: CategoricalConfig, about: About, url: str) -> Source:
    file = inspect_raster(url)
    bands = tuple((_number(file, band), band) for band in config.bands)
    rules = [*file.layout.rules]
    for _, band in bands:
        kept = {c: c for c in band.categories} | {m: m for m in band.missing}
        rules += [f"{band.name}: {', '.join(map(str, band.missing))} read as missing"] if band.missing else []
        rules += [f"{band.name}: NaN read as missing"] if not band.categories and file.dtypes[0] in FLOATS else []
        rules += [f"{band.name}: {rule}" for rule in _nodata_rule(file, kept, "missing")]
    variables = tuple(band.variable(_stored(file, [b for _, b in bands])) for _, band in bands)
    return StaticRaster(name=config.name, about=about, grid=file.layout.grid, variables=variables, years=(),
                        rules=tuple(rules), files=(url,), file=file, bands=bands,
                        stored=tuple(stored_raster([file], band=number) for number, _ in bands))


def _number(file: RasterFile, band: Band) -> int:
    """Number of a band given by number or description."""
    if isinstance(band.band, str) and file.bands.count(band.band) == 1:
        return file.bands.index(band.band) + 1
    if isinstance(band.band, int) and 1 <= band.band <= len(file.bands):
        return band.band
    raise InputError(f"{file.url}: has no band {band.band!r}, found {len(file.bands)} bands {list(file.bands)}; "
                     "correct `band`")


def _stored(file: RasterFile, bands: list[Band]) -> str:
    """One dtype for all variables: uint8 of categories, the file's integers where nothing is missing, else float32."""
    if all(band.categories for band in bands):
        return "uint8"
    plain = not any(band.categories or _lossy(file, band) for band in bands)
    return file.dtypes[0] if plain else "float32"


def _lossy(file: RasterFile, band: Band) -> bool:
    """True where a continuous band needs NaN or is no small integer."""
    return file.dtypes[0] not in ("uint8", "int16", "uint16") or file.nodata is not None or bool(band.missing)


def _nodata_rule(file: RasterFile, table: Mapping[int, int], becomes: str) -> list[str]:
    return [] if file.nodata is None or file.nodata in table else [f"no-data value {file.nodata:g} read as {becomes}"]
