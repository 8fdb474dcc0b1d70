"""Ray's workers as forks of a process that has imported what they need.

A worker that Ray starts itself imports torch, xarray and the rest of luray for four seconds of CPU
before it does anything, and the tests start hundreds. A fork has them after a few milliseconds, and
from there on it is a worker like any other. Clusters of the command line's own (`test_signals`,
`test_sockets`, `test_jobs`) start their workers as users' do.

Ray itself takes up to three seconds more, with its training and its data. Its C++ reads its settings
once, when it is imported, among them the job of a worker and its node. So the server has a fork for
each job with more than a few workers on a node: it imports Ray with the settings of that job, and
forks the job's workers.
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
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luray.core.processes import worker_environment
from luray.storage.objects import configure
from luray.storage.trust import configured

ADDRESS = "LURAY_TESTS_FORK_SERVER"
"""Environment variable that names the socket of the server."""
Worker = tuple[dict[str, Any], list[int]]
"""The words and environment of a worker, and its standard output and error."""
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
IMPORTED_FOR_A_JOB = (
    "luray.distributed.build",
    "luray.distributed.evaluate",
    "luray.distributed.infer",
    "luray.distributed.train",
    "ray._private.workers.setup_worker",
    "ray.train.torch.config",
)
"""Modules that the fork for a job imports: Ray, its training and its data."""
NO_JOB = "ffffffff"
"""The job of workers that a node starts before there is any; those that spill have none at all."""
FEW = 2
"""Workers that a job may have on a node before there is a fork for it."""
LARGEST_REQUEST = 2**17
"""Bytes."""


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
        params.no_monitor = True  # no cloud is asked for nodes

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
    share_with_forks()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(128)
        os.write(1, READY)
        with Path(os.devnull).open() as nowhere:
            os.dup2(nowhere.fileno(), 1)
        # ended forks leave no zombies
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        worker = next_worker(server)
    if worker is not None:
        become_worker(*worker)


def next_worker(server: socket.socket) -> Worker | None:
    """Return, in a fork, the worker that it is to become; in the server None, when it ends."""
    n_asked_for: Counter[frozenset[tuple[str, str]]] = Counter()
    jobs: dict[frozenset[tuple[str, str]], socket.socket] = {}
    while server in select.select([server, sys.stdin], [], [])[0]:
        request, outputs = receive(server)
        settings = settings_of_ray(request["environment"])
        n_asked_for[settings] += 1
        has_job = request["environment"].get("RAY_JOB_ID", NO_JOB) != NO_JOB
        if not has_job or n_asked_for[settings] <= FEW:
            if os.fork() == 0:
                return request, outputs
        else:
            if settings not in jobs:
                jobs[settings], requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                if os.fork() == 0:
                    for connection in (server, *jobs.values()):
                        connection.close()
                    return next_worker_of_job(requests, request["environment"])
                requests.close()
            socket.send_fds(jobs[settings], [json.dumps(request).encode()], outputs)
        for output in outputs:
            os.close(output)
    return None


def next_worker_of_job(requests: socket.socket, environment: dict[str, str]) -> Worker | None:
    """Import Ray with the settings of a job, and go on as `next_worker`."""
    os.environ.clear()
    os.environ.update(environment)
    import_ray()
    assert forks_draw_their_own_names(), "two workers would give their objects the same names"
    share_with_forks()

    with requests:
        while True:
            request, outputs, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 2)
            if not request:
                return None
            if os.fork() == 0:
                return json.loads(request), outputs
            for output in outputs:
                os.close(output)


def import_ray() -> None:
    """Import Ray and what needs it, without a random number of Ray's.

    Ray names its objects by such numbers, drawn from a pool that is filled when the first one is
    drawn: forks would go on from the same pool. The only names that imports draw are those of classes
    of actors, which the system gives here.
    """
    import ray.actor

    class_of_names = ray.actor.ActorClassID

    class NamesOfSystem:
        @staticmethod
        def from_random() -> Any:
            return class_of_names(os.urandom(class_of_names.size()))

    ray.actor.ActorClassID = NamesOfSystem
    for module in IMPORTED_FOR_A_JOB:
        importlib.import_module(module)
    ray.actor.ActorClassID = class_of_names


def forks_draw_their_own_names() -> bool:
    """Tell whether two forks draw different random numbers from Ray."""
    from ray import WorkerID

    names = []
    for _ in range(2):
        there, here = os.pipe()
        if os.fork() == 0:
            os.write(here, WorkerID.from_random().binary())
            os._exit(0)
        names.append(os.read(there, WorkerID.size()))
        os.close(there)
        os.close(here)
    return names[0] != names[1]


def settings_of_ray(environment: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Return the variables that Ray may read when it is imported."""
    return frozenset(item for item in environment.items() if item[0].startswith("RAY_"))


def share_with_forks() -> None:
    """Keep the collectors of forks from writing into what is there now, which all of them share."""
    gc.collect()
    gc.freeze()


def prepare_numba() -> None:
    """Let numba set up what it otherwise does at the first kernel of a process.

    With its import that is half a second of CPU, three times as much as the rest of a worker.
    """
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def receive(server: socket.socket) -> Worker:
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
