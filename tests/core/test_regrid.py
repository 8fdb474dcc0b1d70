from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.regrid import AxisMap, axis_map, cells_of, gather, grid_map
from luray.core.tiling import Box
from tests import reference

METHODS = ["nearest", "bilinear"]


def to_grid(exact):
    north, west, step, n_lat, n_lon = exact
    return Grid(float(north), float(west), float(step), n_lat, n_lon)


@st.composite
def grids(draw, *, near=None):
    """A globe or a region with exact numbers (north, west, step, n_lat, n_lon); over `near`, if
    given.
    """
    if draw(st.booleans()):
        n_lon = draw(st.integers(1, 24))
        step = Fraction(360, n_lon)
        n_lat = draw(st.integers(1, max(1, min(8, int(180 / step)))))
        assume(n_lat * step <= 180)
        north = draw(st.sampled_from([Fraction(90), 90 - (180 - n_lat * step) / 3]))
        return north, Fraction(draw(st.sampled_from([-180, -180, 0])), 1), step, n_lat, n_lon
    step = draw(
        st.sampled_from([Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(9, 7), Fraction(3)])
    )
    north = draw(st.sampled_from([Fraction(90), Fraction(40), Fraction(121, 3)]))
    west = draw(st.sampled_from([Fraction(-180), Fraction(-3), Fraction(20), Fraction(25, 3)]))
    if near:
        north, west = (
            near[0] - step * draw(st.integers(-1, 2)),
            near[1] + near[2] * draw(st.integers(-1, 2)),
        )
        assume(north <= 90)
    return north, west, step, draw(st.integers(1, 8)), draw(st.integers(1, 8))


@st.composite
def pairs(draw):
    """(native, fine), exact; the fine one not further off than the native one is wide."""
    native = draw(grids())
    fine = draw(grids(near=native))
    north, west, step, n_lat, n_lon = native
    f_north, f_west, f_step, f_lat, f_lon = fine
    assume(f_north - north < n_lat * step and north - f_north + f_lat * f_step < 2 * n_lat * step)
    assume(f_west - west > -n_lon * step and f_west + f_lon * f_step - west < 2 * n_lon * step)
    return native, fine


def twin(values, native, fine, box, method):
    """The box from the slow twin, float64 (V, height, width)."""
    exact = (*native[:3], native[2] * native[4] == 360)
    target = (*fine[:3], fine[2] * fine[4] == 360, *fine[3:])
    return np.array(
        [
            [
                [
                    reference.resample(v, exact, target, row, col, method)
                    for col in range(box.col, box.col + box.width)
                ]
                for row in range(box.row, box.row + box.height)
            ]
            for v in values
        ]
    )


