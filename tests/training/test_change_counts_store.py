"""Stored change counts: a cube is counted once, and a damaged object is named."""

from pathlib import Path

import numpy as np
import pytest

from luray.training.change_counts import count_tile
from luray.training.change_counts_store import (
    change_counts_path,
    read_change_counts,
    read_or_count_changes,
    write_change_counts,
)
from luray.training.sampling_config import SamplingConfig
from tests.cube.cubes import make_cube

PLAIN = SamplingConfig(blocks=(2, 2))


@pytest.fixture(params=["globe", "region"])
def cube(tmp_path, request):
    return make_cube(str(tmp_path / "cube.zarr"), request.param, tile=8).cube


@pytest.fixture
def tiling(cube):
    return cube.tiling(window=6, stride=4, tile=8)


def test_a_cube_is_counted_once(cube, tiling):
    assert read_change_counts(cube, tiling, PLAIN) is None
    first = read_or_count_changes(cube, tiling, PLAIN)
    path = Path(change_counts_path(cube, tiling, PLAIN))
    written = path.read_bytes()

    again = read_or_count_changes(cube, tiling, PLAIN)
    assert path.read_bytes() == written
    assert again.years == first.years
    assert again.plot == first.plot
    for name in ("land_RC", "changed_YRC", "cells_YK", "zone_RC"):
        assert np.array_equal(getattr(again, name), getattr(first, name))


def test_counts_belong_to_one_plot_and_zone(cube, tiling):
    read_or_count_changes(cube, tiling, PLAIN)
    assert read_change_counts(cube, cube.tiling(window=4, stride=2, tile=8), PLAIN) is None
    assert read_change_counts(cube, tiling, SamplingConfig(zone="zone", blocks=(2, 2))) is None


def test_parts_are_stored_in_any_order(cube, tiling):
    parts = [count_tile(cube, tiling, tile, PLAIN) for tile in tiling.tiles()]
    written = write_change_counts(cube, tiling, PLAIN, reversed(parts))
    stored = read_change_counts(cube, tiling, PLAIN)
    assert np.array_equal(stored.changed_YRC, written.changed_YRC)
    expected = sum(part.cells_YK for part in parts if part is not None)
    assert np.array_equal(stored.cells_YK, expected)


def test_damaged_counts_are_refused(cube, tiling):
    read_or_count_changes(cube, tiling, PLAIN)
    path = Path(change_counts_path(cube, tiling, PLAIN))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(
        ValueError, match=r"change_counts/.*\.npz is damaged or holds no change counts"
    ):
        read_or_count_changes(cube, tiling, PLAIN)


def test_a_zone_that_is_no_category_is_refused(cube, tiling):
    with pytest.raises(
        ValueError, match=r"no categorical variable 'urban', expected one of \['zone'\]"
    ):
        read_or_count_changes(cube, tiling, SamplingConfig(zone="urban"))
