"""Maps of values from GeoTIFF and NetCDF: dates, packing, gaps, means, and what is refused."""

import pickle

import cftime
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.sources.base import Request
from luray.sources.class_resampling import lattice_over
from luray.sources.value_resampling import MeanResampling
from luray.sources.values import ValuesConfig
from luray.storage.errors import InputError
from tests import reference
from tests.sources.writers import axes, write_nc, write_tif

LAI = read_legend("lai")
GRID = Grid(46, 4, 0.1, 6, 8)
ALL = Box(0, 0, 6, 8)
DATES = [(2004, month, 1) for month in range(1, 13)]
NUMBERS = np.arange(48).reshape(6, 8).astype(np.uint8)


def stored(n=0):
    """Tenths, of which the first cell is a gap."""
    numbers = NUMBERS + np.uint8(n)
    numbers[0, 0] = 255
    return numbers


def write_series(folder, *, dates=DATES, name="lai_{}-{:02}-{:02}.tif", maps=None, **options):
    for n, date in enumerate(dates):
        values = stored(n) if maps is None else maps(n)
        write_tif(folder / name.format(*date), values, north=46, west=4, step=0.1, **options)


def write_axis(
    path, *, dates=DATES, calendar="standard", maps=None, attributes=None, dims=None, grid=GRID
):
    unit = "days since 2000-01-01"
    moments = [cftime.datetime(*date, calendar=calendar) for date in dates]
    stamps = np.array(cftime.date2num(moments, unit, calendar), np.float64)
    values = np.stack([stored(n) if maps is None else maps(n) for n in range(len(dates))])
    packing = {"scale_factor": 0.1, "_FillValue": np.uint8(255), "units": "m2/m2"}
    write_nc(
        path,
        {
            **axes(grid),
            "time": (("time",), stamps, {"units": unit, "calendar": calendar}),
            "LAI": (dims or ("time", "lat", "lon"), values, {**packing, **(attributes or {})}),
        },
    )


TIF = {
    "pattern": "lai_{date}.tif",
    "scale_factor": 0.1,
    "valid_range": [0, 70],
    "no_value": [254, 255],
}
NETCDF = {"pattern": "*.nc", "variable": "LAI"}


def opened(folder, *, time="month", years=range(2004, 2005), grid=GRID, **options):
    config = ValuesConfig(kind="values", name="mine", path=str(folder), **options)
    config.declared_for(LAI)
    return config.open(Request(years, "", grid=grid, legend=LAI, time=TimeSteps(time)))


def levels(numbers):
    """Levels of 0.05 of stored tenths."""
    return np.where(numbers >= 254, 255, 2 * numbers.astype(int)).astype(np.uint8)


@pytest.mark.parametrize("form", ["tif", "netcdf"])
def test_each_month_has_its_levels(tmp_path, form):
    if form == "tif":
        write_series(tmp_path)
        source = opened(tmp_path, **TIF)
    else:
        write_axis(tmp_path / "a.nc")
        source = opened(tmp_path, **NETCDF)
    source = pickle.loads(pickle.dumps(source))
    assert source.years == tuple(TimeSteps("month").of_years(2004, 2004))
    assert (source.per_year, source.role, source.legend) == (12, "state", LAI)
    [variable] = source.variables
    assert (variable.name, variable.units, variable.dtype) == ("lai", "m2 m-2", "uint8")
    for n, step in enumerate(source.years):
        assert np.array_equal(source.read(step, ALL)[0], levels(stored(n)))
    part = source.read(source.years[3], Box(0, 0, 3, 5))[0]
    assert np.array_equal(part, levels(stored(3))[:3, :5])
    LAI.encode(part)


def test_packing_that_a_geotiff_declares_is_followed(tmp_path):
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        with rasterio.open(path, "r+") as raster:
            raster.scales = (0.1,)
            raster.nodata = 255
    source = opened(tmp_path, pattern="lai_{date}.tif")
    assert np.array_equal(source.read(source.years[2], ALL)[0], levels(stored(2)))


