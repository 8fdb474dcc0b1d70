"""A cluster of one's own: its beginning in a program that has Ray already, and its end."""

import os
import subprocess
import sys

import psutil
import ray

from luray.distributed import cluster

RAY_BEFORE_LURAY = """
import ray
from luray.distributed.cluster import cluster
with cluster(cpus=1):
    print(ray.get(ray.remote(lambda: 6 * 7).remote()))
"""


def test_a_program_that_has_imported_ray_may_use_luray():
    own = {name: text for name, text in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", RAY_BEFORE_LURAY],
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "42"


def test_a_shutdown_that_fails_ends_rays_processes_and_no_command(monkeypatch, caplog):
    def fail():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(ray, "shutdown", fail)
    monkeypatch.setattr("luray.distributed.watchdog.SECONDS_TO_END", 0.1)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    cluster._shut_down([psutil.Process(process.pid)])
    assert process.wait() == -9
    assert "Ray did not shut down in order ([Errno 2]" in caplog.text
