"""An inference on a cluster of three nodes, of which one is killed and one joins: python -m tests.distributed.three_nodes
RUN.toml SETTING...

Prints a line a happening: nodes that are there, and workers (process ids by node) that have been seen.
"""

import os
import sys
import tempfile
from pathlib import Path

import ray
from ray.cluster_utils import Cluster
from ray.util.state import list_actors

from luray.config import load_run
from luray.distributed import stages

QUICK = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 200, "health_check_timeout_ms": 500,
         "health_check_failure_threshold": 3}
"""A node that is gone is found out within a second or two."""


def main(file: str, settings: list[str]) -> None:
    """Infer, with the harm done at a third and the help coming at a half of the way."""
    run = load_run(Path(file), settings)
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": QUICK,
                                                              "include_dashboard": True, "temp_dir": folder})
        doomed, _ = nodes.add_node(num_cpus=1), nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        ray.init(nodes.address, log_to_driver=False)
        happened: set[str] = set()

        def report(done: int, total: int) -> None:
            if 3 * done > total and "killed" not in happened:
                happened.add("killed")
                print(f"killed a node, {done} of {total}: {workers()}", flush=True)
                nodes.remove_node(doomed, allow_graceful=False)
            elif 2 * done > total and "joined" not in happened:
                happened.add("joined")
                print(f"a node joins, {done} of {total}", flush=True)
                nodes.add_node(num_cpus=1)
            elif 4 * done > 3 * total and "seen" not in happened:
                happened.add("seen")
                print(f"later, {done} of {total}: {workers()}", flush=True)

        stages.infer(run, report=report)
        ray.shutdown()
        nodes.shutdown()


def workers() -> int:
    """Workers that are alive, one a node."""
    return len({a.node_id for a in list_actors(filters=[("state", "=", "ALIVE"), ("class_name", "=", "Worker")])})


if __name__ == "__main__":
    os.environ["RAY_grpc_enable_http_proxy"] = "0"
    main(sys.argv[1], sys.argv[2:])
