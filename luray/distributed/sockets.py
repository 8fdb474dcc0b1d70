"""Choose where Ray puts its sockets: their paths may have 107 bytes at most.

The temporary folders of batch jobs are long. Ray's own folder lies below TMPDIR, and the paths of
its sockets are up to 68 bytes longer.
"""

import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST = 107
"""Bytes of the path of a Unix socket, without the zero that ends it."""
SESSION = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""Longest path of a socket below the temporary folder, with the largest process id of Linux."""
SHORT = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders with short names that most machines let everybody write to."""


@contextmanager
def session_folders() -> Iterator[dict[str, Any]]:
    """Choose the folders of a Ray session, as options of `ray.init`.

    There are none where Ray's own choice serves. Otherwise logs and sockets go to a private folder
    with a short name, and what does not fit into memory stays where TMPDIR points, because that may
    be the only large disk. Both are removed afterwards.

    Raises
    ------
    OSError
        If no folder with a short name holds a socket.
    """
    if holds_sockets(Path(temporary_folder())):
        yield {}
        return

    with (
        short_folder() as short,
        tempfile.TemporaryDirectory(prefix="luray-spilled-", ignore_cleanup_errors=True) as spilled,
    ):
        # Ray lets everybody write to its folder: a folder in the private one
        yield {"_temp_dir": f"{short}/ray", "object_spilling_directory": spilled}


@contextmanager
def short_folder() -> Iterator[str]:
    """Make a private folder for Ray's sockets, and remove it afterwards.

    Raises
    ------
    OSError
        If no folder with a short name holds a socket.
    """
    tried = short_folders()
    chosen = next((folder for folder in tried if holds_sockets(folder)), None)
    if chosen is None:
        folder = temporary_folder()
        length = len(os.fsencode(f"{folder}/{SESSION}"))
        raise OSError(
            f"TMPDIR is {folder}, below which the paths of Ray's sockets have up to {length} "
            f"bytes, expected at most {LONGEST} and a folder that can be written to; none of "
            f"{', '.join(map(str, tried))} serves either: set TMPDIR=/tmp, or another folder with "
            "a short name"
        )

    # processes of the session may still be writing logs when it goes
    with tempfile.TemporaryDirectory(
        prefix="luray-", dir=chosen, ignore_cleanup_errors=True
    ) as folder:
        yield folder


def temporary_folder() -> str:
    """Return the folder below which Ray puts its own unless told otherwise."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if name in os.environ:
            return os.environ[name]
    return "/tmp"


def short_folders() -> Sequence[Path]:
    """Return folders that may have a short name, the likeliest first."""
    of_the_user = (os.environ.get("XDG_RUNTIME_DIR", ""), os.environ.get("HOME", ""))
    return [Path(folder) for folder in (*SHORT, *of_the_user) if folder]


def holds_sockets(folder: Path) -> bool:
    """Return whether sockets with paths as long as Ray's can be made below a folder."""
    if not folder.is_absolute():
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="luray-", dir=folder) as inside,
            socket.socket(socket.AF_UNIX) as probe,
        ):
            # A name of the length that Ray's would have. Inside a folder of its own, because names
            # end at 255 bytes.
            padding = len(SESSION) - len(Path(inside).name) - 1
            probe.bind(f"{inside}/{'s' * padding}")
    except OSError:
        return False
    return True