@pytest.mark.parametrize(
    ("name", "pattern", "date"),
    [
        ("a_20040131.tif", "a_{date}.tif", (2004, 1, 31)),
        ("a2004-01-31_b.tif", "a{date}_*.tif", (2004, 1, 31)),
        ("x.2004.01.31.tif", "x.{date}.tif", (2004, 1, 31)),
        ("a_2004366.tif", "a_{date}.tif", (2004, 12, 31)),
    ],
)
def test_names_have_dates_of_many_forms(tmp_path, name, pattern, date):
    write_tif(tmp_path / name, stored(), north=46, west=4, step=0.1)
    source = opened(tmp_path, **{**TIF, "pattern": pattern})
    assert source.years == (TimeSteps("month").step(2004, date[1] - 1),)


def test_a_name_without_a_date_is_refused(tmp_path):
    write_series(tmp_path, name="lai_{}{:02}{:02}.tif", dates=[(2004, 13, 1)])
    with pytest.raises(InputError, match="the name has no date"):
        opened(tmp_path, **TIF)


def test_dekads_become_the_mean_of_their_month(tmp_path):
    dates = [(2004, month, day) for month in (1, 2, 3) for day in (10, 20, 28)]

    def with_clouds(n):
        numbers = stored(n)
        numbers[1, : n % 3] = 255
        return numbers

    write_series(tmp_path, dates=dates, maps=with_clouds)
    source = opened(tmp_path, **TIF, file_step="dekad")
    assert len(source.years) == 3
    for month, step in enumerate(source.years):
        three = np.stack([with_clouds(3 * month + n) for n in range(3)]).astype(float)
        known = three < 254
        mean = np.where(known, three, 0).sum(0) / np.maximum(known.sum(0), 1)
        expected = np.where(known.any(0), np.floor(2 * mean + 0.5 + 1e-6), 255)
        assert np.array_equal(source.read(step, ALL)[0], expected)
    assert any("each month is the mean of the dekads in it" in rule for rule in source.rules)


def test_months_that_are_cut_are_left_out(tmp_path):
    dates = [(2004, 1, 20), (2004, 1, 31), *((2004, 2, day) for day in (10, 20, 29)), (2004, 3, 10)]
    write_series(tmp_path, dates=dates)
    source = opened(tmp_path, **TIF, file_step="dekad")
    assert source.years == (TimeSteps("month").step(2004, 1),)


def test_a_missing_dekad_is_refused_or_left_out_of_the_mean(tmp_path):
    dates = [(2004, month, day) for month in (1, 2) for day in (10, 20, 28)]
    dates.remove((2004, 1, 20))
    write_series(tmp_path, dates=dates)
    with pytest.raises(InputError, match="time steps 2004-01-11 are missing"):
        opened(tmp_path, **TIF, file_step="dekad")
    source = opened(tmp_path, **TIF, file_step="dekad", missing_steps="left out")
    assert len(source.years) == 2
    mean = (stored(0).astype(float) + stored(1)) / 2
    expected = np.where(stored() == 255, 255, np.floor(2 * mean + 0.5 + 1e-6))
    assert np.array_equal(source.read(source.years[0], ALL)[0], expected)


@pytest.mark.parametrize("missing_steps", ["refused", "left out"])
def test_a_missing_month_is_always_refused(tmp_path, missing_steps):
    write_series(tmp_path, dates=[date for date in DATES if date[1] != 5])
    with pytest.raises(InputError, match="time steps 2004-05 are missing"):
        opened(tmp_path, **TIF, missing_steps=missing_steps)


def test_files_of_longer_steps_do_not_serve_shorter_ones(tmp_path):
    write_series(tmp_path)
    with pytest.raises(InputError, match=r"set target\.time_step = 'month'"):
        opened(tmp_path, **TIF, time="P8D", file_step="month")


