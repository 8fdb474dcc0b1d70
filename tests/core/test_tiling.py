import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.tiling import Box, Core, Tile, Tiling, pieces_on_grid
from tests import reference


@st.composite
def tilings(draw):
    """Tilings of every kind: global and regional, tiles cut at the edge, margins up to a tile."""
    stride = draw(st.integers(1, 4))
    tile = stride * draw(st.integers(1, 3))
    margin = draw(st.integers(0, tile))
    n_lat = draw(st.integers(1, 3 * tile))
    if draw(st.booleans()):
        n_lon = tile * draw(st.integers(1, 4))
        margin = min(margin, (n_lon - stride) // 2)
        return Tiling(n_lat, n_lon, stride + 2 * margin, stride, tile, periodic=True)
    return Tiling(n_lat, draw(st.integers(1, 3 * tile)), stride + 2 * margin, stride, tile)


def land_of(tiling, seed, share):
    return np.random.default_rng(seed).random(tiling.shape) < share


def cells(box):
    return {
        (r, c)
        for r in range(box.row, box.row + box.height)
        for c in range(box.col, box.col + box.width)
    }


@given(tiling=tilings())
def test_every_cell_has_one_tile_and_one_core(tiling):
    everything = sorted(cells(tiling.everything))
    tiles = list(tiling.tiles())
    assert sorted(c for t in tiles for c in cells(tiling.tile_box(t))) == everything
    cores = [core for t in tiles for core in tiling.cores(tiling.tile_box(t))]
    assert len(cores) == len(set(cores))
    assert sorted(c for core in cores for c in cells(tiling.core_box(core))) == everything


@given(tiling=tilings(), seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_active_cores_are_those_with_land_whatever_the_tile(tiling, seed, share):
    land = land_of(tiling, seed, share)
    expected = reference.cores_with_land(tiling, land)
    assert set(tiling.active_cores(tiling.everything, land)) == expected
    by_tile = []
    for tile in tiling.tiles():
        box = tiling.tile_box(tile)
        by_tile += tiling.active_cores(box, land[box.slices(origin=tiling.everything)])
    assert sorted(by_tile) == sorted(expected)


@given(tiling=tilings(), data=st.data())
def test_windows_lie_inside_the_padded_box_of_their_tile(tiling, data):
    tile = data.draw(st.sampled_from(list(tiling.tiles())))
    box = tiling.tile_box(tile)
    seen = cells(tiling.padded(box))
    reached = set().union(*(cells(tiling.window_box(core)) for core in tiling.cores(box)))
    assert reached == seen
    for core in tiling.cores(box):
        assert tiling.window_box(core).shape == (tiling.window, tiling.window)
        assert cells(tiling.core_box(core)) <= cells(tiling.window_box(core))


def offsets(rectangle):
    """Rows and columns of a rectangle, counted from its first cell."""
    rows, cols = rectangle
    return list(np.ndindex(rows.stop - rows.start, cols.stop - cols.start))


@given(tiling=tilings())
def test_exchanges_are_the_cells_that_a_tile_sees_and_others_own(tiling):
    for tile in tiling.tiles():
        strips = set()
        for exchange in tiling.exchanges(tile):
            padded = offsets(exchange.padded)
            assert padded == offsets(exchange.own), "both sides see the same rectangle"
            owned = tiling.tile_box(exchange.neighbour)
            assert exchange.own[0].stop <= owned.height
            assert exchange.own[1].stop <= owned.width
            rectangle = {
                (
                    tuple(exchange.neighbour),
                    exchange.padded[0].start + i,
                    exchange.padded[1].start + j,
                    exchange.own[0].start + i,
                    exchange.own[1].start + j,
                )
                for i, j in padded
            }
            assert not rectangle & strips, "a strip would be added twice"
            strips |= rectangle
        assert strips == reference.cells_seen(tiling, tile)


@given(tiling=tilings())
def test_neighbours_are_mutual(tiling):
    for tile in tiling.tiles():
        for other in tiling.neighbours(tile):
            assert tile in tiling.neighbours(other)


def test_a_globe_of_one_tile_is_its_own_neighbour():
    tiling = Tiling(4, 4, 4, 2, 4, periodic=True)
    left, right = tiling.exchanges(Tile(0, 0))
    assert left.neighbour == right.neighbour == Tile(0, 0)
    assert (left.padded[1], left.own[1]) == (slice(0, 1), slice(3, 4))
    assert (right.padded[1], right.own[1]) == (slice(5, 6), slice(0, 1))


def test_the_tiling_of_the_globe():
    tiling = Tiling(18000, 36000, 256, 200, 2000, periodic=True)
    assert tiling.margin == 28
    assert len(list(tiling.tiles())) == 9 * 18
    assert tiling.neighbours(Tile(0, 0)) == {
        Tile(0, 17),
        Tile(0, 1),
        Tile(1, 17),
        Tile(1, 0),
        Tile(1, 1),
    }
    assert tiling.window_box(Core(0, 0)) == Box(-28, -28, 256, 256)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"window": 255}, "must exceed the stride 200 by an even number"),
        ({"window": 100}, "must exceed the stride"),
        ({"stride": 0}, "must exceed the stride 0"),
        ({"tile": 1900}, "must be a multiple of the stride 200"),
        ({"tile": 0}, "must be a multiple"),
        ({"window": 1000, "tile": 200}, "reaches past the neighbouring tile of 200"),
        ({"tile": 1000, "n_lon": 2500, "periodic": True}, "must divide the 2500 columns"),
        ({"tile": 200, "n_lon": 200, "periodic": True}, "wider than the 200 columns of the globe"),
    ],
)
def test_impossible_tilings_are_refused(numbers, words):
    fine = {"n_lat": 1000, "n_lon": 2000, "window": 256, "stride": 200, "tile": 2000}
    with pytest.raises(ValueError, match=words):
        Tiling(**fine | numbers)


