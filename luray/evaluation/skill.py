"""Skill of a rollout: scores of model and null model, and whether the difference is significant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from luray.core.types import F64, Direction
from luray.evaluation.aggregation import Tally
from luray.evaluation.class_scores import (
    ClassScores,
    TransitionScores,
    class_scores,
    mean_class_scores,
    transition_scores,
)
from luray.evaluation.demand_agreement import DEMANDED
from luray.evaluation.flicker import FlickerByYear
from luray.evaluation.metrics import (
    Scores,
    last_change,
    mean_scores,
    persistence,
    random_allocation,
    score,
    scores_of_zones,
)
from luray.evaluation.significance import Significance, significance
from luray.evaluation.statistics import Statistics

MOST_MEAN_YEARS = 15
"""Lead years that the mean covers; all of them where there are fewer."""

RowName = Literal["model", "persistence", "last change", "random place"]
ROWS: tuple[RowName, ...] = get_args(RowName)
"""Rows of every table of scores: the model, and the null models beside it.

persistence: nothing changes. last change: every year changes as the last observed one did, at
random. random place: as much changes as is observed, at random; it knows what no forecast can know.
"""

Truth = Literal["raw", "deflickered"]
"""The maps that a rollout is compared with: as published, or with their flicker removed."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one test: a rollout from the map of `start_year`, tallied against the truth."""

    name: str
    direction: Direction
    start_year: int
    tally: Tally
    deflickered: Tally | None = None
    """The same predictions tallied against deflickered maps, see `deflicker`."""
    left_out: tuple[int, ...] = ()
    """Years that are not scored, see `evaluation_years`."""
    flicker: FlickerByYear = field(default_factory=dict)
    """Flicker of the predicted maps."""
    last_change: F64 | None = None
    """Area in m2 that went from class (rows) to class (columns) in the last year before the start,
    (K, K); None where there is no map of the year before it.
    """
    zones: tuple[str, ...] = ()
    """Names of the Z zones of the tallies."""
    demand_gap: str = ""
    """Why there is no coarse demand to compare with, in words; "" where there is one."""
    p_change: Mapping[str, Any] | None = None
    """How far the model's probability of change can be trusted: `cells`, `brier` and `reliability`
    of its validation.json, at the operating point of the test; None where that is not known.
    """

    def __post_init__(self) -> None:
        for tally in (self.tally, self.deflickered):
            if tally is not None:
                self._require_years_after_start(tally)
        if not self.tally.years:
            raise ValueError(
                f"test {self.name!r} has no year tallied, expected at least one; predict and tally "
                "a year that has an observed map"
            )

    def _require_years_after_start(self, tally: Tally) -> None:
        sign = 1 if self.direction == "forward" else -1
        wrong = [year for year in tally.years if (year - self.start_year) * sign <= 0]
        if wrong:
            raise ValueError(
                f"test {self.name!r} goes {self.direction} from {self.start_year} but was "
                f"tallied in {wrong}; tally only the years that it predicts"
            )

    @property
    def scores_past_left_out(self) -> bool:
        """True when years are scored that lie past those left out."""
        if not self.left_out:
            return False
        last_left_out = max(self.lead(year) for year in self.left_out)
        return any(self.lead(year) > last_left_out for year in self.tally.years)

    @property
    def demand_unknown(self) -> str:
        """Why the error against the coarse demand cannot be told, "" where it can."""
        if any(statistics.demand[DEMANDED] for statistics in self.tally.years.values()):
            return ""
        return self.demand_gap or "the coarse scenario asks for no net change in these years"

    def lead(self, year: int) -> int:
        """Return the years travelled from the start, at least 1."""
        return abs(year - self.start_year)


