"""Receipts: what is done, beside the store, written after the data.

The ledger of `<store>` is the folder `<store>.ledger/<fingerprint>/`, one small JSON a piece of
work, named by its key ("2001/3.4": year, tile row and column; "ssp126/m2/2001/3.4" where scenarios
and members have maps of their own). "The object exists" proves nothing; a receipt says that it was
written whole, by which run, and with which sha256. Receipts of another fingerprint are another
run's.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.tiling import Tile
from luray.core.time_steps import YEARLY, TimeSteps
from luray.storage.objects import accessing, filesystem, read_object, remove, write_atomically
from luray.storage.places import is_local, public

TIME_KEYS = ("mtime", "LastModified", "updated")
"""Keys under which a local disk, S3 and Google's store have the time of an object."""


LISTING_PAUSES = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each look at a listing that does not show yet what was written or deleted."""


def digest(*arrays: NDArray[Any]) -> str:
    """Return the sha256 over the dtype, shape and bytes of arrays."""
    # dtype and shape are part of it: the same bytes may be another array
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def fingerprint_of(*parts: object) -> str:
    """Return the sha256 of the JSON of everything that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def key_of(year: int | str, tile: Tile, *member_index: str) -> str:
    """Return the key of a tile-year; `member_index` names its scenario and member, if it has them.

    `year` is a calendar year, or the label of a shorter time step.

    Examples
    --------
    >>> key_of(2001, Tile(3, 4), "ssp126", "m2")
    'ssp126/m2/2001/3.4'
    """
    return "/".join([*member_index, str(year), f"{tile.row}.{tile.col}"])


def tile_of(key: str) -> Tile:
    """Return the tile of the key of a tile-year.

    Examples
    --------
    >>> tile_of("ssp126/m2/2001/3.4")
    Tile(row=3, col=4)
    """
    row, _, col = key.split("/")[-1].partition(".")
    return Tile(int(row), int(col))


def year_of(key: str, time: TimeSteps = YEARLY) -> int:
    """Return the time step of the key of a tile-year, or of what else has one before its name.

    Examples
    --------
    >>> year_of("ssp126/m2/2001/overviews"), year_of("2001-03/3.4", TimeSteps("month"))
    (2001, 24014)
    """
    return time.step_of(key.split("/")[-2])


def _time(info: Mapping[str, Any]) -> float:
    """Return when an object was written, in seconds since 1970.

    File systems give a number, a date or its text; 0 stands for those that give nothing.
    """
    times = [info[key] for key in TIME_KEYS if info.get(key)]
    if not times:
        return 0.0

    written: Any = times[0]
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    if isinstance(written, datetime):
        return written.timestamp()
    return float(written)


@dataclass(frozen=True)
class Ledger:
    """The receipts of one run on one store.

    Parameters
    ----------
    store : str
        Path or URL of the store.
    fingerprint : str
        Of the run, see `fingerprint_of`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = Ledger(f"{folder}/product.zarr", fingerprint_of("a run"))
    ...     ledger.record("2001/3.4", "the sha256 of the tile")
    ...     ledger.done()
    {'2001/3.4'}
    """

    store: str
    fingerprint: str

    @property
    def folder(self) -> str:
        """Where the receipts lie."""
        return f"{self.store.rstrip('/')}.ledger/{self.fingerprint[:16]}"

    def record(self, key: str, sha256: str, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write a receipt; doing it twice changes nothing.

        Parameters
        ----------
        key : str
            Of the piece of work.
        sha256 : str
            Of what was written.
        facts : mapping, optional
            What else is to be known of it, as JSON.
        """
        receipt: dict[str, Any] = {"key": key, "sha256": sha256}
        if facts is not None:
            receipt["facts"] = facts
        write_atomically(self._place(key), json.dumps(receipt).encode())

    def done(self) -> set[str]:
        """Return the keys that have a receipt, from one listing."""
        return set(self.written())

    def written(self) -> dict[str, float]:
        """Return the keys that have a receipt, and when each was written, from one listing.

        Times are in seconds since 1970.
        """
        fs, root = filesystem(self.folder)
        with accessing(self.folder):
            listing = fs.find(root, detail=True) if fs.exists(root) else {}

        times = {}
        for path, info in listing.items():
            if path.endswith(".json"):
                key = path[len(root) + 1 : -len(".json")]
                times[key] = _time(info)
        return times

    def sha256(self, key: str) -> str:
        """Return the recorded hash of a key, empty when the receipt is missing or damaged."""
        sha256 = self._receipt(key).get("sha256")
        return sha256 if isinstance(sha256, str) else ""

    def facts(self, key: str) -> Mapping[str, Any]:
        """Return the facts of a receipt.

        Raises
        ------
        ValueError
            For a receipt that is missing or damaged.
        """
        facts = self._receipt(key).get("facts")
        if not isinstance(facts, dict):
            raise ValueError(
                f"{self._place(key)}: the receipt is missing or damaged; delete {self.store} and "
                "build it again"
            )
        return facts

    def _place(self, key: str) -> str:
        return f"{self.folder}/{key}.json"

    def _receipt(self, key: str) -> Mapping[str, Any]:
        """Return a receipt, empty when it is missing or damaged."""
        try:
            receipt = json.loads(read_object(self._place(key)) or b"{}")
        except (ValueError, RecursionError):
            return {}
        return receipt if isinstance(receipt, dict) and receipt.get("key") == key else {}

    def looks(self) -> Iterator[set[str]]:
        """Yield the keys that have a receipt, once or, where listings may be late, a few times.

        S3, Google's store and disks list what is there. Some servers that speak the protocol of S3
        list it a moment later.
        """
        pauses = LISTING_PAUSES[:1] if is_local(self.store) else LISTING_PAUSES
        for pause in pauses:
            time.sleep(pause)
            yield self.done()

    def withdraw(self, keys: Iterable[str]) -> None:
        """Remove receipts, so that their work is done again.

        Raises
        ------
        OSError
            If the store still lists one of them: a run would take its work for done.
        """
        withdrawn = set(keys)
        for key in sorted(withdrawn):
            remove(self._place(key))

        listed: set[str] = set()
        for done in self.looks():
            listed = withdrawn & done
            if not listed:
                return
        raise OSError(
            f"{public(self.folder)}: the store still lists {min(listed)}, which was deleted; "
            "expected a store whose listings show at once what is there: wait a minute and run the "
            "command again"
        )

    def forget(self) -> None:
        """Remove the receipts of every run on the store.

        To be called before the store is deleted or created: its shards go, too.
        """
        remove(f"{self.store.rstrip('/')}.ledger")
