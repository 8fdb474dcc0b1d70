import errno
import os
import pickle
import re
import subprocess
import sys
import time

import fsspec
import pytest
from gcsfs.retry import validate_response

from luray.storage.errors import InputError
from luray.storage.objects import (
    NoRoomError,
    accessing,
    exists,
    no_room,
    read_object,
    remove,
    write_atomically,
)
from luray.storage.places import is_local, public, without_secrets
from luray.storage.receipts import Ledger
from luray.storage.trust import RefusedError, require_within
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


def test_an_object_that_another_process_wrote_or_replaced_is_seen_on_s3(s3):
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


def test_a_local_write_leaves_the_old_object_until_the_new_one_is_whole(tmp_path, monkeypatch):
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


def test_a_removed_store_takes_everything_inside_with_it(tmp_path):
    for name in ("zarr.json", "c/0/0", "c/1/0"):
        write_atomically(f"{tmp_path}/p.zarr/{name}", b"x")
    write_atomically(f"{tmp_path}/p.zarr.ledger/a.json", b"x")
    remove(f"{tmp_path}/p.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["p.zarr.ledger"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a.nc, year 2001: bad", "s3://bucket/a.nc, year 2001: bad"),
        (
            "https://me:word@host:8/a.nc?X-Signature=abc%2F&y=1: cannot",
            "https://host:8/a.nc cannot",
        ),
        (
            "led by https://host/c.json#key, see 'https://b/x?t=1' and /local/a?b",
            "led by https://host/c.json see 'https://b/x' and /local/a?b",
        ),
        ("mail a@b.org, no url", "mail a@b.org, no url"),
    ],
)
def test_a_message_loses_what_may_be_secret(text, shown):
    assert without_secrets(text) == shown
    assert str(InputError(text)) == shown


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("/a/b", True),
        ("b", True),
        ("file:///a", True),
        ("s3://b/a", False),
        ("gs://b/a", False),
        ("memory://a", False),
    ],
)
def test_what_is_local(url, local):
    assert is_local(url) is local


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("s3://b/in/x.nc", "s3://b/in/"),
        ("s3://b/in/x.nc", "s3://b/in"),
        ("s3://b/in", "s3://b/in/"),
        ("s3://b/x", "s3://b"),
        ("s3a://b/x", "s3://b/"),
        ("gcs://b/x", "gs://b/"),
        ("gs://b/x", "gcs://b"),
        ("s3://b/a=1%2F2/x", "s3://b/a=1%2F2/"),
        ("https://Host/in/x", "https://host/in/"),
        ("https://host:443/x", "https://host/"),
        ("https://host/%69n/x", "https://host/in"),
        ("https://host/my%20in/x", "https://host/my in/"),
        ("https://host/in/x?sig=/../y", "https://host/in/"),
        ("https://u:p@host/in/x", "https://u:p@host/in/"),
        ("/data/in/x", "/data/in"),
        ("/data/in/../in/x", "/data/in/"),
        ("file:///data/in/x", "/data/in"),
        ("/data/in/%2e%2e/x", "/data/in"),
        ("/data/x", "/"),
        ("/data/a b#c?d", "/data/"),
    ],
)
def test_what_lies_below_a_root_is_let_through(url, root):
    assert require_within(url, [root], led_by="it") == url


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("s3://b/in2/x", "s3://b/in"),
        ("s3://b2/in/x", "s3://b/in"),
        ("s3://B/in/x", "s3://b/in"),
        ("gs://b/in/x", "s3://b/in"),
        ("s3://b/in/../x", "s3://b/in"),
        ("s3://b/out/../in/x", "s3://b/in"),
        ("s3://b/%69n/x", "s3://b/in"),
        ("s3://b/in/%2e%2e/x", "s3://b/in"),
        ("s3://b//in/x", "s3://b/in"),
        ("s3://b/in/%252e%252e/x", "s3://b/in"),
        ("https://host.evil/in/x", "https://host/in"),
        ("https://host@evil/in/x", "https://host/in"),
        ("https://u@host/in/x", "https://host/in"),
        ("https://host\\@evil/in/x", "https://host/in"),
        ("https://host:8443/in/x", "https://host/in"),
        ("http://host/in/x", "https://host/in"),
        ("https://host/in/%2e%2e/x", "https://host/in"),
        ("https://host/in/%252e%252e/x", "https://host/in"),
        ("https://host/in%2fx", "https://host/in"),
        ("https://host/in/..%2fx", "https://host/in"),
        ("https://host/in/a%2f..%2f..%2fx", "https://host/in"),
        ("https://host/in/..\\x", "https://host/in"),
        ("https://host/in/x\n", "https://host/in"),
        (" https://host/in/x", "https://host/in"),
        ("https://host/in/x::file:///etc/passwd", "https://host/in"),
        ("/data/in::/etc/passwd", "/data"),
        ("/data/in/../x", "/data/in"),
        ("/data/in2", "/data/in"),
        ("file:///etc/passwd", "https://host/"),
        ("file:/etc/passwd", "/"),
        ("data:text/plain,x", "/"),
        ("FILE:///data/in/x", "/data/in"),
        ("/data", ""),
        ("x", ""),
        ("local:///data/in/x", "/data/in"),
        ("https://host/in/" + "%25" * 5000, "https://host/in"),
    ],
)
def test_what_does_not_lie_below_a_root_is_refused(url, root):
    with pytest.raises(RefusedError, match=r"^it leads to .*(storage\.allow|different places)"):
        require_within(url, [root], led_by="it")


