"""The dataset of windows: every window once, the same arrays wherever read, the same batches for
any workers.
"""

import doctest

import numpy as np
import pytest
import torch

import luray.distributed.data
from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.cube.region import Region
from luray.distributed.data import WindowReader, micro_batches, read_windows
from luray.stages.train import trainings
from luray.training.windows import Lattice, WorkerShare

SAME = ("maps", "forcing", "static", "area", "counted")


@pytest.fixture(scope="module")
def cube(place):
    return Cube.open(place.cube)


@pytest.fixture(scope="module")
def tiling(cube):
    return cube.tiling(window=64, stride=50, tile=50)


def test_the_example_of_the_docstring_runs(place):
    found = doctest.DocTestFinder().find(
        luray.distributed.data.read_windows, "read_windows", globs={"url": place.cube}
    )
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found[0])
    assert result.attempted >= 10
    assert result.failed == 0


@pytest.mark.parametrize("arrays", ["late", "ahead"])
def test_every_window_with_land_is_read_once_in_every_run_of_years(cube, tiling, arrays):
    years = (2003, 2002, 2001)
    windows = read_windows(cube, tiling, years, length=2, arrays=arrays)
    rows = windows.take_all()
    land = cube.land(tiling.everything)
    boxes = [tiling.window_box(core) for core in tiling.active_cores(tiling.everything, land)]
    expected = sorted((b.row, b.col, pair) for b in boxes for pair in ((2003, 2002), (2002, 2001)))
    assert sorted((r["row"], r["col"], tuple(r["years"].tolist())) for r in rows) == expected
    read = windows.map_batches(WindowReader(cube, tiling), batch_size=3).take_all()
    for row in read:
        box = Box(row["row"], row["col"], 64, 64)
        assert np.array_equal(
            row["maps"], np.stack([cube.state(int(y), box) for y in row["years"]])
        )
        assert np.array_equal(row["static"], Region(cube, box).static(box))
        assert np.array_equal(
            row["forcing"][1], Region(cube, box).forcing(int(row["years"][1]), box)
        )
        assert "packed" not in row


def test_what_travels_ahead_is_native_and_small(cube, tiling):
    rows = read_windows(cube, tiling, range(2000, 2003), length=3, arrays="ahead").take_all()
    read = WindowReader(cube, tiling)
    sample = read(
        {
            "row": np.array([rows[0]["row"]]),
            "col": np.array([rows[0]["col"]]),
            "years": rows[0]["years"][None],
            "symmetry": np.array([0]),
        }
    )
    assert len(rows[0]["packed"]) < 0.3 * sum(sample[name].nbytes for name in SAME)


def batches(training, world, arrays, *, done=0):
    """Samples of every step, put together from the datasets of `world` workers."""
    steps = {}
    for rank in range(world):
        recipe = training.recipe
        share = WorkerShare(
            training.plan(), recipe.batch, recipe.micro_batch, recipe.steps, done, rank, world
        )
        reader = WindowReader(training.cube, training.tiling, share.plan.counted)
        dataset = read_windows(
            training.cube, training.tiling, range(2000, 2004), windows=share, arrays=arrays
        )
        dataset.context.execution_options.preserve_order = True
        for step, samples in zip(share.groups, micro_batches(dataset, share, reader), strict=True):
            steps |= {(step, piece): sample for piece, sample in samples.items()}
    return steps


def test_batches_do_not_depend_on_workers_nor_on_where_they_are_read(place, tmp_path):
    training = trainings(place.run(tmp_path / "out", "training.steps=5"))[0]
    plan = training.plan()
    for world, arrays in ((1, "late"), (2, "late"), (2, "ahead")):
        found = batches(training, world, arrays)
        assert sorted(found) == [(step, piece) for step in range(5) for piece in range(2)]
        for (step, piece), fields in found.items():
            expected = training.micro_batch(plan, step * 4 + piece * 2)
            assert all(torch.equal(a, b) for a, b in zip(fields, expected, strict=True))
    assert sorted(batches(training, 1, "late", done=3)) == [(3, 0), (3, 1), (4, 0), (4, 1)]


def test_a_lattice_names_its_tiles_in_order(cube, tiling):
    lattice = Lattice(cube, tiling, (2000,), 1)
    assert len(lattice.groups) == 6
    for group, tile in zip(lattice.groups, tiling.tiles(), strict=True):
        home = tiling.tile_box(tile)
        for draw in lattice.draws(group):
            assert (draw.box.row + tiling.margin, draw.box.col + tiling.margin) == (
                home.row,
                home.col,
            )


def test_more_years_than_there_are_is_refused(cube, tiling):
    with pytest.raises(ValueError, match="windows of 3 years cannot be read from 2 years"):
        read_windows(cube, tiling, (2000, 2001), length=3)
