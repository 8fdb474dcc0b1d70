"""Scores of each class, and of each change from one class to another, from a table of areas.

What is scored of a class is as in `metrics`: land whose true class is not water, by area. Of water
there are no scores.

Tables hold areas in m2. Shapes: J initial class, T true class, P predicted class, each of the K
classes of the legend.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from luray.core.types import F64
from luray.evaluation.metrics import land_only


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class in one year, or in the mean of several; nan where nothing is scored."""

    f1: float
    iou: float
    change_f1: float
    change_iou: float
    """The last two on cells whose true class differs from the initial one."""
    figure_of_merit: float
    """Of the land that becomes the class: what is observed and predicted to, over what is either.

    Land that becomes another class than predicted is a miss of the one and a false alarm of the
    other.
    """
    predicted_change: float
    observed_change: float
    """Land that becomes the class or is lost by it, as a share of all land."""
    change_ratio: float
    """Predicted over observed change."""


@dataclass(frozen=True)
class TransitionScores:
    """The change from one class to another since the initial map."""

    before: int
    after: int
    """Class indices."""
    observed_m2: float
    predicted_m2: float
    hits_m2: float
    """Observed and predicted in the same cells."""

    @property
    def figure_of_merit(self) -> float:
        """Hits over all land of which the change is observed, predicted or both."""
        return self.hits_m2 / (self.observed_m2 + self.predicted_m2 - self.hits_m2)


def class_scores(table_JTP: F64, *, water: int | None) -> list[ClassScores]:
    """Return the scores of each class of the legend.

    Parameters
    ----------
    table_JTP : array, shape (K, K, K)
        Area by initial, true and predicted class, see `statistics.cross_tabulate`.
    water : int, optional
        Class index that is left out where it is the true class, and that has no scores.

    Examples
    --------
    Of 4 m2 of class 0, of which 2 become class 1, one is foreseen:

    >>> table = np.zeros((2, 2, 2))
    >>> table[0, 0, 0], table[0, 1, 1], table[0, 1, 0] = 2, 1, 1
    >>> _, of_class_1 = class_scores(table, water=None)
    >>> of_class_1.iou, of_class_1.figure_of_merit, of_class_1.change_ratio
    (0.5, 0.5, 0.5)
    """
    land_JTP = land_only(table_JTP, water=water)
    land = land_JTP.sum()
    n_classes = len(land_JTP)

    # The same without the land whose true class is the initial one.
    changed_JTP = land_JTP.copy()
    classes = np.arange(n_classes)
    changed_JTP[classes, classes] = 0

    observed_JT = land_JTP.sum(axis=2)
    predicted_JP = land_JTP.sum(axis=1)
    scores = []
    for k in range(n_classes):
        if k == water:
            scores.append(ClassScores(*[np.nan] * len(fields(ClassScores))))
            continue
        f1, iou = _agreement(land_JTP.sum(axis=0), k)
        change_f1, change_iou = _agreement(changed_JTP.sum(axis=0), k)

        # What becomes the class from any other, and what is lost by it to any other.
        other = classes != k
        hits = land_JTP[other, k, k].sum()
        observed_gain = observed_JT[other, k].sum()
        predicted_gain = predicted_JP[other, k].sum()
        observed_change = observed_gain + observed_JT[k, other].sum()
        predicted_change = predicted_gain + predicted_JP[k, other].sum()
        scores.append(
            ClassScores(
                f1=f1,
                iou=iou,
                change_f1=change_f1,
                change_iou=change_iou,
                figure_of_merit=_ratio(hits, observed_gain + predicted_gain - hits),
                predicted_change=_ratio(predicted_change, land),
                observed_change=_ratio(observed_change, land),
                change_ratio=_ratio(predicted_change, observed_change),
            )
        )
    return scores


def mean_class_scores(years: Sequence[ClassScores]) -> ClassScores:
    """Return the mean of one class over some years, as `metrics.mean_scores` has it of all."""
    means = {}
    for field in fields(ClassScores):
        values = [getattr(year, field.name) for year in years]
        existing = [value for value in values if not np.isnan(value)]
        means[field.name] = float(np.mean(existing)) if existing else np.nan

    # Of a ratio, the ratio of the means: a year with little change would outweigh the others.
    means["change_ratio"] = _ratio(means["predicted_change"], means["observed_change"])
    return ClassScores(**means)


def transition_scores(table_JTP: F64) -> list[TransitionScores]:
    """Return the changes that are observed or predicted, the largest observed one first.

    Water counts here, as in `metrics.change_by_class`.
    """
    observed_JT = table_JTP.sum(axis=2)
    predicted_JP = table_JTP.sum(axis=1)
    transitions = []
    for initial_class, new_class in np.ndindex(observed_JT.shape):
        observed = float(observed_JT[initial_class, new_class])
        predicted = float(predicted_JP[initial_class, new_class])
        if initial_class != new_class and (observed or predicted):
            hits = float(table_JTP[initial_class, new_class, new_class])
            transitions.append(
                TransitionScores(initial_class, new_class, observed, predicted, hits)
            )
    return sorted(transitions, key=lambda change: (-change.observed_m2, -change.predicted_m2))


def _agreement(confusion_TP: F64, k: int) -> tuple[float, float]:
    """F1 and intersection over union of class k in a (true, predicted) table."""
    hits = confusion_TP[k, k]
    true = confusion_TP[k].sum()
    predicted = confusion_TP[:, k].sum()
    return _ratio(2 * hits, true + predicted), _ratio(hits, true + predicted - hits)


def _ratio(part: float, total: float) -> float:
    """Part over total, nan for a total of zero."""
    return float(part / total) if total else np.nan
