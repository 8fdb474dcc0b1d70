"""Memory and processor time of this process and all that it started, Ray's own processes and its
object store included.

They are read from `/proc`, as Linux has it. Processes on other machines of a cluster are not seen.
"""

import contextlib
import os
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
IDLE = 50
"""Times that the processor time of a sample has to pass before the next: the kernel counts
gigabytes page by page.
"""


def family(root: int) -> dict[int, float]:
    """A process and its descendants, with the processor time of each in seconds."""
    children: dict[int, list[int]] = defaultdict(list)
    seconds: dict[int, float] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            process, fields = (
                int(stat.parent.name),
                stat.read_text(encoding="utf-8").rpartition(")")[2].split(),
            )
            children[int(fields[1])].append(process)
            seconds[process] = (int(fields[11]) + int(fields[12])) / TICKS
    found = [root]
    for process in found:
        found += children[process]
    return {process: seconds.get(process, 0.0) for process in found}


def proportional(process: int) -> int:
    """Bytes of a process, each shared page split among those that share it (PSS); 0 for one that
    has ended.
    """
    with contextlib.suppress(OSError):
        for line in (PROC / str(process) / "smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Watch:
    """Samples this process and its descendants while a `with` block runs."""

    def __init__(self, *, every: float = 1.0) -> None:
        self.peak = 0
        """Largest sum of a sample, in bytes."""
        self.cpu_seconds = 0.0
        """Processor time within the block, but for what a process did after its last sample."""
        self._every, self._ended = every, threading.Event()
        self._thread = threading.Thread(target=self._sample, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        before = family(os.getpid())
        latest: dict[int, float] = {}
        ended, spent = False, 0.0
        while not ended:
            ended = self._ended.wait(max(self._every, IDLE * spent))
            spent = time.thread_time()
            now = family(os.getpid())
            latest |= now
            self.peak = max(self.peak, sum(map(proportional, now)))
            spent = time.thread_time() - spent
        self.cpu_seconds = sum(
            seconds - before.get(process, 0.0) for process, seconds in latest.items()
        )
