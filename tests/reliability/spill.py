"""An inference whose cluster has no room left: neither in its memory nor where it spills to.

    python -m tests.reliability.spill WORLD OUT

The environment has `ENVIRONMENT`, and TMPDIR on a small file system. Objects that nobody needs fill
the object store and that disk; then an inference is tried, and once more after they are gone.
"""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

# Before Ray, which reads its environment when it is imported.
from luray.distributed.cluster import cluster  # isort: split

import ray

from luray.stages.infer import infer
from luray.storage.errors import NoRoomError
from tests.fork_server import forked_workers
from tests.reliability import plain

ENVIRONMENT = {
    "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(80 * 2**20),
    "RAY_max_direct_call_object_size": "100",
}
"""For Ray: little more than the smallest store that it accepts, and every object in it.

Strips and edges of a small world are so small that they would travel without it.
"""
BALLAST = (8 * 2**20, 2**20, 2**14)
"""Bytes of the objects that nobody needs: small ones last, until none fits."""
ROOM = 12
"""Of the smallest ones, that go again: the driver can begin, and the workers meet the full disk."""


def fill() -> list[ray.ObjectRef]:
    """Put objects until neither the store nor the disk takes any more."""
    kept = []
    for size in BALLAST:
        n_before = len(kept)
        with suppress(ray.exceptions.OutOfDiskError):
            while len(kept) < n_before + 200:
                kept.append(ray.put(np.full(size, len(kept), np.uint8)))
            raise AssertionError("the store is never full")
    return kept


def main(world: str, output: str) -> None:
    """Infer without room, and again with it; print what the first one says."""
    run = plain.run_of(Path(world), Path(output))
    with forked_workers():
        try:
            with cluster(cpus=2):
                ballast = fill()
                del ballast[-ROOM:]
                infer(run)
        except NoRoomError as error:
            print(f"refused: {error}", flush=True)

        # What filled memory and disk went with its cluster.
        with cluster(cpus=2):
            infer(run)
    print("finished", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
