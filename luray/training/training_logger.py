"""Following a training: what the leading worker does after each step."""

import time
from contextlib import suppress

from luray.core.crash_points import crash_point
from luray.model.calibration import cross_entropy, scores
from luray.model.operating_point import NO_CALIBRATION
from luray.model.value_calibration import ValueCells, value_scores
from luray.storage.lease import RENEWED_EVERY, RequireLease, no_lease
from luray.training.finished_model import held_out_cells
from luray.training.progress_events import ProgressEvent, TrainingProgress
from luray.training.step_metrics import StepMetrics, summary
from luray.training.tensorboard import MetricsRow, write_events
from luray.training.trainer import Trainer
from luray.training.training import Training

STEPS_PER_ROW = 10
"""Steps between two rows of metrics."""
QUICK_SHARE = 0.25
"""Share of the validation that is scored after an epoch."""


class TrainingLogger:
    """Follows the steps of a training: reports metrics, writes event files and checkpoints.

    Called after each step; see `training.run_steps`.

    Parameters
    ----------
    training : Training
        The training that is followed.
    progress : callable
        Gets an event every `STEPS_PER_ROW` steps, and whenever a checkpoint is written.
    require_lease : callable, optional
        Called before each checkpoint, and once in `RENEWED_EVERY` seconds. Its HeldError ends the
        training.
    """

    def __init__(
        self,
        training: Training,
        progress: TrainingProgress,
        *,
        require_lease: RequireLease = no_lease,
    ) -> None:
        self._training = training
        self._progress = progress
        self._require_lease = require_lease
        self._required_at = time.monotonic()
        """When the lease was looked at last."""
        self._steps: list[StepMetrics] = []
        """Metrics of the steps since the last row."""
        self._rows: list[MetricsRow] = []
        """Rows since the last checkpoint."""
        self._last_row_at = time.monotonic()
        self.last: StepMetrics = {}
        """Metrics of the last row."""

    def __call__(self, trainer: Trainer, metrics: StepMetrics) -> None:
        """Note the step that gave `metrics`."""
        recipe = self._training.recipe
        self._steps.append(metrics)
        epoch = recipe.epoch_ended(trainer.done)
        saves = epoch or trainer.done % recipe.checkpoint_every == 0
        if saves or trainer.done % STEPS_PER_ROW == 0:
            self._add_row(trainer, epoch)
        if saves:
            crash_point("before checkpoint")
            self._require_lease()
            self._required_at = time.monotonic()
            # Events before the checkpoint: a training that is interrupted between the two goes on
            # from the checkpoint before and writes the same events again. The other way round they
            # would be missing.
            write_events(f"{self._training.folder}/events", self._rows)
            self._rows.clear()
            self._training.checkpoint.save(trainer, require_lease=self._require_lease)
        elif time.monotonic() - self._required_at > RENEWED_EVERY:
            self._required_at = time.monotonic()
            with suppress(OSError):  # a store that is away for a moment is no other job
                self._require_lease()

    def _add_row(self, trainer: Trainer, epoch: int) -> None:
        """Sum up the steps since the last row, and report them."""
        seconds = time.monotonic() - self._last_row_at
        n_samples = len(self._steps) * self._training.recipe.batch
        self.last = summary(self._steps) | {"samples_per_second": n_samples / max(seconds, 1e-9)}
        self._steps.clear()

        held_out = self._held_out_scores(trainer) if epoch else {}
        row = {f"training/{name}": value for name, value in self.last.items()}
        row |= {f"held_out/{name}": value for name, value in held_out.items()}
        self._rows.append(MetricsRow(trainer.done, time.time(), row))
        self._progress(
            ProgressEvent(self._training.direction, trainer.done, self.last, held_out, epoch)
        )
        self._last_row_at = time.monotonic()  # scoring is not training

    def _held_out_scores(self, trainer: Trainer) -> StepMetrics:
        """Scores of the uncalibrated model on a part of the held-out cells."""
        plans = self._training.data.held_out_plans
        if not plans:
            return {}
        cells = held_out_cells(self._training.data, trainer, plans[-1], share=QUICK_SHARE)
        if isinstance(cells, ValueCells):
            scale = self._training.data.cube.legend.scale
            assert scale is not None
            return value_scores(cells, NO_CALIBRATION, scale)
        entropy = cross_entropy(cells, NO_CALIBRATION)
        return scores(cells, NO_CALIBRATION) | {"cross_entropy": entropy}
