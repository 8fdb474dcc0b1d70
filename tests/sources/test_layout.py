"""Where a file's cells lie: never a shifted, mirrored or half-turned map."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.layout import Layout, layout_of_axes, make_layout, require_lattice, require_same
from luray.storage.errors import InputError


def read_all(layout: Layout, stored: np.ndarray) -> np.ndarray:
    n_lat, n_lon = layout.grid.shape
    return layout.read(Box(0, 0, n_lat, n_lon), lambda rows, cols: stored[rows, cols])


def place(layout: Layout) -> np.ndarray:
    """A field that tells latitude and longitude of each cell of the layout's grid."""
    return layout.grid.lat[:, None] * 1000 + layout.grid.lon


@given(
    north=st.integers(-3, 4),
    west=st.integers(0, 6),
    ascending=st.booleans(),
    box=st.tuples(st.integers(0, 5), st.integers(0, 11), st.integers(1, 6), st.integers(1, 12)),
)
@settings(max_examples=150, deadline=None)
def test_every_box_lies_at_its_coordinates(north, west, ascending, box):
    step = 30.0
    lat = north * 15.0 + 15 - step * np.arange(3)
    lat = lat[(lat < 90) & (lat > -90)]
    lon = -165 + west * step + step * np.arange(12)
    lat = lat[::-1] if ascending else lat
    assume(lat.size > 1)
    layout = layout_of_axes(lat, lon, where="f.nc")
    stored = lat[:, None] * 1000 + (lon + 180) % 360 - 180
    row, col, height, width = box
    n_lat, n_lon = layout.grid.shape
    row, col = min(row, n_lat - 1), min(col, n_lon - 1)
    part = Box(row, col, min(height, n_lat - row), min(width, n_lon - col))
    got = layout.read(part, lambda rows, cols: stored[rows, cols])
    np.testing.assert_allclose(got, place(layout)[part.slices(origin=Box(0, 0, n_lat, n_lon))])
    assert layout.grid.lat[0] > layout.grid.lat[-1]
    assert -180 - step / 2 <= layout.grid.west < -180 + step


def test_only_the_box_is_fetched():
    layout = layout_of_axes(np.arange(-85.0, 90, 10), np.arange(5.0, 360, 10), where="f.nc")
    fetched = []

    def fetch(rows: slice, cols: slice) -> np.ndarray:
        fetched.append((rows, cols))
        return np.zeros((rows.stop - rows.start, cols.stop - cols.start))

    layout.read(Box(1, 2, 3, 4), fetch)
    layout.read(Box(0, 16, 1, 4), fetch)
    assert fetched == [
        (slice(14, 17), slice(20, 24)),
        (slice(17, 18), slice(34, 36)),
        (slice(17, 18), slice(0, 2)),
    ]


def test_turns_are_recorded():
    rules = layout_of_axes(np.array([-10.0, 10.0]), np.arange(10.0, 360, 20), where="f.nc").rules
    assert rules == (
        "rows stored south first, read north first",
        "longitudes 0..360 turned to -180..180",
    )
    assert (
        layout_of_axes(np.array([10.0, -10.0]), np.arange(-170.0, 180, 20), where="f.nc").rules
        == ()
    )


def test_region_east_of_180_is_turned():
    layout = layout_of_axes(np.array([11.0, 10.0]), np.array([200.5, 201.5]), where="f.nc")
    assert layout.grid.west == -160
    assert layout.rules == ("longitudes 0..360 turned to -180..180",)


def test_rows_on_poles_are_left_out():
    stored = np.arange(181)[:, None] * np.ones((1, 360))
    layout = make_layout(
        north=90.5,
        west=-180.5,
        steps=(1, 1),
        shape=(181, 360),
        south_first=False,
        where="etopo.tif",
    )
    assert layout.grid == Grid(89.5, -180.5, 1, 179, 360)
    assert read_all(layout, stored)[:, 0].tolist() == list(range(1, 180))
    assert layout.rules == ("rows centred on a pole left out",)


def test_single_precision_axes_give_exact_grid():
    exact = Grid(90, -180, 1 / 120, 600, 800)
    layout = layout_of_axes(
        exact.lat.astype(np.float32).astype(float),
        exact.lon.astype(np.float32).astype(float),
        where="f.nc",
    )
    assert layout.grid == exact


@pytest.mark.parametrize(
    ("lat", "lon", "message"),
    [
        ([10, 9, 7], [0, 1], "latitude is not evenly spaced"),
        ([10, np.nan], [0, 1], "latitude has 2 values or gaps"),
        ([10], [0, 1], "latitude has 1 values"),
        ([10, 9], [1, 0], "longitudes descend"),
        ([10, 8], [0, 1], r"2\.00000000 x 1.00000000 degrees, expected squares"),
        ([10, 9], [179, 180], "cross the dateline"),
        ([10, 9], [-180, -179], "cross the dateline"),
        ([10, 9], [-190, -189], "expected degrees within -180..180"),
        ([450000, 449000], [500000, 501000], "check that the file is in EPSG:4326"),
        ([100, 99], [0, 1], "spans latitudes"),
        ([1e300, 0], [0, 1e300], r"cells of 1e\+300 x 1e\+300 .* expected degrees"),
        ([1e-300, 0], [0, 1e-300], r"cells of 1e-300 x 1e-300 .* expected degrees"),
        ([1e15, 1e15 - 1], [0, 1], r"from 1e\+15, -0\.5, expected degrees"),
    ],
)
def test_bad_axes_are_refused_by_name(lat, lon, message):
    with pytest.raises(InputError, match=r"f\.nc: .*" + message):
        layout_of_axes(np.array(lat, float), np.array(lon, float), where="f.nc")


@pytest.mark.parametrize(("north", "west"), [(60.125, 10.0), (60.0, 10.125), (60.05, 10.0)])
def test_shift_against_lattice_is_refused(north, west):
    with pytest.raises(InputError, match=r"states\.nc: cells are shifted by 0\.[25]00 of a cell"):
        require_lattice(Grid(north, west, 0.25, 4, 4), where="states.nc")


def test_other_cell_size_is_refused():
    with pytest.raises(InputError, match=r"cells of 0\.50000000 degrees, expected 0\.25"):
        require_lattice(Grid(60, 10, 0.5, 4, 4), where="states.nc", step=0.25)


@pytest.mark.parametrize(
    "other", [Grid(60, 10, 0.25, 4, 5), Grid(60, 10.25, 0.25, 4, 4), Grid(60, 10, 0.5, 4, 4)]
)
def test_files_on_different_grids_are_refused(other):
    with pytest.raises(InputError, match=r"b\.nc: grid of .* differs from that of a\.nc"):
        require_same(Grid(60, 10, 0.25, 4, 4), other, where="a.nc", other_where="b.nc")
