"""Events that a training reports while it runs.

Whoever only passes events on imports this module, which needs no torch.
"""

from collections.abc import Callable
from typing import NamedTuple

from luray.core.types import Direction
from luray.training.step_metrics import StepMetrics


class ProgressEvent(NamedTuple):
    """Progress of a training: means over the last steps, and scores at the end of an epoch."""

    direction: Direction
    step: int
    metrics: StepMetrics
    held_out: StepMetrics
    """Scores on held-out cells; empty inside an epoch, and where nothing is held out."""
    epoch: int = 0
    """Number of the epoch that ends here, from 1; 0 inside one."""


TrainingProgress = Callable[[ProgressEvent], None]
"""Called with each event of a training."""


def no_training_progress(event: ProgressEvent) -> None:
    """Ignore the progress of a training."""
