"""Read from a GeoTIFF's header what it holds and how it lies."""

from typing import Any, Literal, NamedTuple

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.warp import transform_bounds

from luray.core.grid import Grid
from luray.sources.crs import geographic_rule
from luray.sources.geotiff import open_raster
from luray.sources.layout import Layout, make_layout, warped_layout
from luray.sources.raster_band import RasterBand
from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import is_local

WORLD_FILES = (".tfw", ".tifw", ".wld")
"""Endings of the text file that may hold the place of a GeoTIFF, in place of the file's own."""

PLACE_ADVICE = (
    "write its place into the file: gdal_edit.py -a_srs EPSG:4326 -a_ullr WEST NORTH EAST SOUTH, "
    "or bring the .tfw that belongs beside it"
)


class RasterHeader(NamedTuple):
    """Contents of the header of a GeoTIFF; fields are those of `RasterFile`."""

    layout: Layout
    bands: tuple[RasterBand, ...]
    alpha: int
    warp_from: str
    beside: tuple[str, ...]


def read_header(
    url: str,
    *,
    warp_to: Grid | None,
    alpha: Literal["mask", "data"],
    packed: Literal["refused", "kept"],
) -> RasterHeader:
    """Read the header of a GeoTIFF, see `inspect_raster`."""
    with open_raster(url) as raster:
        _require_plain(raster, packed=packed, where=url)
        transform = _transform_of(raster, url)
        declared = raster.crs.to_wkt() if raster.crs else ""
        if not declared:
            raise InputError(
                f"{url}: coordinate reference system is none, expected EPSG:4326; declare it with "
                "gdal_edit.py -a_srs EPSG:4326, if it is in longitude and latitude"
            )
        if warp_to is not None and not raster.crs.is_geographic:
            layout = _warped_layout(raster, warp_to, where=url)
            warp_from = declared
        else:
            layout = _layout_of(raster, transform, declared, where=url)
            warp_from = ""
        alpha_band = _alpha_of(raster) if alpha == "mask" else 0
        bands = _bands_of(raster, alpha_band)
        beside = _files_beside(raster, url)
        return RasterHeader(layout, bands, alpha_band, warp_from, beside)


def projected_step(url: str) -> float | None:
    """Return about how large the cells of a projected GeoTIFF are, in degrees of latitude.

    None for one in longitude and latitude.
    """
    with open_raster(url) as raster:
        if raster.crs is None or raster.crs.is_geographic:
            return None
        _, south, _, north = transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
        return float(north - south) / float(raster.height)


def _require_plain(raster: Any, *, packed: Literal["refused", "kept"], where: str) -> None:
    """Raise InputError for what rasterio would read only in part, or other than it is meant."""
    if raster.subdatasets:
        raise InputError(
            f"{where}: holds {len(raster.subdatasets)} images (pages), of which only the first "
            "would be read; expected one with a band for each: gdal_translate each page and join "
            "them as bands"
        )
    is_packed = any(scale != 1 for scale in raster.scales)
    is_packed = is_packed or any(offset != 0 for offset in raster.offsets)
    if is_packed and packed == "refused":
        raise InputError(
            f"{where}: bands are scaled by {raster.scales} and offset by {raster.offsets}, "
            "expected plain values; apply them with gdal_translate -unscale"
        )
    if any(np.dtype(dtype).kind not in "iuf" for dtype in raster.dtypes):
        raise InputError(
            f"{where}: bands are {', '.join(raster.dtypes)}, expected whole or floating-point "
            "numbers"
        )


def _transform_of(raster: Any, url: str) -> Any:
    """Return the affine place of a raster, from a world file beside it where it has none itself.

    GDAL looks for that file on disks only. Raises InputError where there is none: GDAL would put
    the raster at 0, 0 in cells of one degree.
    """
    # GDAL gives the identity for a raster that has no place, and nobody has a raster there.
    if not raster.transform.is_identity:
        if not np.isfinite(raster.transform).all():
            raise InputError(
                f"{url}: geotransform {tuple(raster.transform)[:6]} has gaps, expected six "
                f"numbers; {PLACE_ADVICE}"
            )
        return raster.transform
    if raster.gcps[0] or raster.rpcs:
        given_by = "ground control points" if raster.gcps[0] else "rational polynomials (RPC)"
        raise InputError(
            f"{url}: its place is given by {given_by}, expected rows along latitudes from west to "
            "east; warp it: gdalwarp -t_srs EPSG:4326"
        )
    transform = None if is_local(url) else _read_world_file(url)
    if transform is None:
        raise InputError(
            f"{url}: has no place (no geotransform), expected its corner and cell size; "
            f"{PLACE_ADVICE}"
        )
    return transform


