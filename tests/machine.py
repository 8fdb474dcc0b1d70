"""How slow this machine is, and how tests wait: limits follow it."""

import os
import time
from collections.abc import Callable
from typing import Any

MEASURED = "LURAY_TESTS_SLOWNESS"
"""Environment variable that hands the measurement on to the processes that a session of tests
starts.
"""
PASS_SECONDS = 0.03
"""What `forward_seconds` gives on two quiet cores of a machine with AVX-512, for which limits are
written down.
"""
PASSES = 10
LONGEST = 600.0
"""Seconds of one test with its fixtures there, ten times what the slowest takes: a longer one
hangs.
"""
POLLED = 0.05
"""Seconds between two looks at a state that is waited for."""


def slowness() -> float:
    """How many times longer things take here than on the machine of `PASS_SECONDS`; measured once a
    session.
    """
    if MEASURED not in os.environ:
        os.environ[MEASURED] = str(max(1.0, forward_seconds() / PASS_SECONDS))
    return float(os.environ[MEASURED])


def forward_seconds() -> float:
    """Wall time of a pass through two convolutions in one thread, beside whatever else this machine
    does.
    """
    import torch  # takes seconds, and helpers of the tests are handed the measurement

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
    """A limit in seconds of this machine."""
    return seconds * slowness()


def until(state: Callable[[], Any], *, expected: str, seconds: float = 120.0) -> Any:
    """Wait for a state that will come, and return it; a limit that follows the machine only ends
    what never comes.
    """
    end = time.monotonic() + patience(seconds)
    while not (found := state()):
        assert time.monotonic() < end, f"still not after {patience(seconds):.0f} s: {expected}"
        time.sleep(POLLED)
    return found
