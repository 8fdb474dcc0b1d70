"""NetCDF files by box: their axes, variables and missing values."""

import pickle

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.netcdf import inspect_netcdf, unpack
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)
DIMS = ("lat", "lon")


@pytest.mark.parametrize("ascending", [False, True])
def test_box_is_read_north_first(tmp_path, ascending):
    stored = FIELD[::-1] if ascending else FIELD
    path = write_nc(tmp_path / "f.nc", {**axes(GRID, ascending=ascending), "v": (DIMS, stored, {})})
    file = pickle.loads(pickle.dumps(inspect_netcdf(str(path))))
    assert file.layout.grid == GRID
    [got] = file.read(("v",), Box(1, 2, 2, 3))
    np.testing.assert_array_equal(got, FIELD[1:3, 2:5])


def test_dimensions_come_in_any_order(tmp_path):
    stored = np.stack([FIELD.T, FIELD.T + 100], axis=1)
    path = write_nc(
        tmp_path / "f.nc",
        {
            **axes(GRID, names=("latitude", "longitude")),
            "v": (("longitude", "time", "latitude"), stored, {}),
        },
    )
    [got] = inspect_netcdf(str(path)).read(("v",), Box(0, 0, 4, 6), time=1)
    np.testing.assert_array_equal(got, FIELD + 100)


def test_netcdf_3_is_read(tmp_path):
    path = tmp_path / "old.nc"
    with netcdf_file(path, "w") as out:
        for name, values in (("lat", GRID.lat), ("lon", GRID.lon)):
            out.createDimension(name, len(values))
            out.createVariable(name, "d", (name,))[:] = values
        out.createVariable("v", "f", DIMS)[:] = FIELD
    [got] = inspect_netcdf(str(path)).read(("v",), Box(1, 1, 2, 2))
    np.testing.assert_array_equal(got, FIELD[1:3, 1:3])


def test_other_projection_is_refused(tmp_path):
    path = write_nc(
        tmp_path / "f.nc",
        {
            **axes(GRID),
            "crs": ((), np.int32(0), {"grid_mapping_name": "lambert_azimuthal_equal_area"}),
            "v": (DIMS, FIELD, {}),
        },
    )
    with pytest.raises(
        InputError, match="declares the projection lambert_azimuthal_equal_area, expected longitude"
    ):
        inspect_netcdf(str(path))


def test_other_units_and_meridians_are_refused(tmp_path):
    variables = {**axes(GRID), "v": (DIMS, FIELD, {})}
    radians = (("lat",), np.radians(GRID.lat), {"units": "radians"})
    path = write_nc(tmp_path / "f.nc", {**variables, "lat": radians})
    with pytest.raises(InputError, match=r"f\.nc: lat is in 'radians', expected degrees"):
        inspect_netcdf(str(path))
    mapping = {"grid_mapping_name": "latitude_longitude", "longitude_of_prime_meridian": 2.337229}
    path = write_nc(tmp_path / "f.nc", {**variables, "crs": ((), np.int32(0), mapping)})
    with pytest.raises(
        InputError, match=r"f\.nc: crs counts longitudes from 2\.33723 degrees, expected from Gr"
    ):
        inspect_netcdf(str(path))
    path = write_nc(
        tmp_path / "f.nc",
        {**variables, "crs": ((), np.int32(0), {**mapping, "longitude_of_prime_meridian": 0.0})},
    )
    assert inspect_netcdf(str(path)).layout.grid == GRID


def test_file_without_coordinates_is_refused(tmp_path):
    path = write_nc(tmp_path / "f.nc", {"v": (("y", "x"), FIELD, {})})
    with pytest.raises(
        InputError, match=r"f\.nc: has dimensions y, x, expected latitude and longitude"
    ):
        inspect_netcdf(str(path))


def test_missing_variable_and_axis_are_named(tmp_path):
    file = inspect_netcdf(str(write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})))
    with pytest.raises(InputError, match=r"f\.nc: has no variable w, found v, lat, lon"):
        file.require("v", "w")
    with pytest.raises(InputError, match="has no time dimension"):
        _ = file.years
    with pytest.raises(InputError, match=r"variable lat has dimensions \('lat',\)"):
        file.require("lat")


@pytest.mark.parametrize(
    "attribute", ["_FillValue", "_fillValue", "_Fillvalue", "missing_value", "fill_value"]
)
def test_fill_values_under_any_spelling(tmp_path, attribute):
    values = np.array([[1e20, 2], [3, 4]], np.float32)
    path = write_nc(
        tmp_path / "f.nc",
        {
            **axes(Grid(50, 10, 1, 2, 2)),
            "v": (DIMS, values, {attribute: np.float32(1e20), "scale_factor": 2.0}),
        },
    )
    file = inspect_netcdf(str(path))
    [raw] = file.read(("v",), Box(0, 0, 2, 2))
    np.testing.assert_array_equal(unpack(raw, file.variables["v"]), [[np.nan, 4], [6, 8]])


@pytest.mark.parametrize(
    ("declared", "fills", "rules"),
    [
        ("none", (), ["missing_value 'none'"]),
        ("None, n/a", (), ["missing_value 'None'", "missing_value 'n/a'"]),
        ("NaN", (np.nan,), []),
        (np.float32(np.nan), (np.nan,), []),
        ("-9999", (-9999,), []),
        ("1.e+20f", (1e20,), []),
        ("-9999 -32768", (-9999, -32768), []),
        (np.array([-9999, 7.0]), (-9999, 7), []),
        (np.bytes_(b"-1"), (-1,), []),
        ("", (), ["missing_value ''"]),
        (h5py.Empty("f"), (), []),
    ],
)
def test_declared_missing_values_of_any_form(tmp_path, declared, fills, rules):
    path = write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})
    with h5py.File(path, "r+") as out:
        out["v"].attrs["missing_value"] = declared
    file = inspect_netcdf(str(path))
    np.testing.assert_array_equal(file.variables["v"].fills, fills)
    assert list(file.layout.rules) == [
        f"{rule} is no number, and declares no missing value" for rule in rules
    ]
    unpacked = unpack(file.read(("v",), Box(0, 0, 4, 6))[0], file.variables["v"])
    expected = np.where(np.isin(FIELD, [f for f in fills if f == f]), np.nan, FIELD)
    np.testing.assert_array_equal(unpacked, expected)
