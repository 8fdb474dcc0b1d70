"""HILDA+ maps: both series, NetCDF, and the real files of Crete."""

import pickle

import numpy as np
import pytest
import rasterio

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.hilda import HildaConfig, open_hilda
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(36, 23, 0.01, 5, 8)
CODES = np.array([0, 11, 22, 23, 24, 33, 40, 41, 42, 43, 44, 45, 55, 66, 77, 99], np.uint8)
MERGED = np.array([0, 11, 22, 22, 22, 33, 44, 44, 44, 44, 44, 44, 55, 66, 77, 99], np.uint8)
V1 = "hildap_vGLOB-1.0_geotiff_wgs84/hildap_GLOB-v1.0_lulc-states/hilda_plus_{}_states_GLOB-v1-0_wgs84-nn.tif"
V2 = "hilda_plus_states_{}_GLOB-v2_wgs84.tif"
V1_BASE = V1.replace("_wgs84", "_base-map_wgs84")
V2_1 = "hilda_plus_states_{}_GLOB-v2_forest-crop_near_wgs84.tif"
EVERYTHING = Box(0, 0, 5, 8)


def picks(year):
    return np.random.default_rng(year).integers(0, len(CODES), GRID.shape)


def write_series(path, years, name=V1, dtype=np.uint8, **options):
    for year in years:
        place = {"north": 36, "west": 23, "step": 0.01, **options}
        write_tif(path / name.format(year), CODES[picks(year)].astype(dtype), **place)


def open_(path, years=range(1850, 2101), **options):
    return open_hilda(HildaConfig(kind="hilda", path=str(path), **options), run_years=years)


@pytest.mark.parametrize(
    ("name", "dtype", "south_up"),
    [(V1, np.uint8, False), (V1, np.float32, False), (V2, np.int16, True), (V2_1, np.uint8, False)],
)
def test_a_geotiff_series_with_every_code(tmp_path, name, dtype, south_up):
    write_series(tmp_path, range(1899, 1903), name, dtype, south_up=south_up)
    source = pickle.loads(pickle.dumps(open_(tmp_path)))
    assert source.years == (1899, 1900, 1901, 1902)
    assert source.grid == GRID
    assert source.role == "state"
    for year in source.years:
        got = source.read(year, EVERYTHING)
        assert got.shape == (1, 5, 8)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got[0], MERGED[picks(year)])
    np.testing.assert_array_equal(
        source.read(1900, Box(1, 3, 2, 4))[0], MERGED[picks(1900)][1:3, 3:7]
    )
    assert source.rules[0] == "codes 40-45 read as 44 forest, 23 and 24 as 22 cropland"
    assert ("rows stored south first, read north first" in source.rules) == south_up


@pytest.mark.parametrize(
    ("name", "ascending", "fill"),
    [
        ("hildaplus_vGLOB-1.0-f_states.nc", False, None),
        ("hildaplus_GLOB-2-0_states.nc", True, np.int8(-1)),
    ],
)
def test_a_netcdf_file_with_plain_calendar_years(tmp_path, name, ascending, fill):
    maps = np.stack([CODES[picks(y)] for y in (2018, 2019, 2020)]).astype(np.int8)
    if fill is not None:
        maps[1, 0, 0] = fill
    stored = maps[:, ::-1] if ascending else maps
    attrs = {} if fill is None else {"_FillValue": fill}
    write_nc(
        tmp_path / name,
        {
            **axes(GRID, names=("latitude", "longitude"), ascending=ascending),
            "time": (("time",), np.array([2018, 2019, 2020], np.int32), {}),
            "LULC_states": (("time", "latitude", "longitude"), stored, attrs),
        },
    )
    source = pickle.loads(pickle.dumps(open_(tmp_path, range(2019, 2101))))
    assert source.years == (2019, 2020)
    expected = MERGED[picks(2019)]
    if fill is not None:
        expected[0, 0] = 99
        assert "the file's no-data value -1 read as 99" in source.rules
    np.testing.assert_array_equal(source.read(2019, EVERYTHING)[0], expected)
    np.testing.assert_array_equal(
        source.read(2020, Box(2, 2, 2, 2))[0], MERGED[picks(2020)][2:4, 2:4]
    )


