"""How variables are in their files, said in the form in which `luray build --check` shows them."""

from collections.abc import Iterable, Sequence

from luray.sources.base import Stored
from luray.sources.files import NetcdfFile, RasterFile


def stored_netcdf(name: str, files: Sequence[NetcdfFile]) -> Stored:
    """A variable of one or several NetCDF files; where the files differ, each form is given once."""
    fields = [file.variables[name] for file in files]
    return _stored(name, files, dtypes=[f.dtype for f in fields], units=[f.units for f in fields],
                   fills=[fill for f in fields for fill in f.fills])


def stored_raster(files: Sequence[RasterFile], *, band: int = 1) -> Stored:
    """A band (counted from 1) of one or several GeoTIFFs, which declare no units."""
    return _stored(files[0].bands[band - 1] or f"band {band}", files, dtypes=[f.dtypes[band - 1] for f in files],
                   units=[], fills=[f.nodata for f in files if f.nodata is not None])


def _stored(name: str, files: Sequence[NetcdfFile | RasterFile], *, dtypes: Iterable[str], units: Iterable[str],
            fills: Iterable[float]) -> Stored:
    return Stored(name=name, dtype=_each(dtypes), units=_each(filter(None, units)), fills=tuple(dict.fromkeys(fills)),
                  orientation=_each(f.layout.orientation for f in files), turned=turned(files))


def turned(files: Iterable[NetcdfFile | RasterFile]) -> tuple[str, ...]:
    """What is done to bring the files onto luray's grids and years, each thing once, in words."""
    rules: list[str] = []
    for file in files:
        rules.extend(file.layout.rules)
        if isinstance(file, NetcdfFile):
            rules.extend(file.time_rules)
    return tuple(dict.fromkeys(rules))


def _each(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
