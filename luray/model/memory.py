"""What a cell remembers of the last maps.

Most change in annual maps is a return: land that was cleared grows over, and is cleared again. One
map does not show that. So the model is also shown what a cell was in the last N maps, in the
direction of travel (`model.history`):

- *shares*: of each class in these maps, the newer ones weighing more (`WEIGHTS`);
- *last other*: the class of the newest map that differs from the class now;
- *age*: for how many more maps the class now goes back, seen as a / (a + `HALF_AGE`);
- *past changes*: from one map to the next, the newer ones weighing more;
- *known*: how many of the N maps are known.

The class now is that of the newest known map. A map that is not known (there is none before the
first one, or the cell has no class in it) adds to no share, and the maps on either side of it are
neighbours.

Memory is a function of these N maps and of nothing else. So the stored maps are the checkpoint: a
worker that takes a tile over reads N maps. It is counted in whole numbers, each of which becomes a
number of the model by one multiplication or look-up, so it has the same bits wherever it is
computed: in `luray.model.model_input` for training, in `luray.engine.stem_kernels` for inference,
and cell by cell in `tests/reference.py`.

Shapes: N maps from the newest.
"""

import numpy as np

from luray.core.types import F32, I64

MOST_MAPS = 64
"""Longest history."""

DECAY = 0.9
"""By how much less a map weighs than the next newer one."""

WEIGHTS: I64 = np.rint(1000 * DECAY ** np.arange(MOST_MAPS)).astype(np.int64)
"""Weight of each map from the newest, in whole numbers whose sums are exact in single precision."""

HALF_AGE = 3.0
"""Age in maps that the model sees as 1/2."""


def share_scale(n_maps: int) -> np.float32:
    """Return what the summed weights of a class are multiplied by, so that the shares sum to 1."""
    return np.float32(1 / WEIGHTS[:n_maps].sum())


def change_scale() -> np.float32:
    """Return what the summed weights of changes are multiplied by, so that the newest one is 1."""
    return np.float32(1 / WEIGHTS[0])


def known_scale(n_maps: int) -> np.float32:
    """Return what the number of known maps is multiplied by."""
    return np.float32(1 / n_maps)


def seen_ages(n_maps: int) -> F32:
    """Return how the model sees each age from 0 to N - 1, float32 (N,)."""
    age_N = np.arange(n_maps)
    seen_N: F32 = (age_N / (age_N + HALF_AGE)).astype(np.float32)
    return seen_N
