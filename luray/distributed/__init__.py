"""Ray wiring, and the only package that imports ray: it decides where and when functions of the layers below run."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

if "RAY_ADDRESS" not in os.environ:
    # Ray reads this on import: a cluster of our own gets a token of its own, so that nobody else can use it.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import ray
from ray.exceptions import RayTaskError

from luray.distributed.sockets import session_folders
from luray.model.speed import keep_memory, worker_environment
from luray.storage import environment

Report = Callable[[int, int], None]
"""Called with work done and work in all."""


@contextmanager
def cluster(*, cpus: int) -> Iterator[None]:
    """Keep a Ray cluster for the duration of a block.

    Parameters
    ----------
    cpus : int
        CPUs of the cluster that is started on this machine. A cluster that RAY_ADDRESS names is joined as it is.

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
            ray.init(log_to_driver=False, runtime_env={"env_vars": {**worker_environment(), **environment()}})
        else:
            folders = stack.enter_context(session_folders())
            keep_memory()  # inherited: a worker with variables of its own is started anew for every job
            ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, configure_logging=False,
                     runtime_env={"env_vars": environment()}, **folders)

        stack.callback(ray.shutdown)
        yield


def collected(tasks: list[Any], *, report: Report) -> list[Any]:
    """Results of tasks in the order in which they finish. Raises what a task raised."""
    total, results = len(tasks), []
    while tasks:
        report(total - len(tasks), total)
        (finished,), tasks = ray.wait(tasks, num_returns=1)
        try:
            results.append(ray.get(finished))
        except RayTaskError as error:
            raise error.cause from None
    report(total, total)
    return results


def silent(done: int, total: int) -> None:
    """A report that nobody reads."""
