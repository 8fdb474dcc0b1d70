"""GEBCO elevation."""

import pickle

import numpy as np
import pytest

from luray.grid import Grid
from luray.sources import InputError
from luray.sources.gebco import GebcoConfig, open_gebco
from luray.windows import Box
from tests.sources.writers import axes, write_nc

GRID = Grid(35, 24, 1 / 240, 4, 6)
HEIGHT = np.arange(-4000, 8000, 500, dtype=np.int16).reshape(4, 6)


def write(path, name="GEBCO_2023.nc", height=HEIGHT, grid=GRID, **attrs):
    return write_nc(path / name, {
        **axes(grid, ascending=True), "crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
        "elevation": (("lat", "lon"), height[::-1], {"units": "m", **attrs})})


def open_(path):
    return open_gebco(GebcoConfig(kind="gebco", path=str(path)))


def test_ascending_rows_are_turned_and_depths_are_kept(tmp_path):
    write(tmp_path)
    source = pickle.loads(pickle.dumps(open_(tmp_path)))
    assert source.grid == GRID
    got = source.read(None, Box(0, 0, 4, 6))
    assert got.dtype == np.int16
    np.testing.assert_array_equal(got[0], HEIGHT)
    np.testing.assert_array_equal(source.read(None, Box(1, 2, 3, 2))[0], HEIGHT[1:, 2:4])
    assert source.rules == ("rows stored south first, read north first", "depths below sea level kept")
    [variable] = source.variables
    assert (variable.role, variable.dtype, variable.scale, variable.resampling) == ("static", "int16", 1000, "bilinear")
    assert source.years == ()


def test_two_editions_or_none_are_refused(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(InputError, match=r"found no GEBCO file \(GEBCO_\{year\}\.nc\)"):
        open_(tmp_path)
    write(tmp_path)
    write(tmp_path, "GEBCO_2024_sub_ice_topo.nc")
    with pytest.raises(InputError, match=r"found 2 files that are GEBCO file"):
        open_(tmp_path)
    assert open_(tmp_path / "GEBCO_2023.nc").files == (str(tmp_path / "GEBCO_2023.nc"),)


@pytest.mark.parametrize(("edition", "doi"), [(2023, "10.5285/f98b053b-0cbc-6c23-e053-6c86abc0af7b"),
                                              (2024, "10.5285/1c44ce99-0a0d-5f4f-e063-7086abc0ea0f"), (2019, "")])
def test_the_doi_is_that_of_the_edition(tmp_path, edition, doi):
    write(tmp_path, f"GEBCO_{edition}.nc")
    about = open_(tmp_path).about
    assert (about.doi, about.title) == (doi, f"GEBCO gridded bathymetry and land elevation, {edition}")


def test_what_is_in_the_file_is_told_and_0_to_360_is_turned(tmp_path):
    write(tmp_path, grid=Grid(35, 200, 1 / 240, 4, 6))
    source = open_(tmp_path)
    assert source.grid == Grid(35, -160, 1 / 240, 4, 6)
    np.testing.assert_array_equal(source.read(None, Box(0, 0, 4, 6))[0], HEIGHT)
    [stored] = source.stored
    assert (stored.name, stored.dtype, stored.units, stored.fills) == ("elevation", "int16", "m", ())
    assert stored.orientation == "south first, longitudes 0..360"
    assert stored.turned == ("rows stored south first, read north first", "longitudes 0..360 turned to -180..180")


@pytest.mark.parametrize(("change", "found"), [
    ({"height": HEIGHT.astype(np.float32)}, "elevation is float32"),
    ({"scale_factor": 0.1}, r"with scale and offset \(0\.1, 0\.0\), expected plain int16"),
    ({"units": "feet"}, "elevation is in 'feet', expected metres"),
    ({"grid": Grid(35 + 1 / 480, 24, 1 / 240, 4, 6)}, r"shifted by 0\.500 of a cell"),
])
def test_other_types_units_and_lattices_are_refused(tmp_path, change, found):
    write(tmp_path, **change)
    with pytest.raises(InputError, match=found):
        open_(tmp_path)


def test_a_height_that_is_none_is_refused(tmp_path):
    height = HEIGHT.copy()
    height[2, 3] = -32768
    write(tmp_path, height=height)
    with pytest.raises(InputError, match=r"GEBCO_2023\.nc: 1 cells are no elevations, worst -32768 at latitude 34\.98"):
        open_(tmp_path).read(None, Box(0, 0, 4, 6))
