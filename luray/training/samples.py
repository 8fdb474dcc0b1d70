"""Which window and years the k-th training sample is: a pure function of the seed and k.

A plan draws from two strata, both weighted by zone: any rollout of any plot with land, and rollouts
in which cells change, by how many. Nothing is listed or shuffled in memory, so 80,000 samples cost
what 800 cost, and sample k is the same on any worker. Plots of held-out blocks are never drawn from
for training, and their cells never count in its loss.

Shapes: R C rows and columns of plots (see `survey`), S first years of a rollout, K classes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.legend import Legend
from luray.core.tiling import Box, Core, Tiling
from luray.core.types import I32, Bool, Direction
from luray.training.sampling_config import DEFAULT, SamplingConfig
from luray.training.survey_counts import ChangeCounts

F64 = NDArray[np.float64]
Use = Literal["training", "validation", "later"]
"""Validation: the held-out blocks in the years of training. Later: all land in years held out from
training.
"""


class SampleWindow(NamedTuple):
    """One sample: a window, and consecutive years in the direction of travel."""

    box: Box
    years: tuple[int, ...]
    symmetry: int = 0
    """Which of the eight symmetries of a square the window is seen in, 0 as it lies (see
    `cube.regions.turned`).
    """


@dataclass(frozen=True, eq=False)
class SamplePlan:
    """Samples of `first_year` .. `last_year`, for training or validation, see `Use`.

    Windows of training are shifted off the lattice by up to half a stride and turned, those of
    validation lie on it.

    Raises ValueError when there is no land, there are fewer years than a rollout needs, or none
    without a map that is left out, fewer cells change than `least_change`, or the validation has no
    block.
    """

    tiling: Tiling
    survey: ChangeCounts
    first_year: int
    last_year: int
    rollout_years: int
    direction: Direction
    sampling: SamplingConfig = DEFAULT
    seed: int = 0
    use: Use = "training"
    left_out: frozenset[int] = frozenset()
    """Years whose map is of another kind, so that change into and out of it is none: no sample
    meets one of them.
    """

    def __post_init__(self) -> None:
        years = f"training years {self.first_year}-{self.last_year}"
        if not self.survey.land_RC.any():
            raise ValueError(
                "no window of the grid has land to train on; check the state source and [grid]"
            )
        if self.last_year - self.first_year < self.rollout_years:
            raise ValueError(
                f"{years} are fewer than a rollout of {self.rollout_years} years needs; widen "
                "training.years or lower training.rollout_years"
            )
        if not self._clear_starts.size:
            raise ValueError(
                f"{years} hold no rollout of {self.rollout_years} years that does not meet a base "
                "map "
                f"({', '.join(map(str, sorted(self.left_out)))}); widen training.years, lower "
                'training.rollout_years, or set training.leave_out = "nothing"'
            )
        if not self._plots_RC.any():
            raise ValueError(
                "no block is held out for validation; set training.sampling.validation_share above "
                "0, or "
                "a smaller tiling.stride where the land lies in one block"
            )
        changed = int(self._changed_SRC(1)[:, self._plots_RC].sum())
        if self.use == "training" and changed < self.sampling.least_change:
            raise ValueError(
                f"{years} hold {changed} changed cells outside the validation blocks, expected at "
                "least "
                f"{self.sampling.least_change}: a model would learn that nothing changes; widen "
                "training.years, or check that the maps differ from year to year"
            )

    def __getitem__(self, k: int) -> SampleWindow:
        """Sample k, k >= 0."""
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=k))
        start, row, col = self._drawn(random)
        plots = self.tiling.stride // self.survey.plot
        box, symmetry = self.tiling.window_box(Core(row // plots, col // plots)), 0
        if self.use == "training":
            half = self.tiling.stride // 2
            down, right = (int(i) for i in random.integers(-half, half + 1, size=2))
            box = box._replace(row=box.row + down, col=box.col + right)
            symmetry = int(random.integers(8)) if self.sampling.orientation == "any" else 0
        first = self.first_year + start
        years = tuple(range(first, first + self.rollout_years + 1))
        return SampleWindow(box, years if self.direction == "forward" else years[::-1], symmetry)

    def counted(self, box: Box) -> Bool:
        """Cells of a box that count in the loss, bool (height, width): those of the plan's own part
        of the blocks.
        """
        plot, (n_lat, n_lon) = self.survey.plot, self.tiling.shape
        rows = np.clip(np.arange(box.row, box.row + box.height), 0, n_lat - 1)
        cols = np.arange(box.col, box.col + box.width)
        cols = cols % n_lon if self.tiling.periodic else np.clip(cols, 0, n_lon - 1)
        return self._own_RC[(rows // plot)[:, None], cols // plot]

    @cached_property
    def held_RC(self) -> Bool:
        """Plots of the blocks that are held out for validation."""
        change_RC = self._changed_SRC(1).sum(axis=0)
        return hold_out(
            self.survey.land_RC,
            change_RC,
            blocks=self.sampling.blocks,
            share=self.sampling.validation_share,
            seed=self.seed,
        )

    def _drawn(self, random: np.random.Generator) -> tuple[int, int, int]:
        """First year, counted from the plan's first, and row and column of the plot of a sample."""
        share = self.sampling.change_share if self.use == "training" else 0
        if random.random() < share:
            i = _pick(self._by_change, random)
            start, row, col = np.unravel_index(
                self._changing[i], (self._starts, *self._plots_RC.shape)
            )
        else:
            row, col = np.unravel_index(
                self._plots[_pick(self._by_land, random)], self._plots_RC.shape
            )
            start = self._clear_starts[random.integers(self._clear_starts.size)]
        return int(start), int(row), int(col)

    @property
    def _starts(self) -> int:
        """Years in which a rollout can start."""
        return self.last_year - self.first_year - self.rollout_years + 1

    @cached_property
    def _clear_starts(self) -> NDArray[np.int64]:
        """The same, counted from the plan's first year, without those whose rollout meets a map
        that is left out.
        """
        return np.flatnonzero(self._is_clear_S(self.rollout_years))

    def _is_clear_S(self, years: int) -> Bool:
        """Whether `years` years from each possible start meet no map that is left out."""
        first_S = np.arange(self.first_year, self.last_year - years + 1)
        clear_S = np.ones(first_S.size, np.bool_)
        for year in self.left_out:
            clear_S &= (year < first_S) | (year > first_S + years)
        return clear_S

    def _changed_SRC(self, years: int) -> NDArray[np.int64]:
        """Changed cells of each plot over `years` years from each possible start, 0 where a map is
        left out.
        """
        changed = self.survey.changed_between(self.first_year, self.last_year)
        total = np.concatenate(
            [np.zeros_like(changed[:1], np.int64), changed.cumsum(axis=0, dtype=np.int64)]
        )
        sums: NDArray[np.int64] = total[years:] - total[:-years]
        sums[~self._is_clear_S(years)] = 0
        return sums

    @cached_property
    def _plots_RC(self) -> Bool:
        """Plots that samples are drawn from."""
        return (self.survey.land_RC > 0) & self._own_RC

    @cached_property
    def _own_RC(self) -> Bool:
        """Plots whose cells count."""
        if self.use == "later":
            return np.ones_like(self.held_RC)
        return self.held_RC if self.use == "validation" else ~self.held_RC

    @cached_property
    def _plots(self) -> NDArray[np.int64]:
        """The same by their number, row by row."""
        return np.flatnonzero(self._plots_RC)

    @cached_property
    def _changing(self) -> NDArray[np.int64]:
        """Number of each pair of start and plot with change."""
        return np.flatnonzero(self._changed_SRC(self.rollout_years) * self._plots_RC)

    @cached_property
    def _by_land(self) -> F64:
        """Running sum of the weights of `_plots`."""
        zones = self.survey.zone_RC.ravel()[self._plots]
        return balanced(np.ones(zones.size), zones, balance=self.sampling.zone_balance).cumsum()

    @cached_property
    def _by_change(self) -> F64:
        """Running sum of the weights of `_changing`."""
        changed = self._changed_SRC(self.rollout_years).ravel()[self._changing]
        zones = self.survey.zone_RC.ravel()[self._changing % self._plots_RC.size]
        return balanced(
            changed.astype(np.float64), zones, balance=self.sampling.zone_balance
        ).cumsum()