def test_cells_become_the_mean_of_those_known(tmp_path):
    def cloudy(_):
        numbers = NUMBERS.copy()
        numbers[0, :3] = 255  # three of the first four cells
        numbers[1, 0] = 255
        numbers[2:4, 4] = 255  # half of the third in the second row
        return numbers

    write_series(tmp_path, dates=DATES[:1], maps=cloudy)
    source = opened(tmp_path, **TIF, grid=Grid(46, 4, 0.2, 3, 4))
    found = source.read(source.years[0], Box(0, 0, 3, 4))[0]
    assert found[0, 0] == 255  # 9 alone
    assert found[0, 1] == 2 * (3 + 10 + 11) / 3
    assert found[1, 2] == round(2 * (21 + 29) / 2)
    assert found[2, 3] == 2 * (38 + 39 + 46 + 47) / 4
    assert np.array_equal(source.read(source.years[0], Box(1, 1, 2, 3))[0], found[1:, 1:])


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 47), st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_the_mean_is_that_of_exact_areas(tenths, row, col, seed):
    random = np.random.default_rng(seed)
    values = random.integers(0, 100, (11, 13)).astype(np.float32)
    values[random.random((11, 13)) < 0.3] = np.nan
    fine = Grid(10, 20, 0.1, 11, 13)
    run = Grid(10 - row / 100, 20 + col / 100, tenths / 100, 2, 2)
    coarse = lattice_over(fine, run, where="a.nc")
    resampling = MeanResampling(fine, coarse)
    box = Box(0, 0, *coarse.shape)
    under = resampling.fine_box(box)
    found = resampling.mean(values[under.slices(origin=Box(0, 0, 0, 0))], box)
    offset = (row % tenths, col % tenths)
    expected = reference.mean_of_area(values, tenths, offset, coarse.shape)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_tiles_side_by_side_are_one_map(tmp_path):
    write_tif(tmp_path / "a_20040101.tif", NUMBERS[:, :5], north=46, west=4, step=0.1)
    write_tif(tmp_path / "b_20040101.tif", NUMBERS[2:, 5:], north=45.8, west=4.5, step=0.1)
    source = opened(tmp_path, **{**TIF, "pattern": "*_{date}.tif"})
    expected = levels(NUMBERS)
    expected[:2, 5:] = 255
    assert np.array_equal(source.read(source.years[0], ALL)[0], expected)
    write_tif(tmp_path / "c_20040102.tif", NUMBERS[2:, 4:], north=45.8, west=4.4, step=0.1)
    with pytest.raises(
        InputError, match=r"a_20040101.tif and .*c_20040102.tif are both of 2004-01"
    ):
        opened(tmp_path, **{**TIF, "pattern": "*_{date}.tif"})


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (80, r"lai_2004-01-01\.tif: 1 cells are stored as numbers outside .* worst 80 at latitude"),
        (200, r"1 cells are stored as numbers outside the valid range, worst 200 .* 0\.\.70"),
    ],
)
def test_numbers_outside_the_valid_range_are_refused(tmp_path, number, message):
    def wrong(_):
        numbers = stored()
        numbers[3, 2] = number
        return numbers

    write_series(tmp_path, dates=DATES[:1], maps=wrong)
    source = opened(tmp_path, **TIF)
    source.read(source.years[0], Box(0, 0, 3, 8))
    with pytest.raises(InputError, match=message):
        source.read(source.years[0], ALL)


@pytest.mark.parametrize("outside", ["refused", "missing", "clipped"])
def test_values_outside_the_target(tmp_path, outside):
    def high(_):
        numbers = stored()
        numbers[3, 2] = 85
        return numbers

    write_series(tmp_path, dates=DATES[:1], maps=high)
    source = opened(tmp_path, **{**TIF, "valid_range": [0, 100]}, outside=outside)
    if outside == "refused":
        with pytest.raises(
            InputError, match=r"1 cells lie outside the range of the target LAI.*8\.5"
        ):
            source.read(source.years[0], ALL)
        return
    found = source.read(source.years[0], ALL)[0]
    assert found[3, 2] == (255 if outside == "missing" else 140)
    expected = levels(stored())
    expected[3, 2] = found[3, 2]
    assert np.array_equal(found, expected)


