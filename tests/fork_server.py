"""Ray's workers as forks of a process that has imported what they need.

A worker that Ray starts itself imports torch, xarray and the rest of luray for four seconds of CPU
before it does anything, and the tests start hundreds. A fork has them after a few milliseconds.

It imports Ray itself, and must: Ray reads its settings when it is imported, and names its objects by
random numbers, which forks of one import would have in common. From there on it is a worker like any
other. Clusters of the command line's own (`test_signals`, `test_sockets`, `test_jobs`) start their
workers as users' do.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luray.core.processes import worker_environment
from luray.storage.objects import configure
from luray.storage.trust import configured

ADDRESS = "LURAY_TESTS_FORK_SERVER"
"""Environment variable that names the socket of the server."""
READY = b"ready"
START_WORKER = Path(__file__).with_name("start_worker.py")
"""What Ray's node manager runs instead of its own `setup_worker.py`."""
IMPORTED = (
    "luray.cube.build",
    "luray.engine.side_work",
    "luray.engine.tile_year",
    "luray.product.comparison",
    "luray.product.scoring",
    "luray.sources.check",
    "luray.training.finished_model",
    "luray.training.training",
    "luray.training.training_logger",
    "luray.training.window_rows",
    # what Ray's own modules import
    "aiohttp",
    "jsonschema",
    "pandas",
    "psutil",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.fs",
    "pyarrow.parquet",
    "pydantic",
    "requests",
    "torch._dynamo",
    "torch.distributed",
    # what places on a store need
    "gcsfs",
    "s3fs",
    # what the first kernel of a process needs
    "numba.core.registry",
)
"""Modules that the server imports: none of them imports Ray."""


@contextmanager
def forked_workers() -> Iterator[None]:
    """Let the nodes of Ray that this process starts in a block fork their workers."""
    # not in the server, which imports this module, too
    from ray._private.parameter import RayParams

    from luray.distributed.sockets import short_folder
    from tests.head import kill

    initialise = RayParams.__init__

    def initialise_for_forks(params: RayParams, *arguments: Any, **options: Any) -> None:
        initialise(params, *arguments, **options)
        params.setup_worker_path = str(START_WORKER)
        params.include_log_monitor = False  # nobody follows the logs

    with short_folder() as folder:
        address = f"{folder}/fork"
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", address],
            env={**os.environ, **worker_environment()},  # glibc reads it when a process starts
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert server.stdout.read() == READY, "the fork server has ended"
            os.environ[ADDRESS] = address
            RayParams.__init__ = initialise_for_forks
            yield
        finally:
            RayParams.__init__ = initialise
            os.environ.pop(ADDRESS, None)
            with server:
                kill(server)


def main(address: str) -> None:
    """Serve forks until the input ends; in a fork, become the worker that was asked for."""
    for module in IMPORTED:
        importlib.import_module(module)
    prepare_numba()
    assert "ray" not in sys.modules, "Ray reads its settings when it is imported: too early here"
    # what is there now is shared by all forks: their collectors shall not write into it
    gc.collect()
    gc.freeze()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(128)
        os.write(1, READY)
        with Path(os.devnull).open() as nowhere:
            os.dup2(nowhere.fileno(), 1)
        # ended forks leave no zombies
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while server in select.select([server, sys.stdin], [], [])[0]:
            request, outputs = receive(server)
            if os.fork() == 0:
                break
            for output in outputs:
                os.close(output)
        else:
            return
    become_worker(request, outputs)


def prepare_numba() -> None:
    """Let numba set up what it otherwise does at the first kernel of a process.

    With its import that is half a second of CPU, three times as much as the rest of a worker.
    """
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def receive(server: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive the request for a worker, with its standard output and error."""
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as stream:
        _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
        return json.loads(stream.read()), outputs


def become_worker(request: dict[str, Any], outputs: list[int]) -> None:
    """Do what Ray's `setup_worker.py` does, and run what it would start."""
    # Ray ends the process group of a worker with it
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(1, 0)  # the input of the server tells it when to end
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
        os.close(output)
    os.environ.clear()
    os.environ.update(request["environment"])

    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.utils import update_envs
    from ray._private.workers import setup_worker

    options, words = setup_worker.parser.parse_known_args(request["words"])
    context = RuntimeEnvContext.deserialize(options.serialized_runtime_env_context or "{}")
    assert not context.command_prefix, f"no fork can begin with {context.command_prefix}"
    update_envs(context.env_vars)

    # the one module that has read the environment already
    configure(configured())

    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
