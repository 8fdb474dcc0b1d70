"""GeoTIFFs by box: where a file lies, what its bands are, which cells it says are missing.

A source keeps a `RasterFile`, or a `RasterMosaic` of several that lie side by side. Both hold
paths and layouts, no open file, so that they can travel to a worker.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import combinations
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
from luray.sources.geotiff import open_raster, raised, watched_raster
from luray.sources.layout import Layout, describe, make_layout
from luray.sources.refusals import refusal
from luray.sources.years import check_series, shared_years
from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import is_local

WORLD_FILES = (".tfw", ".tifw", ".wld")
"""Endings of the text file that may hold the place of a GeoTIFF, in place of the file's own."""

PLACE_ADVICE = (
    "write its place into the file: gdal_edit.py -a_srs EPSG:4326 -a_ullr WEST NORTH EAST SOUTH, "
    "or bring the .tfw "
    "that belongs beside it"
)

_OPEN = threading.local()
"""The raster that a thread reads, kept open."""


@dataclass(frozen=True)
class RasterBand:
    """One band of data: its number in the file counted from 1, and what the file says of it."""

    number: int
    dtype: str
    nodata: float | None
    description: str
    units: str
    masked: bool
    """A mask inside or beside the file says which cells are missing."""


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
        """A band of data by its number in the file."""
        return next(band for band in self.bands if band.number == number)

    def may_miss(self, number: int) -> bool:
        """Whether `read` can mask cells of a band."""
        return self.band(number).masked or bool(self.alpha) or bool(self.warp_from)

    def read(self, box: Box, *, band: int = 1) -> np.ma.MaskedArray[Any, Any]:
        """Values of a band (counted from 1) in a box, shape (height, width).

        Masked is what a mask or an alpha band says is missing; the no-data value is left to the
        caller, for whom it may be a class.
        """
        with _kept_raster(self) as raster:

            def fetch(rows: slice, cols: slice) -> NDArray[Any]:
                window = ((rows.start, rows.stop), (cols.start, cols.stop))
                return np.asarray(raster.read(band, window=window))

            def fetch_missing(rows: slice, cols: slice) -> NDArray[Any]:
                window = ((rows.start, rows.stop), (cols.start, cols.stop))
                missing: Bool = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.bool_)
                if self.band(band).masked or self.warp_from:
                    missing |= raster.read_masks(band, window=window) == 0
                if self.alpha:
                    alpha = raster.read(self.alpha, window=window)
                    _require_opaque_or_not(alpha, where=f"{self.url}, band {self.alpha}")
                    missing |= alpha == 0
                return missing

            values_HW = self.layout.read(box, fetch)
            missing_HW = (
                self.layout.read(box, fetch_missing) if self.may_miss(band) else np.ma.nomask
            )
        return np.ma.masked_array(values_HW, missing_HW)


@dataclass(frozen=True)
class RasterMosaic:
    """Several GeoTIFFs of one lattice that lie side by side, read as one; cells between them are
    missing.
    """

    parts: tuple[RasterFile, ...]
    layout: Layout
    """That of the rectangle around all of them."""

    @property
    def url(self) -> str:
        """The first file and how many there are beside it, for messages."""
        return f"{self.parts[0].url} and {len(self.parts) - 1} beside it"

    @property
    def urls(self) -> tuple[str, ...]:
        """The files that are read."""
        return tuple(url for part in self.parts for url in part.urls)

    @property
    def bands(self) -> tuple[RasterBand, ...]:
        """Bands of data, the same in every part."""
        return self.parts[0].bands

    @property
    def rules(self) -> tuple[str, ...]:
        """What is done to the parts, each thing once, and that they are put together."""
        told = dict.fromkeys(rule for part in self.parts for rule in part.rules)
        return (*told, f"{len(self.parts)} files side by side read as one map")

    def band(self, number: int) -> RasterBand:
        """A band of data by its number in the files."""
        return self.parts[0].band(number)

    def may_miss(self, number: int) -> bool:
        """Whether `read` can mask cells of a band: between the parts, or in one of them."""
        covered = sum(part.layout.grid.n_lat * part.layout.grid.n_lon for part in self.parts)
        gaps = covered < self.layout.grid.n_lat * self.layout.grid.n_lon
        return gaps or any(part.may_miss(number) for part in self.parts)

    def read(self, box: Box, *, band: int = 1) -> np.ma.MaskedArray[Any, Any]:
        """Values of a band in a box, shape (height, width), masked between the parts; see
        `RasterFile.read`.
        """
        values_HW = np.zeros(box.shape, self.band(band).dtype)
        missing_HW = np.ones(box.shape, np.bool_)
        for part in self.parts:
            row, col = self.layout.grid.offset_of(part.layout.grid)
            common = box.intersection(Box(row, col, *part.layout.grid.shape))
            if common is None:
                continue
            found = part.read(
                common._replace(row=common.row - row, col=common.col - col), band=band
            )
            at = common.slices(origin=box)
            values_HW[at] = found.data
            missing_HW[at] = np.ma.getmaskarray(found)
        return np.ma.masked_array(values_HW, missing_HW)


