"""An inference with Ray whose workers and nodes are killed, and workers stopped, as it goes:
python -m tests.reliability.ray_kills WORLD OUT WORKERS NODES PAUSES SEED

Does one of it after every few tile-years, and prints how often it has done each. A worker that is
stopped goes on once others have done some tile-years in its place: what it writes then is late.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from luray.distributed.sockets import short_folder
from luray.stages.infer import infer as run_infer
from tests.distributed.processes import named
from tests.distributed.three_nodes import QUICK
from tests.reliability import plain

WORKERS = "inference.workers={min=1, max=3}"
PAUSE_TILE_YEARS = 3
"""Tile-years that others do while a worker is stopped."""
PAUSE_SECONDS = 30.0
"""After which it goes on all the same: where it is the only one, nobody does them."""


class Pause:
    """A worker that is stopped until others have gone on without it."""

    def __init__(self, worker: int, done: int) -> None:
        self.worker = worker
        self.due = done + PAUSE_TILE_YEARS
        self.latest = time.monotonic() + PAUSE_SECONDS
        os.kill(worker, signal.SIGSTOP)

    def end_if_due(self, done: int) -> bool:
        """Let the worker go on when it is time."""
        if done < self.due and time.monotonic() < self.latest:
            return False
        self.end()
        return True

    def end(self) -> None:
        """Let the worker go on, if the run has not released it meanwhile."""
        with suppress(ProcessLookupError):
            os.kill(self.worker, signal.SIGCONT)


def main(world: str, output: str, n_workers: int, n_nodes: int, n_pauses: int, seed: int) -> None:
    """Infer on a cluster that is never left alone."""
    run = plain.run_of(Path(world), Path(output), WORKERS)
    moments = random.Random(seed)
    kinds = ["worker"] * n_workers + ["node"] * n_nodes + ["pause"] * n_pauses
    moments.shuffle(kinds)
    struck: list[str] = []
    pauses: list[Pause] = []
    with short_folder() as folder:
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "_system_config": QUICK, "temp_dir": folder},
        )
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        ray.init(cluster.address, log_to_driver=False)
        due = moments.randint(1, 3)

        def strike(done: int, _: int) -> None:
            nonlocal due
            pauses[:] = [pause for pause in pauses if not pause.end_if_due(done)]
            if done < due or len(struck) == len(kinds):
                return
            kind = kinds[len(struck)]
            workers = named("ray::Worker")
            if kind == "node":
                cluster.remove_node(nodes.pop(0), allow_graceful=False)
                nodes.append(cluster.add_node(num_cpus=1))
            elif not workers:
                return  # the driver asks for one after this call, and not while it waits here
            elif kind == "worker":
                os.kill(moments.choice(workers), signal.SIGKILL)
            else:
                pauses.append(Pause(moments.choice(workers), done))
            struck.append(kind)
            due = done + moments.randint(1, 3)

        while True:
            try:
                run_infer(run, progress=strike)
                break
            except RuntimeError as error:
                # the same work was struck four times: what is finished is kept
                if "run `luray infer` again" not in str(error):
                    raise
        for pause in pauses:
            pause.end()
        ray.shutdown()
        cluster.shutdown()
    counts = {"workers": "worker", "nodes": "node", "pauses": "pause"}
    print(json.dumps({name: struck.count(kind) for name, kind in counts.items()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7]))
