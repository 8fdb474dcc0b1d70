"""Memory and processor time of this process and all its descendants.

Ray's own processes and its object store are among them. Processes on other machines of a cluster
are not seen. The proportional share of memory exists on Linux only.
"""

import os
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

IDLE = 50
"""Pause between two samples, as a multiple of the processor time that the last one took.

The kernel counts a process's memory page by page, which takes long where there are gigabytes.
"""


def family(root: int) -> list[psutil.Process]:
    """Return a process and all its descendants; nothing where it has ended."""
    try:
        parent = psutil.Process(root)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: list[psutil.Process]) -> dict[psutil.Process, float]:
    """Return the processor time that each process has used, without those that have ended.

    Processes of psutil are equal where number and start are: Linux gives numbers away again.
    """
    seconds = {}
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds[process] = times.user + times.system
    return seconds


def proportional_bytes(process: psutil.Process) -> int:
    """Return the memory of a process, each shared page split among those that share it (PSS).

    The resident size would count Ray's object store once in every worker. A process that has ended
    holds nothing.
    """
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


class Watch:
    """Samples this process and its descendants while a `with` block runs.

    Parameters
    ----------
    every : float
        Seconds between two samples, at least; see `IDLE`.

    Attributes
    ----------
    peak : int
        Largest sum of a sample, in bytes.
    cpu_seconds : float
        Processor time within the block, but for what a process did after its last sample. Known
        once the block has ended.
    """

    def __init__(self, *, every: float = 1.0) -> None:
        self.peak = 0
        self.cpu_seconds = 0.0
        self._every = every
        self._ended = threading.Event()
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
        before = cpu_seconds(family(os.getpid()))
        # what a process had used when it was last seen: those that end meanwhile count, too
        latest: dict[psutil.Process, float] = {}
        sampling_seconds = 0.0
        ended = False

        # the last sample is taken after the block has ended, so a short block has one
        while not ended:
            ended = self._ended.wait(max(self._every, IDLE * sampling_seconds))
            started = time.thread_time()
            processes = family(os.getpid())
            latest |= cpu_seconds(processes)
            self.peak = max(self.peak, sum(map(proportional_bytes, processes)))
            sampling_seconds = time.thread_time() - started

        self.cpu_seconds = sum(
            seconds - before.get(process, 0.0) for process, seconds in latest.items()
        )
