"""Groups of windows and their rows: every sample once, whoever reads it."""

import numpy as np
import pytest
import torch

from luray.core.tiling import Box
from luray.training.rollout import Sample
from luray.training.sample_plan import SamplePlan
from luray.training.sample_window import SampleWindow
from luray.training.window_groups import LatticeWindows, WorkerShare
from luray.training.window_rows import WindowReader, pack_rows, rows_of_groups, windows_of_rows
from tests.cube.cubes import make_cube
from tests.training.counts import COUNTS, TILING

PLAN = SamplePlan(TILING, COUNTS, 1960, 1969, 3, "forward")


@pytest.mark.parametrize("world", [1, 2, 3])
def test_workers_share_every_sample_of_a_step(world):
    shares = [WorkerShare(PLAN, 12, 2, steps=5, rank=rank, world=world) for rank in range(world)]
    for step in range(5):
        samples = {}
        for share in shares:
            windows = list(share.sample_windows(step))
            assert len(windows) == share.n_windows
            for i, number in enumerate(share.micro_batches):
                samples[number] = windows[2 * i : 2 * i + 2]
        in_order = [window for number in sorted(samples) for window in samples[number]]
        assert in_order == [PLAN[k] for k in range(step * 12, step * 12 + 12)]


def test_rows_name_the_maps_that_are_remembered():
    plan = SamplePlan(TILING, COUNTS, 1960, 1969, 3, "forward", history=5)
    share = WorkerShare(plan, 12, 2, steps=2)
    rows = rows_of_groups(share, share.groups)
    assert rows["older_years"].shape == (24, 4)
    windows = windows_of_rows(rows, size=TILING.window)
    assert windows == [plan[k] for k in range(24)]
    assert {None in window.older_years for window in windows} == {True, False}


def test_a_resumed_share_begins_after_the_steps_that_are_done():
    assert list(WorkerShare(PLAN, 12, 2, steps=5, done=3).groups) == [3, 4]


def test_a_step_is_split_into_its_micro_batches():
    share = WorkerShare(PLAN, 12, 2, steps=5, rank=1, world=3)
    windows = torch.arange(4)
    samples = share.split(dict.fromkeys(Sample._fields, windows))
    assert list(samples) == [1, 4]
    assert [sample.maps_BTHW.tolist() for sample in samples.values()] == [[0, 1], [2, 3]]


@pytest.fixture
def lattice(tmp_path):
    cube = make_cube(str(tmp_path / "cube.zarr"), "region").cube
    return LatticeWindows(cube, cube.tiling(window=6, stride=4, tile=8), (2003, 2002, 2001), 2)


def test_the_lattice_has_every_window_with_land_once(lattice):
    tiling = lattice.tiling
    rows = rows_of_groups(lattice, lattice.groups)
    land = lattice.cube.land(tiling.everything)
    cores = tiling.active_cores(tiling.everything, land)
    expected = [
        SampleWindow(tiling.window_box(core), years)
        for core in cores
        for years in ((2003, 2002), (2002, 2001))
    ]
    assert sorted(windows_of_rows(rows, size=6)) == sorted(expected)
    for group, row, col in zip(rows["group"], rows["row"], rows["col"], strict=True):
        corner = Box(row + tiling.margin, col + tiling.margin, 1, 1)
        tile = list(tiling.tiles())[group]
        assert tiling.tile_box(tile).intersection(corner) is not None


def test_groups_without_land_have_no_rows(lattice):
    rows = rows_of_groups(lattice, [])
    assert rows["years"].shape == (0, 2)
    assert rows["row"].size == 0


def test_rows_packed_ahead_are_read_as_from_the_store(lattice):
    rows = rows_of_groups(lattice, lattice.groups)
    some = {name: column[:3] for name, column in rows.items()}
    reader = WindowReader(lattice.cube, lattice.tiling)
    from_store = reader(some)
    from_bytes = reader(pack_rows(lattice.cube, some, size=6))
    assert from_store.keys() == from_bytes.keys()
    assert "packed" not in from_bytes
    for name in ("maps", "forcing", "static", "area", "counted"):
        assert np.array_equal(from_store[name], from_bytes[name])
