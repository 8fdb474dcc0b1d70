"""Processes that are made to be killed: forked from one that has imported everything already.

A life costs what it computes and nothing more, and its end comes from the kernel: no line of Python
runs after it.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from luray.core.crash_points import VARIABLE, CrashPoint, Failure
from luray.storage import lease
from tests.machine import patience, until

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.reliability.plain", "tests.reliability.errands"])

RENEWED_EVERY = 0.1
"""Seconds between renewals of a lease in a life."""
KILLED_BY_CLOCK = -signal.SIGPROF
"""Exit code of a life whose CPU time was up. Nothing handles this signal, so it ends a process at
once, as SIGKILL does.
"""


def begin(
    errand: Callable[..., Any],
    *arguments: Any,
    cpu_seconds: float = 0.0,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> BaseProcess:
    """Begin a life that does an errand, a function of a module.

    After `cpu_seconds` of CPU time it is killed, wherever it is then; 0 lets it live. What it prints
    goes to the file `log`.
    """
    # crash points are there only in processes that were started with the variable
    before = os.environ.get(VARIABLE)
    os.environ.setdefault(VARIABLE, "")
    forkserver.ensure_running()
    if before is None:
        del os.environ[VARIABLE]
    if log is not None:
        log.touch()
    process = CONTEXT.Process(
        target=_live,
        args=(errand, arguments, cpu_seconds, dict(environment or {}), patience(2), log),
    )
    process.start()
    return process


def live(errand: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """Live to the end, and return the exit code."""
    return ended(begin(errand, *arguments, **options))


def ended(process: BaseProcess) -> int:
    """Wait for the end of a life, and return its exit code."""
    process.join(patience(240))
    code = process.exitcode
    if code is None:
        process.kill()
        raise AssertionError("a life does not end")
    return code


def armed(point: CrashPoint, failure: Failure, folder: Path, *, passage: int = 1) -> dict[str, str]:
    """The environment of lives of which one fails at a crash point."""
    return {VARIABLE: f"{point}:{failure}:{passage}:{folder / 'failed'}"}


@contextmanager
def hanging(process: BaseProcess) -> Iterator[None]:
    """Wait until a life stands still, and let it go on at the end of the block."""
    stopped = psutil.Process(process.pid)
    until(lambda: stopped.status() == psutil.STATUS_STOPPED, expected="the process stands still")
    try:
        yield
    finally:
        stopped.send_signal(signal.SIGCONT)


def _live(
    errand: Callable[..., Any],
    arguments: tuple[Any, ...],
    cpu_seconds: float,
    environment: dict[str, str],
    holder_patience: float,
    log: Path | None,
) -> None:
    with (log or Path(os.devnull)).open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ.update(environment)
    lease.RENEWED_EVERY = RENEWED_EVERY
    lease.PATIENCE = holder_patience
    if cpu_seconds:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    errand(*arguments)
