import os
import subprocess
import sys
import threading

import pytest

from luray.storage import conditional
from luray.storage.conditional import (
    UnconditionalStoreError,
    read_tagged,
    remove_if,
    require_conditions,
    write_if,
)
from luray.storage.objects import write_atomically

STALE = '"0123456789abcdef0123456789abcdef"'
N_WRITERS = 12

INCREMENT = """
import sys
from luray.storage.conditional import read_tagged, write_if
url, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
for n in range(times):
    while True:
        now = read_tagged(url)
        # on a disk the object is empty for a moment after it was created
        count = int(now.data.split()[0]) if now and now.data else 0
        text = f"{count + 1} {name} {n}".encode()
        if write_if(url, text, expected=now.tag if now else None):
            break
"""
"""Count in an object, as often as asked; no other process's count may be lost."""


@pytest.fixture(params=["disk", "s3", "gcs"])
def url(request, tmp_path):
    if request.param == "disk":
        return str(tmp_path / "folder" / "x.lease")
    bucket = request.getfixturevalue(request.param)
    return f"{bucket.url}/{tmp_path.name}/x.lease"


def at_once(n, act):
    """What each of several threads that start together returns."""
    results, barrier = [], threading.Barrier(n)

    def work(i):
        barrier.wait()
        results.append(act(i))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == n, "a thread has failed"
    return results


def test_an_object_is_created_once(url):
    assert read_tagged(url) is None
    tag = write_if(url, b"first", expected=None)
    assert read_tagged(url) == (b"first", tag)
    assert write_if(url, b"second", expected=None) is None
    assert read_tagged(url) == (b"first", tag)


def test_only_the_content_that_was_seen_is_replaced(url):
    first = write_if(url, b"first", expected=None)
    second = write_if(url, b"second", expected=first)
    assert second not in (None, first)
    assert write_if(url, b"third", expected=first) is None
    write_atomically(url, b"by another way")
    assert write_if(url, b"third", expected=second) is None
    assert read_tagged(url).data == b"by another way"


def test_a_deleted_object_is_not_replaced(url):
    tag = write_if(url, b"first", expected=None)
    remove_if(url, expected=tag)
    assert write_if(url, b"second", expected=tag) is None
    assert read_tagged(url) is None


def test_only_the_content_that_was_seen_is_deleted(url):
    first = write_if(url, b"first", expected=None)
    second = write_if(url, b"second", expected=first)
    remove_if(url, expected=first)
    assert read_tagged(url) == (b"second", second)
    remove_if(url, expected=second)
    assert read_tagged(url) is None
    remove_if(url, expected=second)


def test_a_repeated_request_is_no_defeat(url):
    """The answer to a write is lost, and the library sends it again."""
    tag = write_if(url, b"mine", expected=None)
    assert write_if(url, b"mine", expected=None) == tag
    renewed = write_if(url, b"mine, renewed", expected=tag)
    assert write_if(url, b"mine, renewed", expected=tag) == renewed


def test_of_many_creators_one_succeeds(url):
    tags = at_once(N_WRITERS, lambda i: write_if(url, f"writer {i}".encode(), expected=None))
    (won,) = (tag for tag in tags if tag is not None)
    assert read_tagged(url).tag == won


def test_of_many_replacers_one_succeeds(url):
    seen = write_if(url, b"dead", expected=None)
    tags = at_once(N_WRITERS, lambda i: write_if(url, f"writer {i}".encode(), expected=seen))
    (won,) = (tag for tag in tags if tag is not None)
    assert read_tagged(url).tag == won


def test_processes_lose_no_update(url):
    n_processes = 3
    n_times = 5
    processes = [
        subprocess.Popen([sys.executable, "-c", INCREMENT, url, str(i), str(n_times)])
        for i in range(n_processes)
    ]
    assert [process.wait() for process in processes] == [0] * n_processes
    assert int(read_tagged(url).data.split()[0]) == n_processes * n_times


def test_a_disk_keeps_nothing_but_the_object(tmp_path):
    place = tmp_path / "x.lease"
    tag = write_if(str(place), b"first", expected=None)
    write_if(str(place), b"second", expected=tag)
    write_if(str(place), b"third", expected=tag)
    assert list(tmp_path.iterdir()) == [place]


