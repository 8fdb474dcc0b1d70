"""Runs of the small world on a store that fails."""

import os
import random
from pathlib import Path

from tests.faults import FaultProxy, fault_proxy
from tests.reliability import errands, lives
from tests.reliability.conftest import SmallWorld
from tests.reliability.crashes import Survival
from tests.s3 import Bucket


def on_s3(small: SmallWorld, s3: Bucket, folder: str) -> str:
    """Copy cube and models of the small world to a folder of a bucket, and return its place."""
    for file in sorted(small.output.rglob("*")):
        name = file.relative_to(small.output).as_posix()
        if file.is_file() and not name.startswith("product.zarr"):
            s3.put(f"{folder}/{name}", file.read_bytes())
    return f"{s3.url}/{folder}"


def infer_through(proxy: FaultProxy, small: SmallWorld, place: str, log: Path) -> int:
    """Infer through a proxy in a life, which verifies what it has made; return its exit code."""
    credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return lives.live(
        errands.infer_on_store,
        small.world,
        small.output,
        place,
        proxy.url,
        small.product,
        environment=credentials,
        log=log,
    )


def kill_store(small: SmallWorld, s3: Bucket, folder: Path, *, kills: int, seed: int) -> Survival:
    """Kill the store under inferences at random moments, each time for a few requests."""
    moments = random.Random(seed)
    n_killed = n_runs = 0
    while n_killed < kills:
        place = on_s3(small, s3, f"killed-{n_runs}")
        log = folder / f"killed {n_runs}.log"
        with fault_proxy(s3.endpoint) as proxy:
            begin = 0
            for _ in range(kills - n_killed):
                begin += moments.randint(10, 60)
                proxy.outages.append(range(begin, begin + moments.randint(1, 4)))
            code = infer_through(proxy, small, place, log)
            assert code == 0, log.read_text()
            n_killed += sum(proxy.requests >= outage.stop for outage in proxy.outages)
        n_runs += 1
    return Survival(n_runs, n_killed, 0, 0)
