"""Ray wiring, and the only package that imports ray: it decides where and when functions of the layers below run."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

if "RAY_ADDRESS" not in os.environ:
    # Ray reads this on import: a cluster of our own gets a token of its own, so that nobody else can use it.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import ray
from ray.exceptions import RayTaskError

from luray.model.speed import MALLOC, keep_memory
from luray.storage import environment

Report = Callable[[int, int], None]
"""Called with work done and work in all."""


@contextmanager
def cluster(*, cpus: int) -> Iterator[None]:
    """A Ray cluster for the duration: the one that RAY_ADDRESS names, or one of `cpus` CPUs on this machine."""
    if ray.is_initialized():
        yield
        return
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, runtime_env={"env_vars": {**MALLOC, **environment()}})
    else:  # inherited: a worker with variables of its own is started anew for every job
        keep_memory()
        ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, configure_logging=False,
                 runtime_env={"env_vars": environment()})
    try:
        yield
    finally:
        ray.shutdown()


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