def test_an_empty_file_is_anybodys(tmp_path):
    """It is what a process leaves that is killed while it creates the file."""
    place = tmp_path / "x.lease"
    place.touch()
    seen = read_tagged(str(place))
    tags = at_once(N_WRITERS, lambda i: write_if(str(place), str(i).encode(), expected=seen.tag))
    assert sum(tag is not None for tag in tags) == 1


def test_a_creator_that_is_overtaken_gives_in(tmp_path, monkeypatch):
    """Another one replaces the empty file before its creator has the lock."""
    place = tmp_path / "x.lease"
    close = os.close

    def close_late(fd):
        close(fd)
        monkeypatch.setattr(os, "close", close)
        empty = read_tagged(str(place))
        assert write_if(str(place), b"other", expected=empty.tag)

    monkeypatch.setattr(os, "close", close_late)
    assert write_if(str(place), b"mine", expected=None) is None
    assert place.read_bytes() == b"other"


def test_stores_of_the_tests_honour_conditions(url):
    tag = write_if(url, b"mine", expected=None)
    require_conditions(url, b"mine")
    assert read_tagged(url) == (b"mine", tag)


@pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_conditions_is_refused(s3, monkeypatch, ignored):
    from moto.s3.responses import S3Response

    put = S3Response.put_object

    def forgetful(response):
        response.headers = {k: v for k, v in response.headers.items() if k != ignored}
        return put(response)

    monkeypatch.setattr(S3Response, "put_object", forgetful)
    url = f"{s3.url}/{ignored}.lease"
    write_if(url, b"mine", expected=None)
    with pytest.raises(UnconditionalStoreError, match=rf"{url}: the store must .* ignores them"):
        require_conditions(url, b"mine")


def answer(status, code):
    """An error as S3 sends it."""
    return status, {}, f"<Error><Code>{code}</Code><Message>because</Message></Error>"


def test_a_store_without_conditions_is_named(s3, monkeypatch):
    from moto.s3.responses import S3Response

    monkeypatch.setattr(S3Response, "put_object", lambda _: answer(501, "NotImplemented"))
    with pytest.raises(UnconditionalStoreError, match=r"s3://.* does not know them; set an output"):
        write_if(f"{s3.url}/x.lease", b"mine", expected=None)


def test_a_store_without_conditional_deletion_deletes(s3, monkeypatch):
    from moto.s3.responses import S3Response

    delete = S3Response.delete_object

    def refuse(response):
        if "If-Match" in response.headers:
            return answer(501, "NotImplemented")
        return delete(response)

    monkeypatch.setattr(S3Response, "delete_object", refuse)
    url = f"{s3.url}/deleted.lease"
    tag = write_if(url, b"mine", expected=None)
    remove_if(url, expected=tag)
    assert read_tagged(url) is None


def test_another_kind_of_store_is_refused():
    with pytest.raises(UnconditionalStoreError, match="memory:// is not known to make them"):
        write_if("memory://x/y.lease", b"mine", expected=None)


def test_a_disk_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(conditional.fcntl, "flock", refuse)
    with pytest.raises(UnconditionalStoreError, match="does not know them; set an output"):
        write_if(str(tmp_path / "x.lease"), b"mine", expected=None)


def test_s3_is_asked_again_after_a_conflict(s3, monkeypatch):
    from moto.s3.responses import S3Response

    monkeypatch.setattr(conditional, "CONFLICT_PAUSE", 0.01)
    put = S3Response.put_object
    answers = [answer(409, "ConditionalRequestConflict")] * 2

    def busy(response):
        return answers.pop() if answers else put(response)

    monkeypatch.setattr(S3Response, "put_object", busy)
    assert write_if(f"{s3.url}/conflict.lease", b"mine", expected=None)
    assert answers == []


def test_a_bucket_that_is_not_there_is_named(s3):
    with pytest.raises(FileNotFoundError, match="create the bucket"):
        write_if("s3://absent-bucket/x.lease", b"mine", expected=None)
