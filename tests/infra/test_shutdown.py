"""What pods do before they stop, tried on Ray: the rendered preStop commands on a head without CPUs
and a worker.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.head import Head, head_node
from tests.infra.helm import Render
from tests.machine import until

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
while True:
    time.sleep(1)
"""
DRAIN = """
import pathlib, ray, subprocess, sys, time
ray.init("auto", log_to_driver=False)
folder = pathlib.Path(sys.argv[2])
def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.1)
@ray.remote(num_cpus=1)
def work(folder):
    (folder / "begun").touch()
    wait_for("drained")
    return "done"
node, = (n["NodeID"] for n in ray.nodes() if n["Resources"].get("CPU"))
task = work.remote(folder)
wait_for("begun")
subprocess.run(["/bin/bash", "-c", sys.argv[1].replace("drain-node", f"drain-node --node-id {node}")], check=True)
late = work.remote(folder)
(folder / "drained").touch()
print(ray.get(task))
while any(n["Alive"] for n in ray.nodes() if n["NodeID"] == node):
    time.sleep(0.5)
gone, = (n for n in ray.nodes() if n["NodeID"] == node)
print(gone["Alive"], gone["DeathReasonMessage"], len(ray.wait([late], timeout=0)[0]))
"""


def run(cluster: Head, *command: str | Path) -> str:
    """Output of a command that succeeds."""
    done = subprocess.run(
        command, env={**cluster.env, "RAY_ADDRESS": cluster.address}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def job(cluster: Head, verb: str, *rest: str | Path) -> str:
    """`ray job`."""
    return run(cluster, BIN / "ray", "job", verb, "--address", cluster.dashboard, *rest)


@pytest.fixture(scope="module")
def cluster(render: Render) -> Iterator[Head]:
    (manifest,) = (m for m in render() if m["kind"] == "RayCluster")
    variables = manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    waits = {v["name"]: v["value"] for v in variables}["RAY_JOB_STOP_WAIT_TIME_S"]
    with head_node(cpus=0, workers=1, stop_seconds=int(waits)) as found:
        yield found


def prestop(render: Render, group: str) -> list[str]:
    (manifest,) = (m for m in render() if m["kind"] == "RayCluster")
    spec = manifest["spec"]
    template = spec["headGroupSpec"] if group == "head" else spec["workerGroupSpecs"][0]
    return template["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]


def test_a_worker_finishes_its_task_gets_no_other_and_leaves(
    cluster: Head, render: Render, tmp_path: Path
) -> None:
    shell, flag, command = prestop(render, "cpu")
    assert (shell, flag) == ("/bin/bash", "-c")
    drain, wait = command.split(";", 1)
    subprocess.run(
        ["/bin/bash", "-nc", wait], check=True
    )  # waits for the raylet of its own pod: not to be tried here
    until(
        lambda: "1.0 CPU" in run(cluster, BIN / "ray", "status"),
        expected="the worker's CPU is there",
    )
    said = run(cluster, sys.executable, "-c", DRAIN, drain, tmp_path).split("\n")
    assert said[-3:] == ["done", "False pod is terminating 0", ""]


def test_a_stage_finishes_what_it_has_in_hand_before_the_head_goes(
    cluster: Head, render: Render, tmp_path: Path
) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text(STAGE)

    def submitted() -> bool:
        try:
            job(
                cluster,
                "submit",
                "--no-wait",
                "--submission-id",
                "stage",
                "--",
                sys.executable,
                stage,
            )
        except AssertionError as error:
            if "No available agent" in str(error):  # not yet
                return False
            raise
        return True

    until(submitted, expected="the head takes jobs")
    until(lambda: "at work" in job(cluster, "logs", "stage"), expected="the stage is at work")
    python, flag, code = prestop(render, "head")
    assert (python, flag) == ("python", "-c")
    code, changed = re.subn(r"http://127\.0\.0\.1:8265", cluster.dashboard, code)
    assert changed == 1
    run(cluster, sys.executable, "-c", code)
    assert job(cluster, "logs", "stage").splitlines()[-2:] == [
        "finishing what is in hand",
        "stopped",
    ]
