"""GeoTIFFs: their place, masks and bands, each against a reading by rasterio alone."""

import pickle
import time
import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.mosaic import require_one_band
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from tests.sources.writers import write_tif

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.int16).reshape(4, 6)
EVERYTHING = Box(0, 0, 4, 6)
VALID = np.ones((4, 6), np.bool_)
VALID[0] = VALID[2, 3] = False
WORLD_FILE = "1.0\n0.0\n0.0\n-1.0\n10.5\n49.5\n"


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def write(path, bands=FIELD, **options):
    return write_tif(path, bands, **{"north": 50, "west": 10, "step": 1, **options})


def write_without_place(path, **options):
    with rasterio.open(
        path, "w", driver="GTiff", dtype="int16", count=1, height=4, width=6, **options
    ) as out:
        out.write(FIELD, 1)
    return path


def write_mask(path, valid=VALID, *, internal=True):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as out:
        out.write_mask(valid)


def write_with_alpha(path, alpha, nodata=None):
    write(path, np.stack([FIELD.astype(np.uint8), alpha.astype(np.uint8)]), nodata=nodata)
    with rasterio.open(path, "r+") as out:
        out.colorinterp = ColorInterp.gray, ColorInterp.alpha


@pytest.mark.parametrize("crs", ["EPSG:4326", None])
def test_raster_without_place_is_refused(tmp_path, crs):
    path = write_without_place(tmp_path / "f.tif", crs=crs)
    with pytest.raises(
        InputError, match=r"f\.tif: has no place .*gdal_edit\.py -a_srs EPSG:4326 -a_ullr WEST"
    ):
        inspect_raster(str(path))


def test_control_points_and_rpc_are_no_place(tmp_path):
    corners = [(0, 0, 10, 50), (0, 6, 16, 50), (4, 0, 10, 46), (4, 6, 16, 46)]
    points = [rasterio.control.GroundControlPoint(*corner) for corner in corners]
    path = write_without_place(tmp_path / "f.tif", crs="EPSG:4326", gcps=points)
    with pytest.raises(InputError, match="its place is given by ground control points"):
        inspect_raster(str(path))
    path = write_without_place(tmp_path / "g.tif", crs="EPSG:4326")
    polynomials = {
        f"{axis}_{part}_coeff": [0.0] * 20 for axis in ("line", "samp") for part in ("num", "den")
    }
    offsets = {f"{axis}_off": 1.0 for axis in ("height", "lat", "long", "line", "samp")}
    scales = {f"{axis}_scale": 1.0 for axis in ("height", "lat", "long", "line", "samp")}
    with rasterio.open(path, "r+") as out:
        out.rpcs = rasterio.rpc.RPC(**polynomials, **offsets, **scales)
    with pytest.raises(InputError, match=r"its place is given by rational polynomials \(RPC\)"):
        inspect_raster(str(path))


@pytest.mark.parametrize("ending", [".tfw", ".TFW", ".wld"])
def test_world_file_counts_on_disk_and_web(site, ending):
    write_without_place(site.folder / "f.tif", crs="EPSG:4326")
    (site.folder / f"f{ending}").write_text(WORLD_FILE)
    for url in (str(site.folder / "f.tif"), f"{site.url}/f.tif"):
        file = inspect_raster(url)
        assert file.layout.grid == GRID, url
        np.testing.assert_array_equal(file.read(EVERYTHING), FIELD)


@pytest.mark.parametrize("internal", [True, False])
def test_internal_and_external_masks_are_read(site, internal):
    path = write(site.folder / "f.tif")
    write_mask(path, internal=internal)
    for url in (str(path), f"{site.url}/f.tif"):
        file = pickle.loads(pickle.dumps(inspect_raster(url)))
        got = file.read(Box(0, 1, 3, 4))
        np.testing.assert_array_equal(got.mask, ~VALID[:3, 1:5])
        np.testing.assert_array_equal(got.data[~got.mask], FIELD[:3, 1:5][VALID[:3, 1:5]])
        assert "cells outside the file's mask read as missing" in file.rules
    assert (len(inspect_raster(str(path)).urls) > 1) is not internal, (
        "a mask beside it is one of its files"
    )


def test_server_answering_every_name_has_no_masks(site):
    """It would give the raster for its own mask, and for the mask of that, for ever."""
    write(site.folder / "f.tif")
    site.everything = "f.tif"
    file = inspect_raster(f"{site.url}/f.tif")
    got = file.read(EVERYTHING)
    assert not np.ma.getmaskarray(got).any()
    np.testing.assert_array_equal(got, FIELD)
    assert len(site.asked) < 20


def test_mask_counts_beside_no_data_value(tmp_path):
    path = write(tmp_path / "f.tif", nodata=5)
    write_mask(path)
    file = inspect_raster(str(path))
    np.testing.assert_array_equal(file.read(EVERYTHING).mask, ~VALID)
    assert file.bands[0].nodata == 5, "which the caller compares by value"