def values_of(native, seed):
    return np.random.default_rng(seed).normal(size=(2, *native[3:])).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@given(
    pair=pairs(), seed=st.integers(0, 9), corner=st.tuples(st.integers(-3, 6), st.integers(-30, 30))
)
def test_a_box_holds_the_values_of_the_slow_twin(method, pair, seed, corner):
    native, fine = pair
    box = Box(*corner, 4, 5)
    values = values_of(native, seed)
    rows, cols = grid_map(to_grid(native), to_grid(fine), method).take(box)
    result = gather(values, rows, cols, method=method)
    expected = twin(values, native, fine, box, method)
    assert result.dtype == np.float32
    if method == "nearest":
        assert np.array_equal(result, expected)
    else:
        assert np.allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@given(
    pair=pairs(), seed=st.integers(0, 9), corner=st.tuples(st.integers(-3, 6), st.integers(-30, 30))
)
def test_the_needed_cells_alone_give_the_same_bits(method, pair, seed, corner):
    native, fine = pair
    box = Box(*corner, 3, 6)
    values = values_of(native, seed)
    rows, cols = grid_map(to_grid(native), to_grid(fine), method).take(box)
    pieces = rows.needed(), cols.needed()
    part = np.concatenate(
        [np.concatenate([values[:, r, c] for c in pieces[1]], axis=2) for r in pieces[0]], axis=1
    )
    assert np.array_equal(
        gather(part, rows.within(pieces[0]), cols.within(pieces[1]), method=method),
        gather(values, rows, cols, method=method),
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_value_does_not_depend_on_the_box_that_asked(method):
    native, fine = Grid(90, -180, 30, 6, 12), Grid(90, -180, 4, 45, 90)
    values = np.random.default_rng(0).normal(size=(1, *native.shape)).astype(np.float32)
    whole = gather(
        values, *grid_map(native, fine, method).take(Box(0, 0, *fine.shape)), method=method
    )
    for box in (Box(0, 0, 7, 9), Box(13, 40, 11, 3), Box(38, -5, 7, 14), Box(20, 85, 4, 10)):
        part = gather(values, *grid_map(native, fine, method).take(box), method=method)
        columns = np.arange(box.col, box.col + box.width) % fine.n_lon
        assert np.array_equal(part, whole[:, box.row : box.row + box.height][:, :, columns])


def test_a_box_across_the_dateline_needs_two_pieces_and_not_the_world():
    fine, native = Grid(90, -180, 0.01, 18000, 36000), Grid(90, -180, 0.25, 720, 1440)
    _, cols = grid_map(native, fine, "nearest").take(Box(9000, -28, 256, 256))
    assert cols.needed() == [slice(0, 10), slice(1438, 1440)]
    rows, cols = grid_map(native, fine, "bilinear").take(Box(9000, 5000, 256, 256))
    assert [len(rows.needed()), len(cols.needed())] == [1, 1]
    assert cols.needed()[0].stop - cols.needed()[0].start <= 13


def test_whole_multiples_fall_into_their_coarse_cell():
    fine, native = Grid(90, -180, 0.01, 18000, 36000), Grid(90, -180, 0.25, 720, 1440)
    quarters = grid_map(native, fine, "nearest")
    assert np.array_equal(quarters.rows.low, np.repeat(np.arange(720), 25))
    assert np.array_equal(quarters.cols.low, np.repeat(np.arange(1440), 25))
    arc_seconds = grid_map(Grid(90, -180, 1 / 240, 43200, 86400), fine, "nearest")
    exact = [int((Fraction(2 * i + 1, 200)) * 240) for i in range(18000)]
    assert arc_seconds.rows.low.tolist() == exact


def test_interpolation_is_linear_and_has_no_seam_at_the_dateline():
    native, fine = Grid(90, -180, 10, 18, 36), Grid(90, -180, 1, 180, 360)
    slope = np.broadcast_to(native.lat[:, None], native.shape)[None].astype(np.float32)
    slopes = gather(
        slope, *grid_map(native, fine, "bilinear").take(Box(0, 0, 180, 360)), method="bilinear"
    )
    assert np.allclose(slopes[0, 5:175], fine.lat[5:175, None], atol=1e-4)
    assert np.allclose(slopes[0, :5], 85, atol=1e-4), "beyond the last centre the last cell holds"
    wave = np.broadcast_to(np.cos(np.radians(native.lon)), native.shape)[None].astype(np.float32)
    line = gather(
        wave, *grid_map(native, fine, "bilinear").take(Box(90, 0, 1, 360)), method="bilinear"
    )[0, 0]
    steps = np.abs(np.diff(np.append(line, line[0])))
    assert steps[-1] == pytest.approx(0, abs=1e-6), (
        "the two cells at the dateline are mirror images"
    )
    assert steps.max() < np.radians(1) * 1.01


@given(
    box=st.builds(
        Box, st.integers(-5, 5), st.integers(-9, 9), st.integers(1, 6), st.integers(1, 20)
    )
)
def test_cells_of_a_box_wrap_or_hold(box):
    rows, cols = cells_of(box, Grid(90, -180, 60, 3, 6))
    assert rows.tolist() == [min(max(r, 0), 2) for r in range(box.row, box.row + box.height)]
    assert cols.tolist() == [c % 6 for c in range(box.col, box.col + box.width)]
    _, held = cells_of(box, Grid(90, 0, 10, 3, 6))
    assert held.tolist() == [min(max(c, 0), 5) for c in range(box.col, box.col + box.width)]


def test_a_centre_on_an_edge_belongs_to_the_cell_behind_it():
    position = np.array([1.0, 1 - 1e-12, 0.999])
    assert axis_map(position, 3, method="nearest").low.tolist() == [1, 1, 0]


def test_needed_joins_what_is_close():
    far = AxisMap(np.array([0, 3, 20]), np.array([1, 4, 20]), np.zeros(3, np.float32))
    assert far.needed() == [slice(0, 5), slice(20, 21)]
