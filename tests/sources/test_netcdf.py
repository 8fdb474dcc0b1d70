"""Opening files: what is broken, foreign or elsewhere is refused; URLs are read as paths are."""

import pickle

import fsspec
import numpy as np
import pytest
import rasterio
from scipy.io import netcdf_file

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.base import FilesConfig
from luray.sources.discover import list_files, matching, only
from luray.sources.netcdf import inspect_netcdf, unpack
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)
DIMS = ("lat", "lon")


def test_files_are_found_at_any_depth_below_a_folder(tmp_path):
    names = ["1/2/3/4/5/6/7/far.nc", "b.nc", "x/y/a.nc"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_files(str(tmp_path)) == [str(tmp_path / name) for name in names]
    assert list_files(str(tmp_path / "b.nc")) == [str(tmp_path / "b.nc")]
    assert [f for f, _ in matching(FilesConfig(path=str(tmp_path)), r"a\.nc")] == [
        str(tmp_path / "x/y/a.nc")
    ]
    assert matching(FilesConfig(path=str(tmp_path)), r"\.nc") == []


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_path_with_nothing_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{name}: no such file or folder, or it is empty"):
        list_files(str(tmp_path / name))


def test_one_file_is_expected():
    assert only(["a"], path="p", expected="x") == "a"
    with pytest.raises(InputError, match="p: found no x file"):
        only([], path="p", expected="x file")
    with pytest.raises(InputError, match=r"found 2 files that are x file \(a, b\), expected one"):
        only(["a", "b"], path="p", expected="x file")


@pytest.mark.parametrize("ascending", [False, True])
def test_a_box_of_a_netcdf_file_is_read_north_first(tmp_path, ascending):
    stored = FIELD[::-1] if ascending else FIELD
    path = write_nc(tmp_path / "f.nc", {**axes(GRID, ascending=ascending), "v": (DIMS, stored, {})})
    file = pickle.loads(pickle.dumps(inspect_netcdf(str(path))))
    assert file.layout.grid == GRID
    [got] = file.read(("v",), Box(1, 2, 2, 3))
    np.testing.assert_array_equal(got, FIELD[1:3, 2:5])


def test_dimensions_in_any_order(tmp_path):
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


def test_a_url_is_read_as_a_path_is(tmp_path):
    nc = write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})
    tif = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1)
    memory = fsspec.filesystem("memory")
    for path in (nc, tif):
        memory.pipe_file(f"/data/sub/{path.name}", path.read_bytes())
    assert list_files("memory://data") == ["memory:///data/sub/f.nc", "memory:///data/sub/f.tif"]
    [got] = inspect_netcdf("memory:///data/sub/f.nc").read(("v",), Box(1, 2, 2, 3))
    np.testing.assert_array_equal(got, FIELD[1:3, 2:5])
    np.testing.assert_array_equal(
        inspect_raster("memory:///data/sub/f.tif").read(Box(1, 2, 2, 3)), FIELD[1:3, 2:5]
    )


def test_a_truncated_netcdf_file_is_refused(tmp_path):
    path = write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"f\.nc: cannot be read as NetCDF .* may be truncated"):
        inspect_netcdf(str(path))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_another_format_is_refused(tmp_path, content):
    for name, inspect in (("f.nc", inspect_netcdf), ("f.tif", inspect_raster)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: cannot be read as"):
            inspect(str(tmp_path / name))
        with pytest.raises(InputError, match=r"gone\.nc: there is no such file"):
            inspect(str(tmp_path / "gone.nc"))


def test_a_virtual_raster_is_no_geotiff(tmp_path):
    real = write_tif(tmp_path / "secret.tif", FIELD, north=50, west=10, step=1)
    (tmp_path / "f.tif").write_text(
        '<VRTDataset rasterXSize="6" rasterYSize="4"><VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        f"<SourceFilename>{real}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(InputError, match=r"f\.tif: cannot be read as GeoTIFF"):
        inspect_raster(str(tmp_path / "f.tif"))


def test_a_truncated_geotiff_is_refused_when_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    path = write_tif(tmp_path / "f.tif", noise, north=50, west=10, step=0.01)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match=r"f\.tif: cannot be read as GeoTIFF .* may be truncated"):
        inspect_raster(str(path)).read(Box(0, 0, 200, 200))


def test_a_file_in_another_projection_is_refused(tmp_path):
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


def test_coordinates_that_are_no_degrees_from_greenwich_are_refused(tmp_path):
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


@pytest.mark.parametrize("crs", ["EPSG:4326", "OGC:CRS84", "+proj=longlat +datum=WGS84"])
def test_longitude_and_latitude_under_any_name_of_the_system(tmp_path, crs):
    path = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1, crs=crs)
    assert inspect_raster(str(path)).layout.grid == GRID


@pytest.mark.parametrize(
    "crs", ["+proj=longlat +ellps=clrk66", "+proj=longlat +datum=WGS84 +pm=paris"]
)
def test_other_meridians_and_data_are_refused(tmp_path, crs):
    path = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1, crs=crs)
    with pytest.raises(
        InputError, match=r"f\.tif: coordinate reference system is .*, expected EPSG:4326"
    ):
        inspect_raster(str(path))


def test_a_raster_whose_pixels_are_points_lies_half_a_pixel_off_its_tie_point(tmp_path):
    """GDAL says where the pixel's corner is, whichever convention the file follows: never half a
    cell off.
    """
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


def test_a_rotated_or_scaled_geotiff_is_refused(tmp_path):
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


def test_a_geotiff_stored_south_up_is_read_north_first(tmp_path):
    path = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1, south_up=True)
    file = pickle.loads(pickle.dumps(inspect_raster(str(path))))
    assert file.layout.grid == GRID
    assert file.layout.rules == ("rows stored south first, read north first",)
    np.testing.assert_array_equal(file.read(Box(1, 2, 2, 3)), FIELD[1:3, 2:5])


def test_a_file_without_coordinates_is_refused(tmp_path):
    path = write_nc(tmp_path / "f.nc", {"v": (("y", "x"), FIELD, {})})
    with pytest.raises(
        InputError, match=r"f\.nc: has dimensions y, x, expected latitude and longitude"
    ):
        inspect_netcdf(str(path))


def test_a_missing_variable_or_time_axis_is_named(tmp_path):
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
def test_fill_values_are_found_under_any_spelling(tmp_path, attribute):
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


def test_a_raster_stays_open_between_reads_until_the_file_changes(tmp_path, monkeypatch):
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