@pytest.mark.parametrize("nodata", [None, 7])
def test_alpha_band_is_a_mask(tmp_path, nodata):
    path = tmp_path / "f.tif"
    write_with_alpha(path, np.where(VALID, 255, 0), nodata=nodata)
    file = inspect_raster(str(path))
    assert require_one_band(file).number == 1
    np.testing.assert_array_equal(file.read(EVERYTHING).mask, ~VALID)
    assert "cells with alpha 0 read as missing" in file.rules


def test_fourth_band_of_bytes_may_be_a_map(tmp_path):
    """GDAL calls it alpha unless it is told otherwise: a band a year would lose the last year."""
    maps = np.stack([FIELD.astype(np.uint8) + 1 + year for year in range(4)])
    path = write(tmp_path / "f.tif", maps)
    with pytest.raises(
        InputError, match=r"band 4: counts as alpha and holds \[4, 5, 6, 7, 8\]..., expected 0"
    ):
        inspect_raster(str(path)).read(EVERYTHING, band=2)
    file = inspect_raster(str(path), alpha="data")
    assert [band.number for band in file.bands] == [1, 2, 3, 4]
    np.testing.assert_array_equal(file.read(EVERYTHING, band=4), maps[3])
    described = inspect_raster(str(write(tmp_path / "g.tif", maps, names=("a", "b", "c", "d"))))
    np.testing.assert_array_equal(described.read(EVERYTHING, band=4), maps[3])


def test_several_pages_are_refused(tmp_path):
    pages = [Image.fromarray(FIELD.astype(np.uint8)) for _ in range(3)]
    pages[0].save(tmp_path / "f.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(
        InputError, match=r"holds 3 images \(pages\), of which only the first would be read"
    ):
        inspect_raster(str(tmp_path / "f.tif"))


def test_complex_numbers_are_refused(tmp_path):
    path = write(tmp_path / "f.tif", FIELD.astype(np.complex64))
    with pytest.raises(
        InputError, match="bands are complex64, expected whole or floating-point numbers"
    ):
        inspect_raster(str(path))


def test_projected_map_is_warped_to_nearest_cell(tmp_path):
    """Every warped cell holds what the raster has at its centre, and beyond the raster nothing."""
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 5, (60, 80)).astype(np.uint8)
    place = rasterio.Affine(1000, 0, 500_000, 0, -1000, 5_100_000)
    with rasterio.open(
        tmp_path / "f.tif",
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=60,
        width=80,
        crs="EPSG:32631",
        transform=place,
    ) as out:
        out.write(codes, 1)
    run = Grid(46.2, 2.8, 0.02, 60, 80)
    with pytest.raises(InputError, match="is EPSG:32631, expected EPSG:4326"):
        inspect_raster(str(tmp_path / "f.tif"))
    file = pickle.loads(pickle.dumps(inspect_raster(str(tmp_path / "f.tif"), warp_to=run)))
    grid = file.layout.grid
    assert run.offset_of(grid)
    got = file.read(Box(0, 0, *grid.shape))

    lon, lat = np.meshgrid(grid.lon, grid.lat)
    x, y = rasterio.warp.transform("EPSG:4326", "EPSG:32631", lon.ravel(), lat.ravel())
    col = (np.array(x) - 500_000) / 1000
    row = (5_100_000 - np.array(y)) / 1000
    inside = (row >= 0) & (row < 60) & (col >= 0) & (col < 80)
    expected = np.zeros(lon.size, np.uint8)
    expected[inside] = codes[row[inside].astype(int), col[inside].astype(int)]
    # GDAL interpolates the projection along a row to an eighth of a pixel: cells near an edge may
    # differ.
    edge = np.minimum(np.abs(row - np.round(row)), np.abs(col - np.round(col))) < 0.13
    clear = ~edge
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(np.ma.getmaskarray(got).ravel()[clear], ~inside[clear])
    np.testing.assert_array_equal(got.data.ravel()[clear & inside], expected[clear & inside])
    assert any(rule.startswith("warped from EPSG:32631 onto the run grid") for rule in file.rules)


def test_projected_and_undeclared_rasters_are_refused(tmp_path):
    flat = write_tif(tmp_path / "f.tif", FIELD, north=5e6, west=4e5, step=1000, crs="EPSG:3035")
    with pytest.raises(
        InputError, match=r"f\.tif: coordinate reference system is EPSG:3035, expected EPSG:4326"
    ):
        inspect_raster(str(flat))
    bare = write_tif(tmp_path / "bare.tif", FIELD, north=50, west=10, step=1, crs=None)
    with pytest.raises(
        InputError,
        match=r"bare\.tif: coordinate reference system is none, expected EPSG:4326; decl",
    ):
        inspect_raster(str(bare))


