"""Ending a command whose Ray cluster has died under it, and what Ray leaves running.

Ray's own driver waits for a minute then, and aborts with a dump of its state.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

import psutil

VITAL = {"raylet": "node manager", "gcs_server": "control store"}
"""Names of Ray's processes without which a cluster is dead, and what they are."""
SECONDS_BETWEEN_LOOKS = 0.5
LOOKS_BETWEEN_FAMILIES = 20
"""Looks at the vital processes between two at what they have started."""
SECONDS_TO_END = 5.0
"""Seconds after which processes that are ending are killed."""
SHOW_CURSOR = "\x1b[?25h"
"""For a terminal whose cursor a progress bar has hidden."""


@contextmanager
def watched() -> Iterator[None]:
    """Watch the Ray processes that this process has started.

    When a vital one dies, the command ends with one line that says what happened, what is kept and
    how to go on.
    """
    vital = {}
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            name = process.name()
            if name in VITAL:
                vital[process] = f"Ray's {VITAL[name]} ({name}, process {process.pid})"
    ended = threading.Event()

    def watch() -> None:
        # What a process has started is not found through it any more once it is dead: so it is
        # looked for before, seldom, as that takes a look at every process of the machine.
        started = families(vital)
        for number in count(1):
            if ended.wait(SECONDS_BETWEEN_LOOKS):
                return
            for process, described in vital.items():
                if _has_ended(process) and not ended.is_set():
                    _end_command(described, started)
            if number % LOOKS_BETWEEN_FAMILIES == 0:
                started = families(vital)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def descendants() -> set[psutil.Process]:
    """Return the processes that this one, and those that it has started, have started."""
    return set(psutil.Process().children(recursive=True))


def families(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Return processes with all that they have started."""
    members = set(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            members |= set(process.children(recursive=True))
    return members


def kill_left_over(processes: Iterable[psutil.Process]) -> None:
    """Wait a moment for processes to end, and kill those that do not."""
    _, alive = psutil.wait_procs(list(processes), timeout=SECONDS_TO_END)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _end_command(described: str, started: Iterable[psutil.Process]) -> None:
    """End this process and all that it has started, whatever its threads are waiting for.

    `started` are others to be ended, such as what the dead process had started.
    """
    if sys.stdout.isatty():
        print(SHOW_CURSOR, end="", flush=True)
    print(
        f"error: {described} died, perhaps because memory was short; what is finished is kept: run "
        "the same command again to go on",
        file=sys.stderr,
        flush=True,
    )
    for process in descendants().union(started):
        with suppress(psutil.Error):
            process.kill()
    os._exit(1)
