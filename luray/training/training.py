"""TO BE WRITTEN."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from luray.core.tiling import Tiling
from luray.core.types import Direction
from luray.cube.cube import Cube
from luray.model.calibration import (
    FEWEST,
    PLAIN,
    Calibration,
    Cells,
    OperatingPoint,
    calibrate,
    changed,
    cross_entropy,
    scores,
    thinned,
)
from luray.model.checkpoint import ModelCard, read_card, save_model, uncalibrated
from luray.model.unet import UNet, UNetConfig
from luray.storage.objects import remove, write_atomically
from luray.storage.receipts import fingerprint_of
from luray.training.change_counts import surveyed
from luray.training.checkpoint import Checkpoint, require_same
from luray.training.events import Row, write_events
from luray.training.recipe import Recipe
from luray.training.rollout import Sample
from luray.training.sample_reader import read_samples
from luray.training.samples import SamplePlan, Use, class_weights, require_classes
from luray.training.trainer import StepMetrics, Trainer, summary
from luray.training.validation import validation_report
from luray.training.windows import WorkerShare

log = logging.getLogger(__name__)


HELD_OUT = 300_000
"""Cells on which a finished model is calibrated and judged."""


TOLD_EVERY = 10
"""Steps between two rows of metrics."""


class ProgressEvent(NamedTuple):
    """How a training goes: means over the last steps, and at the end of an epoch the scores on
    held-out cells.
    """

    direction: Direction
    step: int
    metrics: StepMetrics
    held_out: StepMetrics
    """Empty inside an epoch, and where no block is held out."""
    epoch: int = 0
    """Number of the epoch that ends here, from 1; 0 inside one."""


TrainingProgress = Callable[[ProgressEvent], None]


def unwatched(news: ProgressEvent) -> None:
    """A progress that nobody reads."""


def unheard(trainer: Trainer, metrics: StepMetrics) -> None:
    """What a worker that does not lead does after a step."""


@dataclass(frozen=True)
class Training:
    """The training of one model: data, recipe, direction and where it goes."""

    cube: Cube
    tiling: Tiling
    unet: UNetConfig
    recipe: Recipe
    direction: Direction
    folder: str

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything the weights depend on; the number of workers is not among it."""
        how = {"workers", "device", "checkpoint_every", "epochs", "read", "readers", "leave_out"}
        found: dict[str, Any] = {
            "direction": self.direction,
            "legend": self.cube.legend.name,
            "grid": asdict(self.cube.grid),
            "cube": self.cube.fingerprint,
            "tiling": {"window": self.tiling.window, "stride": self.tiling.stride},
            "model": self.unet.model_dump(),
            "training": self.recipe.model_dump(exclude=how),
        }
        if self.left_out:
            found["left_out"] = sorted(self.left_out)
        plain: dict[str, Any] = json.loads(json.dumps(found))
        return plain

    @property
    def left_out(self) -> frozenset[int]:
        """Years of the training whose maps no sample meets."""
        if self.recipe.leave_out == "nothing":
            return frozenset()
        first, last = self.recipe.years
        return frozenset(year for year in self.cube.other_kind if first <= year <= last)

    @property
    def fingerprint(self) -> str:
        """Of the identity."""
        return fingerprint_of(self.identity)

    @property
    def finished(self) -> bool:
        """True when the folder holds this very model. Raises ValueError, naming what differs, when
        it holds another.
        """
        card = read_card(self.folder)
        if card:
            require_same(card.identity, self.identity, what=f"{self.folder} holds")
        return card is not None

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the unfinished training is kept."""
        return Checkpoint(f"{self.folder}/training.safetensors", self.identity)

    def discard_another(self) -> None:
        """Delete what the folder holds of another training."""
        try:
            if not self.finished:
                self.checkpoint.restore(self._fresh())
        except ValueError as error:
            log.warning("discarded: %s", error)
            remove(self.folder)

    def plan(self, use: Use = "training") -> SamplePlan:
        """The samples of this training, or of its validation.

        Raises ValueError when the cube lacks its years, or too little of them can be learned from.
        """
        recipe, (first, last) = self.recipe, self.recipe.years
        sampling = recipe.sampling
        if first < self.cube.years[0] or last > self.cube.years[-1]:
            raise ValueError(
                f"training.years {first}-{last} reach outside the observed years "
                f"{self.cube.years[0]}-"
                f"{self.cube.years[-1]} of the cube; narrow them or add maps"
            )
        found, (first, last) = surveyed(self.cube, self.tiling, sampling), self.years(use)
        if use == "training" and sampling.absent_classes == "refuse":
            require_classes(found, self.cube.legend, years=(first, last), left_out=self.left_out)
        length = 1 if use == "later" else recipe.longest
        return SamplePlan(
            self.tiling,
            found,
            first,
            last,
            length,
            self.direction,
            sampling,
            recipe.seed,
            use,
            self.left_out,
        )

    def years(self, use: Use) -> tuple[int, int]:
        """First and last map of a use."""
        first, last = self.recipe.years
        held = self.recipe.sampling.held_years(first, last, rollout_years=self.recipe.longest)
        if self.direction == "forward":
            return (last - held, last) if use == "later" else (first, last - held)
        return (first, first + held) if use == "later" else (first + held, last)

    def share(self, *, done: int = 0, rank: int = 0, world: int = 1) -> WorkerShare:
        """The samples of one of `world` workers from step `done` on."""
        recipe = self.recipe
        return WorkerShare(
            self.plan(), recipe.batch, recipe.micro_batch, recipe.steps, done, rank, world
        )

    def micro_batch(self, plan: SamplePlan, first: int) -> Sample:
        """Micro-batch that begins with sample number `first`."""
        draws = [plan[k] for k in range(first, first + self.recipe.micro_batch)]
        return read_samples(self.cube, draws, counted=plan.counted)

    def calibration(self, plan: SamplePlan) -> Iterator[Sample]:
        """Micro-batches for the batch-norm statistics, from sample numbers no step uses."""
        after = self.recipe.steps * self.recipe.batch
        for i in range(self.recipe.calibration_batches):
            yield self.micro_batch(plan, after + i * self.recipe.micro_batch)

    def trainer(
        self, total: Callable[[Tensor], Tensor] = lambda t: t, *, device: torch.device | None = None
    ) -> Trainer:
        """A trainer at step 0, or where its checkpoint ends. Raises ValueError for a checkpoint of
        another training.
        """
        trainer = self._fresh(total, device)
        self.checkpoint.restore(trainer)
        return trainer

    def _fresh(
        self, total: Callable[[Tensor], Tensor] = lambda t: t, device: torch.device | None = None
    ) -> Trainer:
        torch.manual_seed(self.recipe.seed)
        features = self.cube.features
        model = UNet(features.n_channels, features.n_classes, self.unet).to(
            device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        return Trainer(
            model, features, self.recipe, total=total, class_weights_K=self._class_weights(device)
        )

    def _class_weights(self, device: torch.device | None) -> Tensor | None:
        balance = self.recipe.class_balance
        if not balance:
            return None
        found = surveyed(self.cube, self.tiling, self.recipe.sampling)
        cells = found.cells_in(*self.years("training"), left_out=self.left_out)
        return torch.from_numpy(class_weights(cells, balance=balance)).to(device)

    @cached_property
    def held_out_plans(self) -> list[SamplePlan]:
        """The samples of held-out blocks, and after them of held-out years; without those that the
        recipe lacks.
        """
        plans: list[SamplePlan] = []
        for use in ("validation", "later"):
            first, last = self.years(use)
            if first < last and (use == "later" or self.recipe.sampling.validation_share):
                try:
                    plans.append(self.plan(use))
                except ValueError as error:
                    log.warning("nothing is held out: %s", error)
        return plans

    def held_out(self, trainer: Trainer, plan: SamplePlan, *, share: float = 1.0) -> Cells:
        """What a model says of validation cells, `HELD_OUT` of them at most; of a share of them for
        a quick look.
        """
        recipe = self.recipe
        batches = max(1, round(share * recipe.validation_batches))
        most = max(1, HELD_OUT // batches)
        found = [
            thinned(trainer.held_out(self.micro_batch(plan, i * recipe.micro_batch)), most=most)
            for i in range(batches)
        ]
        return Cells(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def judge(self, trainer: Trainer) -> tuple[dict[OperatingPoint, Calibration], dict[str, Any]]:
        """The operating points of a finished model, and the report on it, empty where it cannot be
        judged.

        The temperature is that of the held-out blocks, the points are chosen in the held-out years;
        where too little changes in one of them the other serves for both, and where in both the
        points are the weights as they are.
        """
        judged_on = [(plan, self.held_out(trainer, plan)) for plan in self.held_out_plans]
        found = [(plan, cells) for plan, cells in judged_on if changed(cells) >= FEWEST]
        if not found:
            log.warning(
                "operating points are not calibrated: fewer than %d held-out cells change; hold "
                "out more "
                "blocks or years (training.sampling)",
                FEWEST,
            )
            return uncalibrated(), {}
        plan, cells = found[-1]
        points = calibrate(found[0][1], cells)
        return points, {
            "held_out": "blocks" if plan.use == "validation" else "years",
            "years": [plan.first_year, plan.last_year],
        } | validation_report(cells, points)

    @property
    def report(self) -> str:
        """Where the report on the finished model lies; there is none where it cannot be judged."""
        return f"{self.folder}/validation.json"

    def save(self, trainer: Trainer, metrics: StepMetrics) -> None:
        """Write the finished model with its operating points and the report on it, and drop the
        checkpoint.
        """
        points, report = self.judge(trainer)
        scored = {
            point: {k: v for k, v in said.items() if isinstance(v, float)}
            for point, said in report.get("points", {}).items()
        }
        card = ModelCard(
            self.direction,
            self.cube.legend.name,
            tuple(int(c) for c in self.cube.legend.codes),
            trainer.features.names,
            self.unet,
            {
                "sources": self.cube.sources,
                "caveats": self.cube.caveats,
                "forcing": [asdict(v) for v in trainer.features.forcing],
                "static": [asdict(v) for v in trainer.features.static],
                "last_metrics": metrics,
                "validation": scored,
            },
            self.fingerprint,
            self.identity,
            points=points,
        )
        if report:
            about = {
                "direction": self.direction,
                "caveats": self.cube.caveats,
                "classes": [c.name for c in self.cube.legend.classes],
            }
            write_atomically(self.report, json.dumps(about | report, indent=1).encode())
        save_model(trainer.model, card, self.folder)
        remove(self.checkpoint.path)


class TrainingLogger:
    """What the leading worker does after each step: metrics to whoever watches, event files,
    checkpoints.
    """

    QUICK = 0.25
    """Share of the validation that is scored after an epoch."""

    def __init__(self, training: Training, tell: TrainingProgress) -> None:
        self._training, self._tell = training, tell
        self._steps: list[StepMetrics] = []
        self._rows: list[Row] = []
        self._since = time.monotonic()
        self.last: StepMetrics = {}

    def __call__(self, trainer: Trainer, metrics: StepMetrics) -> None:
        """After the step that gave `metrics`."""
        recipe, done = self._training.recipe, trainer.done
        self._steps.append(metrics)
        epoch = recipe.epoch_ended(done)
        saves = epoch or done % recipe.checkpoint_every == 0
        if saves or done % TOLD_EVERY == 0:
            self._row(trainer, epoch)
        if saves:  # events first: what is written twice is the same
            write_events(f"{self._training.folder}/events", self._rows)
            self._rows.clear()
            self._training.checkpoint.save(trainer)

    def _row(self, trainer: Trainer, epoch: int) -> None:
        recipe, now = self._training.recipe, time.monotonic()
        rate = len(self._steps) * recipe.batch / max(now - self._since, 1e-9)
        self.last = summary(self._steps) | {"samples_per_second": rate}
        self._steps.clear()
        held_out = self._held_out(trainer) if epoch else {}
        self._rows.append(
            Row(
                trainer.done,
                time.time(),
                {
                    **{f"training/{k}": v for k, v in self.last.items()},
                    **{f"held_out/{k}": v for k, v in held_out.items()},
                },
            )
        )
        self._tell(
            ProgressEvent(self._training.direction, trainer.done, self.last, held_out, epoch)
        )
        self._since = time.monotonic()

    def _held_out(self, trainer: Trainer) -> StepMetrics:
        plans = self._training.held_out_plans
        if not plans:
            return {}
        cells = self._training.held_out(trainer, plans[-1], share=self.QUICK)
        return scores(cells, PLAIN) | {"cross_entropy": cross_entropy(cells, PLAIN)}


def run_steps(
    training: Training,
    trainer: Trainer,
    batches: Iterable[dict[int, Sample]],
    *,
    after: Callable[[Trainer, StepMetrics], None] = unheard,
) -> None:
    """Train on `batches` to the end and calibrate; `after` is called after each step."""
    for samples in batches:
        after(trainer, trainer.step(samples))
    trainer.calibrate(training.calibration(training.plan()))
