"""The serial rollout: the reconstruction year after year on the whole grid, in a few lines.

It is the definition of the result. Every other engine, over any tiles, workers and schedule, must
give the same bytes. Arrays in memory only.

Shapes: K classes; H W the whole grid; Y X a box around it. Sums are those of `blending`.
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
    """A function that turns sums into a map: `most_probable`, or `decision.decide_classes`."""

    def __call__(
        self, sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int
    ) -> tuple[U8, U8]:
        """Return class indices and confidence in percent, uint8 (H, W)."""
        ...


def most_probable(
    sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int
) -> tuple[U8, U8]:
    """Return the most probable class everywhere, whatever the scenario demands."""
    return decide(sums_KHW, land_HW)


def serial_rollout(
    initial: U8,
    land: Bool,
    years: Sequence[int],
    inputs: WindowInputs,
    predictor: Predictor,
    *,
    older: Sequence[U8] = (),
    decide_classes: DecideClasses = most_probable,
) -> Iterator[tuple[int, U8, U8]]:
    """Predict year after year, each map being the prior of the next.

    Parameters
    ----------
    initial : array, uint8, shape (H, W)
        Class indices of `years[0]`.
    land : array, bool, shape (H, W)
        Land mask.
    years : sequence of int
        In the direction of travel.
    inputs : WindowInputs
        Everything that the model sees besides the prior.
    predictor : Predictor
        The model and its windows.
    older : sequence of arrays, uint8, shape (H, W)
        Maps of the years before `years[0]` in the direction of travel, newest first, for a model
        that remembers them.
    decide_classes : DecideClasses
        How sums become a map.

    Yields
    ------
    year : int
        Each of `years` but the first.
    classes, confidence : arrays, uint8, shape (H, W)
        Class indices, and confidence in percent.
    """
    tiling = predictor.tiling
    grid = tiling.everything
    padded = tiling.padded(grid)
    cores = tiling.active_cores(grid, land)
    history = predictor.features.history
    maps = [padded_map(older_map, padded, periodic=tiling.periodic) for older_map in older]

    classes = initial
    for prior_year, year in pairwise(years):
        # The map of the step before is the prior now, and the oldest map is forgotten.
        prior = padded_map(classes, padded, periodic=tiling.periodic)
        maps = [prior, *maps][:history]

        # Predict: the sums of all windows, and those beyond the dateline on their own side.
        sums_KYX = predictor.predict(
            cores, maps, inputs, year=year, prior_year=prior_year, box=grid
        )
        sums_KHW = wrap_sums(sums_KYX, padded, tiling)

        # Reduce: one class a cell.
        classes, confidence = decide_classes(
            sums_KHW, classes, land, year=year, prior_year=prior_year
        )
        yield year, classes, confidence


def wrap_sums(sums_KYX: I32, padded: Box, tiling: Tiling) -> I32:
    """Return the sums of the whole grid, (K, H, W), from those of a box around it.

    What lies beyond the dateline is added on its other side; what lies beyond the poles, or beyond
    a grid that does not span the globe, is dropped. A narrow grid may be wrapped more than once.
    """
    sums_KHW = np.zeros((len(sums_KYX), *tiling.shape), np.int32)
    rows_on_grid = slice(-padded.row, tiling.n_lat - padded.row)
    for col in range(padded.col, padded.col + padded.width):
        if tiling.periodic or 0 <= col < tiling.n_lon:
            of_column_KH = sums_KYX[:, rows_on_grid, col - padded.col]
            sums_KHW[:, :, col % tiling.n_lon] += of_column_KH
    return sums_KHW
