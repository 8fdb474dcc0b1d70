"""How variables are encoded in their files, in the form that `luray build --check` shows."""

from collections.abc import Iterable, Sequence

from luray.sources.base import Encoding
from luray.sources.layout import GriddedFile
from luray.sources.mosaic import Raster
from luray.sources.netcdf import NetcdfFile


def encoding_of_netcdf(name: str, files: Sequence[NetcdfFile]) -> Encoding:
    """Describe a variable of one or several NetCDF files; where they differ, each form once."""
    fields = [file.variables[name] for file in files]
    return _encoding(
        name,
        files,
        dtypes=[field.dtype for field in fields],
        units=[field.units for field in fields],
        fills=[fill for field in fields for fill in field.fills],
    )


def encoding_of_raster(files: Sequence[Raster], *, band: int = 1) -> Encoding:
    """Describe a band (by its number) of one or several GeoTIFFs."""
    bands = [file.band(band) for file in files]
    return _encoding(
        bands[0].description or f"band {band}",
        files,
        dtypes=[of_file.dtype for of_file in bands],
        units=[of_file.units for of_file in bands],
        fills=[of_file.nodata for of_file in bands if of_file.nodata is not None],
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
    return tuple(dict.fromkeys(rule for file in files for rule in file.rules))


def _each_once(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
