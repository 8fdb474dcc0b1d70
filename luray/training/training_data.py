"""What a model is trained on: the samples of a training and of its validation."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from luray.core.tiling import Tiling
from luray.core.types import Direction
from luray.cube.cube import Cube
from luray.model.features import Features
from luray.training.change_counts import ChangeCounts
from luray.training.change_counts_store import read_or_count_changes
from luray.training.class_balance import require_classes
from luray.training.recipe import Recipe
from luray.training.rollout import Sample
from luray.training.sample_plan import SamplePlan, SampleUse
from luray.training.sample_reader import read_samples
from luray.training.window_groups import WorkerShare

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """The samples that a recipe takes from a cube, in one direction of travel."""

    cube: Cube
    tiling: Tiling
    recipe: Recipe
    direction: Direction
    history: int = 1
    """Maps that a cell is remembered in, see `luray.model.memory`."""

    @property
    def features(self) -> Features:
        """Layout of the model input."""
        return self.cube.features.remembering(self.history)

    @property
    def whole(self) -> tuple[int, int]:
        """First and last map that the training may see: time steps of its years."""
        steps = self.cube.time.of_years(*self.recipe.years)
        return steps[0], steps[-1]

    @property
    def left_out(self) -> frozenset[int]:
        """Years of the training whose maps no sample meets: those of another kind."""
        first, last = self.whole
        return frozenset(year for year in self.cube.other_kind if first <= year <= last)

    @property
    def change_counts(self) -> ChangeCounts:
        """Land and change of the cube, stored beside it, else counted now."""
        return read_or_count_changes(self.cube, self.tiling, self.recipe.sampling)

    def years(self, use: SampleUse) -> tuple[int, int]:
        """Return the first and the last map of a use.

        The held-out years are the last in the direction of travel. They share one map with the
        training: its last target is the prior of their first year.
        """
        first, last = self.whole
        n_held_out = self.recipe.sampling.n_held_out_years(
            first, last, rollout_years=self.recipe.longest_rollout
        )
        held_out = use == "held-out years"
        if self.direction == "forward":
            return (last - n_held_out, last) if held_out else (first, last - n_held_out)
        return (first, first + n_held_out) if held_out else (first + n_held_out, last)

    def plan(self, use: SampleUse = "training") -> SamplePlan:
        """Return the samples of the training, or of its validation.

        Raises
        ------
        ValueError
            If the cube lacks the years of the training, or too little can be learned from them.
        """
        recipe = self.recipe
        self._require_observed_years()
        change_counts = self.change_counts
        first, last = self.years(use)
        of_classes = self.cube.legend.scale is None
        if of_classes and use == "training" and recipe.sampling.absent_classes == "refuse":
            require_classes(
                change_counts, self.cube.legend, years=(first, last), left_out=self.left_out
            )
        return SamplePlan(
            tiling=self.tiling,
            change_counts=change_counts,
            first_year=first,
            last_year=last,
            rollout_years=1 if use == "held-out years" else recipe.longest_rollout,
            direction=self.direction,
            sampling=recipe.sampling,
            seed=recipe.seed,
            use=use,
            left_out=self.left_out,
            history=self.history,
            remembered_years=self.whole,
        )

    def _require_observed_years(self) -> None:
        first, last = self.whole
        observed = self.cube.years
        label = self.cube.time.label
        if first < observed[0] or last > observed[-1]:
            raise ValueError(
                f"training.years {label(first)}-{label(last)} reach outside the observed years "
                f"{label(observed[0])}-{label(observed[-1])} of the cube; narrow them or add maps"
            )

    @cached_property
    def held_out_plans(self) -> list[SamplePlan]:
        """The samples of held-out blocks, then of held-out years, if the recipe has them."""
        uses: list[SampleUse] = ["held-out years"]
        if self.recipe.sampling.validation_share:
            uses.insert(0, "held-out blocks")

        plans: list[SamplePlan] = []
        for use in uses:
            first, last = self.years(use)
            if first < last:
                try:
                    plans.append(self.plan(use))
                except ValueError as error:
                    log.warning("nothing is held out: %s", error)
        return plans

    def worker_share(self, *, done: int = 0, rank: int = 0, world: int = 1) -> WorkerShare:
        """Return the samples of one of `world` workers from step `done` on."""
        recipe = self.recipe
        return WorkerShare(
            self.plan(), recipe.batch, recipe.micro_batch, recipe.steps, done, rank, world
        )

    def micro_batch(self, plan: SamplePlan, first: int) -> Sample:
        """Read the micro-batch that begins with sample number `first` of a plan."""
        sample_windows = [plan[k] for k in range(first, first + self.recipe.micro_batch)]
        return read_samples(self.cube, sample_windows, counted=plan.counted)

    def calibration_batches(self, plan: SamplePlan) -> Iterator[Sample]:
        """Yield micro-batches for the statistics of batch norm, of samples that no step uses."""
        first_unused = self.recipe.steps * self.recipe.batch
        for i in range(self.recipe.calibration_batches):
            yield self.micro_batch(plan, first_unused + i * self.recipe.micro_batch)
