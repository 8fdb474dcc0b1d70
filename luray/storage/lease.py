"""One job a store: a lease beside it, which its holder renews.

Two jobs on one product would write the same bytes, but pay for them twice. A lease is
`<store>.lease`, a small JSON that names its holder. It is created, renewed, taken over and deleted
by conditional writes only, so of jobs that race exactly one has it, and a holder whose place was
taken learns so at its next renewal. Clocks are not compared: a lease is alive if it changes while
one looks at it.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from luray.core.crash_points import crash_point
from luray.storage.conditional import (
    Tagged,
    UnconditionalStoreError,
    read_tagged,
    remove_if,
    require_conditions,
    write_if,
)
from luray.storage.objects import read_object

log = logging.getLogger(__name__)

RENEWED_EVERY = 5.0
"""Seconds between renewals."""
PATIENCE = 4 * RENEWED_EVERY
"""Seconds without a renewal after which a holder is dead."""

NEEDED_KEYS = frozenset(("holder", "token", "since"))
"""Texts that a JSON object must have to be a lease."""


class HeldError(RuntimeError):
    """Another job holds the store."""


RequireLease = Callable[[], None]
"""Called before a write; raises HeldError when another job has taken the store."""


def no_lease() -> None:
    """Require nothing, where nobody else can write."""


class LeaseClaim(NamedTuple):
    """The claim of a job on its lease, as its workers have it.

    Its driver may stand still while they go on, so they look for themselves: each `require` reads
    the lease in the store.
    """

    store: str
    """Path or URL of the store."""
    token: str
    """Tells the job from every other one."""

    def require(self) -> None:
        """Raise HeldError when another job has the store, or nobody has it.

        To be called right before a write: what happens between the two is not seen.
        """
        holder = Lease(self.store).found()
        if holder is None or holder["token"] != self.token:
            raise HeldError(_taken_over(self.store, _name_of(holder)))


def _about_this_job() -> dict[str, Any]:
    """Describe this process; the token tells it from every other job."""
    host = socket.gethostname()
    return {
        "holder": f"process {os.getpid()} on {host}",
        "host": host,
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "token": secrets.token_hex(8),
        "renewal": 0,
    }


@dataclass
class Lease:
    """A lease on a store. `require` raises once another job has it.

    Parameters
    ----------
    store : str
        Path or URL of the store.
    about : dict
        The content of the lease: who holds it, since when, and the number of its renewals.
    """

    store: str
    about: dict[str, Any] = field(default_factory=_about_this_job)
    _tag: str = ""
    """Tag of the lease as this job wrote it last."""
    _lost: str = ""
    """Who has taken the store from this job."""
    _renewed_at: float = field(default_factory=time.monotonic)
    """When this job knew last that the store was its own."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """The tag belongs to one renewal at a time."""

    @property
    def place(self) -> str:
        """Where the lease lies."""
        return f"{self.store.rstrip('/')}.lease"

    @property
    def claim(self) -> LeaseClaim:
        """Claim by which workers of this job, in other processes, check that it has the store."""
        return LeaseClaim(self.store, self.about["token"])

    def require(self) -> None:
        """Raise HeldError when another job took the store.

        A job that stood still for so long that others may take it for dead looks first.
        """
        if not self._lost and time.monotonic() - self._renewed_at > PATIENCE:
            with suppress(OSError):  # a store that is away for a moment is no other job
                self.renew()
        if self._lost:
            raise HeldError(_taken_over(self.store, self._lost))

    def take(self) -> None:
        """Take the lease.

        A lease that is there is watched for `PATIENCE` seconds, unless its holder was a process of
        this machine that has ended. If nobody renews it, this job takes it over.

        Raises
        ------
        HeldError
            While another job renews the lease, or when another job was faster.
        UnconditionalStoreError
            For a store that cannot keep two jobs apart.
        """
        current = read_tagged(self.place)
        holder = None if current is None else _parse(current.data)
        if holder is not None and not _died_here(holder):
            current = self._watch(current, holder)

        # The write succeeds only if the lease is still as it was read: of several jobs that try at
        # the same time one gets it.
        data = _to_json(self.about)
        tag = write_if(self.place, data, expected=None if current is None else current.tag)
        if tag is None:
            winner = self.found() or {"holder": "another job", "since": "now"}
            raise HeldError(_held(self.store, winner))
        self._tag = tag
        try:
            require_conditions(self.place, data)
        except UnconditionalStoreError:
            self.release()
            raise

    def _watch(self, current: Tagged | None, holder: dict[str, Any]) -> Tagged | None:
        """Return the lease when nobody has renewed it for a while. Raises HeldError otherwise."""
        log.warning(
            "%s was held by %s: looking for %.0f s whether it still is",
            self.store,
            holder["holder"],
            PATIENCE,
        )
        # Only whether it changes is looked at, so that no two clocks are compared.
        until = time.monotonic() + PATIENCE
        latest = current
        while time.monotonic() < until and latest == current:
            time.sleep(RENEWED_EVERY / 5)
            latest = read_tagged(self.place)

        latest_holder = None if latest is None else _parse(latest.data)
        if latest_holder is not None and latest != current:
            raise HeldError(_held(self.store, latest_holder))
        return latest

    def renew(self) -> None:
        """Show that this job is alive, or note that another one holds the store."""
        with self._lock:
            crash_point("lease renewal")
            renewed = {**self.about, "renewal": self.about["renewal"] + 1}
            tag = write_if(self.place, _to_json(renewed), expected=self._tag)
            if tag is None:
                self._lost = _name_of(self.found())
                return
            self._tag = tag
            self.about = renewed
            self._renewed_at = time.monotonic()

    def give_up(self, error: Exception) -> None:
        """Note that this job cannot renew the lease, so that another one may take the store."""
        self._lost = f"nobody, but cannot be held: {type(error).__name__}: {error}"

    def release(self) -> None:
        """Give the lease back, if it is still this job's."""
        # a renewal whose answer was lost has changed the tag: the token tells whose it is
        current = read_tagged(self.place)
        about = None if current is None else _parse(current.data)
        if current is not None and about is not None and about["token"] == self.about["token"]:
            remove_if(self.place, expected=current.tag)

    def found(self) -> dict[str, Any] | None:
        """Return the lease in the store; None where there is none or it is no lease."""
        return _parse(read_object(self.place) or b"")


