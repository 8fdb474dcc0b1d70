"""Which window and years the k-th training sample is: a pure function of the seed and k.

A plan draws from two strata, both weighted by zone: any rollout of any plot with land, and rollouts
in which cells change, by how many. Nothing is listed or shuffled in memory, so 80,000 samples cost
what 800 cost, and sample k is the same on any worker. Plots of held-out blocks are never drawn from
for training, and their cells never count in its loss.

Shapes: R C rows and columns of plots (see `luray.training.change_counts`), S possible first years
of a rollout.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from luray.core.tiling import Box, Core, Tiling
from luray.core.types import F64, I16, I64, Bool, Direction
from luray.core.years import years_before
from luray.training.change_counts import ChangeCounts
from luray.training.held_out_blocks import hold_out
from luray.training.sample_window import SampleWindow
from luray.training.sampling_config import DEFAULT, SamplingConfig

SampleUse = Literal["training", "held-out blocks", "held-out years"]
"""held-out blocks: the years of training, in places held out from it; held-out years: all land, in
years held out from training.
"""


@dataclass(frozen=True, eq=False)
class SamplePlan:
    """The samples of a training, or of its validation: `plan[k]` is sample k.

    Windows of training are shifted off the lattice by up to half a stride and turned. Those of a
    validation lie on the lattice as they are.

    Parameters
    ----------
    tiling : Tiling
        The window lattice.
    change_counts : ChangeCounts
        Land and change of every plot.
    first_year, last_year : int
        First and last map that a sample may see.
    rollout_years : int
        Predicted years of a sample; it has one map more.
    direction : {"forward", "backward"}
        Direction of travel.
    sampling : SamplingConfig
        Weights of the strata and zones, and what is held out.
    seed : int
        Another seed draws other samples, and holds out other blocks.
    use : {"training", "held-out blocks", "held-out years"}
        What the samples are for.
    left_out : frozenset of int
        Years whose map is of another kind, so that change into and out of it is none: no sample
        meets one of them, and memory ends before them.
    history : int
        Maps that a cell is remembered in, the prior among them.
    remembered_years : tuple of int, optional
        First and last map that may be remembered; by default those that a sample may see.

    Raises
    ------
    ValueError
        If there is no land; if there are fewer years than a rollout needs, or no rollout without a
        map that is left out; if fewer cells change than `sampling.least_change`; or if the
        validation has no block.
    """

    tiling: Tiling
    change_counts: ChangeCounts
    first_year: int
    last_year: int
    rollout_years: int
    direction: Direction
    sampling: SamplingConfig = DEFAULT
    seed: int = 0
    use: SampleUse = "training"
    left_out: frozenset[int] = frozenset()
    history: int = 1
    remembered_years: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        years = f"training years {self.first_year}-{self.last_year}"
        if not self.change_counts.land_RC.any():
            raise ValueError(
                "no window of the grid has land to train on; check the state source and [grid]"
            )
        if self.last_year - self.first_year < self.rollout_years:
            raise ValueError(
                f"{years} are fewer than a rollout of {self.rollout_years} years needs; widen "
                "training.years or lower training.rollout_years"
            )
        if not self._clear_starts.size:
            base_maps = ", ".join(map(str, sorted(self.left_out)))
            raise ValueError(
                f"{years} hold no rollout of {self.rollout_years} years that does not meet a base "
                f"map ({base_maps}); widen training.years, lower training.rollout_years, or set "
                'base_maps = "keep" in [[sources]] of the maps and run `luray build`'
            )
        if not self._plots_RC.any():
            raise ValueError(
                "no block is held out for validation; set training.sampling.validation_share above "
                "0, or a smaller tiling.stride where the land lies in one block"
            )
        changed = int(self._changed_SRC(1)[:, self._plots_RC].sum())
        if self.use == "training" and changed < self.sampling.least_change:
            raise ValueError(
                f"{years} hold {changed} changed cells outside the validation blocks, expected at "
                f"least {self.sampling.least_change}: a model would learn that nothing changes; "
                "widen training.years, or check that the maps differ from year to year"
            )

    def __getitem__(self, k: int) -> SampleWindow:
        """Return sample k, k >= 0."""
        # A counter-based generator: sample k costs the same whether or not k - 1 was drawn.
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=k))
        start, plot_row, plot_col = self._draw_rollout(random)

        plots_per_core = self.tiling.stride // self.change_counts.plot
        core = Core(plot_row // plots_per_core, plot_col // plots_per_core)
        box = self.tiling.window_box(core)
        symmetry = 0
        if self.use == "training":
            # Shifted and turned, one place is many samples.
            half_stride = self.tiling.stride // 2
            shift = random.integers(-half_stride, half_stride + 1, size=2)
            box = box._replace(row=box.row + int(shift[0]), col=box.col + int(shift[1]))
            if self.sampling.orientation == "any":
                symmetry = int(random.integers(8))

        first = self.first_year + start
        years = tuple(range(first, first + self.rollout_years + 1))
        if self.direction == "backward":
            years = years[::-1]
        return SampleWindow(box, years, symmetry, self._older_years(years[0]))

    def counted(self, box: Box) -> Bool:
        """Return which cells of a box count in the loss, bool (height, width).

        These are the cells of the plan's own plots. Beyond the grid a cell counts as the nearest
        cell of the grid does, or across the dateline as the cell that it is.
        """
        n_lat, n_lon = self.tiling.shape
        rows = np.arange(box.row, box.row + box.height)
        cols = np.arange(box.col, box.col + box.width)
        rows = np.clip(rows, 0, n_lat - 1)
        cols = cols % n_lon if self.tiling.periodic else np.clip(cols, 0, n_lon - 1)

        plot = self.change_counts.plot
        plot_rows = rows // plot
        plot_cols = cols // plot
        return self._counted_RC[plot_rows[:, None], plot_cols]

    @cached_property
    def held_out_RC(self) -> Bool:
        """Plots of the blocks that are held out for validation."""
        change_RC = self._changed_SRC(1).sum(axis=0)
        return hold_out(
            self.change_counts.land_RC,
            change_RC,
            blocks=self.sampling.blocks,
            share=self.sampling.validation_share,
            seed=self.seed,
        )

    def _older_years(self, prior_year: int) -> tuple[int | None, ...]:
        """Years of the maps before the prior's that a sample remembers, None where no map is."""
        first, last = self.remembered_years or (self.first_year, self.last_year)
        years = years_before(
            prior_year,
            range(first, last + 1),
            direction=self.direction,
            most=self.history - 1,
            left_out=self.left_out,
        )
        missing = self.history - 1 - len(years)
        return (*years, *[None] * missing)

    def _draw_rollout(self, random: np.random.Generator) -> tuple[int, int, int]:
        """First year, counted from the plan's first, and row and column of the plot of a sample."""
        shape = self._plots_RC.shape
        # A validation is scored by area, so it is drawn evenly.
        change_share = self.sampling.change_share if self.use == "training" else 0
        if random.random() < change_share:
            picked = _pick(self._change_sums, random)
            number = self._changing_rollouts[picked]
            start, row, col = np.unravel_index(number, (self._n_starts, *shape))
        else:
            picked = _pick(self._land_sums, random)
            row, col = np.unravel_index(self._plot_numbers[picked], shape)
            start = self._clear_starts[random.integers(self._clear_starts.size)]
        return int(start), int(row), int(col)

    @property
    def _n_starts(self) -> int:
        """S, years in which a rollout can start."""
        return self.last_year - self.first_year - self.rollout_years + 1

    @cached_property
    def _clear_starts(self) -> I64:
        """Starts, counted from the first year, whose rollout meets no map that is left out."""
        return np.flatnonzero(self._is_clear_S(self.rollout_years))

    def _is_clear_S(self, years: int) -> Bool:
        """Whether `years` years from each possible start meet no map that is left out."""
        first_S = np.arange(self.first_year, self.last_year - years + 1)
        clear_S = np.ones(first_S.size, np.bool_)
        for year in self.left_out:
            clear_S &= (year < first_S) | (year > first_S + years)
        return clear_S

    def _changed_SRC(self, years: int) -> I64:
        """Changed cells of each plot in the `years` years from each start; 0 if one is left out."""
        changed_YRC = self.change_counts.changed_between(self.first_year, self.last_year)

        # A sum over any years is the difference of two running sums, the first of which is 0.
        sums_YRC = changed_YRC.cumsum(axis=0, dtype=np.int64)
        before_first = np.zeros_like(changed_YRC[:1], np.int64)
        sums_YRC = np.concatenate([before_first, sums_YRC])
        changed_SRC: I64 = sums_YRC[years:] - sums_YRC[:-years]
        changed_SRC[~self._is_clear_S(years)] = 0
        return changed_SRC

    @cached_property
    def _counted_RC(self) -> Bool:
        """Plots whose cells count."""
        if self.use == "held-out years":
            return np.ones_like(self.held_out_RC)
        return self.held_out_RC if self.use == "held-out blocks" else ~self.held_out_RC

    @cached_property
    def _plots_RC(self) -> Bool:
        """Plots that samples are drawn from: those that count and have land."""
        return (self.change_counts.land_RC > 0) & self._counted_RC

    @cached_property
    def _plot_numbers(self) -> I64:
        """The plots that samples are drawn from by their number, row by row."""
        return np.flatnonzero(self._plots_RC)

    @cached_property
    def _changing_rollouts(self) -> I64:
        """Number of each pair of start and plot with change, plots of one start together."""
        return np.flatnonzero(self._changed_SRC(self.rollout_years) * self._plots_RC)

    @cached_property
    def _land_sums(self) -> F64:
        """Running sum of the weights of `_plot_numbers`: a plot has the same, whatever its land."""
        zones = self.change_counts.zone_RC.ravel()[self._plot_numbers]
        weights = np.ones(zones.size)
        return balanced(weights, zones, balance=self.sampling.zone_balance).cumsum()

    @cached_property
    def _change_sums(self) -> F64:
        """Running sum of the weights of `_changing_rollouts`, their changed cells."""
        changed = self._changed_SRC(self.rollout_years).ravel()[self._changing_rollouts]
        plot_numbers = self._changing_rollouts % self._plots_RC.size  # without the start
        zones = self.change_counts.zone_RC.ravel()[plot_numbers]
        weights = changed.astype(np.float64)
        return balanced(weights, zones, balance=self.sampling.zone_balance).cumsum()


def _pick(running_sums: F64, random: np.random.Generator) -> int:
    """Index drawn by weight, from the running sum of the weights."""
    point = random.random() * running_sums[-1]
    index = int(np.searchsorted(running_sums, point, side="right"))
    return min(index, running_sums.size - 1)  # rounding can put the point on the last sum


def balanced(weights: F64, zones: I16, *, balance: float) -> F64:
    """Scale weights by zone, so that a zone whose weights sum to w sums to w ** (1 - balance).

    Examples
    --------
    >>> balanced(np.array([1.0, 1.0, 1.0, 1.0, 1.0]), np.array([3, 3, 3, 3, 8]), balance=0.5)
    array([0.5, 0.5, 0.5, 0.5, 1. ])
    """
    _, zone_index = np.unique(zones, return_inverse=True)
    zone_sums: F64 = np.bincount(zone_index, weights).astype(np.float64)
    return weights * (zone_sums**-balance)[zone_index]
