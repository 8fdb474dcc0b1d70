"""An inference that stands still half-way until a line comes on its input:
python -m tests.distributed.half_way WORLD OUT SETTING...

Meanwhile it has printed how many tile-years are left.
"""

import sys
from pathlib import Path

from luray.distributed.cluster import cluster
from luray.stages.infer import infer as run_infer
from tests.distributed.conftest import small_run


def main(world: str, output: str, settings: list[str]) -> None:
    """Infer on the cluster that RAY_ADDRESS names."""
    run = small_run(Path(world), Path(output), *settings)
    held = False

    def report(done: int, total: int) -> None:
        nonlocal held
        if 2 * done > total and not held:
            held = True
            print(total - done, flush=True)
            sys.stdin.readline()

    with cluster(cpus=2):
        run_infer(run, progress=report)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
