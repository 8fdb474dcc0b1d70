"""An inference on one node, to which two more come, of which one is killed, after which another one joins:
python -m tests.distributed.three_nodes WORLD OUT SETTING...

Prints how many workers there were in each of these states, and how many jobs each did, as JSON.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from luray.distributed import stages
from luray.distributed.infer import Driver
from tests.distributed.conftest import small_run
from tests.distributed.processes import named

QUICK = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 200, "health_check_timeout_ms": 500,
         "health_check_failure_threshold": 3}
"""A node that is gone is found out within a second or two."""


def main(world: str, output: str, settings: list[str]) -> None:
    """Infer, on a cluster that changes at 1, 2 and 3 fifths of the way."""
    run = small_run(Path(world), Path(output), *settings)
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": QUICK,
                                                              "temp_dir": folder})
        ray.init(nodes.address, log_to_driver=False)
        there: dict[str, int] = {}
        added: list[Any] = []
        jobs = count_jobs()

        def report(done: int, total: int) -> None:
            if 5 * done > total and "first" not in there:
                there["first"] = wait_for(1)
                added.extend(nodes.add_node(num_cpus=1) for _ in range(2))
                there["grown"] = wait_for(3)
            elif 5 * done > 2 * total and "killed" not in there:
                nodes.remove_node(added[0], allow_graceful=False)
                there["killed"] = wait_for(2)
            elif 5 * done > 3 * total and "joined" not in there:
                nodes.add_node(num_cpus=1)
                there["joined"] = wait_for(3)
            elif "joined" in there and len(jobs) < 4:
                time.sleep(0.3)  # the rest would be done before the new worker is

        stages.infer(run, report=report)
        ray.shutdown()
        nodes.shutdown()
    print(json.dumps({**there, "jobs": jobs}))


def count_jobs() -> Counter[int]:
    """How many jobs each worker is sent from now on."""
    jobs: Counter[int] = Counter()
    send: Callable[..., None] = Driver._send

    def counted(driver: Driver, worker: int, job: object) -> None:
        jobs[worker] += 1
        send(driver, worker, job)

    Driver._send = counted  # type: ignore[method-assign]
    return jobs


def wait_for(n: int) -> int:
    """Wait until so many workers are there, a minute at most; returns how many are."""
    until = time.monotonic() + 60
    while len(named("ray::Worker")) != n and time.monotonic() < until:
        time.sleep(0.1)
    return len(named("ray::Worker"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
