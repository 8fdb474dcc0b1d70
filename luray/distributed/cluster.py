"""The Ray cluster that a command uses, and collecting the results of its tasks."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import ray
from ray.exceptions import RayTaskError

from luray.core.interruption import keyboard_interrupts
from luray.core.processes import keep_memory, worker_environment
from luray.core.progress import Progress
from luray.distributed.sockets import session_folders
from luray.distributed.watchdog import descendants, families, kill_left_over, watched
from luray.storage.trust import environment


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
    """
    if ray.is_initialized():
        yield
        return

    known = descendants()
    with ExitStack() as stack:
        if "RAY_ADDRESS" in os.environ:
            with _own_sigterm():
                ray.init(
                    log_to_driver=False,
                    runtime_env={"env_vars": {**worker_environment(), **environment()}},
                )
        else:
            folders = stack.enter_context(session_folders())
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

        stack.callback(_shut_down, descendants() - known)
        stack.enter_context(watched())
        with keyboard_interrupts():
            yield


def _shut_down(started: Iterable[psutil.Process]) -> None:
    """Leave the cluster, and end what it has started on this machine."""
    of_ray = families(started)
    ray.shutdown()
    kill_left_over(of_ray)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this program's answer to SIGTERM: Ray's own exits with a code that no shell knows."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


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
