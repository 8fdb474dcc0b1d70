"""Static variables from the bands of any GeoTIFF, each categorical or a number.

Such files often hold numbers for missing values that they do not declare. These are refused, unless
the run file names them or gives the range of the valid ones.

Shapes: H W box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from luray.core.config import Config
from luray.core.tiling import Box
from luray.core.types import F32, Bool
from luray.core.variable import Variable
from luray.sources.base import About, Described, Source, equals, recode, refuse_cells
from luray.sources.encoding import encoding_of_raster
from luray.sources.mosaic import Raster
from luray.sources.raster_band import RasterBand
from luray.sources.units import Conversion, conversion
from luray.storage.errors import InputError

MISSING = 255
"""Stored value of a missing category; the model sees no category there."""

SMALL_INTEGERS = ("uint8", "int16", "uint16")
"""Dtypes of the files in which a band without missing values is stored as it is."""

SENTINELS = (-99999, -32768, -32767, -9999, -999, 32767, 65535, -(2**31), 2**31 - 1, 2**32 - 1)
"""Numbers that files use for missing values without declaring them; of bytes, 255 is another."""

HUGE = 1e15
"""No variable of land has numbers like these: fill values of floats are 1e20, 9.97e36, 3.4e38."""

NEAR = 0.05
"""A number is among others of its kind where one lies within this share of it."""

FLAT = 64
"""Cells that hold such a number alone before it is no value: one cell tells nothing."""


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
    """Treatment of values outside `range`."""

    @property
    def expected(self) -> str:
        """The values in words."""
        if self.categories:
            return " ".join(map(str, self.categories))
        if self.range is None:
            return "numbers"
        low, high = self.range
        unit = f" {self.units}" if self.units else ""
        return f"{low:g}..{high:g}{unit}"

    def variable(self, dtype: str, *, units: str = "") -> Variable:
        """Return the variable that the band is stored as.

        Parameters
        ----------
        dtype : str
            Dtype of the stored values.
        units : str
            Unit of the file, which counts where the band names none.
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
        # Categories are stored as bytes, of which the last one means missing.
        wrong = [
            code for code in self.categories if not 0 <= code < MISSING or code in self.missing
        ]
        if self.categories:
            wrong += [code for code in self.missing if not 0 <= code <= MISSING]
        if wrong:
            raise ValueError(
                f"band {self.name}: {wrong} must be within 0..{MISSING - 1} and either in "
                "`categories` or in `missing`"
            )
        if self.range is not None and (self.categories or not self.range[0] < self.range[1]):
            raise ValueError(
                f"band {self.name}: range {list(self.range)}, expected [lowest, highest] of a band "
                "without `categories`; correct or remove it"
            )
        if self.range is None and self.outside != "refused":
            raise ValueError(
                f"band {self.name}: outside = {self.outside!r} needs a `range`; give it"
            )
        return self


@dataclass(frozen=True)
class OpenBand:
    """A band of an open raster, and what it becomes."""

    config: Band
    in_file: RasterBand
    to_units: Conversion
    """From the unit of the file into that of the run file."""
    may_miss: bool
    """Whether cells of it can be missing."""

    @property
    def keeps_dtype(self) -> bool:
        """Whether its values are stored as they are in the file.

        They are where they are small integers of which none is missing.
        """
        is_small = self.in_file.dtype in SMALL_INTEGERS
        return is_small and not self.may_miss and not self.to_units.changes


