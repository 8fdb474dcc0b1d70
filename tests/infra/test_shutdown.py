"""What pods do before they stop, tried on Ray: the rendered preStop commands on a head without CPUs and a worker."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.infra.helm import Render

BIN = Path(sys.executable).parent
STAGE = """
import signal, sys, time
def stop(*_):
    print("finishing what is in hand", flush=True)
    time.sleep(4)  # longer than the 3 s after which Ray kills, unless told to wait
    print("stopped", flush=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print("at work", flush=True)
time.sleep(200)
"""
DRAIN = """
import ray, subprocess, sys, time
ray.init("auto", log_to_driver=False)
@ray.remote(num_cpus=1)
def work():
    time.sleep(5)
    return "done"
node, = (n["NodeID"] for n in ray.nodes() if n["Resources"].get("CPU"))
task = work.remote()
time.sleep(2)
subprocess.run(["/bin/bash", "-c", sys.argv[1].replace("drain-node", f"drain-node --node-id {node}")], check=True)
print(ray.get(task))
late = work.remote()
end = time.monotonic() + 20
while any(n["Alive"] for n in ray.nodes() if n["NodeID"] == node) and time.monotonic() < end:
    time.sleep(0.5)
gone, = (n for n in ray.nodes() if n["NodeID"] == node)
print(gone["Alive"], gone["DeathReasonMessage"], len(ray.wait([late], timeout=0)[0]))
"""


@dataclass
class Cluster:
    """A head that takes no tasks and a worker, as processes of this machine."""

    env: dict[str, str]
    dashboard: int

    def run(self, *command: str | Path) -> str:
        """Output of a command that succeeds."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def job(self, verb: str, *rest: str | Path) -> str:
        """`ray job`."""
        return self.run(BIN / "ray", "job", verb, "--address", f"http://127.0.0.1:{self.dashboard}", *rest)


def ports(n: int) -> list[int]:
    """Ports that were free a moment ago."""
    opened = [socket.socket() for _ in range(n)]
    for one in opened:
        one.bind(("", 0))
    numbers = [one.getsockname()[1] for one in opened]
    for one in opened:
        one.close()
    return numbers


def listens(port: int) -> bool:
    with socket.socket() as client:
        return not client.connect_ex(("127.0.0.1", port))


def until(true: Callable[[], Any], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "took too long"
        time.sleep(1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, render: Render) -> Iterator[Cluster]:
    (manifest,) = (m for m in render() if m["kind"] == "RayCluster")
    variables = manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    waits = {v["name"]: v["value"] for v in variables}["RAY_JOB_STOP_WAIT_TIME_S"]
    gcs, dashboard, *others = ports(8)
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_USAGE_STATS_ENABLED": "0",
           "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_JOB_STOP_WAIT_TIME_S": waits}
    folder = tmp_path_factory.mktemp("ray")
    short = Path("/tmp") / f"luray-{os.getpid()}"  # of a socket's path 107 characters count
    short.symlink_to(folder)
    kinds = (["--head", f"--port={gcs}", f"--dashboard-port={dashboard}", "--num-cpus=0", f"--temp-dir={short}"],
             [f"--address=127.0.0.1:{gcs}", "--num-cpus=1"])
    processes = []
    try:
        for i, how in enumerate(kinds):
            listen, grpc, metrics = others[3 * i: 3 * i + 3]
            processes.append(subprocess.Popen(
                [BIN / "ray", "start", "--block", *how, f"--dashboard-agent-listen-port={listen}",
                 f"--dashboard-agent-grpc-port={grpc}", f"--metrics-export-port={metrics}"],
                env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            until(lambda: listens(gcs), seconds=60)
        yield Cluster({**env, "RAY_ADDRESS": f"127.0.0.1:{gcs}"}, dashboard)
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        short.unlink()


def prestop(render: Render, group: str) -> list[str]:
    (manifest,) = (m for m in render() if m["kind"] == "RayCluster")
    spec = manifest["spec"]
    template = spec["headGroupSpec"] if group == "head" else spec["workerGroupSpecs"][0]
    return template["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]


def test_a_worker_finishes_its_task_gets_no_other_and_leaves(cluster: Cluster, render: Render) -> None:
    shell, flag, command = prestop(render, "cpu")
    assert (shell, flag) == ("/bin/bash", "-c")
    drain, wait = command.split(";", 1)
    subprocess.run(["/bin/bash", "-nc", wait], check=True)  # waits for the raylet of its own pod: not to be tried here
    until(lambda: "1.0 CPU" in cluster.run(BIN / "ray", "status"), seconds=60)
    said = cluster.run(sys.executable, "-c", DRAIN, drain).split("\n")
    assert said[-3:] == ["done", "False pod is terminating 0", ""]


def test_a_stage_finishes_what_it_has_in_hand_before_the_head_goes(cluster: Cluster, render: Render,
                                                                    tmp_path: Path) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text(STAGE)

    def submitted() -> bool:
        try:
            cluster.job("submit", "--no-wait", "--submission-id", "stage", "--", sys.executable, stage)
        except AssertionError as error:
            if "No available agent" in str(error):  # not yet
                return False
            raise
        return True

    until(submitted, seconds=60)
    until(lambda: "at work" in cluster.job("logs", "stage"), seconds=60)
    python, flag, code = prestop(render, "head")
    assert (python, flag) == ("python", "-c")
    code, changed = re.subn(r"127\.0\.0\.1:8265", f"127.0.0.1:{cluster.dashboard}", code)
    assert changed == 1
    cluster.run(sys.executable, "-c", code)
    assert cluster.job("logs", "stage").splitlines()[-2:] == ["finishing what is in hand", "stopped"]
