"""Processes of the cluster that a test started, and of no other."""

import os
from pathlib import Path


def named(prefix: str) -> list[int]:
    """Process ids below this process whose command line begins with `prefix`."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if (folder / "cmdline").read_bytes().startswith(prefix.encode()):
                found.append(int(folder.name))
        except OSError:
            continue

    def ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return [pid for pid in found if ours(pid)]
