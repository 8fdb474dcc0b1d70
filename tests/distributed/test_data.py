"""The dataset of windows: every window once, and the same arrays for any workers and readers."""

import doctest

import numpy as np
import pytest
import torch

import luray.distributed.data
from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.cube.region import Region
from luray.distributed.data import micro_batches, read_windows
from luray.stages.train import trainings
from luray.training.window_groups import LatticeWindows
from luray.training.window_rows import WindowReader

FIELDS = ("maps", "forcing", "static", "area", "counted")


@pytest.fixture(scope="module")
def cube(place):
    return Cube.open(place.cube)


@pytest.fixture(scope="module")
def tiling(cube):
    return cube.tiling(window=64, stride=50, tile=50)


def test_the_example_of_the_docstring_runs(place):
    [example] = doctest.DocTestFinder().find(
        luray.distributed.data.read_windows, "read_windows", globs={"url": place.cube}
    )
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert result.attempted >= 10
    assert result.failed == 0


@pytest.mark.parametrize("read_by", ["consumer", "readers"])
def test_every_window_with_land_is_read_once(cube, tiling, read_by):
    windows = read_windows(cube, tiling, (2003, 2002, 2001), length=2, read_by=read_by)
    rows = windows.take_all()
    land = cube.land(tiling.everything)
    boxes = [tiling.window_box(core) for core in tiling.active_cores(tiling.everything, land)]
    expected = sorted(
        (box.row, box.col, years) for box in boxes for years in ((2003, 2002), (2002, 2001))
    )
    found = sorted((row["row"], row["col"], tuple(row["years"].tolist())) for row in rows)
    assert found == expected

    read = windows.map_batches(WindowReader(cube, tiling), batch_size=3).take_all()
    for row in read:
        box = Box(row["row"], row["col"], 64, 64)
        region = Region(cube, box)
        years = row["years"].tolist()
        maps = [cube.state(year, box) for year in years]
        assert np.array_equal(row["maps"], np.stack(maps))
        assert np.array_equal(row["static"], region.static(box))
        assert np.array_equal(row["forcing"][1], region.forcing(years[1], box))
        assert "packed" not in row


def test_what_travels_ahead_is_native_and_small(cube, tiling):
    [row, *_] = read_windows(
        cube, tiling, range(2000, 2003), length=3, read_by="readers"
    ).take_all()
    unpacked_row = {
        "row": np.array([row["row"]]),
        "col": np.array([row["col"]]),
        "years": row["years"][None],
        "symmetry": np.array([0]),
    }
    sample = WindowReader(cube, tiling)(unpacked_row)
    assert len(row["packed"]) < 0.3 * sum(sample[name].nbytes for name in FIELDS)


def samples_of(training, world, read_by, *, done=0):
    """Samples by step and micro-batch, put together from the datasets of `world` workers."""
    data = training.data
    samples = {}
    for rank in range(world):
        share = data.worker_share(done=done, rank=rank, world=world)
        reader = WindowReader(data.cube, data.tiling, share.plan.counted)
        rows = read_windows(
            data.cube, data.tiling, range(2000, 2004), windows=share, read_by=read_by
        )
        rows.context.execution_options.preserve_order = True
        steps = zip(share.groups, micro_batches(rows, share, reader), strict=True)
        for step, by_number in steps:
            for number, sample in by_number.items():
                samples[step, number] = sample
    return samples


def test_batches_do_not_depend_on_workers_or_readers(place, tmp_path):
    training = trainings(place.run(tmp_path / "out", "training.steps=5"))[0]
    plan = training.data.plan()
    for world, read_by in ((1, "consumer"), (2, "consumer"), (2, "readers")):
        samples = samples_of(training, world, read_by)
        assert sorted(samples) == [(step, number) for step in range(5) for number in range(2)]
        for (step, number), sample in samples.items():
            expected = training.data.micro_batch(plan, step * 4 + number * 2)
            assert all(torch.equal(a, b) for a, b in zip(sample, expected, strict=True))

    resumed = samples_of(training, 1, "consumer", done=3)
    assert sorted(resumed) == [(3, 0), (3, 1), (4, 0), (4, 1)]


def test_windows_of_another_worker_are_refused(place, tmp_path):
    data = trainings(place.run(tmp_path / "out", "training.steps=5"))[0].data
    ours, others = (data.worker_share(rank=rank, world=2) for rank in range(2))
    reader = WindowReader(data.cube, data.tiling, ours.plan.counted)
    rows = read_windows(data.cube, data.tiling, range(2000, 2004), windows=others)
    with pytest.raises(AssertionError, match=r"windows with (row|col) .* those of step 0 belong"):
        next(micro_batches(rows, ours, reader))


def test_a_lattice_numbers_its_tiles_in_order(cube, tiling):
    lattice = LatticeWindows(cube, tiling, (2000,), 1)
    assert len(lattice.groups) == 6
    for group, tile in zip(lattice.groups, tiling.tiles(), strict=True):
        home = tiling.tile_box(tile)
        for window in lattice.sample_windows(group):
            corner = window.box.row + tiling.margin, window.box.col + tiling.margin
            assert corner == (home.row, home.col)


def test_more_years_than_there_are_is_refused(cube, tiling):
    with pytest.raises(ValueError, match="windows of 3 years cannot be read from 2 years"):
        read_windows(cube, tiling, (2000, 2001), length=3)