def test_a_map_without_any_value_is_refused(tmp_path):
    def blank(n):
        return np.full((6, 8), 255, np.uint8) if n == 1 else stored()

    write_series(tmp_path, dates=DATES[:2], maps=blank)
    source = opened(tmp_path, **TIF)
    assert (source.read(source.years[0], Box(0, 0, 1, 1)) == 255).all()  # a gap, but not all of it
    with pytest.raises(InputError, match=r"2004-02-01\.tif: has no value in any of its cells"):
        source.read(source.years[1], Box(0, 0, 2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dates": DATES[::-1]}, "time steps are not in order"),
        ({"dates": [*DATES, (2004, 12, 5)]}, "time steps 2004-12 occur more than once"),
        ({"dates": [*DATES[:4], *DATES[5:]]}, "time steps 2004-05 are missing"),
        ({"attributes": {"units": "kg m-2"}}, "LAI is in 'kg m-2', expected m2 m-2"),
        ({"dims": ("time", "lat", "band")}, "LAI has dimensions"),
    ],
)
def test_a_wrong_netcdf_file_is_refused(tmp_path, options, message):
    write_axis(tmp_path / "a.nc", **options)
    with pytest.raises(InputError, match=message):
        opened(tmp_path, **NETCDF)


def test_a_time_axis_that_contradicts_the_name_is_refused(tmp_path):
    write_axis(tmp_path / "lai_200402.nc", dates=[(2004, 1, 31)])
    write_axis(tmp_path / "lai_20040201.nc", dates=[(2004, 1, 31)])
    with pytest.raises(InputError, match="holds 2004-01, its name says 2004-02"):
        opened(tmp_path, pattern="lai_{date}.nc", variable="LAI")
    (tmp_path / "lai_200402.nc").rename(tmp_path / "x_2003.nc")
    with pytest.raises(InputError, match="holds time steps 2004-01, its name says 2003"):
        opened(tmp_path, pattern="x_{year}.nc", variable="LAI", years=range(2003, 2005))


def test_files_on_two_grids_are_refused(tmp_path):
    write_series(tmp_path, dates=DATES[:1])
    write_tif(tmp_path / "lai_2004-02-01.tif", NUMBERS, north=46, west=4.05, step=0.1)
    with pytest.raises(InputError, match="files lie on different grids"):
        opened(tmp_path, **TIF)


def test_a_run_of_other_years_is_refused(tmp_path):
    write_series(tmp_path)
    with pytest.raises(InputError, match="holds no map of the run's years 2007-2008"):
        opened(tmp_path, **TIF, years=range(2007, 2009))
    with pytest.raises(InputError, match=r"found no file, expected b\.tif"):
        opened(tmp_path, **{**TIF, "pattern": "b.tif"})


def test_a_year_in_a_name_is_enough_for_a_map_a_year(tmp_path):
    write_tif(tmp_path / "lai_2004.tif", stored(), north=46, west=4, step=0.1)
    pattern = {**TIF, "pattern": "lai_{year}.tif"}
    assert opened(tmp_path, **pattern, time="year").years == (2004,)
    with pytest.raises(InputError, match="does not say which month it is of"):
        opened(tmp_path, **pattern)
    write_axis(tmp_path / "lai_2004.nc")
    source = opened(tmp_path, pattern="lai_{year}.nc", variable="LAI")
    assert len(source.years) == 12


def test_a_projected_file_is_refused_unless_it_may_be_warped(tmp_path):
    write_tif(
        tmp_path / "lai_20040101.tif",
        NUMBERS,
        north=5_100_000,
        west=300_000,
        step=10_000,
        crs="EPSG:32631",
    )
    with pytest.raises(InputError, match=r"is in a projection, .* set reproject = true"):
        opened(tmp_path, **TIF)
    source = opened(tmp_path, **TIF, reproject=True, grid=Grid(46.5, 0, 0.1, 20, 30))
    found = source.read(source.years[0], Box(0, 0, *source.grid.shape))[0]
    assert set(np.unique(found)) <= {*levels(NUMBERS).ravel().tolist(), 255}
    assert len(np.unique(found)) > 40


def test_a_run_of_classes_has_no_values():
    config = ValuesConfig(kind="values", name="mine", path="p", **TIF)
    assert config.max_missing == 1
    with pytest.raises(ValueError, match="has values, and the run's target classes"):
        config.declared_for(HILDA)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "{year}/lai_{date}.tif"}, "has several dates"),
        ({"pattern": "*.nc"}, "need `variable`"),
        ({"valid_range": [7, 0]}, r"expected \[lowest, highest\]"),
        ({"outside": "ignored"}, "outside"),
    ],
)
def test_a_wrong_table_is_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        ValuesConfig(kind="values", name="mine", path="p", **{**TIF, **options})