def test_the_spacing_is_read_from_the_file(tmp_path):
    write_series(tmp_path, [1950], step=0.00998837)
    source = open_(tmp_path)
    assert source.grid.step == pytest.approx(0.00998837)
    assert "cell size 0.00998837 degrees as in the file, not 0.01" in source.rules


def test_half_a_cell_off_is_refused(tmp_path):
    write_series(tmp_path, [1950], north=36.005)
    with pytest.raises(InputError, match=r"hilda_plus_1950.*shifted by 0\.500 of a cell"):
        open_(tmp_path)


def test_a_missing_year_in_the_middle_is_refused(tmp_path):
    write_series(tmp_path, [1950, 1951, 1954])
    with pytest.raises(InputError, match="years 1952-1953 are missing between 1950 and 1954"):
        open_(tmp_path)


def test_a_year_there_twice_is_refused(tmp_path):
    write_series(tmp_path / "a", [1950, 1951])
    write_series(tmp_path / "b", [1951])
    with pytest.raises(InputError, match="years 1951 occur more than once"):
        open_(tmp_path)


def test_years_outside_the_run_are_not_checked(tmp_path):
    write_series(tmp_path, [1930, 1932, 1960, 1961, 1962, 1999])
    write_series(tmp_path / "again", [1930, 1999])
    source = open_(tmp_path, range(1960, 1963))
    assert source.years == (1960, 1961, 1962)
    np.testing.assert_array_equal(source.read(1961, EVERYTHING)[0], MERGED[picks(1961)])
    with pytest.raises(InputError, match=r"years 1963-1998 are missing between 1930 and 1999"):
        open_(tmp_path / V1.partition("/")[0], range(1960, 2001))


def test_a_netcdf_is_checked_within_the_run(tmp_path):
    years = np.array([1930, 1932, 1960, 1961, 1962], np.int32)
    maps = np.stack([CODES[picks(y)] for y in years]).astype(np.int8)
    path = write_nc(
        tmp_path / "hildaplus_GLOB-2-0_states.nc",
        {
            **axes(GRID, names=("latitude", "longitude")),
            "time": (("time",), years, {}),
            "LULC_states": (("time", "latitude", "longitude"), maps, {}),
        },
    )
    source = open_(path, range(1960, 2001))
    np.testing.assert_array_equal(source.read(1961, EVERYTHING)[0], MERGED[picks(1961)])
    with pytest.raises(InputError, match="years 1931, 1933-1959 are missing between 1930 and 1962"):
        open_(path)


def test_the_files_of_a_repeated_year_are_named(tmp_path):
    write_series(tmp_path, [2014])
    write_series(tmp_path, [2015])
    write_series(tmp_path, [2015], V1_BASE)
    with pytest.raises(
        InputError,
        match=r"years 2015 occur more than once: \S+_GLOB-v1-0_base-map\S+ and "
        r"\S+2015_states_GLOB-v1-0_wgs84-nn\.tif overlap, expected one file",
    ):
        open_(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        V1_BASE,
        V1_BASE.replace("hilda_plus_{}", "crete_hilda_plus_{}"),
        "a/Crete-hilda_plus_{}_states_GLOB-v1-0_wgs84.tif",
        "hilda_plus_{}_states_GLOB-v1-1_base-map_wgs84-nn.tif",
        "HILDA_PLUS_{}_STATES_GLOB-V1-0_WGS84-NN.TIF",
        "hilda_plus_{}_states_GLOB-v1-0_wgs84-nn-1.tiff",
        "hilda_plus_states_{}_GLOB-v2_wgs84-nn.tif",
        "hilda_plus_states_{}_GLOB-v2-1_wgs84-1.tif",
        "crete_hilda_plus_states_{}_GLOB-v2-1_base-map_wgs84.tif",
    ],
)
def test_every_published_form_of_the_name_is_known(tmp_path, name):
    write_series(tmp_path, [2014, 2016], V2 if "v2" in name.lower() else V1, np.float32)
    write_series(tmp_path, [2015], name, np.float32)
    source = open_(tmp_path)
    assert source.years == (2014, 2015, 2016)
    np.testing.assert_array_equal(source.read(2015, EVERYTHING)[0], MERGED[picks(2015)])