def test_links_of_a_disk_are_followed_before_they_are_judged(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/out").symlink_to("/etc")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    with pytest.raises(RefusedError):
        require_within(str(tmp_path / "in/out/passwd"), [str(tmp_path / "in")], led_by="it")
    require_within(str(tmp_path / "alias/x"), [str(tmp_path / "in")], led_by="it")
    require_within(str(tmp_path / "in/x"), [str(tmp_path / "alias")], led_by="it")
    monkeypatch.chdir(tmp_path / "in")
    require_within("x", [str(tmp_path / "in")], led_by="it")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RefusedError):
        require_within("~/x", [os.curdir], led_by="it")


def test_the_roots_of_the_run_file_are_let_through_and_no_others(allow):
    allow("s3://b/in/", "https://host/")
    require_within("s3://b/in/x", [], led_by="it")
    require_within("https://host/x", ["s3://other/"], led_by="it")
    with pytest.raises(
        RefusedError,
        match=r'it leads to https://evil/a/x, which .* add it there: allow = \["https://evil/a/"\]',
    ):
        require_within("https://evil/a/x?sig=secret", [], led_by="it")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/x?sig=s#f", "https://h/x"),
        ("https://user:pass@h/x", "https://h/x"),
        ("s3://key:secret@b/x", "s3://b/x"),
        ("https://user:p@ss@h/x", "https://h/x"),
        ("/a/b?c", "/a/b?c"),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    assert public(url) == shown


@pytest.mark.parametrize("header", ["Location", "URI"])
def test_a_redirect_to_another_host_is_refused(site, allow, header):
    allow()
    secret = site.put("secret", b"secret")
    site.put("data", b"data")
    site.redirects |= {"/near": "/secret", "/far": secret.replace("127.0.0.1", "localhost")}
    site.header = header
    read = fsspec.filesystem("http", skip_instance_cache=True).cat_file
    assert read(f"{site.url}/near") == b"secret"
    site.asked.clear()
    with pytest.raises(RefusedError, match=r"a redirect of .*/far leads to http://localhost"):
        read(f"{site.url}/far")
    assert site.asked == ["/far"]


ACTIONS = {
    "read": read_object,
    "write": lambda url: write_atomically(url, b"x"),
    "exists": exists,
    "remove": remove,
    "list": lambda url: Ledger(url, "f").done(),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_who_is_not_let_in_is_told_so_at_once_with_the_place_and_no_secret(s3, action):
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


def test_errors_of_google_and_of_the_network_are_told_apart_and_ours_pass():
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
def test_a_full_disk_is_told_with_the_place_and_how_to_go_on(number):
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
    assert no_room(NoRoomError("told"), place="/d") is None
    assert str(pickle.loads(pickle.dumps(NoRoomError("told")))) == "told"


def test_an_object_that_does_not_fit_leaves_nothing_behind(tmp_path):
    """A limit on the size of files fails a write in the middle, as a full disk does."""
    code = f"""if True:
        import resource, signal, sys
        from pathlib import Path
        from luray.cli import app as cli
        from luray.storage.objects import read_object, write_atomically
        place = {str(tmp_path)!r} + "/out/x.bin"
        write_atomically(place, b"old")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        cli._sources = lambda _: write_atomically(place, bytes(5000))
        sys.argv = ["luray", "sources"]
        cli.main()"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    go_on = rf"error: {tmp_path}/out/x\.bin\S*: .* run the command again: it goes on where it was"
    assert re.match(go_on, done.stderr), done.stderr
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "out").iterdir()] == [("x.bin", b"old")]
