"""One job a store: a lease beside it, which its holder renews.

Two jobs on one product would write the same bytes, but pay for them twice. A lease is
`<store>.lease`, a small JSON that names its holder. Clocks are not compared: a lease is alive if it
changes while one looks at it.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from luray.storage.objects import read_object, remove, write_atomically

log = logging.getLogger(__name__)

RENEWED_EVERY = 5.0
"""Seconds between renewals."""
PATIENCE = 4 * RENEWED_EVERY
"""Seconds without a renewal after which a holder is dead."""
SETTLED = 0.2
"""Seconds after which of two that write at once the later one is seen."""


class HeldError(RuntimeError):
    """Another job holds the store."""


@dataclass
class Lease:
    """A held lease. `require` raises once another job has it."""

    store: str
    about: dict[str, Any] = field(
        default_factory=lambda: {
            "holder": f"process {os.getpid()} on {socket.gethostname()}",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            "token": secrets.token_hex(8),
            "renewal": 0,
        }
    )
    _lost: str = ""

    @property
    def place(self) -> str:
        """Where the lease lies."""
        return f"{self.store.rstrip('/')}.lease"

    def require(self) -> None:
        """Raise HeldError when another job took the store."""
        if self._lost:
            raise HeldError(
                f"{self.store} was taken over by {self._lost}; this job stops, what it finished is "
                "kept"
            )

    def take(self) -> None:
        """Take the lease. Raises HeldError naming the holder while another job renews it."""
        found = self.found()
        if found and not _died_here(found):
            log.warning(
                "%s was held by %s: looking for %.0f s whether it still is",
                self.store,
                found["holder"],
                PATIENCE,
            )
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until and self.found() == found:
                time.sleep(RENEWED_EVERY / 5)
            now = self.found()
            if now and now != found:
                raise HeldError(_held(self.store, now))
        self._write()
        time.sleep(SETTLED)
        now = self.found()
        if now is None or now["token"] != self.about["token"]:
            raise HeldError(_held(self.store, now or {"holder": "another job", "since": "now"}))

    def renew(self) -> None:
        """Say that this job is alive; or note that another one holds the store."""
        found = self.found()
        if found is None or found["token"] != self.about["token"]:
            self._lost = found["holder"] if found else "nobody: its lease was deleted"
            return
        self.about["renewal"] += 1
        self._write()

    def release(self) -> None:
        """Give the lease back, if it is still this job's."""
        found = self.found()
        if found and found["token"] == self.about["token"]:
            remove(self.place)

    def _write(self) -> None:
        write_atomically(self.place, json.dumps(self.about).encode())

    def found(self) -> dict[str, Any] | None:
        """The lease in the store; None where there is none or it is no lease."""
        try:
            found = json.loads(read_object(self.place) or b"null")
        except ValueError:
            return None
        return (
            found
            if isinstance(found, dict) and {"holder", "token", "since"} <= found.keys()
            else None
        )


def _held(store: str, found: dict[str, Any]) -> str:
    return (
        f"{store} is being written by {found['holder']} since {found['since']}; wait for it or "
        "stop it, then run "
        "this again"
    )


def _died_here(found: dict[str, Any]) -> bool:
    """True when the holder was a process of this machine that is no more."""
    if found.get("host") != socket.gethostname() or not isinstance(found.get("pid"), int):
        return False
    try:
        os.kill(found["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, and alive
        pass
    return False


@contextmanager
def leased(store: str) -> Iterator[Lease]:
    """Hold the lease of a store, renewed in the background. Raises HeldError while another job has
    it.
    """
    lease = Lease(store)
    lease.take()
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEWED_EVERY):
            with suppress(OSError):  # a store that is away for a moment is no other job
                lease.renew()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join()
        lease.release()
