"""Skill of a rollout of values: scores of the model beside null models, and a verdict in words."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.types import I64, Direction
from luray.core.value_scale import ValueScale
from luray.evaluation.null_models import NullMaps, NullModel, ValueRow
from luray.evaluation.significance import Interval, Verdict
from luray.evaluation.value_scores import (
    SpreadCalibration,
    ValueScores,
    calibration_of,
    scores_of_row,
    skill_intervals,
    skills_of_rows,
)
from luray.evaluation.value_sums import AREA, BlockSquares, ValueTally, pooled

IN_WORDS: Mapping[ValueRow, str] = {
    "model": "model",
    "persistence": "persistence",
    "seasonal_persistence": "seasonal persistence",
    "climatology": "climatology of the cell",
    "class_climatology": "climatology of the class",
    "land_climatology": "climatology of all land",
}
"""Names of the rows for readers."""


@dataclass(frozen=True)
class ValueOutcome:
    """Outcome of one test: a rollout of values, summed up against the observed maps."""

    name: str
    direction: Direction
    nulls: NullMaps
    """Maps of the null models; their rows are those of the sums."""
    tally: ValueTally
    zones: tuple[str, ...] = ()
    """Names of the Z zones of the sums."""
    left_out: tuple[int, ...] = ()
    """Steps that are not scored, see `evaluation_years`."""

    def __post_init__(self) -> None:
        if not any(self.has_value(step) for step in self.tally):
            label = self.nulls.time.label
            raise ValueError(
                f"evaluation test {self.name!r}: none of the {len(self.tally)} maps from "
                f"{label(min(self.tally))} to {label(max(self.tally))} has a value on land, "
                "expected one or more that the prediction is compared with; choose other years"
            )

    @property
    def steps(self) -> tuple[int, ...]:
        """Scored time steps in the direction of travel."""
        return tuple(sorted(self.tally, key=lambda step: abs(step - self.nulls.start)))

    @property
    def last_with_values(self) -> int:
        """The last scored step whose observed map has a value."""
        return [step for step in self.steps if self.has_value(step)][-1]

    def has_value(self, step: int) -> bool:
        """Return whether the observed map of a step has a value on land."""
        return bool(self.tally[step].all_land_RC[0, AREA])

    def lead_year(self, step: int) -> int:
        """Return the year of the rollout that a step lies in, the first being 1."""
        return ceil_div(abs(step - self.nulls.start), self.nulls.time.per_year)


class RowScores(NamedTuple):
    """Scores of the model and the null models over the same cells and steps."""

    scores: Mapping[ValueRow, ValueScores]
    skill: Mapping[NullModel, float]
    """1 - squared error of the model / squared error of each null model."""


@dataclass(frozen=True)
class ValueSkill:
    """Scores of one test, over all its cells and steps and over parts of them."""

    overall: RowScores
    intervals: Mapping[NullModel, Interval]
    """Skill against each null model with its interval."""
    n_blocks: int
    """Blocks of the map from which the intervals are drawn."""
    side: int
    """Cells along a side of a block."""
    by_step: Mapping[int, RowScores]
    by_lead_year: Mapping[int, RowScores]
    lead_year_intervals: Mapping[int, Mapping[NullModel, Interval]]
    by_step_of_year: Mapping[int, RowScores]
    """By the number of the step in its year, from 0."""
    by_zone: Mapping[str, RowScores] = field(default_factory=dict)
    by_zone_and_step_of_year: Mapping[tuple[str, int], RowScores] = field(default_factory=dict)
    calibration: SpreadCalibration | None = None
    """None where the product has no spread."""


def skill_of_values(outcome: ValueOutcome, scale: ValueScale) -> ValueSkill:
    """Return the skill that the sums of a test show.

    Parameters
    ----------
    outcome : ValueOutcome
        The test.
    scale : ValueScale
        What the levels stand for.
    """
    tally = outcome.tally
    steps = outcome.steps
    lead_years = _grouped(steps, outcome.lead_year)
    steps_of_year = _grouped(steps, outcome.nulls.time.in_year)

    def scores_in(some_steps: Iterable[int]) -> RowScores:
        """Scores of some steps together, on all land."""
        return _scores(outcome, scale, [tally[step].all_land_RC for step in some_steps])

    by_zone = {}
    by_zone_and_step_of_year = {}
    for z, zone in enumerate(outcome.zones):
        sums_of_zone = [tally[step].by_zone_ZRC[z] for step in steps]
        by_zone[zone] = _scores(outcome, scale, sums_of_zone)
        for k, some_steps in steps_of_year.items():
            sums_of_both = [tally[step].by_zone_ZRC[z] for step in some_steps]
            by_zone_and_step_of_year[zone, k] = _scores(outcome, scale, sums_of_both)

    blocks = _blocks_of(tally, steps)
    lead_year_intervals = {}
    for lead, some_steps in lead_years.items():
        lead_year_intervals[lead] = _intervals(outcome, _blocks_of(tally, some_steps))
    return ValueSkill(
        overall=scores_in(steps),
        intervals=_intervals(outcome, blocks),
        n_blocks=len(blocks.places_N2),
        side=blocks.side,
        by_step={step: scores_in([step]) for step in steps},
        by_lead_year={lead: scores_in(some_steps) for lead, some_steps in lead_years.items()},
        lead_year_intervals=lead_year_intervals,
        by_step_of_year={k: scores_in(some_steps) for k, some_steps in steps_of_year.items()},
        by_zone=by_zone,
        by_zone_and_step_of_year=by_zone_and_step_of_year,
        calibration=calibration_of(pooled(tally[step].by_spread_P4 for step in steps), scale),
    )


def _grouped(steps: Iterable[int], group_of: Callable[[int], int]) -> dict[int, list[int]]:
    """Steps by their group, groups in ascending order."""
    groups: dict[int, list[int]] = {}
    for step in steps:
        groups.setdefault(group_of(step), []).append(step)
    return dict(sorted(groups.items()))


def _scores(outcome: ValueOutcome, scale: ValueScale, arrays: Iterable[I64]) -> RowScores:
    """Scores of the sums of some cells and steps together, shape (R, C) each."""
    sums_RC = pooled(arrays)
    scores_of_rows = [scores_of_row(sums_C, scale) for sums_C in sums_RC]
    return RowScores(
        dict(zip(outcome.nulls.rows, scores_of_rows, strict=True)),
        dict(zip(outcome.nulls.null_models, skills_of_rows(sums_RC), strict=True)),
    )


def _intervals(outcome: ValueOutcome, blocks: BlockSquares) -> dict[NullModel, Interval]:
    return dict(zip(outcome.nulls.null_models, skill_intervals(blocks), strict=True))


def _blocks_of(tally: ValueTally, steps: Iterable[int]) -> BlockSquares:
    """Squared errors of some steps together."""
    total = BlockSquares()
    for step in steps:
        total += tally[step].blocks
    return total


class Finding(NamedTuple):
    """What the scores of a test say."""

    verdict: Verdict
    """better: than all null models; worse: than any of them."""
    opening: str
    sentences: tuple[str, ...]


def finding_of(skill: ValueSkill, scale: ValueScale) -> Finding:
    """Return whether a model is better than all null models, or which it does not beat.

    Parameters
    ----------
    skill : ValueSkill
        Of one test.
    scale : ValueScale
        Has the unit of the errors.
    """
    intervals = skill.intervals
    worse = [null for null in intervals if intervals[null].verdict == "worse"]
    unclear = [null for null in intervals if intervals[null].verdict == "cannot be told"]
    no_smaller_error = [null for null in intervals if not intervals[null].estimate > 0]
    has_intervals = not all(np.isnan(interval.low) for interval in intervals.values())
    verdict: Verdict = "cannot be told"
    if worse:
        verdict = "worse"
        all_of_them = len(worse) == len(intervals)
        opening = f"Worse than {'all null models' if all_of_them else _listed(worse)}"
    elif not unclear:
        verdict = "better"
        opening = "Better than all null models"
    elif no_smaller_error:
        none_of_them = len(no_smaller_error) == len(intervals)
        opening = f"Does not beat {'any null model' if none_of_them else _listed(no_smaller_error)}"
    elif has_intervals:
        opening = f"Cannot be told from {_listed(unclear)}"
    else:
        opening = "Smaller error than all null models, in too few places to be certain"

    scores = skill.overall.scores
    sentences = [f"The root mean squared error is {scores['model'].rmse:.3g} {scale.units}."]
    for null, interval in intervals.items():
        certainty = ""
        if not np.isnan(interval.low):
            ends = f"{_difference(interval.low)} to {_difference(interval.high)}"
            certainty = f" ({ends} with 95 % confidence)"
        sentences.append(
            f"{IN_WORDS[null].capitalize()}: {scores[null].rmse:.3g}; the squared error of the "
            f"model is {_difference(interval.estimate)}{certainty}."
        )
    if not has_intervals:
        sentences.append("There are too few places to tell how certain the differences are.")
    return Finding(verdict, opening, tuple(sentences))


def _difference(skill: float) -> str:
    """By how much a squared error is smaller or larger than that which the skill is against."""
    return f"{abs(skill):.0%} {'smaller' if skill >= 0 else 'larger'}".replace("%", " %")


def _listed(nulls: Iterable[NullModel]) -> str:
    """Null models as a list in a sentence, such as "a, b and c"."""
    *others, last = [IN_WORDS[null] for null in nulls]
    return f"{', '.join(others)} and {last}" if others else last
