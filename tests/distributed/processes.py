"""Processes of the cluster that a test started, and of no other."""

from contextlib import suppress

import psutil


def named(prefix: str) -> list[int]:
    """Return the ids of processes below this one whose command line begins with a text.

    Words of a command line are separated by a zero. Ray's workers have names such as
    `ray::Worker.predict` for one.
    """
    ids = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if "\0".join(process.cmdline()).startswith(prefix):
                ids.append(process.pid)
    return ids
