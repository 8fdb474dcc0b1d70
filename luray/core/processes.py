"""Environment variables that decide how fast processes compute, and how much memory they take.

glibc and OpenMP read theirs once, when they start.
"""

import os

MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_ARENA_MAX": "1",
}
"""Make glibc keep the memory of one batch for the next.

By default it returns the memory to the system and faults it in again, in every thread but the first
whatever the thresholds. A forward pass on the CPU then takes 1.6 times as long.
"""

WAIT_POLICY = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Let OpenMP threads sleep while they wait for each other.

By default they spin, and beside any other busy process training falls to a fraction of its speed.
"""


GDAL_CACHE = {"GDAL_CACHEMAX": "128"}
"""MB of decoded blocks that GDAL keeps: a band of 2000 rows around the globe.

By default it takes a share of the machine, in each process.
"""


def set_defaults() -> None:
    """Set `WAIT_POLICY` and `GDAL_CACHE` in this process and those it starts.

    What the user has set stays. OpenMP reads its variable when torch is imported, so
    `luray/__init__.py` calls this before anything else is imported.
    """
    for name, value in {**WAIT_POLICY, **GDAL_CACHE}.items():
        os.environ.setdefault(name, value)


def worker_environment() -> dict[str, str]:
    """Return the variables that computing processes need when they start.

    A variable that is set in this process keeps its value.
    """
    defaults = {**MALLOC, **WAIT_POLICY}
    return {name: os.environ.get(name, value) for name, value in defaults.items()}


def keep_memory() -> None:
    """Set `worker_environment` in this process, for those that it starts from now on."""
    os.environ.update(worker_environment())