@pytest.mark.parametrize("crs", ["EPSG:4326", "OGC:CRS84", "+proj=longlat +datum=WGS84"])
def test_any_name_of_wgs_84_is_read(tmp_path, crs):
    path = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1, crs=crs)
    assert inspect_raster(str(path)).layout.grid == GRID


@pytest.mark.parametrize(
    "crs", ["+proj=longlat +ellps=clrk66", "+proj=longlat +datum=WGS84 +pm=paris"]
)
def test_other_meridians_and_datums_are_refused(tmp_path, crs):
    path = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1, crs=crs)
    with pytest.raises(
        InputError, match=r"f\.tif: coordinate reference system is .*, expected EPSG:4326"
    ):
        inspect_raster(str(path))


def test_pixels_as_points_shift_half_a_cell(tmp_path):
    """GDAL gives the pixel's corner, whichever convention the file follows."""
    path = tmp_path / "point.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=1,
        height=4,
        width=6,
        crs="EPSG:4326",
        transform=rasterio.Affine(1, 0, 10, 0, -1, 50),
    ) as out:
        out.update_tags(AREA_OR_POINT="Point")
        out.write(FIELD, 1)
    assert inspect_raster(str(path)).layout.grid == GRID


def test_rotated_and_scaled_rasters_are_refused(tmp_path):
    path = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1)
    with rasterio.open(path, "r+") as out:
        out.scales = (0.1,)
    with pytest.raises(InputError, match="bands are scaled by"):
        inspect_raster(str(path))
    path = write_tif(tmp_path / "g.tif", FIELD, north=50, west=10, step=1)
    with rasterio.open(path, "r+") as out:
        out.transform = rasterio.Affine(1, 0.1, 10, 0, -1, 50)
    with pytest.raises(InputError, match="is rotated or mirrored"):
        inspect_raster(str(path))


@pytest.mark.parametrize("gap", [np.nan, np.inf])
def test_place_with_gaps_is_refused(tmp_path, gap):
    path = tmp_path / "f.tif"
    transform = rasterio.Affine(1, 0, gap, 0, -1, 50)
    write_without_place(path, crs="EPSG:4326", transform=transform)
    with pytest.raises(InputError, match=r"f\.tif: geotransform .* has gaps"):
        inspect_raster(str(path))


def test_many_bands_take_no_longer_each(tmp_path):
    # A damaged header of a few hundred bytes may claim 65,535 bands.
    path = write(tmp_path / "f.tif", np.zeros((3000, 4, 6), np.uint8))
    inspect_raster(str(write(tmp_path / "g.tif")))
    started = time.process_time()
    assert len(inspect_raster(str(path)).bands) == 3000
    assert time.process_time() - started < 2


def test_south_first_raster_is_read_north_first(tmp_path):
    path = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1, south_up=True)
    file = pickle.loads(pickle.dumps(inspect_raster(str(path))))
    assert file.layout.grid == GRID
    assert file.layout.rules == ("rows stored south first, read north first",)
    np.testing.assert_array_equal(file.read(Box(1, 2, 2, 3)), FIELD[1:3, 2:5])


def test_raster_stays_open_until_file_changes(tmp_path, monkeypatch):
    path, other = tmp_path / "f.tif", tmp_path / "g.tif"
    write_tif(path, FIELD, north=50, west=10, step=1)
    write_tif(other, FIELD + 100, north=50, west=10, step=1)
    file, second = inspect_raster(str(path)), inspect_raster(str(other))
    opened, plainly = [], rasterio.open
    monkeypatch.setattr(
        "rasterio.open", lambda at, *args, **kw: opened.append(at) or plainly(at, *args, **kw)
    )
    for col in range(4):
        np.testing.assert_array_equal(file.read(Box(0, col, 4, 2)), FIELD[:, col : col + 2])
    assert opened == [str(path)]
    np.testing.assert_array_equal(second.read(Box(0, 0, 4, 6)), FIELD + 100)
    write_tif(path, FIELD * 2, north=50, west=10, step=1)
    np.testing.assert_array_equal(file.read(Box(0, 0, 4, 6)), FIELD * 2)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        file.read(Box(0, 0, 4, 6))
    assert [str(other), str(path)] == [at for at in opened[1:] if isinstance(at, str)]


def test_denied_raster_on_store_is_told(s3, tmp_path):
    raster = write(tmp_path / "f.tif")
    url = s3.put("opening/f.tif", raster.read_bytes()) or f"{s3.url}/opening/f.tif"
    np.testing.assert_array_equal(inspect_raster(url).read(Box(0, 0, 4, 6)), FIELD)
    with s3.locked(), pytest.raises(InputError, match=r"f\.tif: access is denied"):
        inspect_raster(url)
