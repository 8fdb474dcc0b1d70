"""Live metrics of training steps: what a step counts, and means over steps."""

from collections.abc import Sequence
from typing import NamedTuple

StepMetrics = dict[str, float]
"""Metrics by name."""


class StepCounts(NamedTuple):
    """Sums of a step over all its samples, years and workers; cells are counted, not weighted.

    Every year of a rollout is compared with the true map of the year and of the year before.
    """

    loss_land: float
    loss_changed: float
    hits: float
    """Cells predicted right."""
    persistent: float
    """Cells that do not change."""
    predicted_change: float
    """Cells whose predicted class is not that of the year before."""
    change_hits: float
    """Cells that change, and as predicted."""
    change_either: float
    """Cells that change, or are predicted to."""
    cells: float
    """All land cells that count."""

    def metrics(self) -> StepMetrics:
        """Return the counts of cells as shares of all cells, 0 where there are none."""
        counts = {
            "accuracy": self.hits,
            "persistence": self.persistent,
            "predicted_change": self.predicted_change,
            "observed_change": self.cells - self.persistent,
            "change_hits": self.change_hits,
            "change_either": self.change_either,
        }
        return {name: count / max(self.cells, 1.0) for name, count in counts.items()}


class ValueCounts(NamedTuple):
    """The same sums of a continuous target, in its unit; cells whose value is known count."""

    loss_land: float
    loss_changed: float
    error: float
    squared_error: float
    squared_change: float
    """Squared differences of the true map from that of the step before."""
    within_spread: float
    """Cells whose error is at most the spread."""
    cells: float

    def metrics(self) -> StepMetrics:
        """Return the means over cells, 0 where there are none."""
        sums = {
            "bias": self.error,
            "squared_error": self.squared_error,
            "squared_change": self.squared_change,
            "within_1_spread": self.within_spread,
        }
        return {name: total / max(self.cells, 1.0) for name, total in sums.items()}


def summary(steps: Sequence[StepMetrics]) -> StepMetrics:
    """Return the means of the metrics of several steps.

    Figure of Merit and predicted over observed change are those of all their cells: ratios of
    means, not means of ratios. The learning rate is that of the last step.
    """
    mean = {name: sum(metrics[name] for metrics in steps) / len(steps) for name in steps[0]}
    if "squared_error" in mean:
        return mean | {
            "rmse": mean.pop("squared_error") ** 0.5,
            "persistence_rmse": mean.pop("squared_change") ** 0.5,
            "learning_rate": steps[-1]["learning_rate"],
        }
    change_hits = mean.pop("change_hits")
    change_either = mean.pop("change_either")
    return mean | {
        "figure_of_merit": change_hits / max(change_either, 1e-12),
        "learning_rate": steps[-1]["learning_rate"],
        "predicted_over_observed": mean["predicted_change"] / max(mean["observed_change"], 1e-12),
    }
