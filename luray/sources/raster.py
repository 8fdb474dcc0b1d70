"""GeoTIFFs by box: where a file lies, what its bands are, which cells it says are missing.

A `RasterFile` holds a path and a layout, no open file, so that it can travel to a worker. Maps of
several files are in `luray.sources.mosaic`.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import Bool
from luray.sources.crs import geographic_rule
from luray.sources.geotiff import open_raster, raise_faults, watched_raster
from luray.sources.layout import Layout, describe_grid, make_layout
from luray.sources.refusals import refusal
from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import is_local

WORLD_FILES = (".tfw", ".tifw", ".wld")
"""Endings of the text file that may hold the place of a GeoTIFF, in place of the file's own."""

PLACE_ADVICE = (
    "write its place into the file: gdal_edit.py -a_srs EPSG:4326 -a_ullr WEST NORTH EAST SOUTH, "
    "or bring the .tfw that belongs beside it"
)


@dataclass(frozen=True)
class RasterBand:
    """One band of data, as the file describes it."""

    number: int
    """Counted from 1."""
    dtype: str
    nodata: float | None
    description: str
    units: str
    masked: bool
    """Whether a mask inside or beside the file says which cells are missing."""


@dataclass(frozen=True)
class RasterFile:
    """A GeoTIFF in longitude and latitude: where it is, how it lies, what its bands are."""

    url: str
    layout: Layout
    bands: tuple[RasterBand, ...]
    """Its bands of data: an alpha band is none."""
    alpha: int = 0
    """Number of the band that is 0 where the others are missing; 0 where there is none."""
    warp_from: str = ""
    """Projection that it is warped from, as WKT; empty for longitude and latitude."""
    beside: tuple[str, ...] = ()
    """Files beside it that GDAL reads with it: masks, statistics, its place."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The files that are read."""
        return (self.url, *self.beside)

    @property
    def rules(self) -> tuple[str, ...]:
        """What is done to bring it onto luray's grids, and which mask is followed, in words."""
        rules = list(self.layout.rules)
        if self.alpha:
            rules.append("cells with alpha 0 read as missing")
        if any(band.masked for band in self.bands):
            rules.append("cells outside the file's mask read as missing")
        return tuple(rules)

    def band(self, number: int) -> RasterBand:
        """Return a band of data by its number in the file."""
        return next(band for band in self.bands if band.number == number)

    def may_miss(self, number: int) -> bool:
        """Return whether `read` can mask cells of a band."""
        return self.band(number).masked or bool(self.alpha) or bool(self.warp_from)

    def read(self, box: Box, *, band: int = 1) -> np.ma.MaskedArray[Any, Any]:
        """Read a band, counted from 1, in a box.

        Returns
        -------
        masked array, shape (height, width)
            Masked where a mask or an alpha band says that cells are missing. The no-data value is
            left to the caller, for whom it may be a class.
        """
        # `_cached_raster` also raises what went wrong beneath GDAL, once both are read.
        with _cached_raster(self) as raster:
            values_HW = self.layout.read(box, partial(_read_window, raster, band))
            missing_HW: Any = np.ma.nomask
            if self.may_miss(band):
                missing_HW = self.layout.read(box, partial(self._read_missing, raster, band))
        return np.ma.masked_array(values_HW, missing_HW)

    def _read_missing(self, raster: Any, band: int, rows: slice, cols: slice) -> Bool:
        """Read which cells of a rectangle of the file are missing."""
        missing_HW: Bool = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.bool_)
        # GDAL makes a mask of the no-data value too. So masks are asked for only where the file has
        # one, or where the warp has left cells empty.
        if self.band(band).masked or self.warp_from:
            missing_HW |= raster.read_masks(band, window=_window(rows, cols)) == 0
        if self.alpha:
            alpha_HW = _read_window(raster, self.alpha, rows, cols)
            _require_opaque_or_not(alpha_HW, where=f"{self.url}, band {self.alpha}")
            missing_HW |= alpha_HW == 0
        return missing_HW


def _read_window(raster: Any, band: int, rows: slice, cols: slice) -> NDArray[Any]:
    """Read a rectangle of the file."""
    return np.asarray(raster.read(band, window=_window(rows, cols)))


