"""One evaluation in a cluster of its own: python -m tests.distributed.evaluations CPUS RUN SETTING...

Each setting is one of `--set`. Prints the CPUs of the cluster, and how many processes tallied.
"""

import os
import sys
from pathlib import Path

import ray

from luray.distributed.cluster import cluster
from luray.stages.evaluate import evaluate
from luray.stages.run_file import load_run
from tests.distributed.processes import named


def main(cpus: int, file: str, settings: list[str]) -> None:
    """Evaluate a run in a cluster of some CPUs."""
    os.environ.pop("RAY_ADDRESS", None)
    with cluster(cpus=cpus):
        evaluate(load_run(Path(file), settings))
        print(int(ray.cluster_resources()["CPU"]), len(named("ray::")))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
