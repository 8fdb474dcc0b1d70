"""The report of an evaluation on screen: tables that fit a console of 80 columns.

A score that does not exist (nan) is shown as "-".
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luray.core.legend import Legend
from luray.evaluation.metrics import ClassChange, Scores
from luray.evaluation.report import PUBLISHED, EvaluationReport, Period
from luray.evaluation.skill import MOST_MEAN_YEARS, ROWS, Outcome, RowName, Skill

REFERENCE_COLUMNS = {
    "accuracy": "all\nacc.",
    "macro_f1": "all\nmacro\nF1",
    "weighted_f1": "all\nwtd.\nF1",
    "mean_iou": "all\nmean\nIoU",
    "change_accuracy": "change\nacc.",
    "change_macro_f1": "change\nmacro\nF1",
    "change_weighted_f1": "change\nwtd.\nF1",
    "change_mean_iou": "change\nmean\nIoU",
    "figure_of_merit": "FoM",
    "change_ratio": "pred/\nobs.",
}
"""Scores of the reference table, with their headings."""

CHANGE_COLUMNS = {
    "predicted_change": "pred.\nchange",
    "observed_change": "obs.\nchange",
    "figure_of_merit_5": "FoM\n5",
    "figure_of_merit_25": "FoM\n25",
    "quantity_disagreement": "quan-\ntity",
    "allocation_disagreement": "alloc-\nation",
    "net_change_error": "net ch.\nerror",
    "brier": "Brier",
    "calibration_error": "calib.\nerror",
}
"""Scores of the table of change, with their headings."""

PERCENT_SCORES = ("predicted_change", "observed_change")
"""Scores that are shown in percent."""


def render_report(report: EvaluationReport) -> Group:
    """Return the report for a rich console of 80 columns or more."""
    parts: list[RenderableType] = [Text(f"Evaluation of {report.model}", style="bold")]
    for outcome in report.outcomes:
        parts.extend(_outcome_parts(report, outcome))
    if report.inputs:
        parts.append(_heading("what was done to the inputs"))
    for name, rules in report.inputs.items():
        parts.extend(Text(f"{name}: {rule}", "dim") for rule in rules)
    parts.append(Text())
    parts.extend(Text(f"! {caveat}", style="yellow") for caveat in report.caveats)
    return Group(*parts)


def _outcome_parts(report: EvaluationReport, outcome: Outcome) -> Iterator[RenderableType]:
    """Headings and tables of one test."""
    title = f"{outcome.name}: {outcome.direction} from {outcome.start_year}"
    skills = report.skills_of(outcome)
    for truth, skill in skills.items():
        note = ", against de-flickered truth" if truth == "deflickered" else ""
        # The published model was scored against the maps as they are: no row beside other truth.
        published = truth == "raw"

        first = {row: skill.first(row) for row in ROWS}
        yield _heading(f"{title}, first year ({skill.years[0]}){note}")
        yield _reference_table(first, published="first_year" if published else None)
        yield Text()
        yield _change_table(first)

        mean = {row: skill.mean(row) for row in ROWS}
        yield _heading(f"{title}, mean of {_years(skill.mean_years, outcome.left_out)}{note}")
        yield _reference_table(mean, published="mean" if published else None)
        yield Text()
        yield _change_table(mean)

    skill = skills["raw"]
    yield _heading(f"{title}, skill by lead year")
    yield _lead_table(skill, outcome)

    last_year = skill.mean_years[-1]
    yield _heading(f"{title}, change by class in km2")
    yield _class_table(
        report.class_change(outcome, last_year),
        report.legend,
        label=f"{outcome.start_year} to\n{last_year}",
    )


def _reference_table(scores: Mapping[RowName, Scores], *, published: Period | None) -> Table:
    """Rows model and persistence, and the published model's of a period."""
    table = _table(*REFERENCE_COLUMNS.values())
    for row, row_scores in scores.items():
        table.add_row(row, *(_score(row_scores, name) for name in REFERENCE_COLUMNS))
    if published:
        published_scores = PUBLISHED[published]
        cells = [_number(published_scores.get(name, np.nan), 4) for name in REFERENCE_COLUMNS]
        table.add_row("published reference (other data)", *cells, style="dim")
    return table


def _change_table(scores: Mapping[RowName, Scores]) -> Table:
    table = _table(*CHANGE_COLUMNS.values())
    for row, row_scores in scores.items():
        table.add_row(row, *(_score(row_scores, name) for name in CHANGE_COLUMNS))
    return table


def _lead_table(skill: Skill, outcome: Outcome) -> Table:
    table = _table(
        "lead",
        "all\nacc.",
        "persis-\ntence",
        "change\nacc.",
        "FoM",
        "pred.\nchange",
        "obs.\nchange",
        "pred/\nobs.",
        label="year",
    )
    for number, year in enumerate(skill.years):
        lead = outcome.lead(year)
        if _is_shown(lead) or year == skill.years[-1]:
            model = skill.by_year["model"][number]
            null = skill.by_year["persistence"][number]
            table.add_row(
                str(year),
                str(lead),
                _score(model, "accuracy"),
                _score(null, "accuracy"),
                _score(model, "change_accuracy"),
                _score(model, "figure_of_merit"),
                _score(model, "predicted_change"),
                _score(model, "observed_change"),
                _score(model, "change_ratio"),
            )
    return table


def _is_shown(lead: int) -> bool:
    """True for every lead year at first, then every fifth, and every tenth past the mean."""
    if lead <= 5:
        return True
    if lead <= MOST_MEAN_YEARS:
        return lead % 5 == 0
    return lead % 10 == 0


def _class_table(change: ClassChange, legend: Legend, *, label: str) -> Table:
    columns = {
        "gained\npred.": change.predicted_gain,
        "gained\nobs.": change.observed_gain,
        "lost\npred.": change.predicted_loss,
        "lost\nobs.": change.observed_loss,
        "net\npred.": change.predicted_gain - change.predicted_loss,
        "net\nobs.": change.observed_gain - change.observed_loss,
    }
    table = _table(*columns, label=label)
    for k, land_class in enumerate(legend.classes):
        name = land_class.name.replace("_", " ")
        table.add_row(name, *(f"{area_m2[k] / 1e6:,.0f}" for area_m2 in columns.values()))
    return table


def _table(*columns: str, label: str = "") -> Table:
    """An empty table: a column of names under `label`, then columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    table.add_column(label, overflow="fold", min_width=11)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold cyan")


def _years(years: Sequence[int], left_out: Sequence[int]) -> str:
    """How many years, which, and which between them are left out."""
    if len(years) == 1:
        return f"1 year ({years[0]})"
    low, high = sorted((years[0], years[-1]))
    between = [str(year) for year in left_out if low < year < high]
    without = f" without {', '.join(between)}" if between else ""
    return f"{len(years)} years ({years[0]}-{years[-1]}{without})"


def _score(scores: Scores, name: str) -> str:
    """A score by its name, with the digits that it deserves."""
    value = getattr(scores, name)
    if name in PERCENT_SCORES:
        return "-" if np.isnan(value) else f"{value:.2%}"
    return _number(value, 2 if name == "change_ratio" else 4)


def _number(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"
