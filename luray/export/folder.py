"""The folder that an export is written to: its record, its finished files, and its work.

`export.json` says what the export is of. What is finished has a receipt in the folder of work,
which is deleted at the end, when `export.json` has the size and sha256 of every file.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from luray.export.files import publishing
from luray.storage.objects import exists, public, read_object, remove, write_atomically
from luray.storage.receipts import Ledger, fingerprint_of

RECORD = "export.json"

HASHED_BYTES = 2**22
"""Bytes of a file that are read at once."""


@dataclass(frozen=True)
class ExportFolder:
    """Where an export lies.

    Parameters
    ----------
    place : str
        A folder: local, s3:// or gs://.
    request : mapping
        Everything that the files depend on, as JSON, without places.
    """

    place: str
    request: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the request."""
        return fingerprint_of(self.request)

    @property
    def work(self) -> str:
        """Folder of what is only needed until the end."""
        return self.path(".luray-export")

    def path(self, name: str) -> str:
        """Return the place of a file."""
        return f"{self.place.rstrip('/')}/{name}"

    def open(self) -> bool:
        """Take the folder for this export; return whether the export is finished already.

        Raises
        ------
        ValueError
            If it has another export, or files that no export made.
        """
        text = read_object(self.path(RECORD))
        if text is None:
            self._write_record(files=None)
            return False

        try:
            record: dict[str, Any] = json.loads(text)
            owner = record["fingerprint"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{public(self.path(RECORD))} is no record of an export; choose another --output"
            ) from None
        if owner != self.fingerprint:
            differing = [
                f"{key} {record['request'].get(key)!r} there, {value!r} here"
                for key, value in self.request.items()
                if record["request"].get(key) != json.loads(json.dumps(value))
            ]
            raise ValueError(
                f"{public(self.place)} has another export ({'; '.join(differing)}); choose another "
                "--output, or delete that folder"
            )
        files: Mapping[str, Any] = record.get("files") or {}
        return bool(files) and all(exists(self.path(name)) for name in files)

    def done(self) -> set[str]:
        """Return the names of the files that are finished."""
        receipts = self._ledger.done()
        return {name for name in receipts if exists(self.path(name))}

    @contextmanager
    def writing(self, *names: str) -> Iterator[list[Path]]:
        """Give temporary files that get their names together, when the block ends without an error.

        Files that have to agree with each other are written and checked in one block.
        """
        if not names:
            yield []
            return
        first, *others = names
        with publishing(self.path(first)) as temporary, self.writing(*others) as temporaries:
            yield [temporary, *temporaries]
            facts = {"bytes": temporary.stat().st_size}
            sha256 = _sha256(temporary)
        self._ledger.record(first, sha256, facts=facts)

    def finish(self, about: Mapping[str, str]) -> list[str]:
        """Write the record of the finished export, delete its work, and return its files.

        Parameters
        ----------
        about : mapping of str
            What the record says of where the files come from; a table of text has no other place.
        """
        files = {}
        for name in sorted(self._ledger.done()):
            facts = self._ledger.facts(name)
            files[name] = {"sha256": self._ledger.sha256(name), **facts}
        self._write_record(files=files, about=about)
        remove(self.work)
        return list(files)

    def _write_record(
        self, *, files: Mapping[str, Any] | None, about: Mapping[str, str] | None = None
    ) -> None:
        record: dict[str, Any] = {"fingerprint": self.fingerprint, "request": self.request}
        record |= {"about": about, "files": files}
        write_atomically(self.path(RECORD), json.dumps(record, indent=2).encode())

    @property
    def _ledger(self) -> Ledger:
        """Receipts of the finished files."""
        return Ledger(f"{self.work}/files", self.fingerprint)


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(HASHED_BYTES):
            state.update(data)
    return state.hexdigest()
