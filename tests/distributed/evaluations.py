"""Evaluations in clusters of their own: python -m tests.distributed.evaluations WORLD CPUS OUT...

Evaluates the run of the small world in each output, with the CPUs named before it. Prints for each
the CPUs of its cluster, and how many processes tallied.
"""

import os
import sys
from pathlib import Path

import ray

from luray.distributed.cluster import cluster
from luray.stages.evaluate import evaluate
from tests.distributed.conftest import small_run
from tests.distributed.processes import named
from tests.fork_server import forked_workers


def main(world: str, *words: str) -> None:
    """Evaluate a run in a cluster of some CPUs, and the next one in the next cluster."""
    os.environ.pop("RAY_ADDRESS", None)
    with forked_workers():
        for cpus, output in zip(words[::2], words[1::2], strict=True):
            with cluster(cpus=int(cpus)):
                evaluate(small_run(Path(world), Path(output)))
                print(int(ray.cluster_resources()["CPU"]), len(named("ray::")))


if __name__ == "__main__":
    main(*sys.argv[1:])
