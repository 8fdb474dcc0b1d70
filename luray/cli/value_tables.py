"""The report of an evaluation of values on screen: tables that fit a console of 80 columns.

A score that does not exist (nan) is shown as "-".
"""

from collections.abc import Iterator, Mapping

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luray.cli.score_layout import heading, new_table, notes, rounded
from luray.evaluation.null_models import ValueRow
from luray.evaluation.significance import FEWEST_BLOCKS
from luray.evaluation.value_report import ValueReport, season_label
from luray.evaluation.value_scores import SpreadCalibration
from luray.evaluation.value_skill import IN_WORDS, RowScores, ValueOutcome, ValueSkill, finding_of

SCORE_COLUMNS = {
    "bias": "bias",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R2",
    "anomaly_correlation": "anomaly\ncorr.",
}
"""Scores of the table of a test, with their headings."""

DIGITS = 3
"""Digits of all numbers."""

SHORT: Mapping[ValueRow, str] = {
    "model": "model",
    "persistence": "persis-\ntence",
    "seasonal_persistence": "seasonal\npersist.",
    "climatology": "clim. of\nthe cell",
    "class_climatology": "clim. of\nthe class",
    "land_climatology": "clim. of\nall land",
}
"""Headings of the columns of rows."""

SEASONS = {"month": "month", "dekad": "dekad from", "P8D": "8 days from"}
"""Headings of the steps of a year."""

MOST_SEASONS = 12
"""Steps of a year that the screen shows; metrics.csv has all."""


def render_value_report(report: ValueReport) -> Group:
    """Return the report for a rich console of 80 columns or more."""
    parts: list[RenderableType] = [Text(f"Evaluation of {report.model}", style="bold")]
    for outcome in report.outcomes:
        parts.extend(_outcome_parts(report, outcome))
    return Group(*parts, *notes(report.inputs, report.caveats))


def _outcome_parts(report: ValueReport, outcome: ValueOutcome) -> Iterator[RenderableType]:
    """Headings and tables of one test."""
    skill = report.skills[outcome.name]
    label = report.time.label
    units = report.scale.units
    start = label(outcome.nulls.start)
    title = f"{outcome.name}: {outcome.direction} from {start}"
    first, last = label(outcome.steps[0]), label(outcome.steps[-1])
    span = first if first == last else f"{first} to {last}"
    yield heading(f"{title}, {report.legend.long_name} in {units}, {span}")
    yield _score_table(skill)
    finding = finding_of(skill, report.scale)
    colour = {"better": "green", "worse": "red"}.get(finding.verdict, "yellow")
    yield Text(f"\n{finding.opening}.", style=f"bold {colour}")
    if skill.n_blocks < FEWEST_BLOCKS:
        yield Text("There are too few places to tell how certain the skill is.")

    yield heading(f"{title}, RMSE in {units} by lead year")
    lead_years = {str(lead): scores for lead, scores in skill.by_lead_year.items()}
    yield _rmse_table(lead_years, label="lead year")
    if outcome.nulls.is_seasonal:
        yield heading(f"{title}, RMSE in {units} by step of the year")
        yield _season_table(report, skill)
    if skill.by_zone:
        yield heading(f"{title}, RMSE in {units} by zone")
        yield _rmse_table(skill.by_zone, label="zone")
    if skill.calibration is not None:
        yield heading(f"{title}, spread of the model")
        yield _spread_text(skill.calibration, units)


def _score_table(skill: ValueSkill) -> Table:
    """A row for the model and each null model."""
    table = new_table(*SCORE_COLUMNS.values(), "skill of\nmodel", "low", "high")
    for row, scores in skill.overall.scores.items():
        cells = [rounded(getattr(scores, name), DIGITS) for name in SCORE_COLUMNS]
        interval = ["", "", ""]
        if row != "model":
            interval = [rounded(value, DIGITS) for value in skill.intervals[row]]
        table.add_row(IN_WORDS[row], *cells, *interval)
    return table


def _rmse_table(parts: Mapping[str, RowScores], *, label: str) -> Table:
    """The error of all rows, and the bias of the model, in each part that has a value."""
    rows = next(iter(parts.values())).scores
    table = new_table(*(SHORT[row] for row in rows), "bias of\nmodel", label=label)
    for name, part in parts.items():
        if np.isnan(part.scores["model"].rmse):
            continue
        errors = [rounded(scores.rmse, DIGITS) for scores in part.scores.values()]
        table.add_row(name, *errors, rounded(part.scores["model"].bias, DIGITS))
    return table


def _season_table(report: ValueReport, skill: ValueSkill) -> Table:
    """The same by step of the year; of many steps every few."""
    seasons = {season_label(report.time, k): part for k, part in skill.by_step_of_year.items()}
    every = max(1, round(len(seasons) / MOST_SEASONS))
    shown = dict(list(seasons.items())[::every])
    return _rmse_table(shown, label=SEASONS[report.time.interval])


def _spread_text(calibration: SpreadCalibration, units: str) -> Text:
    """How far the spread can be trusted."""
    return Text(
        f"{calibration.within_one:.1%} of the observed values lie within one spread and "
        f"{calibration.within_two:.1%} within two (68 % and 95 % of normal errors); mean spread "
        f"{calibration.mean_spread:.3g} {units}, mean squared z-score "
        f"{calibration.mean_square_z:.2f} (1 where the spread is right)"
    )