@pytest.mark.parametrize(
    ("name", "base"),
    [(V1, True), (V1_BASE, True), (V2, False), (V2.replace("_wgs84", "-1_base-map_wgs84"), True)],
)
def test_version_or_name_declare_the_base_map(tmp_path, name, base):
    write_series(tmp_path, [2014, 2016], V2 if "GLOB-v2" in name else V1)
    write_series(tmp_path, [2015], name)
    source = open_(tmp_path)
    assert list(source.other_kind) == [2015] * base
    assert (
        any(rule.startswith("2015 is a base map of another kind") for rule in source.rules) == base
    )
    early = open_(tmp_path, range(2000, 2015))
    assert early.other_kind == {}
    assert not any("base map" in rule for rule in early.rules)


def test_a_base_map_is_left_out_unless_the_run_file_keeps_it(tmp_path):
    write_series(tmp_path, [2014, 2015, 2016])
    assert list(open_(tmp_path).other_kind) == [2015]
    assert list(open_(tmp_path, base_maps="leave out").other_kind) == [2015]

    kept = open_(tmp_path, base_maps="keep")
    assert kept.other_kind == {}
    assert [rule for rule in kept.rules if rule.startswith("2015")] == [
        "2015 is a base map of another kind: part of the change into and out of it is no change of "
        "the land; it is kept as if it were of the same kind (base_maps)"
    ], "the cube and the report still say what it is"


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("hildaplus_vGLOB-1.0-f_states.nc", True),
        ("crete_hildaplus_GLOB-1-0-f_states.nc", True),
        ("hildaplus_GLOB-2-0_states.nc", False),
    ],
)
def test_a_netcdfs_version_declares_the_base_map(tmp_path, name, base):
    path = write_nc(
        tmp_path / name,
        {
            **axes(GRID, names=("latitude", "longitude")),
            "time": (("time",), np.array([2014, 2015, 2016]), {}),
            "LULC_states": (("time", "latitude", "longitude"), np.zeros((3, 5, 8), np.int8), {}),
        },
    )
    assert list(open_(path).other_kind) == [2015] * base


@pytest.mark.parametrize(
    ("nodata", "rule"),
    [
        (np.nan, "the file's no-data value nan read as 99"),
        (None, "NaN read as 99, no data"),
        (-9999.0, "NaN read as 99, no data"),
    ],
)
def test_nan_is_no_data(tmp_path, nodata, rule):
    codes = np.full(GRID.shape, 44, np.float32)
    codes[0, 0], codes[1, 1] = np.nan, np.nan if nodata is None else nodata
    write_tif(tmp_path / V1.format(1950), codes, north=36, west=23, step=0.01, nodata=nodata)
    source = open_(tmp_path)
    got = source.read(1950, EVERYTHING)[0]
    assert got[0, 0] == got[1, 1] == 99
    assert (got == 44).sum() == codes.size - 2
    assert rule in source.rules


def test_every_fill_value_of_a_netcdf_is_no_data(tmp_path):
    maps = np.full((1, 5, 8), 44, np.int16)
    maps[0, 0, 0], maps[0, 1, 1] = -1, -32768
    path = write_nc(
        tmp_path / "hildaplus_GLOB-2-0_states.nc",
        {
            **axes(GRID, names=("latitude", "longitude")),
            "time": (("time",), np.array([2000]), {}),
            "LULC_states": (
                ("time", "latitude", "longitude"),
                maps,
                {"_FillValue": np.int16(-1), "missing_value": np.int16(-32768)},
            ),
        },
    )
    assert (open_(path).read(2000, EVERYTHING)[0] == 99).sum() == 2