Raster = RasterFile | RasterMosaic


def inspect_raster(
    url: str, *, warp_to: Grid | None = None, alpha: Literal["mask", "data"] = "mask"
) -> RasterFile:
    """Read from a GeoTIFF's header what it holds and how it lies.

    Parameters
    ----------
    url
        Local path or URL.
    warp_to
        Grid onto whose cells a projected file is warped, nearest cell; without it such a file is
        refused.
    alpha
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
            layout, warp_from = _warped_layout(raster, warp_to, where=url), declared
        else:
            layout, warp_from = _layout_of(raster, transform, declared, where=url), ""
        mask_band = _alpha_of(raster) if alpha == "mask" else 0
        bands = _bands_of(raster, mask_band)
        beside = _files_beside(raster, url)
        return RasterFile(url, layout, bands, mask_band, warp_from, beside)


def _require_plain(raster: Any, *, where: str) -> None:
    """Raise InputError for what rasterio would read only in part, or other than it is meant."""
    if raster.subdatasets:
        raise InputError(
            f"{where}: holds {len(raster.subdatasets)} images (pages), of which only the first "
            "would be "
            "read; expected one with a band for each: gdal_translate each page and join them as "
            "bands"
        )
    if any(scale != 1 for scale in raster.scales) or any(offset != 0 for offset in raster.offsets):
        raise InputError(
            f"{where}: bands are scaled by {raster.scales} and offset by {raster.offsets}, "
            "expected "
            "plain values; apply them with gdal_translate -unscale"
        )
    if any(np.dtype(dtype).kind not in "iuf" for dtype in raster.dtypes):
        raise InputError(
            f"{where}: bands are {', '.join(raster.dtypes)}, expected whole or floating-point "
            "numbers"
        )


def _transform_of(raster: Any, url: str) -> Any:
    """The affine place of a raster, from a world file beside it where it has none of its own.

    GDAL looks for that file on disks only. Raises InputError where there is none: GDAL would put
    the raster at 0, 0 in cells of one degree.
    """
    if not raster.transform.is_identity:
        return raster.transform
    if raster.gcps[0] or raster.rpcs:
        what = "ground control points" if raster.gcps[0] else "rational polynomials (RPC)"
        raise InputError(
            f"{url}: its place is given by {what}, expected rows along latitudes from west to "
            "east; warp "
            "it: gdalwarp -t_srs EPSG:4326"
        )
    world = None if is_local(url) else _world_file(url)
    if world is None:
        raise InputError(
            f"{url}: has no place (no geotransform), expected its corner and cell size; "
            f"{PLACE_ADVICE}"
        )
    return world


def _world_file(url: str) -> Any | None:
    """The place that a world file beside a URL gives, None where there is none.

    Its six numbers are A D B E C F of x = A col + B row + C, y = D col + E row + F, at the centre
    of the first cell.
    """
    fs, path = filesystem(url)
    stem = path.rpartition(".")[0]
    for ending in WORLD_FILES:
        for candidate in (stem + ending, stem + ending.upper()):
            try:
                text = fs.cat_file(candidate).decode("ascii")
                a, d, b, e, c, f = map(float, text.split())
            except (OSError, ValueError):
                continue
            # GDAL counts from the corner of the first cell.
            return rasterio.Affine(a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
    return None


def _layout_of(raster: Any, transform: Any, declared: str, *, where: str) -> Layout:
    """How a raster in longitude and latitude lies on luray's grids."""
    if transform.b or transform.d or transform.a <= 0 or transform.e == 0:
        raise InputError(
            f"{where}: geotransform {tuple(transform)[:6]} is rotated or mirrored, expected rows "
            "along "
            "latitudes from west to east; warp the file"
        )
    step = transform.a
    centre = (transform.c + step * raster.width / 2, transform.f + transform.e * raster.height / 2)
    rule = geographic_rule(declared, step=step, place=centre, where=where)
    south_first = transform.e > 0
    north = transform.f + transform.e * raster.height if south_first else transform.f
    layout = make_layout(
        north=north,
        west=transform.c,
        steps=(abs(transform.e), step),
        shape=(raster.height, raster.width),
        south_first=south_first,
        where=where,
    )
    return layout.with_rules(rule) if rule else layout