@given(window=st.integers(1, 300), stride=st.integers(1, 300), tile=st.integers(1, 3000))
def test_the_remedy_that_an_error_names_is_one(window, stride, tile):
    numbers = {"window": window, "stride": stride, "tile": tile}
    for _ in range(3):
        try:
            Tiling(1000, 1000, **numbers)
        except ValueError as error:
            message = str(error)
        else:
            return
        if "set a larger tile or a smaller window" in message:
            return
        name, value = re.search(r"set (window|tile) = (\d+)", message).groups()
        assert numbers[name] != int(value)
        numbers[name] = int(value)
    pytest.fail(f"still refused: {numbers}")


def test_a_box_outside_its_array_is_a_mistake():
    with pytest.raises(AssertionError, match="is not inside"):
        Box(0, 0, 2, 2).slices(origin=Box(1, 0, 5, 5))


@given(
    box=st.builds(
        Box, st.integers(-4, 9), st.integers(-11, 12), st.integers(1, 6), st.integers(1, 11)
    ),
    periodic=st.booleans(),
)
def test_pieces_of_a_box_are_its_cells_on_the_grid(box, periodic):
    """Against a naive reading, a cell at a time; the grid has 7 x 12 cells."""
    on_grid = {}
    for piece in pieces_on_grid(box, (7, 12), periodic=periodic):
        assert piece.in_box.shape == piece.on_grid.shape
        for i, j in np.ndindex(piece.in_box.shape):
            cell = piece.in_box.row + i, piece.in_box.col + j
            assert cell not in on_grid
            on_grid[cell] = piece.on_grid.row + i, piece.on_grid.col + j
    expected = {}
    for i, j in np.ndindex(box.shape):
        row, col = box.row + i, box.col + j
        if 0 <= row < 7 and (periodic or 0 <= col < 12):
            expected[row, col] = row, col % 12
    assert on_grid == expected