@dataclass(frozen=True, kw_only=True)
class StaticRaster(Described):
    """Bands of one raster, each categorical or continuous."""

    raster: Raster
    bands: tuple[OpenBand, ...]

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the values, shape (variable, H, W), in the widest dtype; see `Source.read`."""
        values = []
        for band in self.bands:
            read_band = self._categories if band.config.categories else self._numbers
            values.append(read_band(band, box))
        return np.stack(values)

    def _where(self, band: OpenBand) -> str:
        return f"{self.raster.url}, band {band.config.band}"

    def _categories(self, band: OpenBand, box: Box) -> NDArray[Any]:
        raw_HW = self.raster.read(box, band=band.in_file.number)
        table = {code: code for code in band.config.categories}
        table |= dict.fromkeys(band.config.missing, MISSING)
        return recode(
            raw_HW,
            table,
            where=self._where(band),
            legend=f"the categories of {band.config.name}",
            nodata=band.in_file.nodata,
            missing=MISSING,
        )

    def _numbers(self, band: OpenBand, box: Box) -> NDArray[Any]:
        raw_HW = self.raster.read(box, band=band.in_file.number)
        values_HW: NDArray[Any] = np.ma.getdata(raw_HW)

        # Missing: masked cells, declared values and NaN. What else looks missing is refused.
        missing_HW: Bool = np.array(np.ma.getmaskarray(raw_HW))
        declared: list[float] = [*band.config.missing]
        if band.in_file.nodata is not None:
            declared.append(band.in_file.nodata)
        for value in declared:
            missing_HW |= equals(values_HW, value)
        if values_HW.dtype.kind == "f":
            missing_HW |= np.isnan(values_HW)
        self._refuse_fills(values_HW, ~missing_HW, band, box)

        # Units are converted before the range is looked at, which is in those of the run file.
        if band.keeps_dtype:
            return self._within_range(values_HW, ~missing_HW, band, box)
        numbers_HW: F32 = band.to_units(values_HW).astype(np.float32)
        numbers_HW[missing_HW] = np.nan
        return self._within_range(numbers_HW, ~missing_HW, band, box)

    def _refuse_fills(
        self, values_HW: NDArray[Any], known_HW: Bool, band: OpenBand, box: Box
    ) -> None:
        """Raise InputError for infinity, and for numbers that files use for no data."""
        refuse_cells(
            known_HW & np.isinf(values_HW),
            values_HW,
            grid=self.grid,
            box=box,
            where=self._where(band),
            found="are infinite",
            expected="numbers; declare them as no data in the file",
        )
        # The range of the valid values refuses them better than a guess.
        if band.config.range is None:
            refuse_cells(
                _looks_missing(values_HW, known_HW),
                values_HW,
                grid=self.grid,
                box=box,
                where=self._where(band),
                found="hold a number that files use for no data, undeclared",
                expected=f"numbers; add it to `missing` of band {band.config.name}, or give the "
                "band's `range`",
            )

    def _within_range(
        self, values_HW: NDArray[Any], known_HW: Bool, band: OpenBand, box: Box
    ) -> NDArray[Any]:
        """Values in the valid range: others are refused, missing or cut, as the run file says."""
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
                expected=f"{low:g}..{high:g} by `range`; correct it, or set `outside` to missing "
                "or clipped",
            )
        elif band.config.outside == "missing":
            values_HW[outside_HW] = np.nan
        else:
            values_HW = np.where(known_HW, values_HW.clip(low, high), values_HW)
        return values_HW


def _looks_missing(values_HW: NDArray[Any], known_HW: Bool) -> Bool:
    """Where known values are numbers that files use for missing ones, far from all the others.

    Depths of the sea come to -9999, too, but not without -9998 and its like beside it.
    """
    suspect_HW: Bool = known_HW & (np.abs(values_HW.astype(np.float64)) >= HUGE)
    sentinels = (MISSING,) if values_HW.dtype == np.uint8 else SENTINELS
    for sentinel in sentinels:
        equal_HW = known_HW & (values_HW == sentinel)
        if not equal_HW.any():
            continue

        # A sentinel stands alone. Without any other value beside it, it has to be there often.
        other_values = values_HW[known_HW & ~equal_HW].astype(np.float64)
        other_values = other_values[~np.isin(other_values, SENTINELS)]
        is_near = np.abs(other_values - sentinel) <= NEAR * abs(sentinel)
        if not is_near.any() and (other_values.size or equal_HW.sum() >= FLAT):
            suspect_HW |= equal_HW
    return suspect_HW


def open_static_raster(name: str, about: About, configs: Sequence[Band], raster: Raster) -> Source:
    """Open bands of a raster as static variables.

    Parameters
    ----------
    name : str
        Name of the source.
    about : About
        Where the file comes from.
    configs : sequence of Band
        The bands to read.
    raster : Raster
        The open file, or several side by side as one.

    Raises
    ------
    InputError
        For a band that is not in the file or cannot be told from others, and for a unit of another
        kind.
    """
    bands = tuple(_open_band(raster, config) for config in configs)
    dtype = _shared_dtype(bands)
    rules = [*raster.rules]
    for band in bands:
        rules += [f"{band.config.name}: {rule}" for rule in _rules(band)]
    variables = [band.config.variable(dtype, units=band.in_file.units) for band in bands]
    encodings = [encoding_of_raster([raster], band=band.in_file.number) for band in bands]
    return StaticRaster(
        name=name,
        about=about,
        grid=raster.layout.grid,
        variables=tuple(variables),
        years=(),
        rules=tuple(rules),
        files=raster.urls,
        raster=raster,
        bands=bands,
        encodings=tuple(encodings),
    )


def _open_band(raster: Raster, config: Band) -> OpenBand:
    in_file = find_band(raster, config.band)
    units = config.units or in_file.units or "1"
    to_units = conversion(in_file.units, units, where=f"{raster.url}, band {config.band}")
    declares_missing = in_file.nodata is not None or bool(config.missing)
    may_miss = declares_missing or config.outside == "missing" or raster.may_miss(in_file.number)
    return OpenBand(config, in_file, to_units, may_miss)


def find_band(raster: Raster, band: int | str) -> RasterBand:
    """Return a band given by its number or description.

    Raises InputError where the raster has none, or several, of the name.
    """
    if isinstance(band, str):
        named = [candidate for candidate in raster.bands if candidate.description == band]
    else:
        named = [candidate for candidate in raster.bands if candidate.number == band]
    if len(named) == 1:
        return named[0]
    descriptions = [candidate.description for candidate in raster.bands]
    raise InputError(
        f"{raster.url}: has no band {band!r}, found {len(descriptions)} bands {descriptions}; "
        "correct `band`"
    )


def _rules(band: OpenBand) -> list[str]:
    """Corrections of the values of a band, in words."""
    config = band.config
    nodata = band.in_file.nodata
    rules = []
    if config.missing:
        rules.append(f"{', '.join(map(str, config.missing))} read as missing")
    if not config.categories and band.in_file.dtype.startswith("float"):
        rules.append("NaN read as missing")
    if nodata is not None and nodata not in (*config.categories, *config.missing):
        rules.append(f"no-data value {nodata:g} read as missing")
    if band.to_units.changes:
        rules.append(band.to_units.rule)
    if config.range is not None:
        low, high = config.range
        rules.append(f"values outside {low:g}..{high:g} are {config.outside}")
    return rules


def _shared_dtype(bands: Sequence[OpenBand]) -> str:
    """One dtype for all bands.

    uint8 of categories, the file's integers where nothing is missing, else float32.
    """
    if all(band.config.categories for band in bands):
        return "uint8"
    are_plain = all(band.keeps_dtype and not band.config.categories for band in bands)
    return bands[0].in_file.dtype if are_plain else "float32"
