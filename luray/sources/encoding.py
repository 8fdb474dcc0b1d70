"""Encoding of variables in their files, in the form that `luray build --check` shows."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Protocol

from luray.sources.base import Encoding
from luray.sources.layout import GriddedFile
from luray.sources.netcdf import NetcdfFile
from luray.sources.raster_band import RasterBand


def encoding_of_netcdf(name: str, files: Sequence[NetcdfFile]) -> Encoding:
    """Describe a variable of one or several NetCDF files; where they differ, each form once."""
    fields = [file.variables[name] for file in files]
    return _encoding(
        name,
        files,
        dtypes=[field.dtype for field in fields],
        units=[field.units for field in fields],
        fills=chain.from_iterable(field.fills for field in fields),
    )


class Banded(GriddedFile, Protocol):
    """A file with bands, on a grid."""

    def band(self, number: int) -> RasterBand:
        """Return a band by its number."""


def encoding_of_raster(files: Sequence[Banded], *, band: int = 1) -> Encoding:
    """Describe a band (by its number) of one or several GeoTIFFs."""
    headers = [file.band(band) for file in files]
    return _encoding(
        headers[0].description or f"band {band}",
        files,
        dtypes=[header.dtype for header in headers],
        units=[header.units for header in headers],
        fills=[header.nodata for header in headers if header.nodata is not None],
    )


def _encoding(
    name: str,
    files: Sequence[GriddedFile],
    *,
    dtypes: Iterable[str],
    units: Iterable[str],
    fills: Iterable[float],
) -> Encoding:
    return Encoding(
        name=name,
        dtype=_each_once(dtypes),
        units=_each_once(unit for unit in units if unit),
        fills=tuple(dict.fromkeys(fills)),
        orientation=_each_once(file.layout.orientation for file in files),
        rules=rules_of_files(files),
    )


def rules_of_files(files: Iterable[GriddedFile]) -> tuple[str, ...]:
    """Return what is done to bring files onto luray's grids and years, in words, each rule once."""
    rules = chain.from_iterable(file.rules for file in files)
    return tuple(dict.fromkeys(rules))


def _each_once(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
