"""Leaf area index as C3S, MODIS and GLASS publish it: names, packing, flags, real MODIS data."""

import numpy as np
import pytest
import xarray as xr

from luray.core.grid import Grid
from luray.core.legend_files import read_legend
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.sources.base import Request
from luray.sources.c3s_lai import C3sLaiConfig
from luray.sources.glass import GlassConfig, packing_of
from luray.sources.mod15 import Mod15Config
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

LAI = read_legend("lai")
STEP = 1 / 112
GRID = Grid(46, 4, STEP, 6, 8)
ALL = Box(0, 0, 6, 8)
CONFIGS = {"c3s_lai": C3sLaiConfig, "mod15": Mod15Config, "glass": GlassConfig}


def opened(kind, path, *, time="P8D", years=range(2004, 2005), grid=GRID, **options):
    config = CONFIGS[kind](kind=kind, path=str(path), **options)
    assert config.max_missing == 1
    return config.open(Request(years, "", grid=grid, legend=LAI, time=TimeSteps(time)))


def write_c3s(folder, date, *, numbers=None, flags=None, corners=False, name="", stamp=None):
    """A file of C3S: LAI in 16 bits, the flags beside it."""
    stamp = np.datetime64(stamp or f"{date[:4]}-{date[4:6]}-{date[6:]}")
    days = (stamp - np.datetime64("1970-01-01")).astype(int)
    packing = {
        "scale_factor": 1 / 6000,
        "_FillValue": np.uint16(65535),
        "valid_range": np.array([0, 65534], np.uint16),
        "units": "m2 m-2",
    }
    values = np.full((6, 8), 12000, np.uint16) if numbers is None else numbers
    bits = np.zeros((6, 8), np.uint32) if flags is None else flags
    place = {"grid_mapping_name": "latitude_longitude"}
    lat_lon = axes(GRID)
    if corners:
        half = STEP / 2
        lat_lon["lat"] = (("lat",), GRID.lat + half, {"units": "degrees_north"})
        lat_lon["lon"] = (("lon",), GRID.lon - half, {"units": "degrees_east"})
        place["GeoTransform"] = f"-180 {STEP} 0 80 0 {-STEP}"
    write_nc(
        folder / (name or f"c3s_LAI_{date}000000_GLOBE_PROBAV_V3.0.1.nc"),
        {
            **lat_lon,
            "crs": ((), np.array(0), place),
            "time": (("time",), np.array([days], float), {"units": "days since 1970-01-01"}),
            "LAI": (("time", "lat", "lon"), values[None], packing),
            "LAI_ERR": (("time", "lat", "lon"), values[None] // 10, packing),
            "retrieval_flag": (("time", "lat", "lon"), bits[None], {}),
        },
    )


@pytest.mark.parametrize("corners", [False, True])
def test_a_month_of_c3s_is_the_mean_of_its_dekads(tmp_path, corners):
    for n, date in enumerate(("20040110", "20040120", "20040131")):
        numbers = np.full((6, 8), 6000 * (n + 1), np.uint16)
        flags = np.full((6, 8), 0x1100, np.uint32)  # bits that describe, set almost everywhere
        numbers[0, 0] = 65535
        for col, bit in enumerate((0x01, 0x40, 0x80), start=1):
            if n == 2:
                flags[0, col] |= bit
        flags[5, 7] = 0x40  # never trusted
        write_c3s(tmp_path, date, numbers=numbers, flags=flags, corners=corners)
    source = opened("c3s_lai", tmp_path, time="month")
    assert source.years == (TimeSteps("month").step(2004, 0),)
    GRID.offset_of(source.grid)
    found = source.read(source.years[0], ALL)[0]
    expected = np.full((6, 8), 40, np.uint8)  # 2.0 in levels of 0.05
    expected[0, 1:4] = 30  # without the last dekad
    expected[0, 0] = expected[5, 7] = 255
    assert np.array_equal(found, expected)
    assert any("bits 0xc1 in retrieval_flag" in rule for rule in source.rules)
    assert any("north-western corners" in rule for rule in source.rules) == corners

    every_retrieval = opened("c3s_lai", tmp_path, time="month", flags=0)
    assert every_retrieval.read(source.years[0], ALL)[0][5, 7] == 40


def test_dekads_of_c3s_stay_dekads(tmp_path):
    for date in ("20040220", "20040229", "20040310"):
        write_c3s(tmp_path, date)
    source = opened("c3s_lai", tmp_path, time="dekad")
    labels = [TimeSteps("dekad").label(step) for step in source.years]
    assert labels == ["2004-02-11", "2004-02-21", "2004-03-01"]


@pytest.mark.parametrize(
    "name",
    [
        "c3s_LAI_20040110000000_GLOBE_VGT_V3.0.1.nc",
        "c3s_LAI_20040110000000_GLOBE_AVHRR-NOAA7_V1.0.1.nc",
        "c3s_LAI_20040110000000_GLOBE_SENTINEL3_V4.0.1.nc",
        "c3s_LAI-300m_20040110000000_GLOBE_SENTINEL3_V4.0.1.area-subset.46.4.45.5.nc",
    ],
)
def test_names_of_c3s_are_known(tmp_path, name):
    write_c3s(tmp_path, "20040110", name=name)
    assert len(opened("c3s_lai", tmp_path, time="dekad").years) == 1


def test_a_wrong_file_of_c3s_is_refused(tmp_path):
    write_c3s(tmp_path, "20040110", stamp="2004-02-10")
    with pytest.raises(InputError, match="holds 2004-02-01, its name says 2004-01-01"):
        opened("c3s_lai", tmp_path, time="dekad")
    with pytest.raises(InputError, match="holds a map each dekad, the run's steps are shorter"):
        opened("c3s_lai", tmp_path, time="P8D")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "fapar.nc").touch()
    with pytest.raises(InputError, match="found no file, expected c3s_LAI_"):
        opened("c3s_lai", tmp_path / "x", time="dekad")


