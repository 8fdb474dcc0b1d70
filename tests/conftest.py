"""What every test shares: a Hypothesis profile, limits that follow the machine, servers and the folder of real data."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside each other; read when torch is imported

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from luray.storage import StorageConfig, configure, configured
from tests.gcs import GcsBucket, serve_gcs
from tests.machine import LONGEST, patience, slowness
from tests.s3 import Bucket, serve
from tests.web import Site, serve_site

CLUSTERS = ("distributed", "infra/test_shutdown.py")
"""Tests that start Ray clusters. One process has all of them, so that no two clusters run beside each other."""

settings.register_profile("luray", deadline=None, max_examples=40, database=None, derandomize="CI" in os.environ,
                          print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("luray")


def pytest_configure() -> None:
    """Measure the machine before other processes of the session start, and give Ray as much time as it needs here."""
    slowness()
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(patience(60)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit every test, and keep the tests of a file, and those of all clusters, in one process of pytest-xdist."""
    folder = Path(__file__).parent
    for item in items:
        file = item.path.relative_to(folder).as_posix()
        item.add_marker(pytest.mark.timeout(patience(LONGEST)))
        item.add_marker(pytest.mark.xdist_group("clusters" if file.startswith(CLUSTERS) else file))


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
    with serve_site(tmp_path / "site") as found:
        yield found


@pytest.fixture
def allow() -> Iterator[Callable[..., None]]:
    """A function that allows roots, as `storage.allow` of a run file does; undone after the test."""
    before = configured()

    def call(*roots: str) -> None:
        configure(StorageConfig(allow=roots))

    yield call
    configure(before)
