"""CPUs and memory that this process may use: those of the machine, or the limits of its cgroup.

Containers see the CPUs and the memory of the whole host. What they may use stands in the files of
their cgroup, of version 2 or 1, and of the groups above it.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path("/")
"""Root of the file system; tests give another."""
UNLIMITED = 2**60
"""Version 1 writes a number near 2^63 where there is no limit."""


class MemoryLimit(NamedTuple):
    """Bytes that all processes here may use together, and who says so."""

    n_bytes: int
    source: str


def memory_limit(root: Path = ROOT) -> MemoryLimit:
    """Return the memory of the machine, or that of the cgroup where it is less."""
    limits = [MemoryLimit(psutil.virtual_memory().total, "this machine has")]
    files = [
        *_files("memory.max", version=2, root=root),
        *_files("memory.limit_in_bytes", version=1, controller="memory", root=root),
    ]
    for file in files:
        text = _read(file)
        if text.isdigit() and int(text) < UNLIMITED:
            limits.append(MemoryLimit(int(text), f"the cgroup ({file}) allows"))
    return min(limits, key=lambda limit: limit.n_bytes)


def usable_cpus(root: Path = ROOT) -> int:
    """Return how many CPUs this process may keep busy, at least 1.

    These are the CPUs of its affinity, or the quota of its cgroup, rounded up, where that is less:
    threads beyond the quota would only use it up sooner, and stand still for the rest of each
    period.
    """
    # Quota and period are microseconds of CPU time and of time: their quotient is CPUs. Where there
    # is no limit the quota is "max" in version 2, and -1 in version 1.
    quotas_and_periods = []
    for file in _files("cpu.max", version=2, root=root):
        quota, _, period = _read(file).partition(" ")
        quotas_and_periods.append((quota, period))
    for file in _files("cpu.cfs_quota_us", version=1, controller="cpu", root=root):
        quota = _read(file)
        period = _read(file.with_name("cpu.cfs_period_us"))
        quotas_and_periods.append((quota, period))

    cpus = float(len(os.sched_getaffinity(0)))
    for quota, period in quotas_and_periods:
        if quota.isdigit() and period.isdigit() and int(period):
            cpus = min(cpus, int(quota) / int(period))
    return max(1, math.ceil(cpus))


def _files(name: str, *, version: int, root: Path, controller: str = "") -> Iterator[Path]:
    """Yield the files of a limit: of the cgroup of this process, and of those above it."""
    mount = root / "sys/fs/cgroup"
    if version == 1:
        mount /= controller
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        # A line of version 2 names no controllers.
        is_of_limit = not controllers if version == 2 else controller in controllers.split(",")
        if not is_of_limit:
            continue

        # The limits of all groups above hold, too.
        folder = mount / path.lstrip("/")
        while folder.is_relative_to(mount):
            yield folder / name
            folder = folder.parent


def _read(file: Path) -> str:
    """Return the text of a file, empty where it is not there or may not be read."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