def _window(rows: slice, cols: slice) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a rectangle of the file as rasterio takes it."""
    return (rows.start, rows.stop), (cols.start, cols.stop)


def inspect_raster(
    url: str, *, warp_to: Grid | None = None, alpha: Literal["mask", "data"] = "mask"
) -> RasterFile:
    """Read from a GeoTIFF's header what it holds and how it lies.

    Parameters
    ----------
    url : str
        Local path or URL.
    warp_to : Grid, optional
        Grid onto whose cells a projected file is warped, nearest cell; without it such a file is
        refused.
    alpha : {"mask", "data"}
        What a band that counts as alpha is. GDAL calls the last of four bands of bytes so unless it
        is told otherwise; `data` takes every band for data.

    Raises
    ------
    InputError
        For an unreadable file, one without a place or with ground control points in its stead,
        another coordinate reference system than longitude and latitude on WGS 84, a rotated grid,
        scaled bands, and several images in one file.
    """
    with open_raster(url) as raster:
        _require_plain(raster, where=url)
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
        return RasterFile(url, layout, bands, alpha_band, warp_from, beside)


def _require_plain(raster: Any, *, where: str) -> None:
    """Raise InputError for what rasterio would read only in part, or other than it is meant."""
    if raster.subdatasets:
        raise InputError(
            f"{where}: holds {len(raster.subdatasets)} images (pages), of which only the first "
            "would be read; expected one with a band for each: gdal_translate each page and join "
            "them as bands"
        )
    if any(scale != 1 for scale in raster.scales) or any(offset != 0 for offset in raster.offsets):
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
    centre = (transform.c + step * raster.width / 2, first_edge + transform.e * raster.height / 2)
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
    west, south, east, north = transform_bounds(
        raster.crs, "EPSG:4326", *raster.bounds, densify_pts=101
    )
    top = int(np.floor((grid.north - north) / grid.step))
    bottom = int(np.ceil((grid.north - south) / grid.step))
    left = int(np.floor((west - grid.west) / grid.step))
    right = int(np.ceil((east - grid.west) / grid.step))
    box = Box(top, left, bottom - top, right - left).clip(grid.shape)
    if box is None:
        raise InputError(
            f"{where}: lies at longitudes {west:.4f}..{east:.4f}, latitudes "
            f"{south:.4f}..{north:.4f}, expected some of the run grid of {describe_grid(grid)}; "
            "correct [grid] or the file"
        )
    part = Grid(
        grid.north - box.row * grid.step, grid.west + box.col * grid.step, grid.step, *box.shape
    )
    rule = f"warped from {raster.crs.to_string()[:60]} onto the run grid, nearest cell"
    return Layout(part, part.n_lat, rules=(rule,))


def _bands_of(raster: Any, alpha: int) -> tuple[RasterBand, ...]:
    """Return the bands of data: all but band number `alpha`."""
    bands = []
    for number in raster.indexes:
        if number == alpha:
            continue
        flags = set(raster.mask_flag_enums[number - 1])
        # A no-data value alone is compared by value, and an alpha band is read itself.
        masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        bands.append(
            RasterBand(
                number=number,
                dtype=str(raster.dtypes[number - 1]),
                nodata=raster.nodatavals[number - 1],
                description=raster.descriptions[number - 1] or "",
                units=raster.units[number - 1] or "",
                masked=masked,
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


def _require_opaque_or_not(alpha: NDArray[Any], *, where: str) -> None:
    """Raise InputError for an alpha band with more than two values: it may be a map."""
    opaque = np.unique(alpha[alpha != 0])
    if opaque.size > 1:
        raise InputError(
            f"{where}: counts as alpha and holds {opaque[:5].tolist()}..., expected 0 where cells "
            "are missing and one other value; if it is a map, say so in the file: gdal_edit.py "
            "-colorinterp_N undefined, N being the band"
        )


def _files_beside(raster: Any, url: str) -> tuple[str, ...]:
    """Return the files that GDAL reads with a raster, without itself.

    Of a remote raster these are the files whose name begins with its own.
    """
    raster_file, *others = raster.files
    if is_local(url):
        return tuple(others)
    if "?" in url:
        return ()  # a signature is for one object
    beside = [name for name in others if name.startswith(raster_file)]
    return tuple(url + name.removeprefix(raster_file) for name in beside)


class _OpenRaster(threading.local):
    """The raster that a thread reads, kept open for its next read."""

    def __init__(self) -> None:
        self.key: Any = None
        """File, grid it is warped onto, and version of the file; None where nothing may be used."""
        self.resources = ExitStack()
        """What closes it."""
        self.raster: Any = None
        self.faults: list[Exception] = []
        """What goes wrong beneath GDAL; see `watched_raster`."""


_OPEN = _OpenRaster()


@contextmanager
def _cached_raster(file: RasterFile) -> Iterator[Any]:
    """Open a raster, and leave it open until the thread reads another or the file changes.

    A build reads a band of rows tile by tile. GDAL keeps what it has decoded of an open raster, so
    rows as wide as the globe are fetched and decoded once.
    """
    with refusal(file.url, "GeoTIFF", (OSError, RasterioError)):
        fs, path = filesystem(file.url)
        key = file.url, file.layout.grid if file.warp_from else None, fs.ukey(path)
        if _OPEN.key != key:
            # Without a key first: where closing or opening fails, nothing half open is used again.
            _OPEN.key = None
            _OPEN.resources.close()
            resources = ExitStack()
            _OPEN.raster, _OPEN.faults = resources.enter_context(_open_on_layout(file))
            _OPEN.resources = resources
            _OPEN.key = key
        try:
            with raise_faults(_OPEN.faults):
                yield _OPEN.raster
        except BaseException:
            _OPEN.key = None
            # A fault is raised here, once. Closing the raster would raise it again, before the next
            # raster is opened.
            _OPEN.faults.clear()
            raise


@contextmanager
def _open_on_layout(file: RasterFile) -> Iterator[tuple[Any, list[Exception]]]:
    """Open a raster, warped onto its layout's grid if it is projected, with the faults beneath."""
    with watched_raster(file.url) as (raster, faults):
        if not file.warp_from:
            yield raster, faults
            return
        grid = file.layout.grid
        # The no-data value is kept out of the warp: the caller compares it by value. An alpha band,
        # which the warp adds where the file has none, says which cells lie beyond the file.
        with WarpedVRT(
            raster,
            crs="EPSG:4326",
            resampling=Resampling.nearest,
            src_nodata=None,
            nodata=None,
            transform=rasterio.Affine(grid.step, 0, grid.west, 0, -grid.step, grid.north),
            width=grid.n_lon,
            height=grid.n_lat,
            add_alpha=not file.alpha,
        ) as warped:
            yield warped, faults
