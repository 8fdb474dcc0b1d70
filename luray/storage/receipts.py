"""Receipts: what is done, beside the store, written after the data.

The ledger of `<store>` is the folder `<store>.ledger/<fingerprint>/`, one small JSON a piece of
work, named by its key ("2001/3.4": year, tile row and column; "ssp126/m2/2001/3.4" where scenarios
and members have maps of their own). "The object exists" proves nothing; a receipt says that it was
written whole, by which run, and with which sha256. Receipts of another fingerprint are another
run's.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.tiling import Tile
from luray.storage.objects import accessing, filesystem, read_object, remove, write_atomically


def digest(*arrays: NDArray[Any]) -> str:
    """sha256 over the dtype, shape and bytes of arrays."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def fingerprint_of(*parts: object) -> str:
    """sha256 of the JSON of everything a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def key_of(year: int, tile: Tile, *member_index: str) -> str:
    """Key of a tile-year, below what tells its maps from others of that tile and year."""
    return "/".join([*member_index, str(year), f"{tile.row}.{tile.col}"])


def tile_year_of(key: str) -> tuple[int, Tile]:
    """Year and tile of a key of a tile-year."""
    *_, year, tile = key.split("/")
    row, _, col = tile.partition(".")
    return int(year), Tile(int(row), int(col))


def _time(info: Mapping[str, Any]) -> float:
    """When an object was written, as file systems say it: a number, a date or its text; 0 where
    they do not.
    """
    said = next((info[key] for key in ("mtime", "LastModified", "updated") if info.get(key)), 0.0)
    if isinstance(said, str):
        said = datetime.fromisoformat(said)
    return said.timestamp() if isinstance(said, datetime) else float(said)


@dataclass(frozen=True)
class Ledger:
    """The receipts of one run on one store."""

    store: str
    fingerprint: str

    @property
    def folder(self) -> str:
        """Where the receipts lie."""
        return f"{self.store.rstrip('/')}.ledger/{self.fingerprint[:16]}"

    def record(self, key: str, sha256: str, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write a receipt, with `facts` of what was written; doing it twice changes nothing."""
        receipt = {"key": key, "sha256": sha256, **({"facts": facts} if facts is not None else {})}
        write_atomically(f"{self.folder}/{key}.json", json.dumps(receipt).encode())

    def done(self) -> set[str]:
        """Keys with a receipt, from one listing."""
        return set(self.written())

    def written(self) -> dict[str, float]:
        """Keys with a receipt and when it was written, in seconds since 1970, from one listing."""
        fs, root = filesystem(self.folder)
        with accessing(self.folder):
            if not fs.exists(root):
                return {}
            return {
                p[len(root) + 1 : -5]: _time(info)
                for p, info in fs.find(root, detail=True).items()
                if p.endswith(".json")
            }

    def sha256(self, key: str) -> str:
        """The recorded hash of a key, empty when the receipt is missing or damaged."""
        found = self._receipt(key).get("sha256")
        return found if isinstance(found, str) else ""

    def facts(self, key: str) -> Mapping[str, Any]:
        """What a receipt says of what was written. Raises ValueError for one that is missing or
        damaged.
        """
        facts = self._receipt(key).get("facts")
        if not isinstance(facts, dict):
            raise ValueError(
                f"{self.folder}/{key}.json: the receipt is missing or damaged; delete {self.store} "
                "and "
                "build it again"
            )
        return facts

    def _receipt(self, key: str) -> Mapping[str, Any]:
        """A receipt, empty when it is missing or damaged."""
        try:
            receipt = json.loads(read_object(f"{self.folder}/{key}.json") or b"{}")
        except ValueError:
            return {}
        return receipt if isinstance(receipt, dict) and receipt.get("key") == key else {}

    def withdraw(self, keys: Iterable[str]) -> None:
        """Remove receipts, so that their work is done again."""
        for key in keys:
            remove(f"{self.folder}/{key}.json")

    def forget(self) -> None:
        """Remove the receipts of every run on the store, before it is deleted or created: their
        shards go, too.
        """
        remove(f"{self.store.rstrip('/')}.ledger")
