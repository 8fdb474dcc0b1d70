"""Ray under a temporary folder whose name is as long as those of batch jobs."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from luray.distributed import sockets
from luray.distributed.sockets import (
    LONGEST,
    SESSION,
    holds_sockets,
    session_folders,
    short_folder,
)
from luray.sandbox.write import demo_run
from tests.distributed.conftest import settings_of

FOLDER_OF_A_WORKER = """
import json, os, ray
from luray.distributed.cluster import cluster
def look():
    return ray.get_runtime_context().worker.node.get_session_dir_path(), os.environ["OMP_WAIT_POLICY"]
with cluster(cpus=1):
    session, policy = ray.get(ray.remote(look).remote())
    folder = os.path.dirname(os.path.dirname(session))
    print(json.dumps([folder, policy, os.stat(folder).st_mode, os.listdir(os.environ["TMPDIR"])]))
"""


@pytest.fixture
def long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TMPDIR below which Ray's sockets have too long a path."""
    folder = tmp_path / "scratch/users/someone/slurm_jobdir/1355700/tmp.node0016"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    return folder


def test_what_is_long_enough_is_tried_and_not_a_byte_less(tmp_path: Path):
    with short_folder() as short:
        free = LONGEST - len(SESSION) - len("/") - len(f"{short}/")
        assert holds_sockets(Path(short, "x" * free))
        assert not holds_sockets(Path(short, "x" * (free + 1)))
        assert not holds_sockets(Path(short, "\u00e9" * (free // 2 + 1))), (
            "bytes count, not letters"
        )
        file = Path(short, "file")
        file.touch()
        assert not holds_sockets(file)
    assert not holds_sockets(Path("tmp")), "Ray takes no relative folder"
    assert not holds_sockets(Path("/proc/1")), "nobody can write there"


def test_a_short_folder_of_the_users_is_left_to_ray(monkeypatch: pytest.MonkeyPatch):
    with short_folder() as short:
        monkeypatch.setenv("RAY_TMPDIR", short)
        with session_folders() as options:
            assert options == {}


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_is_exchanged_for_a_private_one_that_goes(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    if name == "RAY_TMPDIR":
        monkeypatch.setenv(name, str(long_folder))
        monkeypatch.delenv("TMPDIR")
    with session_folders() as options:
        short = Path(options["_temp_dir"]).parent
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
        assert len(os.fsencode(f"{short}/{SESSION}")) <= LONGEST
        assert Path(options["object_spilling_directory"]).is_dir()
    assert not short.exists()
    assert not Path(options["object_spilling_directory"]).exists()


def test_where_no_folder_is_short_the_remedy_is_named(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sockets, "SHORT", (str(long_folder / "a"),))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long_folder / "b"))
    monkeypatch.setenv("HOME", str(long_folder / "c"))
    with (
        pytest.raises(
            OSError,
            match=rf"TMPDIR is {long_folder}, below .* have up to \d+ bytes, expected at most 107 "
            r".* none of .*/a, .*/b, .*/c serves either: set TMPDIR=/tmp",
        ),
        session_folders(),
    ):
        pass


def test_workers_run_below_a_long_folder_and_spill_there(long_folder: Path):
    done = subprocess.run(
        [sys.executable, "-c", FOLDER_OF_A_WORKER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder, policy, mode, there = json.loads(done.stdout)
    assert not folder.startswith(str(long_folder))
    assert stat.S_IMODE(mode) == 0o700
    assert policy == "PASSIVE"
    assert [name.startswith("luray-spilled-") for name in there] == [True]
    assert not Path(folder).exists()
    assert list(long_folder.iterdir()) == []


def test_a_check_runs_below_a_long_folder(long_folder: Path, place, tmp_path: Path):
    sets = [part for s in settings_of(place.world, tmp_path / "out") for part in ("--set", s)]
    done = subprocess.run(
        [sys.executable, "-m", "luray.cli", "build", str(demo_run()), "--check", *sets],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(long_folder.iterdir()) == []
