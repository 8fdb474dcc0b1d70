"""GEBCO elevation."""

import pickle

import numpy as np
import pytest
from scipy.io import netcdf_file

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.gebco import GebcoConfig, open_gebco
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(35, 24, 1 / 240, 4, 6)
HEIGHT = np.arange(-4000, 8000, 500, dtype=np.int16).reshape(4, 6)


def write(path, name="GEBCO_2023.nc", height=HEIGHT, grid=GRID, **attrs):
    return write_nc(
        path / name,
        {
            **axes(grid, ascending=True),
            "crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
            "elevation": (("lat", "lon"), height[::-1], {"units": "m", **attrs}),
        },
    )


def open_(path):
    return open_gebco(GebcoConfig(kind="gebco", path=str(path)))


def test_ascending_rows_are_turned(tmp_path):
    write(tmp_path)
    source = pickle.loads(pickle.dumps(open_(tmp_path)))
    assert source.grid == GRID
    got = source.read(None, Box(0, 0, 4, 6))
    assert got.dtype == np.int16
    np.testing.assert_array_equal(got[0], HEIGHT)
    np.testing.assert_array_equal(source.read(None, Box(1, 2, 3, 2))[0], HEIGHT[1:, 2:4])
    assert source.rules == (
        "rows stored south first, read north first",
        "depths below sea level kept",
    )
    [variable] = source.variables
    assert (variable.role, variable.dtype, variable.scale, variable.resampling) == (
        "static",
        "int16",
        1000,
        "bilinear",
    )
    assert source.years == ()


