"""The plan of a build: pieces and tasks, and the part of a native grid that is stored."""

from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.cube.plan import PIECES_PER_TASK, Piece, batches
from luray.sources.coverage import cut


@given(years=st.integers(1, 4), rows=st.integers(1, 5), cols=st.integers(1, 12))
def test_tasks_hold_whole_bands_of_rows(years, rows, cols):
    pieces = [
        Piece("s", year, Box(r * 10, c * 10, 10, 10))
        for year in range(years)
        for r in range(rows)
        for c in range(cols)
    ]
    tasks = list(batches(pieces))
    assert [piece for task in tasks for piece in task] == pieces
    bands = [{(p.year, p.box.row) for p in task} for task in tasks]
    assert sum(map(len, bands)) == years * rows
    assert all(len(task) < PIECES_PER_TASK + cols for task in tasks)
    assert all(len(task) >= PIECES_PER_TASK for task in tasks[:-1])


@given(
    north=st.integers(-80, 90),
    west=st.integers(-180, 150),
    height=st.integers(1, 9),
    width=st.integers(1, 30),
    step=st.sampled_from([0.25, 0.5, 1.5]),
)
def test_cut_surrounds_the_run_grid(north, west, height, width, step):
    native = Grid(90, -180, step, round(180 / step), round(360 / step))
    run = Grid(north, west, 1, min(height, north + 90), width)
    part, box = cut(native, run)
    assert part.shape == box.shape
    assert part.north >= min(90, run.north + step / 2) - 1e-9
    assert part.south <= max(-90, run.south - step / 2) + 1e-9
    if box.width < native.n_lon:
        assert part.west <= run.west - step / 2 + 1e-9
        assert part.east >= run.east + step / 2 - 1e-9
    assert native.offset_of(part) == (box.row, box.col)
