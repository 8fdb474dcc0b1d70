"""The reconstruction as two functions, `predict` and `reduce`, and the serial rollout that every
engine must equal.

Arrays in memory only. Shapes: K classes, C input channels, H W window; sums are int32 (K, lat,
lon), see `blending`.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from luray.core.tiling import Box, Tiling, padded_map
from luray.core.types import I32, U8, Bool
from luray.engine.blending import decide
from luray.engine.predictor import Predictor, WindowInputs


class DecideClasses(Protocol):
    """What makes a map of sums: `decide`, or `demand.constrain` with what the scenario demands of
    the year.
    """

    def __call__(
        self, sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int
    ) -> tuple[U8, U8]:
        """Class indices and confidence in percent, uint8 (lat, lon)."""
        ...


def freely(
    sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int
) -> tuple[U8, U8]:
    """The likeliest class everywhere, whatever the scenario demands."""
    return decide(sums_KHW, land_HW)


def serial_rollout(
    initial: U8,
    land: Bool,
    years: Sequence[int],
    fields: WindowInputs,
    predictor: Predictor,
    *,
    decide_classes: DecideClasses = freely,
) -> Iterator[tuple[int, U8, U8]]:
    """The reference engine: yields (year, class indices, confidence) of the whole grid, uint8 (lat,
    lon).

    `initial` is the map of `years[0]`; each later year follows from the map before it, over the
    whole grid at once.
    """
    tiling = predictor.tiling
    whole = tiling.padded(tiling.everything)
    cores = tiling.active_cores(tiling.everything, land)
    classes = initial
    for prior_year, year in pairwise(years):
        prior = padded_map(classes, whole, periodic=tiling.periodic)
        sums = predictor.predict(
            cores, prior, fields, year=year, prior_year=prior_year, box=tiling.everything
        )
        classes, confidence = decide_classes(
            folded(sums, whole, tiling), classes, land, year=year, prior_year=prior_year
        )
        yield year, classes, confidence


def folded(sums_KYX: I32, whole: Box, tiling: Tiling) -> I32:
    """Sums of the whole grid (K, lat, lon) from those of a box around it: longitude wraps when
    periodic.
    """
    out = np.zeros((len(sums_KYX), *tiling.shape), np.int32)
    rows = slice(-whole.row, tiling.n_lat - whole.row)
    for col in range(whole.col, whole.col + whole.width):
        if tiling.periodic or 0 <= col < tiling.n_lon:
            out[:, :, col % tiling.n_lon] += sums_KYX[:, rows, col - whole.col]
    return out
