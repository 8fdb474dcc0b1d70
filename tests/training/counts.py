"""Change counts of a made-up grid of 13 x 25 cores, each of them a plot."""

import numpy as np

from luray.core.legend_files import HILDA
from luray.core.tiling import Tiling
from luray.training.change_counts import ChangeCounts

TILING = Tiling(400, 800, 48, 32, 64)
ROWS, COLS = 13, 25
YEARS = tuple(range(1955, 1975))


def counts_of(*, land=None, seed=0, quiet=0.5):
    """Land in lumps unless given, zones in bands, and change in all plots but a share `quiet`."""
    random = np.random.default_rng(seed)
    if land is None:
        land = np.kron(random.random((7, 13)) < 0.6, np.full((2, 2), 500))[:ROWS, :COLS]
        land[0, 0] = 500
    changed = random.integers(1, 200, (len(YEARS) - 1, ROWS, COLS))
    changed = changed * (random.random((ROWS, COLS)) > quiet) * (land > 0)
    zone = np.where(np.arange(ROWS) < 11, 1, 7)[:, None] + np.zeros((ROWS, COLS), int)
    return ChangeCounts(
        years=YEARS,
        plot=32,
        land_RC=land.astype(np.int32),
        changed_YRC=changed.astype(np.int32),
        cells_YK=np.full((len(YEARS), len(HILDA)), 1000),
        zone_RC=zone.astype(np.int16),
    )


COUNTS = counts_of()
