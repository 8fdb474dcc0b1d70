"""Lines of a training: one an epoch, under headings, alike on a terminal and in a log."""

from collections.abc import Mapping

from luray.cli import console
from luray.cli.progress import Show
from luray.core.types import Direction
from luray.training.progress_events import ProgressEvent
from luray.training.recipe import Recipe

TRAINING_COLUMNS = (
    ("epoch", 5),
    ("step", 6),
    ("loss", 7),
    ("on land", 8),
    ("on change", 10),
    ("accuracy", 10),
    ("null", 7),
    ("FoM", 6),
    ("pred/obs", 9),
    ("held out", 10),
    ("null", 7),
    ("FoM", 6),
    ("pred/obs", 9),
    ("rate", 9),
    ("samples/s", 10),
    ("left", 9),
)
"""Columns of a training and their widths.

null is the accuracy of persistence, FoM the Figure of Merit, pred/obs predicted over observed
change; first on the batches of the epoch, whose priors are corrupted, then on held-out blocks.
"""

VALUE_COLUMNS = (
    ("epoch", 5),
    ("step", 6),
    ("loss", 9),
    ("RMSE", 8),
    ("null", 8),
    ("bias", 8),
    ("in spread", 11),
    ("held out", 10),
    ("null", 8),
    ("bias", 8),
    ("in spread", 11),
    ("rate", 9),
    ("samples/s", 10),
    ("left", 9),
)
"""The same of a model of values.

RMSE and bias are in the unit of the target, null is the RMSE of persistence, in spread the share of
truths within one spread of the prediction (68 % where the spread is right).
"""

VALUE_DIGITS = {"rmse": 4, "persistence_rmse": 4, "bias": 4, "within_1_spread": 3}

SCORE_DIGITS = {
    "accuracy": 4,
    "persistence": 4,
    "figure_of_merit": 3,
    "predicted_over_observed": 2,
}
"""Scores of an epoch, each once on its batches and once on held-out blocks, with their digits."""


def training_head(metrics: Mapping[str, float]) -> str:
    """Return the headings over `training_line` for metrics of classes or values."""
    columns = VALUE_COLUMNS if "rmse" in metrics else TRAINING_COLUMNS
    return "".join(f"{name:>{width}}" for name, width in columns)


def training_line(
    metrics: Mapping[str, float],
    held_out: Mapping[str, float],
    *,
    epoch: int,
    step: int,
    seconds_left: float,
) -> str:
    """Return one epoch of a training as a line; columns without a value have a dash."""
    minutes, seconds = divmod(round(seconds_left), 60)
    of_values = "rmse" in metrics
    digits = VALUE_DIGITS if of_values else SCORE_DIGITS
    losses = ["loss"] if of_values else ["loss", "loss_land", "loss_changed"]
    cells = [
        str(epoch),
        str(step),
        *[f"{metrics[name]:.4f}" for name in losses],
        *_score_cells(metrics, digits),
        *_score_cells(held_out, digits),
        f"{metrics['learning_rate']:.5f}",
        f"{metrics['samples_per_second']:.1f}",
        f"{minutes}:{seconds:02d}",
    ]
    columns = zip(cells, VALUE_COLUMNS if of_values else TRAINING_COLUMNS, strict=True)
    return "".join(f"{cell:>{width}}" for cell, (_, width) in columns)


def _score_cells(scores: Mapping[str, float], digits: Mapping[str, int]) -> list[str]:
    """Scores with their digits, dashes where there are none."""
    if not scores:
        return ["-"] * len(digits)
    return [f"{scores[name]:.{n}f}" for name, n in digits.items()]


class TrainingLines:
    """Prints a line an epoch and keeps the bar; called with each event of a training."""

    def __init__(self, recipe: Recipe, show: Show) -> None:
        self._recipe = recipe
        self._show = show
        self._headed: set[Direction] = set()

    def __call__(self, event: ProgressEvent) -> None:
        """Print the event where an epoch ends, and show how far the training is."""
        if event.epoch:
            self._print(event)
        loss = f"loss {event.metrics['loss']:.4f}"
        self._show(event.step, self._recipe.steps, loss, name=f"train {event.direction}")

    def _print(self, event: ProgressEvent) -> None:
        if event.direction not in self._headed:
            console.out.print(
                f"{event.direction} model\n{training_head(event.metrics)}", soft_wrap=True
            )
        self._headed.add(event.direction)

        samples_left = (self._recipe.steps - event.step) * self._recipe.batch
        line = training_line(
            event.metrics,
            event.held_out,
            epoch=event.epoch,
            step=event.step,
            seconds_left=samples_left / event.metrics["samples_per_second"],
        )
        console.out.print(line, soft_wrap=True)