@dataclass(frozen=True)
class Skill:
    """Scores of one test against one truth, from the first lead year on."""

    years: tuple[int, ...]
    by_year: Mapping[RowName, tuple[Scores, ...]]
    against_persistence: Significance | None = None
    """Intervals of the difference; None for a tally without sums by block."""
    by_zone: Mapping[str, Mapping[RowName, tuple[Scores, ...]]] = field(default_factory=dict)
    """Scores of model and persistence in each zone, by year; those of its table alone."""
    by_class: Mapping[RowName, tuple[tuple[ClassScores, ...], ...]] = field(default_factory=dict)
    """Scores of model and persistence by class of the legend, then by year."""
    transitions: tuple[tuple[TransitionScores, ...], ...] = ()
    """Changes from class to class since the start, by year; those of the model."""

    @property
    def rows(self) -> tuple[RowName, ...]:
        """The model and the null models that there are, in the order of `ROWS`."""
        return tuple(self.by_year)

    @property
    def mean_years(self) -> tuple[int, ...]:
        """Years that the mean covers."""
        return self.years[:MOST_MEAN_YEARS]

    def first(self, row: RowName) -> Scores:
        """Return the scores of the first year."""
        return self.by_year[row][0]

    def mean(self, row: RowName) -> Scores:
        """Return the mean of the yearly scores over `mean_years`."""
        return mean_scores(self.by_year[row][:MOST_MEAN_YEARS])

    def mean_of_class(self, row: RowName, k: int) -> ClassScores:
        """Return the mean of the yearly scores of class k over `mean_years`."""
        return mean_class_scores(self.by_class[row][k][:MOST_MEAN_YEARS])

    def mean_of_zone(self, row: RowName, zone: str) -> Scores:
        """Return the mean of the yearly scores of a zone over `mean_years`."""
        return mean_scores(self.by_zone[zone][row][:MOST_MEAN_YEARS])

    @property
    def first_gain(self) -> float:
        """Accuracy minus that of persistence in the first year."""
        return self.first("model").accuracy - self.first("persistence").accuracy

    @property
    def mean_gain(self) -> float:
        """The same in the mean."""
        return self.mean("model").accuracy - self.mean("persistence").accuracy


def skill_of(outcome: Outcome, tally: Tally, *, water: int | None) -> Skill:
    """Return the skill that a tally of a test shows.

    Parameters
    ----------
    outcome : Outcome
        The test.
    tally : Tally
        One of its two: against the maps as published, or de-flickered.
    water : int, optional
        Class index that is left out where it is the true class.
    """
    years = tuple(sorted(tally.years, key=outcome.lead))
    statistics = [tally.years[year] for year in years]

    # Null models need no maps of their own: their statistics follow from those of the model.
    statistics_of_row: dict[RowName, list[Statistics]] = {
        "model": statistics,
        "persistence": [persistence(of_year) for of_year in statistics],
    }
    if outcome.last_change is not None:
        statistics_of_row["last change"] = [
            last_change(of_year, outcome.last_change, lead=outcome.lead(year))
            for year, of_year in zip(years, statistics, strict=True)
        ]
    statistics_of_row["random place"] = [random_allocation(of_year) for of_year in statistics]
    by_year: dict[RowName, tuple[Scores, ...]] = {}
    for row, statistics_of_years in statistics_of_row.items():
        by_year[row] = tuple(score(of_year, water=water) for of_year in statistics_of_years)

    against_persistence = None
    by_block = [of_year.by_block for of_year in statistics]
    if all(sums.side for sums in by_block):
        against_persistence = significance(by_block, n_mean=MOST_MEAN_YEARS, water=water)

    by_zone: dict[str, dict[RowName, tuple[Scores, ...]]] = {zone: {} for zone in outcome.zones}
    by_class: dict[RowName, tuple[tuple[ClassScores, ...], ...]] = {}
    for row in ("model", "persistence"):
        of_row = statistics_of_row[row]
        zones_of_years = [scores_of_zones(of_year, water=water) for of_year in of_row]
        for number, zone in enumerate(outcome.zones):
            by_zone[zone][row] = tuple(scores[number] for scores in zones_of_years)

        # Each year has the scores of all classes; turned round, each class those of all years.
        classes_of_years = [class_scores(of_year.table, water=water) for of_year in of_row]
        by_class[row] = tuple(zip(*classes_of_years, strict=True))
    transitions = tuple(tuple(transition_scores(of_year.table)) for of_year in statistics)
    return Skill(years, by_year, against_persistence, by_zone, by_class, transitions)
