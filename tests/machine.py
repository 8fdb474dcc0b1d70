"""How slow this machine is, and how tests wait: limits follow it."""

import os
import time
from collections.abc import Callable
from typing import Any

MEASURED = "LURAY_TESTS_SLOWNESS"
"""Environment variable that hands the measurement on to the processes that the tests start."""
PASS_SECONDS = 0.03
"""What `forward_seconds` gives on the machine for which limits are written down.

It has two quiet cores with AVX-512.
"""
PASSES = 10
"""Passes that are timed."""
LONGEST = 600.0
"""Seconds of one test with its fixtures there: a longer one hangs."""
POLLED = 0.05
"""Seconds between two looks at a state that is waited for."""


def slowness() -> float:
    """Return how many times longer things take here than on the machine of `PASS_SECONDS`.

    It is measured once a session.
    """
    if MEASURED not in os.environ:
        os.environ[MEASURED] = str(max(1.0, forward_seconds() / PASS_SECONDS))
    return float(os.environ[MEASURED])


def forward_seconds() -> float:
    """Return the wall time of a pass through two convolutions in one thread.

    Whatever else this machine does makes it longer, as it should.
    """
    import torch  # takes seconds, and most processes are handed the measurement

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(16, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3)
    )
    inputs = torch.rand(1, 16, 256, 256)

    with torch.inference_mode():
        layers(inputs)
        started = time.perf_counter()
        for _ in range(PASSES):
            layers(inputs)
        seconds = (time.perf_counter() - started) / PASSES

    torch.set_num_threads(threads)
    return seconds


def patience(seconds: float) -> float:
    """Return a limit in seconds of this machine."""
    return seconds * slowness()


def until(state: Callable[[], Any], *, expected: str, seconds: float = 120.0) -> Any:
    """Wait until a function returns something true, and return that.

    The limit follows the machine and only ends a wait for what never comes.
    """
    end = time.monotonic() + patience(seconds)
    while True:
        reached = state()
        if reached:
            return reached
        assert time.monotonic() < end, f"still not after {patience(seconds):.0f} s: {expected}"
        time.sleep(POLLED)
