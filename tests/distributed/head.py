"""A cluster of one node started as a user starts it, `ray start --head`, with a token and ports of its own."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

PORTS = ("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port",
         "ray-client-server-port")


@dataclass(frozen=True)
class Head:
    """The cluster's addresses, and the environment in which its users work."""

    dashboard: str
    metrics: str
    env: dict[str, str]

    def call(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of this Python's environment to its end, with the token."""
        return subprocess.run(self.words(*command), env=self.env, cwd=cwd, capture_output=True, text=True, timeout=240,
                              check=False)

    def words(self, *command: str) -> list[str]:
        """A command by its full path."""
        return [str(Path(sys.executable).with_name(command[0])), *command[1:]]


@contextmanager
def head_node(*, cpus: int) -> Iterator[Head]:
    """Start the node, wait until its dashboard answers, and stop it with all that runs on it."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray"))
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_JOB_STOP_WAIT_TIME_S": "60",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "PATH": path}
        head = Head(*(f"http://127.0.0.1:{ports[name]}" for name in ("dashboard-port", "metrics-export-port")), env)
        options = [f"--{name}={port}" for name, port in ports.items()]
        node = subprocess.Popen(head.words("ray", "start", "--head", "--block", f"--num-cpus={cpus}", *options,
                                           f"--temp-dir={folder}", "--disable-usage-stats"),
                                env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(kill, node)
        until = time.monotonic() + 60
        while not answers(head):
            assert node.poll() is None, "the head node ended"
            assert time.monotonic() < until, "the dashboard does not answer"
            time.sleep(0.2)
        yield head


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    for process in (*psutil.Process(node.pid).children(recursive=True), node):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.wait(60)


def answers(head: Head) -> bool:
    """True once the job API is there."""
    try:
        found = requests.get(f"{head.dashboard}/api/jobs/", timeout=5,
                             headers={"Authorization": f"Bearer {head.env['RAY_AUTH_TOKEN']}"})
    except requests.ConnectionError:
        return False
    return found.ok


def free_ports(n: int) -> Sequence[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