def _read_world_file(url: str) -> Any | None:
    """Read the place of a raster from a world file beside its URL; None where there is none."""
    fs, path = filesystem(url)
    stem = path.rpartition(".")[0]
    for ending in WORLD_FILES:
        for candidate in (stem + ending, stem + ending.upper()):
            try:
                text = fs.cat_file(candidate).decode("ascii")
                # x = A col + B row + C and y = D col + E row + F, written as A D B E C F.
                a, d, b, e, c, f = map(float, text.split())
            except (OSError, ValueError):
                continue
            # C, F is the centre of the first cell; GDAL counts from its corner.
            return rasterio.Affine(a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
    return None


def _layout_of(raster: Any, transform: Any, declared: str, *, where: str) -> Layout:
    """Find how a raster in longitude and latitude lies on luray's grids."""
    if transform.b or transform.d or transform.a <= 0 or transform.e == 0:
        raise InputError(
            f"{where}: geotransform {tuple(transform)[:6]} is rotated or mirrored, expected rows "
            "along latitudes from west to east; warp the file"
        )
    # The transform is that of the file's first row, whichever end of the map that is.
    step = transform.a
    first_edge = transform.f
    last_edge = transform.f + transform.e * raster.height
    south_first = transform.e > 0

    # How far a datum is off WGS 84 depends on the place, and is measured in cells.
    middle_lon = transform.c + step * raster.width / 2
    middle_lat = first_edge + transform.e * raster.height / 2
    centre = (middle_lon, middle_lat)
    rule = geographic_rule(declared, step=step, place=centre, where=where)
    layout = make_layout(
        north=last_edge if south_first else first_edge,
        west=transform.c,
        steps=(abs(transform.e), step),
        shape=(raster.height, raster.width),
        south_first=south_first,
        where=where,
    )
    return layout.with_rules(rule) if rule else layout


def _warped_layout(raster: Any, grid: Grid, *, where: str) -> Layout:
    """Return the layout of a projected raster after warping: the part of a grid that it reaches."""
    # Points along the edges, because a straight edge of the projection is a curve in degrees.
    bounds = transform_bounds(raster.crs, "EPSG:4326", *raster.bounds, densify_pts=101)
    return warped_layout(bounds, grid, projection=raster.crs.to_string(), where=where)


def _bands_of(raster: Any, alpha: int) -> tuple[RasterBand, ...]:
    """Return the bands of data: all but band number `alpha`."""
    # Each of these asks GDAL for all bands, of which a damaged header may claim 65,535.
    mask_flags = raster.mask_flag_enums
    dtypes = raster.dtypes
    nodatavals = raster.nodatavals
    descriptions = raster.descriptions
    units = raster.units

    bands = []
    for place, number in enumerate(raster.indexes):
        if number == alpha:
            continue
        flags = set(mask_flags[place])
        # A no-data value alone is compared by value, and an alpha band is read itself.
        masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        bands.append(
            RasterBand(
                number=number,
                dtype=str(dtypes[place]),
                nodata=nodatavals[place],
                description=descriptions[place] or "",
                units=units[place] or "",
                masked=masked,
                scale=raster.scales[number - 1],
                offset=raster.offsets[number - 1],
            )
        )
    return tuple(bands)


def _alpha_of(raster: Any) -> int:
    """Return the number of the alpha band, 0 where there is none.

    A band that is described is one of data, and so is the only band of a file.
    """
    interpretations = list(raster.colorinterp)
    if ColorInterp.alpha not in interpretations or len(interpretations) == 1:
        return 0
    number = interpretations.index(ColorInterp.alpha) + 1  # GDAL counts bands from 1
    description = raster.descriptions[number - 1] or ""
    return number if description.lower() in ("", "alpha") else 0


def _files_beside(raster: Any, url: str) -> tuple[str, ...]:
    """Return the files that GDAL reads with a raster, without itself.

    Of a remote raster these are the files whose name begins with its own.
    """
    raster_file, *further_files = raster.files
    if is_local(url):
        return tuple(further_files)
    if "?" in url:
        return ()  # a signature is for one object
    beside = [name for name in further_files if name.startswith(raster_file)]
    return tuple(url + name.removeprefix(raster_file) for name in beside)