def _to_json(about: dict[str, Any]) -> bytes:
    return json.dumps(about).encode()


def _parse(data: bytes) -> dict[str, Any] | None:
    """Return the content of a lease; None for anything else."""
    try:
        about = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(about, dict):
        return None
    is_lease = all(isinstance(about.get(key), str) for key in NEEDED_KEYS)
    return about if is_lease else None


def _name_of(holder: dict[str, Any] | None) -> str:
    """Return who holds a lease, in words."""
    return str(holder["holder"]) if holder else "nobody: its lease was deleted"


def _taken_over(store: str, by: str) -> str:
    return f"{store} was taken over by {by}; this job stops, what it finished is kept"


def _held(store: str, holder: dict[str, Any]) -> str:
    return (
        f"{store} is being written by {holder['holder']} since {holder['since']}; wait for it or "
        "stop it, then run this again"
    )


def _died_here(holder: dict[str, Any]) -> bool:
    """Return True when the holder was a process of this machine that has ended."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # a process of another user, and alive
        pass
    return False


@contextmanager
def leased(store: str) -> Iterator[Lease]:
    """Hold the lease of a store, renewed in the background.

    Parameters
    ----------
    store : str
        Path or URL of the store.

    Yields
    ------
    Lease
        Its `require` is to be called before every piece of work.

    Raises
    ------
    HeldError
        While another job has the lease.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, leased(f"{folder}/product.zarr") as lease:
    ...     lease.require()
    """
    lease = Lease(store)
    lease.take()
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEWED_EVERY):
            try:
                lease.renew()
            except OSError:  # a store that is away for a moment is no other job
                continue
            except Exception as error:
                lease.give_up(error)
                return

    # a daemon: a job that is killed must not go on renewing
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        lease.release()