def _warped_layout(raster: Any, grid: Grid, *, where: str) -> Layout:
    """The part of a grid that a projected raster reaches, as a layout of the warped raster."""
    west, south, east, north = transform_bounds(
        raster.crs, "EPSG:4326", *raster.bounds, densify_pts=101
    )
    top = max(0, int(np.floor((grid.north - north) / grid.step)))
    bottom = min(grid.n_lat, int(np.ceil((grid.north - south) / grid.step)))
    left = max(0, int(np.floor((west - grid.west) / grid.step)))
    right = min(grid.n_lon, int(np.ceil((east - grid.west) / grid.step)))
    if bottom <= top or right <= left:
        raise InputError(
            f"{where}: lies at longitudes {west:.4f}..{east:.4f}, latitudes "
            f"{south:.4f}..{north:.4f}, "
            f"expected some of the run grid of {describe(grid)}; correct [grid] or the file"
        )
    part = Grid(
        grid.north - top * grid.step,
        grid.west + left * grid.step,
        grid.step,
        bottom - top,
        right - left,
    )
    rule = f"warped from {raster.crs.to_string()[:60]} onto the run grid, nearest cell"
    return Layout(part, part.n_lat, rules=(rule,))


def _bands_of(raster: Any, alpha: int) -> tuple[RasterBand, ...]:
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
    """Number of the alpha band, 0 where there is none; a band that is described is one of data."""
    kinds = list(raster.colorinterp)
    if ColorInterp.alpha not in kinds or len(kinds) == 1:
        return 0
    number = kinds.index(ColorInterp.alpha) + 1
    description = raster.descriptions[number - 1] or ""
    return number if description.lower() in ("", "alpha") else 0


def _require_opaque_or_not(alpha: NDArray[Any], *, where: str) -> None:
    """Raise InputError for an alpha band with more than two values: it may be a map."""
    opaque = np.unique(alpha[alpha != 0])
    if opaque.size > 1:
        raise InputError(
            f"{where}: counts as alpha and holds {opaque[:5].tolist()}..., expected 0 where cells "
            "are "
            "missing and one other value; if it is a map, say so in the file: gdal_edit.py "
            "-colorinterp_N undefined, N being the band"
        )


def _files_beside(raster: Any, url: str) -> tuple[str, ...]:
    """Files that belong to a raster, without itself; of a remote one those whose name begins with
    its own.
    """
    itself, *others = raster.files
    if is_local(url):
        return tuple(others)
    if "?" in url:
        return ()  # a signature is for one object
    return tuple(url + name.removeprefix(itself) for name in others if name.startswith(itself))


@contextmanager
def _kept_raster(file: RasterFile) -> Iterator[Any]:
    """Like `open_raster`, but the raster that a thread reads stays open until it reads another or
    the file changes.

    A build reads a band of rows tile by tile: GDAL then decodes (and fetches) rows as wide as the
    globe once.
    """
    with refusal(file.url, "GeoTIFF", (OSError, RasterioError)):
        fs, path = filesystem(file.url)
        key = file.url, file.layout.grid if file.warp_from else None, fs.ukey(path)
        if getattr(_OPEN, "key", None) != key:
            _OPEN.key, opened = None, ExitStack()
            getattr(_OPEN, "opened", opened).close()
            _OPEN.raster, _OPEN.faults = opened.enter_context(_read_as_laid(file))
            _OPEN.opened, _OPEN.key = opened, key
        try:
            with raised(_OPEN.faults):
                yield _OPEN.raster
        except BaseException:
            _OPEN.key = None
            # It is told here, once: closing the raster would raise it again, before the next is
            # opened.
            _OPEN.faults.clear()
            raise