def modis(n=0):
    numbers = (np.arange(48).reshape(6, 8) + n).astype(np.uint8)
    numbers[0, :7] = range(249, 256)
    return numbers


def test_codes_of_modis_are_no_retrieval(tmp_path):
    for day in (1, 9, 17):
        name = f"MOD15A2H.061_Lai_500m_doy2004{day:03}_aid0001.tif"
        write_tif(tmp_path / name, modis(day), north=46, west=4, step=STEP, nodata=255)
        for other in ("FparLai_QC", "LaiStdDev_500m"):
            path = tmp_path / name.replace("Lai_500m", other)
            write_tif(path, modis(), north=46, west=4, step=STEP)
    source = opened("mod15", tmp_path)
    assert [TimeSteps("P8D").in_year(step) for step in source.years] == [0, 1, 2]
    for day, step in zip((1, 9, 17), source.years, strict=True):
        numbers = modis(day).astype(int)
        expected = np.where(numbers >= 249, 255, 2 * numbers)
        assert np.array_equal(source.read(step, ALL)[0], expected)
    with pytest.raises(InputError, match="a GeoTIFF has no flags beside its values"):
        opened("mod15", tmp_path, algorithm="main")


@pytest.mark.parametrize("code", [101, 120, 248])
def test_other_codes_of_modis_are_refused(tmp_path, code):
    numbers = modis()
    numbers[3, 3] = code
    write_tif(tmp_path / "MOD15A2H.A2004001.h17v04.061.tif", numbers, north=46, west=4, step=STEP)
    source = opened("mod15", tmp_path)
    with pytest.raises(InputError, match=rf"h17v04.061.tif: 1 cells .* worst {code} .* 0\.\.100"):
        source.read(source.years[0], ALL)


def test_the_back_up_algorithm_of_modis_may_be_left_out(tmp_path):
    quality = np.zeros((6, 8), np.uint8)
    for col, scf in enumerate((0, 1, 2, 3, 4)):
        quality[2, col] = scf << 5
    days = {"units": "days since 2004-01-01"}
    write_nc(
        tmp_path / "modis.nc",
        {
            **axes(GRID),
            "time": (("time",), np.array([0.0]), days),
            "Lai_500m": (("time", "lat", "lon"), modis()[None], {"_FillValue": np.uint8(255)}),
            "FparLai_QC": (("time", "lat", "lon"), quality[None], {}),
        },
    )
    [step] = opened("mod15", tmp_path).years
    anything = opened("mod15", tmp_path).read(step, ALL)[0]
    main = opened("mod15", tmp_path, algorithm="main").read(step, ALL)[0]
    assert np.argwhere(anything != main).tolist() == [[2, 2], [2, 3], [2, 4]]
    assert (main[2, 2:5] == 255).all()


