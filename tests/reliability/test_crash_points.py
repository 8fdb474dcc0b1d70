"""Every crash point crossed with every way to fail: the same bytes after the next run."""

import subprocess
import sys

import pytest

from luray.product.status import status_of
from luray.stages.verify import damaged
from tests.reliability import plain
from tests.reliability.conftest import SmallWorld
from tests.reliability.crashes import crash, crash_training, kill_at_random


def test_production_has_no_crash_points():
    code = (
        "from luray.core import crash_points as c; print(c.crash_point is c._pass, "
        "c.crash_point('before shard'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "None"]


CHOSEN = (
    ("before shard", "kill"),
    ("between shards", "raise"),
    ("between shard and receipt", "hang"),
    ("before overviews", "kill"),
    ("before consolidation", "raise"),
    ("before publication", "kill"),
    ("lease renewal", "raise"),
)
"""Some of the pairs: `make chaos` has all of them, and each takes seconds."""


@pytest.mark.parametrize(("point", "failure"), CHOSEN)
def test_a_failure_at_a_crash_point_changes_no_bit(
    small_world: SmallWorld, tmp_path, point, failure
):
    output = crash(small_world, tmp_path, point, failure)
    run = small_world.run(output)
    assert damaged(run) == []
    assert status_of(run.product).holder == ""
    assert plain.differing_cells(run.product, small_world.product) == 0
    assert (output / "stac/catalog.json").exists()


def test_a_training_that_fails_before_a_checkpoint_ends_with_the_same_weights(
    small_world: SmallWorld, tmp_path
):
    assert crash_training(small_world, tmp_path, "kill") == 0


def test_kills_at_random_moments_change_no_bit(small_world: SmallWorld, tmp_path):
    found = kill_at_random(small_world, tmp_path, kills=3, seed=1)
    assert found.kills >= 3
    assert found.differing == 0
    assert found.redone <= found.kills, "at most the tile-year in flight"