@contextmanager
def _read_as_laid(file: RasterFile) -> Iterator[tuple[Any, list[Exception]]]:
    """The open raster, warped onto its layout's grid where it is projected, and the faults beneath."""
    with watched_raster(file.url) as (raster, faults):
        if not file.warp_from:
            yield raster, faults
            return
        grid = file.layout.grid
        # The no-data value is kept out of the warp: the caller compares it by value. What lies
        # beyond the file is told from it by an alpha band, which the warp adds where the file has
        # none.
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


def require_one_band(file: Raster) -> RasterBand:
    """The band of a map. Raises InputError for a file of several: which of them is meant cannot be
    told.
    """
    if len(file.bands) != 1:
        names = [band.description or f"band {band.number}" for band in file.bands]
        raise InputError(
            f"{file.url}: has {len(file.bands)} bands ({', '.join(names)}), expected one map; name "
            "the "
            "one to read, or write it to a file of its own (gdal_translate -b N)"
        )
    return file.bands[0]


def join_rasters(files: Sequence[RasterFile], *, map_of: str = "cells of one map") -> Raster:
    """One raster of one file or of several that lie side by side.

    Raises InputError for files that overlap, of different lattices or of different bands, naming
    two of them; `map_of` says in messages what the map is of.
    """
    first = files[0]
    if len(files) == 1:
        return first
    offsets = []
    for file in files:
        try:
            offsets.append(first.layout.grid.offset_of(file.layout.grid))
        except ValueError as error:
            raise InputError(
                f"{file.url}: does not continue {first.url}, expected files of one lattice: {error}"
            ) from error
        if _alike(file) != _alike(first):
            raise InputError(
                f"{file.url}: bands {_alike(file)} differ from those of {first.url}, "
                f"{_alike(first)}; "
                "expected the same in all files of a map"
            )
    boxes = [
        Box(row, col, *file.layout.grid.shape)
        for (row, col), file in zip(offsets, files, strict=True)
    ]
    for i, j in combinations(range(len(files)), 2):
        if boxes[i].intersection(boxes[j]):
            raise InputError(
                f"{map_of} occur more than once: {files[i].url} and {files[j].url} overlap, "
                "expected one file "
                "for a place, or several that lie side by side; keep one of the two"
            )
    return RasterMosaic(tuple(files), _around(first.layout.grid, boxes))


def _alike(file: RasterFile) -> list[tuple[int, str, str, str]]:
    """What the parts of a mosaic must have in common; no data as text, since NaN equals nothing."""
    return [(band.number, band.dtype, str(band.nodata), band.units) for band in file.bands]


def _around(first: Grid, boxes: Sequence[Box]) -> Layout:
    """Layout of the rectangle around boxes that are given in cells of the first grid."""
    top, left = min(box.row for box in boxes), min(box.col for box in boxes)
    bottom = max(box.row + box.height for box in boxes)
    right = max(box.col + box.width for box in boxes)
    grid = Grid(
        first.north - top * first.step,
        first.west + left * first.step,
        first.step,
        bottom - top,
        right - left,
    )
    return Layout(grid, grid.n_lat)


def map_series(
    found: Sequence[tuple[int, str]], run_years: range, *, where: str, warp_to: Grid | None = None
) -> Mapping[int, Raster]:
    """The map of each year of the run, in order, from files and their years; several of a year are
    a mosaic.

    Only the headers of the run's years are opened. Raises InputError for a year of the run that is
    missing between others, naming it, and for files of one year that overlap, naming both.
    """
    files_of_year: dict[int, list[str]] = {}
    for year, file in sorted(found):
        files_of_year.setdefault(year, []).append(file)
    check_series(list(files_of_year), where=where, wanted=run_years)
    shared = shared_years(list(files_of_year), run_years, where=where)
    maps = {}
    for year in sorted(shared):
        files = [inspect_raster(file, warp_to=warp_to) for file in files_of_year[year]]
        maps[year] = join_rasters(files, map_of=f"{where}: years {year}")
    return maps