def test_hdf4_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "MOD15A2H.A2004001.h17v04.061.2020.hdf"
    path.write_bytes(b"\x0e\x03\x13\x01" + b"\x00" * 2000)
    with pytest.raises(InputError, match=r"is HDF4.*gdal_translate"):
        opened("mod15", tmp_path)


@pytest.mark.parametrize(
    ("name", "dtype", "per_unit", "water"),
    [
        ("GLASS01B01.V60.A2004009.2022138.tif", np.uint8, 10, 255),
        ("GLASS01B02.V04.A2004009.2017269.tif", np.int16, 100, 2550),
        ("GLASS01E01.V60.A2004009.h18v04.2022010.tif", np.uint8, 10, 254),
    ],
)
def test_glass_has_tenths_or_hundredths(tmp_path, name, dtype, per_unit, water):
    numbers = np.full((6, 8), 3 * per_unit, dtype)
    numbers[2, 3] = water
    write_tif(tmp_path / name, numbers, north=46, west=4, step=STEP)
    source = opened("glass", tmp_path)
    [step] = source.years
    assert TimeSteps("P8D").label(step) == "2004-01-09"
    expected = np.full((6, 8), 60, np.uint8)
    expected[2, 3] = 255
    assert np.array_equal(source.read(step, ALL)[0], expected)


def test_values_of_glass_have_bounds():
    for dtype, valid in (("uint8", (0, 100)), ("int16", (0, 1000)), ("float32", (0, 10))):
        assert packing_of(dtype).valid == valid


ARCACHON = Grid(44.825, -340 / 240, 1 / 240, 81, 118)


def test_modis_of_arcachon_is_read_in_place(realdata):
    path = realdata / "modis_lai_arcachon" / "arcachon_2004.nc"
    source = opened("mod15", path, grid=ARCACHON)
    assert len(source.years) == 46
    ARCACHON.offset_of(source.grid)
    with xr.open_dataset(path, decode_cf=False) as data:
        numbers = data["Lai_500m"].values
        centres = data["y"].values, data["x"].values

    # The nearest cell by the formula of the sinusoidal projection: x = R lon cos lat, y = R lat.
    radius = 6371007.181
    lat, lon = np.meshgrid(np.radians(source.grid.lat), np.radians(source.grid.lon), indexing="ij")
    rows = np.abs(centres[0] - radius * lat[..., None]).argmin(-1)
    cols = np.abs(centres[1] - (radius * lon * np.cos(lat))[..., None]).argmin(-1)
    size = 463.3127
    inside = np.abs(centres[0][rows] - radius * lat) <= size / 2
    inside &= np.abs(centres[1][cols] - radius * lon * np.cos(lat)) <= size / 2
    whole = Box(0, 0, *source.grid.shape)
    for n in (0, 20, 45):
        expected = numbers[n][rows, cols].astype(int)
        expected = np.where((expected >= 249) | ~inside, 255, 2 * expected)
        assert np.array_equal(source.read(source.years[n], whole)[0], expected)
    part = source.read(source.years[20], Box(10, 20, 7, 9))
    assert np.array_equal(part, source.read(source.years[20], whole)[:, 10:17, 20:29])


def test_arcachon_may_be_read_by_month_and_on_larger_cells(realdata):
    path = realdata / "modis_lai_arcachon"
    coarse = Grid(44.825, -340 / 240, 0.0125, 27, 39)
    source = opened("mod15", path, grid=coarse, time="month")
    assert source.years == tuple(TimeSteps("month").of_years(2004, 2004))
    july = source.read(source.years[6], Box(0, 0, *source.grid.shape))[0]
    january = source.read(source.years[0], Box(0, 0, *source.grid.shape))[0]
    both = (july != 255) & (january != 255)
    assert july[both].mean() > 1.5 * january[both].mean()
