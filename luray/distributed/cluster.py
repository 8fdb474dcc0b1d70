"""The Ray cluster that a command uses, and collecting the results of its tasks."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray.exceptions import RayTaskError

from luray.core.interruption import raise_on_signals
from luray.core.processes import keep_memory, worker_environment
from luray.core.progress import Progress
from luray.distributed.sockets import session_folders
from luray.distributed.watchdog import descendants, kill_left_over, watched
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

    with ExitStack() as stack:
        if "RAY_ADDRESS" in os.environ:
            ray.init(
                log_to_driver=False,
                runtime_env={"env_vars": {**worker_environment(), **environment()}},
            )
        else:
            folders = stack.enter_context(session_folders())
            # Workers inherit it: with variables of their own they would be started for every job.
            keep_memory()
            ray.init(
                "local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                runtime_env={"env_vars": environment()},
                **folders,
            )

            # Ray takes SIGTERM for itself, and ends with a code that no shell knows.
            raise_on_signals()
            before = descendants()
            stack.callback(kill_left_over, before)

        stack.callback(ray.shutdown)
        stack.enter_context(watched())
        yield


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
