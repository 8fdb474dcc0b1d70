"""NetCDF in a projection: its place on a grid, and what is refused."""

import numpy as np
import pytest
from pyproj import Transformer

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.projected_netcdf import degrees_of, inspect_projected, projection_of
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

UTM = "EPSG:32631"
RUN = Grid(46.5, 0, 0.05, 40, 60)


def write(path, *, crs=UTM, y=None, names=("y", "x"), attribute="spatial_ref"):
    rows = 5_095_000 - 10_000 * np.arange(6.0) if y is None else y
    cols = 305_000 + 10_000 * np.arange(8.0)
    numbers = np.arange(len(rows) * 8, dtype=np.int16).reshape(len(rows), 8)
    variables = {
        names[0]: ((names[0],), rows, {"units": "m"}),
        names[1]: ((names[1],), cols, {"units": "m"}),
        "a": (names, numbers, {}),
    }
    if crs:
        variables["spatial"] = ((), np.array(0), {attribute: crs})
    return str(write_nc(path, variables)), rows, cols, numbers


@pytest.mark.parametrize("names", [("y", "x"), ("YDim", "XDim")])
@pytest.mark.parametrize("ascending", [False, True])
def test_each_cell_has_the_value_it_lies_in(tmp_path, names, ascending):
    north_first = 5_095_000 - 10_000 * np.arange(6.0)
    y = north_first[::-1] if ascending else north_first
    url, rows, cols, numbers = write(tmp_path / "a.nc", names=names, y=y)
    projection = projection_of(url)
    assert degrees_of(projection) == pytest.approx(0.09, abs=0.001)
    file = inspect_projected(url, projection, RUN)
    RUN.offset_of(file.layout.grid)
    grid = file.layout.grid
    whole = Box(0, 0, *grid.shape)
    [found] = file.read(("a",), whole)
    outside = file.outside(whole)
    to_utm = Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    n_inside = 0
    for i, j in np.ndindex(*grid.shape):
        easting, northing = to_utm.transform(grid.lon[j], grid.lat[i])
        row, col = np.abs(rows - northing).argmin(), np.abs(cols - easting).argmin()
        is_inside = abs(rows[row] - northing) <= 5000 and abs(cols[col] - easting) <= 5000
        assert outside[i, j] == (not is_inside)
        if is_inside:
            n_inside += 1
            assert found[i, j] == numbers[row, col]
    assert n_inside > 100
    part = Box(2, 3, 4, 5)
    cells = part.slices(origin=whole)
    assert np.array_equal(file.read(("a",), part)[0], found[cells])
    assert np.array_equal(file.outside(part), outside[cells])


def test_a_file_in_degrees_has_no_projection(tmp_path):
    grid = Grid(46, 4, 0.1, 6, 8)
    path = write_nc(tmp_path / "a.nc", {**axes(grid), "a": (("lat", "lon"), np.ones((6, 8)), {})})
    assert projection_of(str(path)) is None


def test_what_has_no_place_is_refused(tmp_path):
    url, *_ = write(tmp_path / "a.nc", crs="")
    with pytest.raises(InputError, match="no coordinate reference system"):
        projection_of(url)
    assert projection_of(url, crs=UTM).crs == UTM

    uneven = np.array([0.0, 1, 2, 4])
    url, *_ = write(tmp_path / "b.nc", y=uneven)
    with pytest.raises(InputError, match="y is no evenly spaced axis"):
        projection_of(url)

    url, *_ = write(tmp_path / "c.nc", crs="nowhere")
    with pytest.raises(InputError, match="'nowhere' cannot be read"):
        inspect_projected(url, projection_of(url), RUN)

    url, *_ = write(tmp_path / "d.nc")
    with pytest.raises(InputError, match="expected some of the run grid"):
        inspect_projected(url, projection_of(url), Grid(10, 100, 0.1, 5, 5))
