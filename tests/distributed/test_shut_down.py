"""The end of a cluster, after the work is done."""

import subprocess
import sys

import psutil
import ray

from luray.distributed import cluster


def test_a_shutdown_that_fails_ends_rays_processes_and_no_command(monkeypatch, caplog):
    def fail():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(ray, "shutdown", fail)
    monkeypatch.setattr("luray.distributed.watchdog.SECONDS_TO_END", 0.1)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    cluster._shut_down([psutil.Process(process.pid)])
    assert process.wait() == -9
    assert "Ray did not shut down in order ([Errno 2]" in caplog.text
