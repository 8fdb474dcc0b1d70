"""Limits of cgroups, of both versions, from files as a kernel writes them."""

import os

import psutil
import pytest

from luray.core.limits import memory_limit, usable_cpus

GIB = 2**30


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_cgroup_the_machine_counts(tmp_path):
    assert memory_limit(tmp_path).n_bytes == psutil.virtual_memory().total
    assert usable_cpus(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GIB}\n"},
        {
            "proc/self/cgroup": "0::/pod/container\n",
            "sys/fs/cgroup/pod/container/memory.max": "max\n",
            "sys/fs/cgroup/pod/memory.max": f"{GIB}\n",
        },
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/pod\n",
            "sys/fs/cgroup/memory/pod/memory.limit_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        {  # the path is that of the host, which the container does not see
            "proc/self/cgroup": "4:memory:/docker/0123\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
        },
    ],
)
def test_the_narrowest_memory_limit_counts(tmp_path, files):
    limit = memory_limit(write(tmp_path, files))
    assert limit.n_bytes == GIB
    assert str(tmp_path / "sys/fs/cgroup") in limit.source


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        (
            {
                "proc/self/cgroup": "5:cpuacct,cpu:/pod\n",
                "sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            64,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, 64),
    ],
)
def test_threads_follow_the_quota_and_not_the_host(tmp_path, monkeypatch, files, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert usable_cpus(write(tmp_path, files)) == cpus
