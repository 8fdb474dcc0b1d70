"""Checksums of objects that have no receipt: metadata, coordinates, a published catalog.

They stand in one list beside the folder, in the format of `sha256sum`, so that anybody can check a
copy: `sha256sum --check product.zarr.sha256`.
"""

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from luray.storage.objects import read_object, remove, sha256_of, write_atomically

LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")
HEAD = "# sha256 of the lines below: "
"""Begins the list: a comment to `sha256sum`, by which a list that is damaged itself is known."""
READ_AT_ONCE = 8
"""Objects read beside each other: each waits for the store, not for the processor."""


class Checksums(NamedTuple):
    """The list of checksums of some objects below a folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/stac/catalog.json", b"{}")
    ...     checksums = Checksums(f"{folder}/stac.sha256", folder)
    ...     checksums.write(["stac/catalog.json"])
    ...     write_atomically(f"{folder}/stac/catalog.json", b"[]")
    ...     checksums.damaged()
    ['stac/catalog.json']
    """

    place: str
    """Where the list lies."""
    root: str
    """Folder that the names are relative to."""

    def write(self, names: Iterable[str]) -> None:
        """Write the list of the objects of these names; those that are not there are left out."""
        ordered = sorted(names)
        with ThreadPoolExecutor(READ_AT_ONCE) as pool:
            checksums = list(pool.map(self._sum, ordered))

        lines = []
        for checksum, name in zip(checksums, ordered, strict=True):
            if checksum:
                lines.append(f"{checksum}  {name}\n")
        body = "".join(lines).encode()
        head = f"{HEAD}{hashlib.sha256(body).hexdigest()}\n".encode()
        write_atomically(self.place, head + body)

    def damaged(self) -> list[str] | None:
        """Return the objects that are gone or have other bytes than in the list.

        None where there is no list; its own name where the list is damaged.
        """
        data = read_object(self.place)
        if data is None:
            return None
        head, _, body = data.partition(b"\n")
        if head != f"{HEAD}{hashlib.sha256(body).hexdigest()}".encode():
            return [self.place.rpartition("/")[2]]

        lines = LINE.findall(body.decode("utf-8", "replace"))
        names = [name for _, name in lines]
        with ThreadPoolExecutor(READ_AT_ONCE) as pool:
            checksums = list(pool.map(self._sum, names))

        damaged = []
        for (expected, name), checksum in zip(lines, checksums, strict=True):
            if checksum != expected:
                damaged.append(name)
        return damaged

    def remove(self) -> None:
        """Remove the list, before anything in it changes."""
        remove(self.place)

    def _sum(self, name: str) -> str:
        """Return the sha256 of an object, empty where it is not there."""
        return sha256_of(f"{self.root}/{name}") or ""
