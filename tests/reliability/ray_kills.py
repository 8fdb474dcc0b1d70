"""An inference with Ray whose workers and nodes are killed as it goes:
python -m tests.reliability.ray_kills WORLD OUT WORKERS NODES SEED

Kills so many workers and nodes, one after every few tile-years, and prints how many it has killed.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from luray.distributed.sockets import short_folder
from luray.stages.infer import infer as run_infer
from tests.distributed.processes import named
from tests.distributed.three_nodes import QUICK
from tests.machine import until
from tests.reliability import plain

WORKERS = "inference.workers={min=1, max=3}"


def main(world: str, output: str, n_workers: int, n_nodes: int, seed: int) -> None:
    """Infer on a cluster that is never left alone."""
    run = plain.run_of(Path(world), Path(output), WORKERS)
    moments = random.Random(seed)
    kinds = ["worker"] * n_workers + ["node"] * n_nodes
    moments.shuffle(kinds)
    killed: list[str] = []
    with short_folder() as folder:
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "_system_config": QUICK, "temp_dir": folder},
        )
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        ray.init(cluster.address, log_to_driver=False)
        due = moments.randint(1, 3)

        def kill_some(done: int, _: int) -> None:
            nonlocal due
            if done < due or len(killed) == len(kinds):
                return
            due = done + moments.randint(1, 3)
            kind = kinds[len(killed)]
            if kind == "node":
                cluster.remove_node(nodes.pop(0), allow_graceful=False)
                nodes.append(cluster.add_node(num_cpus=1))
            else:
                workers = until(lambda: named("ray::Worker"), expected="a worker is there")
                os.kill(moments.choice(workers), signal.SIGKILL)
            killed.append(kind)

        while True:
            try:
                run_infer(run, progress=kill_some)
                break
            except RuntimeError as error:
                # the same work was struck four times: what is finished is kept
                if "run `luray infer` again" not in str(error):
                    raise
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps({"workers": killed.count("worker"), "nodes": killed.count("node")}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
