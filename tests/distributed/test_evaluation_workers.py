"""An evaluation is the same to the byte however many workers tally it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from luray.stages.config import RunConfig
from tests.distributed.conftest import Place
from tests.machine import patience

FILES = ("metrics.json", "metrics.csv", "metrics.parquet")
CPUS = (2, 1, 3)
"""CPUs of the clusters, the one first that the others are compared with."""


@pytest.fixture(scope="module")
def evaluated(
    place: Place, finished: Callable[[Path], RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> dict[int, dict[str, bytes]]:
    """Files of the evaluation in a cluster of so many CPUs; workers end in another order each time."""
    folder = tmp_path_factory.mktemp("evaluated")
    words = []
    for cpus in CPUS:
        finished(folder / str(cpus))
        words += [str(cpus), str(folder / str(cpus))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.distributed.evaluations", str(place.world), *words],
        capture_output=True,
        text=True,
        timeout=patience(500),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for cpus, line in zip(CPUS, done.stdout.splitlines()[-len(CPUS) :], strict=True):
        cpus_of_cluster, workers = map(int, line.split())
        assert cpus_of_cluster == cpus
        assert workers >= min(cpus, 2), "several tiles are tallied at once"
    return {
        cpus: {name: (folder / str(cpus) / "report" / name).read_bytes() for name in FILES}
        for cpus in CPUS
    }


@pytest.mark.parametrize("cpus", CPUS[1:])
def test_any_number_of_workers_writes_the_same_bytes(
    evaluated: dict[int, dict[str, bytes]], cpus: int
) -> None:
    assert evaluated[cpus] == evaluated[CPUS[0]]
