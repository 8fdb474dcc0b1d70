"""The Ray cluster that a command uses, and collecting the results of its tasks."""

import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayTaskError

from luray.core.interruption import keyboard_interrupts
from luray.core.processes import keep_memory, worker_environment
from luray.core.progress import Progress
from luray.distributed.sockets import session_folders, temporary_folder
from luray.distributed.watchdog import descendants, families, kill_left_over, watched
from luray.storage.errors import NoRoomError
from luray.storage.trust import environment

log = logging.getLogger(__name__)


@contextmanager
def cluster(*, cpus: int) -> Iterator[None]:
    """Keep a Ray cluster for the duration of a block.

    Parameters
    ----------
    cpus : int
        CPUs of the cluster that is started on this machine. A cluster that RAY_ADDRESS names is
        joined as it is.

    Raises
    ------
    OSError
        If no folder is found whose path is short enough for Ray's sockets.
    NoRoomError
        When neither Ray's memory for objects nor the disk that it spills to takes any more.
    """
    if ray.is_initialized():
        with _explained_when_full("a node of the cluster"):
            yield
        return

    # What this process has started by now is none of Ray's, and is left alone at the end.
    started_before = descendants()
    spilled_to = "a node of the cluster"
    with ExitStack() as stack:
        if "RAY_ADDRESS" in os.environ:
            with _own_sigterm():
                ray.init(
                    log_to_driver=False,
                    runtime_env={"env_vars": {**worker_environment(), **environment()}},
                )
        else:
            folders = stack.enter_context(session_folders())
            spilled_to = folders.get("object_spilling_directory", temporary_folder())
            # Workers inherit both. With variables of its own in a runtime environment, a job would
            # not get the workers that Ray starts beforehand.
            keep_memory()
            os.environ.update(environment())
            with _own_sigterm():
                ray.init(
                    "local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                    **folders,
                )

        stack.callback(_shut_down, descendants() - started_before)
        stack.enter_context(watched())
        with keyboard_interrupts(), _explained_when_full(spilled_to):
            yield


@contextmanager
def _explained_when_full(place: str) -> Iterator[None]:
    """Replace Ray's error for a full store, which fills pages, by one that says what to do."""
    try:
        yield
    except (OutOfDiskError, ObjectStoreFullError) as error:
        raise NoRoomError(
            f"{place}: Ray's memory for objects is full, and so is the disk that it spills to; "
            "make room there, set TMPDIR to a folder on a larger disk (on Kubernetes raise `disk` "
            "or `memory` of the workers), or lower inference.years_in_flight, and run the command "
            "again: it goes on where it was, as whatever was finished is kept"
        ) from error


def _shut_down(started: Iterable[psutil.Process]) -> None:
    """Leave the cluster, and end what it has started on this machine."""
    # Looked up before the shutdown: what a process has started is not found once it is gone.
    processes_of_ray = families(started)
    try:
        ray.shutdown()
    except Exception as error:
        # The work is done by now, and must not be taken for failed. Ray's processes end below.
        log.warning("Ray did not shut down in order (%s); its processes are ended", error)
    kill_left_over(processes_of_ray)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this program's answer to SIGTERM: Ray's own exits with a code that no shell knows."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    in_main_thread = threading.current_thread() is threading.main_thread()
    if handler is not signal.SIG_DFL and in_main_thread:
        signal.signal(signal.SIGTERM, handler)


def collect(tasks: list[Any], *, progress: Progress) -> list[Any]:
    """Return the results of tasks in the order in which they finish.

    Parameters
    ----------
    tasks : list of references
        Ray tasks that are under way.
    progress : callable
        Called with the number of finished tasks and of all.

    Raises
    ------
    Exception
        What a task raised.
    """
    total = len(tasks)
    results = []
    while tasks:
        progress(total - len(tasks), total)
        (finished,), tasks = ray.wait(tasks, num_returns=1)
        try:
            results.append(ray.get(finished))
        except RayTaskError as error:
            raise error.cause from None
    progress(total, total)
    return results
