import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from luray.storage import lease
from luray.storage.lease import HeldError, Lease, leased
from luray.storage.objects import remove, write_atomically
from tests.machine import patience, until

ONE_JOB = """
import sys
from luray.storage import lease
lease.RENEWED_EVERY, lease.PATIENCE = 0.2, 60.0
try:
    with lease.leased(sys.argv[1]) as held:
        print("held", flush=True)
        sys.stdin.read()
        held.require()
        print("to the end")
except lease.HeldError:
    print("lost")
"""
"""Hold the lease of a store until the input ends, if nobody else holds it."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_EVERY", 0.1)
    monkeypatch.setattr(lease, "PATIENCE", patience(0.5))


def write(store, **about):
    text = {
        "holder": "process 7 on other",
        "host": "other",
        "pid": 7,
        "since": "then",
        "token": "a",
        "renewal": 3,
    }
    # whole or not at all, as a job writes it: a holder may look at any moment
    write_atomically(f"{store}.lease", json.dumps(text | about).encode())


def test_a_store_has_one_holder_and_is_free_again_afterwards(tmp_path):
    store = str(tmp_path / "product.zarr")
    with leased(store) as held:
        with pytest.raises(
            HeldError,
            match=rf"{store} is being written by process {os.getpid()} on .* since .* UTC",
        ):
            Lease(store).take()
        held.require()
    assert not (tmp_path / "product.zarr.lease").exists()
    with leased(store):
        pass


def test_the_lease_of_a_job_that_failed_is_given_back(tmp_path):
    with pytest.raises(ZeroDivisionError), leased(str(tmp_path / "p")):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("on_this_machine", [True, False])
def test_the_lease_of_a_dead_holder_is_taken_over(tmp_path, on_this_machine, caplog):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write(
        str(tmp_path / "p"), host=socket.gethostname() if on_this_machine else "other", pid=gone.pid
    )
    started = time.monotonic()
    with leased(str(tmp_path / "p")):
        waited = time.monotonic() - started
    watched = "looking for" in caplog.text
    assert watched != on_this_machine, "a process of this machine is looked for, others are watched"
    assert waited > lease.PATIENCE or on_this_machine


def test_a_holder_that_finds_another_job_in_its_place_stops(tmp_path):
    store = str(tmp_path / "p")
    with leased(store) as held:
        held.require()
        write(store, token="b", holder="process 9 on other")
        until(lambda: held._lost, expected="the holder looks at its lease")
        with pytest.raises(HeldError, match="was taken over by process 9 on other; this job stops"):
            held.require()
    assert json.loads((tmp_path / "p.lease").read_text())["token"] == "b", (
        "the lease of the other is left alone"
    )


@pytest.fixture(params=["disk", "s3", "gcs"])
def store(request, tmp_path):
    if request.param == "disk":
        return str(tmp_path / "p")
    return f"{request.getfixturevalue(request.param).url}/{tmp_path.name}/p"


@pytest.mark.parametrize("before", ["nothing", "a dead holder", "junk"])
def test_of_many_at_once_one_wins(store, before):
    won, lost, start = [], [], threading.Barrier(5)
    if before == "a dead holder":
        write(store)
    if before == "junk":
        write_atomically(f"{store}.lease", b"junk")

    def job():
        start.wait()
        try:
            with leased(store) as held:
                until(lambda: len(lost) == 4 or held._lost, expected="the others give up")
                held.require()
                won.append(held)
        except HeldError:
            lost.append(1)

    threads = [threading.Thread(target=job) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 4)
    assert Lease(store).found() is None, "the winner gives it back"


def test_of_many_processes_one_wins(store):
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_JOB, store],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    first_words = [job.stdout.readline().strip() for job in jobs]
    last_words = [job.communicate()[0].strip() for job in jobs]  # ends what a holder waits for
    assert sorted(first_words) == ["held", "lost", "lost", "lost"]
    assert sorted(last_words) == ["", "", "", "to the end"]


def test_a_lease_is_renewed_on_any_store(store):
    with leased(store) as held:
        until(lambda: held.about["renewal"] >= 2, expected="the holder renews its lease")
        assert Lease(store).found()["token"] == held.about["token"]
        held.require()


def test_a_renewal_whose_answer_is_lost_is_no_defeat(store):
    held = Lease(store)
    held.take()
    before = held._tag, dict(held.about)
    held.renew()
    held._tag, held.about = before  # the store has the renewal, the holder does not know
    held.renew()
    held.require()
    held._tag = "another"
    held.release()
    assert Lease(store).found() is None, "the token tells whose it is"


def test_a_lease_that_was_deleted_is_lost(store):
    held = Lease(store)
    held.take()
    remove(f"{store}.lease")
    held.renew()
    with pytest.raises(HeldError, match="was taken over by nobody: its lease was deleted"):
        held.require()


@pytest.mark.parametrize("junk", [b"", b"[]", b"\xff", b"{}"])
def test_what_is_no_lease_holds_nobody_up(tmp_path, junk):
    (tmp_path / "p.lease").write_bytes(junk)
    with leased(str(tmp_path / "p")):
        pass
