"""Named moments at which tests make a process fail.

Each lies between two writes whose order makes luray safe to interrupt. In production a crash point
is an empty function: whether it is more is decided once, when this module is imported.
"""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

VARIABLE = "LURAY_CRASH_POINT"
"""Environment variable that arms a crash point, for tests only.

Its value is `<point>:<failure>:<passage>:<file>`. At that passage of the point (the first is 1) the
first process that creates the file fails; the others go on. It is read at every passage, so that a
process which was started with an empty value can be armed later.
"""

CrashPoint = Literal[
    "before shard",
    "between shards",
    "between shard and receipt",
    "after receipt",
    "before overviews",
    "before consolidation",
    "before publication",
    "lease renewal",
    "before checkpoint",
]
"""Moments, in the order in which an inference meets them; the last one is of a training."""

Failure = Literal["kill", "hang", "raise"]
"""SIGKILL, SIGSTOP until somebody sends SIGCONT, or an exception."""

CRASH_POINTS: tuple[CrashPoint, ...] = get_args(CrashPoint)
FAILURES: tuple[Failure, ...] = get_args(Failure)

_passages: Counter[str] = Counter()


class CrashPointError(RuntimeError):
    """The exception of a crash point."""


def _fail_where_armed(point: CrashPoint) -> None:
    """Fail if the environment says so for this passage of the point."""
    _passages[point] += 1
    name, _, arguments = os.environ.get(VARIABLE, "").partition(":")
    if name != point:
        return
    failure, passage, file = arguments.split(":", 2)
    if _passages[point] != int(passage):
        return
    try:
        Path(file).touch(exist_ok=False)
    except FileExistsError:  # another process has failed in this one's place
        return

    if failure == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif failure == "hang":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        raise CrashPointError(f"the crash point {point!r} raised, as {VARIABLE} says")


def _pass(point: CrashPoint) -> None:
    """Do nothing."""


crash_point = _fail_where_armed if VARIABLE in os.environ else _pass
"""Called with the name of the moment that has come."""