def test_two_editions_or_none_are_refused(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(
        InputError, match=r"found no GEBCO file, expected GEBCO_\{year\}\.nc or gebco_"
    ):
        open_(tmp_path)
    write(tmp_path)
    write(tmp_path, "GEBCO_2023_sub_ice_topo.nc")
    with pytest.raises(
        InputError,
        match=r"found 2 GEBCO files of several editions \(\S+GEBCO_2023\.nc, "
        r"\S+GEBCO_2023_sub_ice_topo\.nc\), expected one file; set `path`",
    ):
        open_(tmp_path)
    assert open_(tmp_path / "GEBCO_2023.nc").files == (str(tmp_path / "GEBCO_2023.nc"),)


@pytest.mark.parametrize(
    "name",
    [
        "gebco_2020_n56.3_s55.2_w12.2_e13.1.nc",
        "gebco_2023_n36.0_s34.0_w23.0_e27.0.nc",
        "GEBCO_2024_sub_ice_topo.nc",
        "gebco_2024_sub_ice_n36_s34_w23_e27.nc",
        "GEBCO_2014_2D.nc",
        "Gebco_2019.NC",
        "GEBCO_2023.nc",
    ],
)
def test_the_names_of_all_downloads_are_known(tmp_path, name):
    write(tmp_path, name)
    write(tmp_path, f"{name[:10]}_tid_n36_s34_w23_e27.nc")
    source = open_(tmp_path)
    np.testing.assert_array_equal(source.read(None, Box(0, 0, 4, 6))[0], HEIGHT)
    assert source.about.title.endswith(f", {name[6:10]}")


def test_several_regions_or_a_geotiff_are_refused(tmp_path):
    (tmp_path / "gebco_2023_n36_s34_w23_e27.tif").write_bytes(b"II*\0")
    with pytest.raises(
        InputError,
        match=r"found no GEBCO file but \S+gebco_2023_n36_s34_w23_e27\.tif, .*the NetCDF",
    ):
        open_(tmp_path)
    write(tmp_path, "gebco_2023_n36_s34_w23_e27.nc")
    write(tmp_path, "gebco_2023_n38_s36_w23_e27.nc", grid=Grid(35 + 4 / 240, 24, 1 / 240, 4, 6))
    with pytest.raises(
        InputError,
        match=r"found 2 GEBCO files of one edition, which are not joined \(\S+n36\S+, \S+8",
    ):
        open_(tmp_path)


@pytest.mark.parametrize(
    ("units", "times", "dtype"),
    [
        ("feet", 1 / 0.3048, np.int16),
        ("FEET", 1 / 0.3048, np.float32),
        ("km", 1e-3, np.float64),
        ("cm", 100, np.int32),
        ("US survey foot", 3937 / 1200, np.float32),
    ],
)
def test_other_lengths_become_metres(tmp_path, units, times, dtype):
    height = HEIGHT.astype(float) * times
    whole = np.dtype(dtype).kind == "i"
    write(tmp_path, height=(np.round(height) if whole else height).astype(dtype), units=units)
    source = pickle.loads(pickle.dumps(open_(tmp_path)))
    got = source.read(None, Box(0, 0, 4, 6))
    assert (got.dtype, source.variables[0].dtype) == (np.float32, "float32")
    np.testing.assert_allclose(got[0], HEIGHT, atol=0.2)
    assert source.rules[1].startswith(f"elevation: {units} turned into m: times ")


def test_a_fill_value_of_converted_values_is_missing(tmp_path):
    height = (HEIGHT / 0.3048).astype(np.float32)
    height[1, 1] = -99999
    write(tmp_path, height=height, units="ft", _FillValue=np.float32(-99999))
    got = open_(tmp_path).read(None, Box(0, 0, 4, 6))[0]
    assert np.isnan(got).sum() == np.isnan(got[1, 1]) == 1


def test_no_unit_is_metres_and_said(tmp_path):
    write(tmp_path, units="")
    source = open_(tmp_path)
    assert "elevation: no unit declared, taken as m" in source.rules
    np.testing.assert_array_equal(source.read(None, Box(0, 0, 4, 6))[0], HEIGHT)


def test_metres_called_kilometres_are_refused(tmp_path):
    write(tmp_path, units="km")
    with pytest.raises(InputError, match=r"23 cells are no elevations, worst 7\.5e\+06"):
        open_(tmp_path).read(None, Box(0, 0, 4, 6))


def test_the_real_subset_is_what_scipy_reads(realdata):
    """NetCDF 3, south first: every cell at its own coordinates, read without luray."""
    path = realdata / "gebco_2020_subset/gebco_2020_n56.3_s55.2_w12.2_e13.1.nc"
    with netcdf_file(path, mmap=False) as file:
        lat, lon, metres = (file.variables[name][:].copy() for name in ("lat", "lon", "elevation"))
    source = open_(realdata / "gebco_2020_subset")
    grid = source.grid
    assert grid.shape == metres.shape == (264, 216)
    assert (source.about.title[-4:], source.variables[0].dtype) == ("2020", "int16")
    rows, cols = (
        np.abs(ours[:, None] - theirs).argmin(axis=0)
        for ours, theirs in ((grid.lat, lat), (grid.lon, lon))
    )
    np.testing.assert_allclose(grid.lat[rows], lat, atol=1e-6)
    np.testing.assert_allclose(grid.lon[cols], lon, atol=1e-6)
    got = source.read(None, Box(0, 0, *grid.shape))[0]
    np.testing.assert_array_equal(got[np.ix_(rows, cols)], metres)
    assert metres.min() < -20 < 100 < metres.max(), "the Oresund and Scania"
    np.testing.assert_array_equal(source.read(None, Box(100, 50, 30, 40))[0], got[100:130, 50:90])


@pytest.mark.parametrize(
    ("edition", "doi"),
    [
        (2023, "10.5285/f98b053b-0cbc-6c23-e053-6c86abc0af7b"),
        (2024, "10.5285/1c44ce99-0a0d-5f4f-e063-7086abc0ea0f"),
        (2019, ""),
    ],
)
def test_the_doi_is_that_of_the_edition(tmp_path, edition, doi):
    write(tmp_path, f"GEBCO_{edition}.nc")
    about = open_(tmp_path).about
    assert (about.doi, about.title) == (
        doi,
        f"GEBCO gridded bathymetry and land elevation, {edition}",
    )


def test_a_file_of_0_to_360_is_turned(tmp_path):
    write(tmp_path, grid=Grid(35, 200, 1 / 240, 4, 6))
    source = open_(tmp_path)
    assert source.grid == Grid(35, -160, 1 / 240, 4, 6)
    np.testing.assert_array_equal(source.read(None, Box(0, 0, 4, 6))[0], HEIGHT)
    [stored] = source.encodings
    assert (stored.name, stored.dtype, stored.units, stored.fills) == (
        "elevation",
        "int16",
        "m",
        (),
    )
    assert stored.orientation == "south first, longitudes 0..360"
    assert stored.rules == (
        "rows stored south first, read north first",
        "longitudes 0..360 turned to -180..180",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": HEIGHT.astype(np.float32)}, "elevation is float32"),
        ({"scale_factor": 0.1}, r"with scale and offset \(0\.1, 0\.0\), expected plain int16"),
        ({"units": "degrees"}, "elevation is in 'degrees', expected m or a unit that converts"),
        ({"units": "DN"}, "elevation is in 'DN', expected m"),
        ({"grid": Grid(35 + 1 / 480, 24, 1 / 240, 4, 6)}, r"shifted by 0\.500 of a cell"),
    ],
)
def test_other_types_units_lattices_are_refused(tmp_path, change, message):
    write(tmp_path, **change)
    with pytest.raises(InputError, match=message):
        open_(tmp_path)


def test_a_height_that_is_none_is_refused(tmp_path):
    height = HEIGHT.copy()
    height[2, 3] = -32768
    write(tmp_path, height=height)
    with pytest.raises(
        InputError,
        match=r"GEBCO_2023\.nc: 1 cells are no elevations, worst -32768 at latitude 34\.98",
    ):
        open_(tmp_path).read(None, Box(0, 0, 4, 6))
