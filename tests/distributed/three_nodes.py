"""An inference on one node, to which two more come, of which one is killed, after which another one
joins: python -m tests.distributed.three_nodes WORLD OUT SETTING...

Prints how many workers there were in each of these states, and how many jobs each did, as JSON.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from luray.distributed.infer import Driver
from luray.distributed.sockets import short_folder
from luray.stages.infer import infer as run_infer
from tests.distributed.conftest import small_run
from tests.distributed.processes import named
from tests.fork_server import forked_workers
from tests.machine import patience, until

QUICK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 200,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
"""A node that is gone is found out within a second or two."""


def main(world: str, output: str, settings: list[str]) -> None:
    """Infer, on a cluster that changes at 1, 2 and 3 fifths of the way."""
    run = small_run(Path(world), Path(output), *settings)
    with short_folder() as folder, forked_workers():
        nodes = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "_system_config": QUICK,
                "temp_dir": folder,
                "include_dashboard": False,
            },
        )
        ray.init(nodes.address, log_to_driver=False)
        there: dict[str, int] = {}
        added: list[Any] = []
        drivers, jobs = watch_jobs()

        def report(done: int, total: int) -> None:
            if 5 * done > total and "first" not in there:
                there["first"] = wait_for(1)
                added.extend(nodes.add_node(num_cpus=1) for _ in range(2))
                wait_until_ready(drivers[0], 2)
                there["grown"] = wait_for(3)
            elif 5 * done > 2 * total and "killed" not in there:
                nodes.remove_node(added[0], allow_graceful=False)
                there["killed"] = wait_for(2)
            elif 5 * done > 3 * total and "joined" not in there:
                nodes.add_node(num_cpus=1)
                wait_until_ready(drivers[0], 1)
                there["joined"] = wait_for(3)

        run_infer(run, progress=report)
        ray.shutdown()
        nodes.shutdown()
    print(json.dumps({**there, "jobs": jobs}))


def watch_jobs() -> tuple[list[Driver], Counter[int]]:
    """The driver from its first job on, and how many jobs each worker is sent from now on."""
    drivers: list[Driver] = []
    jobs: Counter[int] = Counter()
    send: Callable[..., None] = Driver._send

    def counted(driver: Driver, worker: int, job: object) -> None:
        if not drivers:
            drivers.append(driver)
        jobs[worker] += 1
        send(driver, worker, job)

    Driver._send = counted  # type: ignore[method-assign]
    return drivers, jobs


def wait_until_ready(driver: Driver, n: int) -> None:
    """Wait until `n` of the workers that the driver has asked for can take jobs: meanwhile nothing
    else is done.
    """
    asked_for = [marker for marker, call in driver._calls.items() if call.job is None]
    ready, _ = ray.wait(asked_for, num_returns=n, timeout=patience(240))
    assert len(ready) == n, f"{len(ready)} of {n} workers came"


def wait_for(n: int) -> int:
    """Wait until so many workers are there."""
    until(lambda: len(named("ray::Worker")) == n, expected=f"{n} workers")
    return n


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