def test_two_versions_or_none_are_refused(tmp_path):
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(InputError, match="found no HILDA\\+ file, expected one series of"):
        open_(tmp_path)
    write_series(tmp_path, [1950])
    write_series(tmp_path, [1950], V2)
    with pytest.raises(
        InputError,
        match=r"found .*hilda_plus_1950.*hilda_plus_states_1950.*set `path` to one of them",
    ):
        open_(tmp_path)


def test_a_file_on_another_grid_is_named(tmp_path):
    write_series(tmp_path, [1950, 1951])
    write_series(tmp_path, [1951], west=23.01)
    with pytest.raises(
        InputError, match=r"hilda_plus_1951_\S+: grid of .* differs from that of \S+hilda_plus_1950"
    ):
        open_(tmp_path)


def test_another_projection_is_refused(tmp_path):
    write_series(tmp_path, [1950], crs="EPSG:3857", north=4e6, west=2e6, step=1000)
    with pytest.raises(InputError, match=r"hilda_plus_1950.*EPSG:3857, expected EPSG:4326"):
        open_(tmp_path)


def test_an_unknown_code_is_named(tmp_path):
    write_series(tmp_path, [1950, 1951])
    codes = np.full(GRID.shape, 44, np.uint8)
    codes[1, 1:4] = 46
    write_tif(tmp_path / V1.format(1951), codes, north=36, west=23, step=0.01)
    source = open_(tmp_path)
    source.read(1950, EVERYTHING)
    with pytest.raises(
        InputError, match=r"hilda_plus_1951_\S+: code 46 \(3 cells\) not in HILDA\+"
    ):
        source.read(1951, EVERYTHING)


def test_an_unreadable_file_is_named_at_opening(tmp_path):
    write_series(tmp_path, [1950, 1951])
    (tmp_path / V1.format(1951)).write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"hilda_plus_1951_\S+: cannot be read as GeoTIFF"):
        open_(tmp_path)


def test_lacking_or_packed_states_are_refused(tmp_path):
    def write(**variables):
        path = write_nc(
            tmp_path / "hildaplus_GLOB-2-0_states.nc",
            {
                **axes(GRID, names=("latitude", "longitude")),
                "time": (("time",), np.array([2000]), {}),
                **variables,
            },
        )
        return open_(path)

    dims, maps = ("time", "latitude", "longitude"), np.zeros((1, 5, 8), np.int8)
    with pytest.raises(InputError, match="has no variable LULC_states, found"):
        write(lulc=(dims, maps, {}))
    with pytest.raises(InputError, match="LULC_states is packed"):
        write(LULC_states=(dims, maps, {"scale_factor": 0.5}))
    write(LULC_states=(dims, maps, {}))
    with pytest.raises(InputError, match="holds years 2000, none of the run's 2001-2005"):
        open_(tmp_path, range(2001, 2006))


@pytest.mark.parametrize(
    ("years", "message"),
    [
        ([2000, 2001, 2003], "years 2002 are missing between 2000 and 2003"),
        ([2000, 2001, 2001], "years 2001 occur more than once"),
        ([2000, 2002, 2001], "not in order at 2001"),
    ],
)
def test_a_netcdf_with_a_broken_time_axis_is_refused(tmp_path, years, message):
    path = write_nc(
        tmp_path / "hildaplus_GLOB-2-0_states.nc",
        {
            **axes(GRID, names=("latitude", "longitude")),
            "time": (("time",), np.array(years, np.int32), {}),
            "LULC_states": (("time", "latitude", "longitude"), np.zeros((3, 5, 8), np.int8), {}),
        },
    )
    with pytest.raises(InputError, match=rf"hildaplus_GLOB-2-0_states\.nc: .*{message}"):
        open_(path)


def test_a_turned_file_of_a_series_is_read(tmp_path):
    write_series(tmp_path, [1950, 1952])
    write_series(tmp_path, [1951], south_up=True)
    source = open_(tmp_path)
    for year in (1950, 1951):
        np.testing.assert_array_equal(source.read(year, EVERYTHING)[0], MERGED[picks(year)])
    assert "rows stored south first, read north first" in source.rules
    [stored] = source.encodings
    assert stored.orientation == (
        "north first, longitudes -180..180 or south first, longitudes -180..180"
    )
    assert (stored.name, stored.dtype, stored.fills) == ("band 1", "uint8", ())


