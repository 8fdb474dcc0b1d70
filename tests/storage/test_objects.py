import errno
import hashlib
import os
import pickle
import re
import subprocess
import sys
import time
import tracemalloc

import pytest
from gcsfs.retry import validate_response

from luray.storage.errors import NoRoomError, no_room
from luray.storage.objects import (
    ByteRange,
    accessing,
    exists,
    read_object,
    read_ranges,
    remove,
    sha256_of,
    write_atomically,
)
from luray.storage.receipts import Ledger
from tests.machine import patience


@pytest.fixture(params=["path", "file://", "s3", "gcs"])
def root(request, tmp_path):
    if request.param in ("s3", "gcs"):
        return f"{request.getfixturevalue(request.param).url}/{tmp_path.name}"
    return f"{request.param if request.param == 'file://' else ''}{tmp_path}/a folder"


def test_an_object_is_whole_replaced_and_removed(root):
    url = f"{root}/deep/er/x.json"
    assert read_object(url) is None
    write_atomically(url, b"one")
    write_atomically(f"{root}/deep/er/y.json", b"")
    assert (read_object(url), read_object(f"{root}/deep/er/y.json")) == (b"one", b"")
    write_atomically(url, b"second")
    assert read_object(url) == b"second"
    remove(url)
    remove(url)
    assert read_object(url) is None
    remove(f"{root}/deep")
    assert read_object(f"{root}/deep/er/y.json") is None


def test_ranges_of_objects_come_in_their_order(root, monkeypatch):
    monkeypatch.setattr("luray.storage.objects.RANGES_AT_ONCE", 2)
    write_atomically(f"{root}/x", b"0123456789")
    write_atomically(f"{root}/y", b"abc")
    ranges = [
        ByteRange(f"{root}/x", slice(2, 5)),
        ByteRange(f"{root}/none", slice(0, 1)),
        ByteRange(f"{root}/y", slice(1, 2)),
        ByteRange(f"{root}/y", slice(0, 9)),
        ByteRange(f"{root}/x", slice(9, 10)),
    ]
    assert list(read_ranges(ranges)) == [b"234", None, b"b", b"abc", b"9"]
    assert list(read_ranges([])) == []


def test_a_sha256_is_that_of_the_bytes_wherever_they_are(root):
    data = bytes(range(256)) * 4000
    assert sha256_of(f"{root}/x.tif") is None
    write_atomically(f"{root}/x.tif", data)
    write_atomically(f"{root}/empty", b"")
    assert sha256_of(f"{root}/x.tif") == hashlib.sha256(data).hexdigest()
    assert sha256_of(f"{root}/empty") == hashlib.sha256().hexdigest()


def test_a_sha256_takes_no_memory_for_the_file(tmp_path):
    (tmp_path / "large.tif").write_bytes(bytes(2**25))
    tracemalloc.start()
    sha256_of(str(tmp_path / "large.tif"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**21


def test_writes_of_other_processes_are_seen_on_s3(s3):
    write_atomically(f"{s3.url}/seen/a", b"a")
    assert read_object(f"{s3.url}/seen/b") is None
    s3.put("seen/b", b"b")
    s3.put("seen/a", b"longer than before")
    assert (read_object(f"{s3.url}/seen/a"), read_object(f"{s3.url}/seen/b")) == (
        b"longer than before",
        b"b",
    )
    remove(f"{s3.url}/seen")
    stored = s3.keys()
    assert not [key for key in stored if key.startswith("seen/")]


def test_a_local_write_replaces_whole_objects_only(tmp_path, monkeypatch):
    target = tmp_path / "x.json"
    write_atomically(str(target), b"old")
    seen = []

    def crash(*args, **kwargs):
        seen.append(target.read_bytes())
        raise OSError("disk full")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.mv", crash)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(str(target), b"new")
    assert seen == [b"old"]
    assert read_object(str(target)) == b"old"
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".json") and p != target]


def test_a_store_is_removed_with_everything_inside(tmp_path):
    for name in ("zarr.json", "c/0/0", "c/1/0"):
        write_atomically(f"{tmp_path}/p.zarr/{name}", b"x")
    write_atomically(f"{tmp_path}/p.zarr.ledger/a.json", b"x")
    remove(f"{tmp_path}/p.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["p.zarr.ledger"]


ACTIONS = {
    "read": read_object,
    "write": lambda url: write_atomically(url, b"x"),
    "exists": exists,
    "remove": remove,
    "list": lambda url: Ledger(url, "f").done(),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_denied_user_learns_so_at_once(s3, action):
    started = time.monotonic()
    with (
        s3.locked(),
        pytest.raises(
            PermissionError, match=rf"^{s3.url}/in/p\S*: .*; credentials come from the env"
        ),
    ):
        ACTIONS[action](f"{s3.url}/in/p")
    assert time.monotonic() - started < patience(4), "no retries"


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_a_bucket_that_is_not_there_is_named(request, store):
    scheme = request.getfixturevalue(store).url.split("://")[0]
    url = f"{scheme}://no-such-bucket/a/x.json"
    assert read_object(url) is None
    with pytest.raises(
        FileNotFoundError, match=rf"^{url}: .*create the bucket, or correct the place"
    ):
        write_atomically(url, b"x")


def test_errors_of_stores_are_explained_and_ours_pass():
    with (
        pytest.raises(
            PermissionError, match=r"^gs://b/x: Forbidden: http://h/o no access; credentials"
        ),
        accessing("gs://b/x"),
    ):
        validate_response(403, b'{"error": {"message": "no access"}}', "http://h/o")
    with (
        pytest.raises(OSError, match=r"^gs://b/x: busy, 503; .*run the command again"),
        accessing("gs://b/x"),
    ):
        validate_response(503, b'{"error": {"message": "busy"}}', "http://h/o?token=1")
    with pytest.raises(ValueError, match=r"^ours$"), accessing("gs://b/x"):
        raise ValueError("ours")
    with pytest.raises(OSError, match=r"^disk full$"), accessing("/b/x"):
        raise OSError("disk full")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_explained(number):
    try:
        raise OSError(number, os.strerror(number))
    except OSError as error:
        wrapped = RuntimeError("a library failed")
        wrapped.__cause__ = error
    go_on = r"^/d/cube\.zarr: .*; make room, or set another place, and run the command again"
    with pytest.raises(NoRoomError, match=go_on), accessing("/d/cube.zarr"):
        raise wrapped
    with pytest.raises(NoRoomError, match=r"^/tmp/x: "), accessing("/d/cube.zarr"):
        raise OSError(number, os.strerror(number), "/tmp/x")
    assert no_room(ValueError("other"), place="/d") is None
    assert no_room(NoRoomError("explained"), place="/d") is None
    assert str(pickle.loads(pickle.dumps(NoRoomError("explained")))) == "explained"


def test_an_object_that_does_not_fit_leaves_nothing_behind(tmp_path):
    """A limit on the size of files fails a write in the middle, as a full disk does."""
    code = f"""if True:
        import resource, signal, sys
        from pathlib import Path
        from luray.cli import app as cli
        from luray.cli.verbs import inputs
        from luray.storage.objects import read_object, write_atomically
        place = {str(tmp_path)!r} + "/out/x.bin"
        write_atomically(place, b"old")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        inputs._sources = lambda _: write_atomically(place, bytes(5000))
        sys.argv = ["luray", "sources"]
        cli.main()"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    go_on = rf"error: {tmp_path}/out/x\.bin\S*: .* run the command again: it goes on where it was"
    assert re.match(go_on, done.stderr), done.stderr
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "out").iterdir()] == [("x.bin", b"old")]
