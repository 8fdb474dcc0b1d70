"""Memory of this process and everything that it started, Ray's own processes and its object store included (Linux)."""

import contextlib
import os
import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")


def family(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found = [root]
    for process in found:
        found += children[process]
    return found


def proportional(process: int) -> int:
    """Bytes of a process, each shared page split among those that share it (PSS); 0 for one that has ended."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Watch:
    """Samples the memory of this process and its descendants while a `with` block runs."""

    def __init__(self, *, every: float = 1.0) -> None:
        self.peak = 0
        """Largest sum of a sample, in bytes."""
        self._every, self._ended = every, threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak = max(self.peak, sum(map(proportional, family(os.getpid()))))
            if self._ended.wait(self._every):
                return
