"""Whole files at their final names: written elsewhere, checked, and then given the name.

A name that exists is a file that was read back and found to be right, on a local disk as on an
object store.
"""

import os
import tempfile
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from luray.core.types import U8
from luray.storage.objects import accessing, filesystem, is_local


@contextmanager
def publishing(place: str) -> Iterator[Path]:
    """Give a temporary local file that gets its final name when the block ends without an error.

    Parameters
    ----------
    place : str
        Where the file will be: a local path, s3:// or gs://. What is there is replaced.

    Yields
    ------
    pathlib.Path
        Where to write. Check what was written inside the block: an error keeps the final name as
        it was.
    """
    name = place.rsplit("/", 1)[-1]
    if not is_local(place):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / name
            yield temporary
            fs, path = filesystem(place)
            with accessing(place):
                fs.put_file(str(temporary), path)
        return

    final = Path(place)
    with accessing(place):
        final.parent.mkdir(parents=True, exist_ok=True)
        # beside the final name: only on one disk is a rename one step
        temporary = final.with_name(f".{name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)


class BlockChecksum(NamedTuple):
    """What tells some rows of a map from others."""

    rows: int
    crc32: int


def checksum_of(codes_HW: U8) -> BlockChecksum:
    """Return the checksum of a block of rows."""
    return BlockChecksum(codes_HW.shape[0], zlib.crc32(codes_HW.tobytes()))


def check_rows(
    read: Callable[[int, int], U8], checksums: Iterable[BlockChecksum], *, name: str
) -> None:
    """Raise RuntimeError unless a map reads back as it was written.

    Parameters
    ----------
    read : callable
        Returns some rows of the file: called with the first one and how many.
    checksums : iterable of BlockChecksum
        Those of the blocks that were written, from the north.
    name : str
        Of the file.
    """
    row = 0
    for expected in checksums:
        if checksum_of(read(row, expected.rows)) != expected:
            raise RuntimeError(
                f"{name}: rows {row} to {row + expected.rows} do not read back as they were "
                "written; check the disk, and export again"
            )
        row += expected.rows


def _flush(file: Path) -> None:
    """Wait until a file is on the disk: a name must not outlive the data that it stands for."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
