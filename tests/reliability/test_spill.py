"""Ray has no room for its objects, neither in memory nor on the disk that it spills to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability import plain
from tests.reliability.conftest import SmallWorld
from tests.reliability.spill import ENVIRONMENT

SIZE = "24m"
"""Of the disk: less than Ray wants to spill."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory that is soon full.

    Its path is too long for Ray's sockets, so that luray itself chooses where Ray spills to.
    """
    place = tmp_path / ("a-folder-of-a-batch-job-" + 60 * "x")
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"only who may mount file systems can fill one: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_without_room_to_spill_a_run_says_so_and_goes_on_when_there_is_room(
    small_world: SmallWorld, tmp_path: Path, small_disk: Path
):
    output = small_world.copy(tmp_path / "out")
    command = [sys.executable, "-m", "tests.reliability.spill", small_world.world, output]
    done = subprocess.run(
        command,
        env={**os.environ, **ENVIRONMENT, "TMPDIR": str(small_disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    refused, finished = done.stdout.splitlines()[-2:]
    assert refused.startswith(f"refused: {small_disk}/luray-spilled-"), refused
    assert "Ray's memory for objects is full, and so is the disk that it spills to" in refused
    assert "set TMPDIR to a folder on a larger disk" in refused
    assert finished == "finished"
    product = small_world.run(output).product
    assert plain.differing_cells(product, small_world.product) == 0
