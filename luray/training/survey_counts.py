"""What a plan of samples knows of the maps: counts by plot, a few MB for the globe.

A *plot* is a square of `plot` x `plot` cells: a core of the window lattice, or a whole part of one
in a small region. Shapes: Y observed years, R C rows and columns of plots, K classes.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.tiling import Box, Tiling
from luray.core.types import I32

NO_ZONE = -1
"""Zone of a plot without a known category on its land."""


class TileCounts(NamedTuple):
    """The counts of one tile; `plots` is its rectangle of plots, the other fields are those of
    `ChangeCounts`.
    """

    plots: Box
    land_RC: I32
    changed_YRC: I32
    cells_YK: NDArray[np.int64]
    zone_RC: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class ChangeCounts:
    """Land and change of every plot, and how many cells each class has in each year."""

    years: tuple[int, ...]
    """Observed years, ascending."""
    plot: int
    """Cells along a side of a plot, a divisor of the stride."""
    land_RC: I32
    """Land cells of each plot."""
    changed_YRC: I32
    """Land cells whose class is not that of the observed year before, shape (Y - 1, R, C)."""
    cells_YK: NDArray[np.int64]
    """Land cells of each class in each year."""
    zone_RC: NDArray[np.int16]
    """Category that most land cells of a plot have, `NO_ZONE` without any."""

    @classmethod
    def of(
        cls,
        parts: Iterable[TileCounts],
        *,
        years: tuple[int, ...],
        plot: int,
        tiling: Tiling,
        n_classes: int,
    ) -> "ChangeCounts":
        """The survey of a grid from the counts of its tiles, in any order; a tile that is not there
        has no land.
        """
        shape = tuple(-(-n // plot) for n in tiling.shape)
        survey = cls(
            years,
            plot,
            np.zeros(shape, np.int32),
            np.zeros((len(years) - 1, *shape), np.int32),
            np.zeros((len(years), n_classes), np.int64),
            np.full(shape, NO_ZONE, np.int16),
        )
        for part in parts:
            at = part.plots.slices(origin=Box(0, 0, 0, 0))
            survey.land_RC[at], survey.zone_RC[at] = part.land_RC, part.zone_RC
            survey.changed_YRC[(slice(None), *at)] = part.changed_YRC
            survey.cells_YK[:] += part.cells_YK
        return survey

    def changed_between(self, first: int, last: int) -> I32:
        """Changed cells of each plot from each year of `first` .. `last` - 1 to the next, (last -
        first, R, C).
        """
        start = self.years.index(first)
        return self.changed_YRC[start : start + last - first]

    def cells_in(
        self, first: int, last: int, *, left_out: Collection[int] = ()
    ) -> NDArray[np.int64]:
        """Land cells of each class summed over the maps of `first` .. `last` but those left out,
        shape (K,).
        """
        counted = [first <= year <= last and year not in left_out for year in self.years]
        total: NDArray[Any] = self.cells_YK[counted].sum(axis=0)
        return total