def _pick(running: F64, random: np.random.Generator) -> int:
    """Index drawn by weight, from the running sum of the weights."""
    return min(
        int(np.searchsorted(running, random.random() * running[-1], side="right")), running.size - 1
    )


def balanced(weights: F64, zones: NDArray[np.int16], *, balance: float) -> F64:
    """Weights scaled by zone, so that a zone whose weights sum to w sums to w ** (1 - balance)."""
    _, zone = np.unique(zones, return_inverse=True)
    total: F64 = np.bincount(zone, weights).astype(np.float64)
    return weights * (total**-balance)[zone]


def hold_out(
    land_RC: I32, change_RC: NDArray[np.int64], *, blocks: tuple[int, int], share: float, seed: int
) -> Bool:
    """Plots of the blocks held out, (R, C): about `share` of the land cells, in quiet and busy
    places alike.

    The blocks are laid out in order of their change, each as long as its land, and those under
    evenly spaced points are held out: a block with little land is rarely chosen. At least one is
    where there are two and `share` is positive, never the last.
    """
    n_rows, n_cols = (min(n, most) for n, most in zip(land_RC.shape, blocks, strict=True))
    row, col = (np.arange(n) * m // n for n, m in zip(land_RC.shape, (n_rows, n_cols), strict=True))
    block_RC = row[:, None] * n_cols + col
    land, change = (
        np.bincount(block_RC.ravel(), x.ravel(), minlength=n_rows * n_cols)
        for x in (land_RC, change_RC)
    )
    ordered = np.flatnonzero(land)[
        np.argsort((change / np.maximum(land, 1))[land > 0], kind="stable")
    ]
    if not share or ordered.size < 2:
        return np.zeros(land_RC.shape, np.bool_)
    drawn = (land**2).sum() / land.sum()  # land of a block drawn by its land, on average
    n = min(max(1, round(share * land.sum() / drawn)), ordered.size - 1)
    random = np.random.Generator(
        np.random.Philox(key=seed, counter=2**100)
    )  # no sample has this counter
    points = (np.arange(n) + random.random()) / n * land.sum()
    return np.isin(block_RC, ordered[np.searchsorted(land[ordered].cumsum(), points, side="right")])


def require_classes(
    survey: ChangeCounts, legend: Legend, *, years: tuple[int, int], left_out: Collection[int] = ()
) -> None:
    """Raise ValueError naming the classes that the maps have in other years, but in none of `years`
    that count.
    """
    seen, ever = survey.cells_in(*years, left_out=left_out), survey.cells_YK.sum(axis=0)
    absent = [c for c, n, m in zip(legend.classes, seen, ever, strict=True) if m and not n]
    if absent:
        names = ", ".join(f"{c.code} ({c.name})" for c in absent)
        raise ValueError(
            f"class {names} is in maps of the cube but in none of training.years "
            f"{years[0]}-{years[1]}: "
            "a model would never predict it; widen training.years, or set "
            'training.sampling.absent_classes = "accept"'
        )


def class_weights(
    cells: Sequence[int] | NDArray[np.int64], *, balance: float
) -> NDArray[np.float32]:
    """Weight of each class in the loss, (K,): frequency ** -balance, 1 on average over the cells; 1
    without cells.
    """
    counts = np.asarray(cells, np.float64)
    share = np.where(counts > 0, counts, 1) ** -balance
    weights = np.where(counts > 0, share * (counts.sum() / max((counts * share).sum(), 1e-12)), 1)
    return weights.astype(np.float32)
