"""GeoTIFFs: their place, masks, bands and parts, each against a reading by rasterio alone."""

import pickle
import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.mosaic import RasterMosaic, join_rasters, map_series, require_one_band
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
def test_a_raster_without_a_place_is_refused(tmp_path, crs):
    path = write_without_place(tmp_path / "f.tif", crs=crs)
    with pytest.raises(
        InputError, match=r"f\.tif: has no place .*gdal_edit\.py -a_srs EPSG:4326 -a_ullr WEST"
    ):
        inspect_raster(str(path))


def test_ground_control_points_and_rpc_are_no_place(tmp_path):
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
def test_a_world_file_counts_on_disk_and_on_a_web_server(site, ending):
    write_without_place(site.folder / "f.tif", crs="EPSG:4326")
    (site.folder / f"f{ending}").write_text(WORLD_FILE)
    for url in (str(site.folder / "f.tif"), f"{site.url}/f.tif"):
        file = inspect_raster(url)
        assert file.layout.grid == GRID, url
        np.testing.assert_array_equal(file.read(EVERYTHING), FIELD)


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_inside_or_beside_the_file_says_what_is_missing(site, internal):
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


def test_a_server_that_answers_to_every_name_has_no_masks(site):
    """It would give the raster for its own mask, and for the mask of that, for ever."""
    write(site.folder / "f.tif")
    site.everything = "f.tif"
    file = inspect_raster(f"{site.url}/f.tif")
    got = file.read(EVERYTHING)
    assert not np.ma.getmaskarray(got).any()
    np.testing.assert_array_equal(got, FIELD)
    assert len(site.asked) < 20


def test_a_mask_counts_beside_a_no_data_value(tmp_path):
    path = write(tmp_path / "f.tif", nodata=5)
    write_mask(path)
    file = inspect_raster(str(path))
    np.testing.assert_array_equal(file.read(EVERYTHING).mask, ~VALID)
    assert file.bands[0].nodata == 5, "which the caller compares by value"


@pytest.mark.parametrize("nodata", [None, 7])
def test_an_alpha_band_is_a_mask_and_no_band_of_data(tmp_path, nodata):
    path = tmp_path / "f.tif"
    write_with_alpha(path, np.where(VALID, 255, 0), nodata=nodata)
    file = inspect_raster(str(path))
    assert require_one_band(file).number == 1
    np.testing.assert_array_equal(file.read(EVERYTHING).mask, ~VALID)
    assert "cells with alpha 0 read as missing" in file.rules


def test_the_last_of_four_bands_of_bytes_is_no_mask_if_it_is_a_map(tmp_path):
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


def test_a_map_of_several_bands_is_refused_with_their_names(tmp_path):
    path = write(tmp_path / "f.tif", np.stack([FIELD, FIELD]), names=("classification", "quality"))
    with pytest.raises(
        InputError, match=r"has 2 bands \(classification, quality\), expected one map"
    ):
        require_one_band(inspect_raster(str(path)))


def test_several_images_in_one_file_are_refused(tmp_path):
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


def write_parts(folder, *, gap=False, **options):
    """FIELD in four files that lie side by side, or three with a gap."""
    files = []
    for row, col in [(0, 0), (0, 3), (2, 0), (2, 3)][: 3 if gap else 4]:
        part = FIELD[row : row + 2, col : col + 3]
        files.append(
            str(
                write(
                    folder / f"part_{row}_{col}.tif", part, north=50 - row, west=10 + col, **options
                )
            )
        )
    return files


def test_files_side_by_side_are_one_map(tmp_path):
    mosaic = join_rasters([inspect_raster(file) for file in write_parts(tmp_path)])
    assert isinstance(mosaic, RasterMosaic)
    assert mosaic.layout.grid == GRID
    got = pickle.loads(pickle.dumps(mosaic)).read(Box(1, 1, 3, 4))
    assert not np.ma.getmaskarray(got).any()
    np.testing.assert_array_equal(got, FIELD[1:4, 1:5])
    assert not mosaic.may_miss(1)
    assert "4 files side by side read as one map" in mosaic.rules


def test_cells_between_files_are_missing(tmp_path):
    mosaic = join_rasters([inspect_raster(file) for file in write_parts(tmp_path, gap=True)])
    got = mosaic.read(EVERYTHING)
    expected = np.zeros((4, 6), np.bool_)
    expected[2:, 3:] = True
    np.testing.assert_array_equal(got.mask, expected)
    assert mosaic.may_miss(1)


def test_files_that_overlap_or_do_not_fit_are_refused_by_name(tmp_path):
    first = inspect_raster(str(write(tmp_path / "a.tif")))
    beside = inspect_raster(str(write(tmp_path / "b.tif", west=15)))
    with pytest.raises(
        InputError, match=r"a\.tif and \S+b\.tif overlap, expected one file for a place"
    ):
        join_rasters([first, beside])
    shifted = inspect_raster(str(write(tmp_path / "c.tif", west=16.5)))
    with pytest.raises(
        InputError, match=r"c\.tif: does not continue \S+a\.tif, expected files of one lattice"
    ):
        join_rasters([first, shifted])
    other = inspect_raster(str(write(tmp_path / "d.tif", FIELD.astype(np.uint8), west=16)))
    with pytest.raises(InputError, match=r"d\.tif: bands .* differ from those of \S+a\.tif"):
        join_rasters([first, other])


def test_a_series_looks_at_the_years_of_the_run_alone(tmp_path):
    found = [(year, str(write(tmp_path / f"{year}.tif"))) for year in (1990, 2000, 2001, 2003)]
    found.append((1990, found[0][1]))
    maps = map_series(found, range(2000, 2002), where="here")
    assert list(maps) == [2000, 2001]
    with pytest.raises(InputError, match="here: years 2002 are missing between 1990 and 2003"):
        map_series(found, range(2000, 2010), where="here")
    with pytest.raises(InputError, match="here: years 1990 occur more than once"):
        map_series(found, range(1990, 1991), where="here")


def test_a_projected_map_is_warped_to_the_nearest_cell(tmp_path):
    """Every warped cell holds what the projected raster has at its centre, and beyond the raster
    nothing.
    """
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
