"""An evaluation is the same to the byte however many workers tally it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from luray.sandbox.write import demo_run
from luray.stages.config import RunConfig
from tests.distributed.conftest import Place, settings_of
from tests.machine import patience

FILES = ("metrics.json", "metrics.csv", "metrics.parquet")


@pytest.mark.parametrize("cpus", [1, 3])
def test_any_number_of_workers_writes_the_same_bytes(
    place: Place,
    finished: Callable[[Path], RunConfig],
    evaluated: dict[str, bytes],
    tmp_path: Path,
    cpus: int,
) -> None:
    """Workers finish their tiles in another order each time."""
    finished(tmp_path / "out")
    assert evaluate(place, tmp_path / "out", cpus=cpus) == evaluated


@pytest.fixture(scope="module")
def evaluated(
    place: Place, finished: Callable[[Path], RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Files of an evaluation by two workers."""
    folder = tmp_path_factory.mktemp("evaluated") / "out"
    finished(folder)
    return evaluate(place, folder, cpus=2)


def evaluate(place: Place, output: Path, *, cpus: int) -> dict[str, bytes]:
    """The files that an evaluation in a cluster of some CPUs writes."""
    module = "tests.distributed.evaluations"
    settings = settings_of(place.world, output)
    done = subprocess.run(
        [sys.executable, "-m", module, str(cpus), str(demo_run()), *settings],
        capture_output=True,
        text=True,
        timeout=patience(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cpus_of_cluster, workers = map(int, done.stdout.split()[-2:])
    assert cpus_of_cluster == cpus
    assert workers >= min(cpus, 2), "several tiles are tallied at once"
    return {name: (output / "report" / name).read_bytes() for name in FILES}
