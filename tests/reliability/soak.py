"""A run ten times as long as the small world's: its memory stays flat, and below the bound."""

import shutil
import statistics
from pathlib import Path

from luray.planning.memory import worker_bound
from luray.stages.infer import inference_of
from tests.reliability import errands, lives
from tests.reliability.conftest import SmallWorld

LONG = ("inference.years=[1999, 2089]",)
WARM_UP = 0.2
"""Share of the run in which caches fill."""


def soak(small: SmallWorld, folder: Path) -> tuple[list[float], int]:
    """Infer for a long time; return the resident MiB after each tile-year, and the bound of a worker."""
    output = folder / "soak"
    shutil.copytree(small.output / "model", output / "model")
    log = folder / "build.log"
    code = lives.live(errands.build, small.world, output, *LONG, log=log)
    assert code == 0, log.read_text()

    log = folder / "soak.log"
    code = lives.live(errands.infer_and_measure, small.world, output, *LONG, log=log)
    assert code == 0, log.read_text()
    curve = [float(line) for line in log.read_text().split()]
    run = small.run(output, *LONG)
    spec = inference_of(run, run.inference.span, run.product)
    return curve, worker_bound(spec, run.model, on_cpu=True)


def growth(curve: list[float]) -> float:
    """MiB by which memory grows over a whole run, once caches are full: Theil's slope.

    It is the median of the slopes between all pairs of a sample, so single peaks do not count.
    """
    warm = curve[round(WARM_UP * len(curve)) :]
    step = max(1, len(warm) // 60)
    sample = list(enumerate(warm))[::step]
    slopes = [
        (later - earlier) / (j - i)
        for n, (i, earlier) in enumerate(sample)
        for j, later in sample[n + 1 :]
    ]
    return statistics.median(slopes) * len(curve)