def test_what_is_in_a_netcdf_file_is_told(tmp_path):
    maps = np.zeros((1, 5, 8), np.int8)
    path = write_nc(
        tmp_path / "hildaplus_vGLOB-1.0-f_states.nc",
        {
            **axes(GRID, names=("latitude", "longitude"), ascending=True),
            "time": (("time",), np.array([2000]), {}),
            "LULC_states": (
                ("time", "latitude", "longitude"),
                maps,
                {"_FillValue": np.int8(-1), "missing_value": 99},
            ),
        },
    )
    [stored] = open_(path).encodings
    assert (stored.name, stored.dtype, stored.fills) == ("LULC_states", "int8", (-1, 99))
    assert stored.rules == ("rows stored south first, read north first",)


@pytest.mark.parametrize(
    ("lat", "lon", "code"),
    [
        (35.335, 25.135, 11),
        (35.515, 24.025, 11),  # Heraklion, Chania
        (35.045, 24.855, 22),
        (35.225, 24.775, 33),  # the Messara plain, mount Psiloritis
        (35.655, 25.005, 0),
        (34.825, 24.505, 0),  # the Cretan and the Libyan sea
        (34.845, 24.085, 33),  # the isle of Gavdos, south of Crete
    ],
)
def test_real_maps_show_places_of_crete(realdata, lat, lon, code):
    source = open_(realdata / "hildaplus_crete", range(2015, 2016))
    row, col = np.abs(source.grid.lat - lat).argmin(), np.abs(source.grid.lon - lon).argmin()
    assert source.grid.lat[row] == pytest.approx(lat)
    assert source.read(2015, Box(int(row), int(col), 1, 1)) == code


def test_the_real_maps_of_crete(realdata):
    source = open_(realdata / "hildaplus_crete")
    assert source.years == tuple(range(1899, 2020))
    assert (source.grid.n_lat, source.grid.n_lon) == (90, 288)
    assert source.grid.step == 0.01
    assert (source.grid.north, source.grid.west) == (pytest.approx(35.7), pytest.approx(23.47))
    first, last = source.read(1899, Box(0, 0, 90, 288)), source.read(2019, Box(0, 0, 90, 288))
    assert (last > 0).sum() == 8289
    assert set(np.unique(last)) <= {0, 11, 22, 33, 44, 55, 66, 77}
    assert 0.02 < (first != last).mean() < 0.3
    np.testing.assert_array_equal(source.read(2019, Box(30, 100, 20, 50)), last[:, 30:50, 100:150])


@pytest.mark.parametrize(
    ("folder", "years"),
    [
        ("hildaplus_v1_original_names", (1899, 2014, 2015)),
        ("hildaplus_crete", (1899, 1960, 2014, 2015, 2016, 2019)),
    ],
)
def test_the_real_maps_are_what_rasterio_reads(realdata, folder, years):
    """Every cell of the published files, the one that is called base-map too, read without luray."""
    for year in years:
        source = open_(realdata / folder, range(year, year + 1))
        [path] = (realdata / folder).rglob(f"*hilda_plus_{year}_states*.tif")
        assert source.files == (str(path),)
        with rasterio.open(path) as raster:
            expected, place = raster.read(1), raster.transform
        assert source.grid.shape == expected.shape
        assert (source.grid.north, source.grid.west) == pytest.approx((place.f, place.c))
        np.testing.assert_array_equal(source.read(year, Box(0, 0, *source.grid.shape))[0], expected)
        assert (year in source.other_kind) == (year == 2015)


def test_the_real_archive_is_refused_for_gaps(realdata):
    path = realdata / "hildaplus_v1_original_names"
    assert open_(path, range(2014, 2016)).years == (2014, 2015)
    with pytest.raises(InputError, match="years 1900-2013 are missing between 1899 and 2015"):
        open_(path)
