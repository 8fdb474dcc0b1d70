"""Whole files at their final names: written elsewhere, checked, and then given the name.

A name that exists is a file that was read back and found to be right, on a local disk as on an
object store.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def _flush(file: Path) -> None:
    """Wait until a file is on the disk: a name must not outlive the data that it stands for."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
