"""A cluster started as a user starts it, `ray start --head`, with a token and ports of its own."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from luray.core.processes import WAIT_POLICY
from luray.distributed.sockets import short_folder
from tests.machine import patience, until

NODE = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
"""Ports of every node that are fixed unless others are given."""
HEAD = ("port", "dashboard-port", "ray-client-server-port", *NODE)
"""Those of a head."""


@dataclass(frozen=True)
class Head:
    """The cluster's addresses, and the environment in which its users work."""

    dashboard: str
    metrics: str
    address: str
    env: dict[str, str]

    def call(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of this Python's environment to its end, with the token."""
        return subprocess.run(
            self.words(*command), env=self.env, cwd=cwd, capture_output=True, text=True, check=False
        )

    def words(self, *command: str) -> list[str]:
        """A command by its full path."""
        return [str(Path(sys.executable).with_name(command[0])), *command[1:]]


@contextmanager
def head_node(*, cpus: int, workers: int = 0, stop_seconds: int = 60) -> Iterator[Head]:
    """Start a head and worker nodes of one CPU, wait until the dashboard answers, and kill all of
    it at the end.

    A job that is stopped has `stop_seconds` to end.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        ports = free_ports(HEAD)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = ("RAY_TRAIN_", "RAY_worker_")
        own = {
            k: v for k, v in os.environ.items() if not k.startswith("RAY_") or k.startswith(kept)
        }
        env = {
            k: v for k, v in own.items() if k not in WAIT_POLICY
        } | {  # nodes know nothing of luray's
            "RAY_metrics_report_interval_ms": "1000",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_JOB_STOP_WAIT_TIME_S": str(stop_seconds),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PATH": path,
        }
        head = Head(
            *(
                f"http://127.0.0.1:{ports[name]}"
                for name in ("dashboard-port", "metrics-export-port")
            ),
            f"127.0.0.1:{ports['port']}",
            env,
        )
        kinds = [["--head", f"--num-cpus={cpus}", f"--temp-dir={folder}", *options(ports)]]
        kinds += [
            [f"--address={head.address}", "--num-cpus=1", *options(free_ports(NODE))]
            for _ in range(workers)
        ]
        for kind in kinds:
            node = subprocess.Popen(
                head.words("ray", "start", "--block", *kind),
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(kill, node)
            until(
                lambda node=node: node.poll() is not None or answers(head),
                expected="the dashboard answers",
            )
            assert node.poll() is None, "the node ended"
        yield head


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    for process in (*psutil.Process(node.pid).children(recursive=True), node):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.wait()


def answers(head: Head) -> bool:
    """True once the job API is there."""
    try:
        found = requests.get(
            f"{head.dashboard}/api/jobs/",
            timeout=patience(5),
            headers={"Authorization": f"Bearer {head.env['RAY_AUTH_TOKEN']}"},
        )
    except (requests.ConnectionError, requests.Timeout):
        return False
    return found.ok


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """A port that nobody listens on for each name."""
    with ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.socket()) for name in names}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in sockets.items()}


def options(ports: dict[str, int]) -> list[str]:
    """Ports as options of `ray start`."""
    return [f"--{name}={port}" for name, port in ports.items()]
