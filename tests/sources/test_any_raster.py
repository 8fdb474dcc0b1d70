"""Any small raster is read as rasterio and plain arithmetic read it, or refused."""

import tempfile
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from luray.core.tiling import Box
from luray.sources.categorical import CategoricalConfig, open_categorical
from luray.storage.errors import InputError

STEP = 0.5
CROSSWALK = {"1": 44, "2": 22, "3": 33}
MISSING = 99
TAKEN = ("EPSG:4326", "EPSG:4258", "EPSG:4326+3855")
REFUSED = (None, "EPSG:3857")


@dataclass(frozen=True)
class Quirks:
    """How the files of one map are written."""

    rows: int
    cols: int
    north: float
    west: float
    south_first: bool
    crs: str | None
    has_place: bool
    dtype: str
    missing_by: str
    missing_share: float
    bands: int
    names_band: bool
    parts: int
    overlap: bool
    stray_code: bool
    seed: int

    @property
    def must_be_refused(self) -> bool:
        """Whether nobody can tell which map is meant, or where."""
        unnamed = self.bands > 1 and not self.names_band
        overlapping = self.overlap and self.parts > 1
        return (
            self.crs in REFUSED or not self.has_place or unnamed or overlapping or self.stray_code
        )

    @property
    def has_no_longitudes(self) -> bool:
        """Whether a part crosses the dateline or lies beyond every convention of longitudes."""
        edges = [self.west, self.west + self.cols * STEP]
        if self.parts == 2:
            edges.insert(1, self.west + self.cols // 2 * STEP)
        pieces = list(pairwise(edges))
        crosses = any(first < 180 < last for first, last in pieces)
        beyond = min(edges) < -180 or max(edges) > 360
        return crosses or beyond or (len(pieces) == 2 and edges[1] == 180)


@st.composite
def quirks(draw):
    often = st.sampled_from([True] * 9 + [False])
    seldom = st.sampled_from([False] * 9 + [True])
    missing_by = draw(
        st.sampled_from(["nothing", "no-data value", "internal mask", "mask file", "alpha"])
    )
    dtype = draw(st.sampled_from(["uint8", "int16", "uint16", "float32"]))
    return Quirks(
        rows=draw(st.integers(1, 6)), cols=draw(st.integers(2, 7)),
        north=draw(st.integers(-60, 80)) * STEP, west=draw(st.integers(-360, 700)) * STEP,
        south_first=draw(st.booleans()), crs=draw(st.sampled_from([*TAKEN * 4, *REFUSED])), has_place=draw(often),
        dtype="uint8" if missing_by == "alpha" else dtype, missing_by=missing_by,
        missing_share=draw(st.sampled_from([0.0, 0.3, 1.0])),
        bands=1 if missing_by == "alpha" else draw(st.sampled_from([1, 1, 1, 2])), names_band=draw(often),
        parts=draw(st.sampled_from([1, 1, 2])), overlap=draw(seldom), stray_code=draw(seldom),
        seed=draw(st.integers(0, 2**16)),
    )  # fmt: skip


def write_part(path, codes, known, west, wanted):
    """One file, the first row at the north or at the south."""
    rows, cols = codes.shape
    if wanted.south_first:
        codes, known = codes[::-1], known[::-1]
        transform = rasterio.Affine(STEP, 0, west, 0, STEP, wanted.north - rows * STEP)
    else:
        transform = rasterio.Affine(STEP, 0, west, 0, -STEP, wanted.north)
    place = {"transform": transform} if wanted.has_place else {}
    nodata = 200 if wanted.missing_by == "no-data value" else None
    if nodata is not None:
        codes = np.where(known, codes, nodata)
    bands = [np.full_like(codes, 3)] * (wanted.bands - 1) + [codes]
    if wanted.missing_by == "alpha":
        bands.append(np.where(known, 255, 0))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=wanted.dtype,
        count=len(bands),
        height=rows,
        width=cols,
        crs=wanted.crs,
        nodata=nodata,
        **place,
    ) as out:
        if wanted.missing_by == "alpha":
            out.colorinterp = ColorInterp.gray, ColorInterp.alpha
        out.write(np.stack(bands).astype(wanted.dtype))
    if wanted.missing_by in ("internal mask", "mask file"):
        internal = wanted.missing_by == "internal mask"
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as out:
            out.write_mask(known)


def independent_map(files, wanted):
    """Code or missing by the centre of each cell in quarter degrees, read with rasterio alone."""
    targets = {int(code): target for code, target in CROSSWALK.items()}
    cells = {}
    for file in files:
        with rasterio.open(file) as raster:
            band = wanted.bands
            values = raster.read(band)
            known = raster.read_masks(band) != 0
            for row, col in np.ndindex(values.shape):
                x, y = raster.xy(row, col)
                lon = (x + 180) % 360 - 180
                code = targets[int(values[row, col])] if known[row, col] else MISSING
                cells[round(y / STEP * 2), round(lon / STEP * 2)] = code
    return cells


def luray_map(folder, wanted):
    """The same from luray."""
    named = {"band": wanted.bands} if wanted.bands > 1 and wanted.names_band else {}
    config = CategoricalConfig(
        kind="categorical",
        name="maps",
        path=str(folder),
        pattern="map_*_{year}.tif",
        crosswalk=CROSSWALK,
        **named,
    )
    source = open_categorical(config, run_years=range(2000, 2001))
    grid = source.grid
    codes = source.read(2000, Box(0, 0, *grid.shape))[0]
    cells = {}
    for row, col in np.ndindex(codes.shape):
        cells[round(grid.lat[row] / STEP * 2), round(grid.lon[col] / STEP * 2)] = int(
            codes[row, col]
        )
    return cells


def assert_read_or_refused(wanted):
    random = np.random.default_rng(wanted.seed)
    codes = random.integers(1, 4, (wanted.rows, wanted.cols))
    known = random.random(codes.shape) >= wanted.missing_share
    if wanted.missing_by == "nothing":
        known[:] = True
    if wanted.stray_code:
        codes[-1, -1], known[-1, -1] = 7, True
    middle = wanted.cols // 2
    pieces = (
        [(0, wanted.cols)]
        if wanted.parts == 1
        else [(0, middle + wanted.overlap), (middle, wanted.cols)]
    )

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        files = []
        for number, (first, last) in enumerate(pieces):
            files.append(Path(folder) / f"map_{number}_2000.tif")
            part = slice(first, last)
            write_part(
                files[-1], codes[:, part], known[:, part], wanted.west + first * STEP, wanted
            )
        if wanted.must_be_refused or wanted.has_no_longitudes:
            with pytest.raises(InputError):
                luray_map(folder, wanted)
            return
        got = luray_map(folder, wanted)
        expected = independent_map(files, wanted)
    assert {
        cell: code for cell, code in got.items() if code != MISSING or cell in expected
    } == expected


@settings(max_examples=200)
@given(quirks())
def test_raster_equals_rasterio_or_is_refused(wanted):
    assert_read_or_refused(wanted)


@pytest.mark.slow
@settings(max_examples=2000)
@given(quirks())
def test_many_rasters_equal_rasterio_or_are_refused(wanted):
    assert_read_or_refused(wanted)
