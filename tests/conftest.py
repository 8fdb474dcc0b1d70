"""What all tests share: limits that follow the machine, servers, and the folder of real data."""

import os

# Tests run beside each other. It is read when torch is imported, so it is set before all imports.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from luray.storage.objects import configure
from luray.storage.trust import StorageConfig, configured
from tests.gcs import GcsBucket, serve_gcs
from tests.machine import LONGEST, patience, slowness
from tests.s3 import Bucket, serve
from tests.web import Site, serve_site

LONGEST_FIRST = (
    "distributed/test_stores.py",
    "distributed/test_jobs.py",
    "explorer/test_screens.py",
    "reliability/test_store_faults.py",
    "distributed/test_infer.py",
    "explorer/test_explorer.py",
    "distributed/test_bench_globe.py",
    "distributed/test_scenarios.py",
    "distributed/test_stages.py",
    "reliability/test_two_jobs.py",
    "distributed/test_train.py",
    "explorer/test_remote.py",
    "distributed/test_base_maps.py",
    "reliability/test_crash_points.py",
    "distributed/test_evaluation_workers.py",
    "reliability/test_signals.py",
    "distributed/test_stac_build.py",
    "reliability/test_spill.py",
    "infra/test_shutdown.py",
    "infra/test_coupling.py",
    "reliability/test_fuzz.py",
)
"""The files that take longest, from five minutes down to half a one, in the order in which the
processes of pytest-xdist get them: with a long one at the end, one process works and the others are
done.
"""

Once = Callable[[str, Callable[[Path], None]], Path]
"""Gives the folder of a name, which a function makes."""

settings.register_profile(
    "luray",
    deadline=None,
    max_examples=40,
    database=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("luray")


def pytest_configure() -> None:
    """Measure the machine before other processes of the session start, and set Ray up for it."""
    slowness()
    defaults = {
        # at 15, Ray's own, workers starve beside any other busy process
        "RAY_worker_niceness": "0",
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(patience(60)),
        # the end of a training is seen at once
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        # a process for each training, which nobody needs: no node of the tests is drained
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit the time of every test, and begin with the files that take longest."""
    for item in items:
        item.add_marker(pytest.mark.timeout(patience(LONGEST)))
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Hand whole files to the processes, in the order of collection.

    The tests of a file share what is made once for all of them: a product, a page, a head node.
    """
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def rank(nodeid: str) -> int:
    """Return the place of a test's file among `LONGEST_FIRST`, which all others follow."""
    file = nodeid.split("::")[0].removeprefix("tests/")
    return LONGEST_FIRST.index(file) if file in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """A function that makes a folder the first time that any process asks for its name."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # which all processes of the session share

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder = root / name
        made = root / f"{name}.made"
        # another process that asks meanwhile waits here
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                make(folder)
                made.touch()
        return folder

    return folder_of


@pytest.fixture
def realdata() -> Path:
    """Folder of the real rasters, named by the environment variable LURAY_DATA."""
    folder = os.environ.get("LURAY_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LURAY_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="module")
def s3() -> Iterator[Bucket]:
    """An empty bucket of a real S3 server."""
    with serve("luray-tests") as bucket:
        yield bucket


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsBucket]:
    """An empty bucket of a real server of Google's storage API."""
    with serve_gcs("luray-tests") as bucket:
        yield bucket


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty folder on a real web server that answers ranges and can redirect."""
    with serve_site(tmp_path / "site") as server:
        yield server


@pytest.fixture
def allow() -> Iterator[Callable[..., None]]:
    """A function that allows roots as `storage.allow` of a run file does, undone after the test."""
    before = configured()

    def allow_roots(*roots: str) -> None:
        configure(StorageConfig(allow=roots))

    yield allow_roots
    configure(before)
