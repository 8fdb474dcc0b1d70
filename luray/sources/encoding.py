"""How variables are in their files, said in the form in which `luray build --check` shows them."""

from collections.abc import Iterable, Sequence

from luray.sources.base import Encoding
from luray.sources.netcdf import LaidFile, NetcdfFile
from luray.sources.raster import Raster


def encoding_of_netcdf(name: str, files: Sequence[NetcdfFile]) -> Encoding:
    """A variable of one or several NetCDF files; where the files differ, each form is given once."""
    fields = [file.variables[name] for file in files]
    fills = [fill for field in fields for fill in field.fills]
    return _stored(
        name, files, dtypes=[f.dtype for f in fields], units=[f.units for f in fields], fills=fills
    )


def encoding_of_raster(files: Sequence[Raster], *, band: int = 1) -> Encoding:
    """A band (by its number) of one or several GeoTIFFs."""
    bands = [file.band(band) for file in files]
    fills = [b.nodata for b in bands if b.nodata is not None]
    return _stored(
        bands[0].description or f"band {band}",
        files,
        dtypes=[b.dtype for b in bands],
        units=[b.units for b in bands],
        fills=fills,
    )


def _stored(
    name: str,
    files: Sequence[LaidFile],
    *,
    dtypes: Iterable[str],
    units: Iterable[str],
    fills: Iterable[float],
) -> Encoding:
    return Encoding(
        name=name,
        dtype=_each(dtypes),
        units=_each(filter(None, units)),
        fills=tuple(dict.fromkeys(fills)),
        orientation=_each(f.layout.orientation for f in files),
        turned=turned(files),
    )


def turned(files: Iterable[LaidFile]) -> tuple[str, ...]:
    """What is done to bring the files onto luray's grids, each thing once, in words."""
    return tuple(dict.fromkeys(rule for file in files for rule in file.rules))


def _each(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
