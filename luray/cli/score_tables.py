"""The report of an evaluation on screen: tables that fit a console of 80 columns.

A score that does not exist (nan) is shown as "-".
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luray.cli.score_layout import heading, new_table, notes, rounded
from luray.cli.value_tables import render_value_report
from luray.core.legend import Legend
from luray.evaluation.flicker import WITHIN, DecadeFlicker
from luray.evaluation.metrics import ClassChange, Scores
from luray.evaluation.report import PUBLISHED, EvaluationReport, Period
from luray.evaluation.significance import LEVEL, Comparison
from luray.evaluation.skill import MOST_MEAN_YEARS, Outcome, RowName, Skill, Truth
from luray.evaluation.value_report import ValueReport

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
    "demand_error": "demand\nerror",
    "brier": "Brier",
    "calibration_error": "calib.\nerror",
}
"""Scores of the table of change, with their headings."""

PERCENT_SCORES = (
    "predicted_change",
    "observed_change",
    "predicted_change_per_year",
    "observed_change_per_year",
)
"""Scores that are shown in percent."""

DIGITS = {"change_ratio": 2, "predicted_patch_width": 2, "observed_patch_width": 2}
"""Digits of scores that are not shown with four."""

MOST_TRANSITIONS = 8
"""Changes from class to class that the screen shows; metrics.parquet has all."""

TRUTHS: Mapping[Truth, str] = {"raw": "", "deflickered": ", against de-flickered truth"}
"""Words of headings for the maps that a rollout is compared with."""


FLICKER = f"changes undone within {WITHIN} years (A, B, A)"
"""Subject of the tables of flicker."""


def render_report(report: EvaluationReport | ValueReport) -> Group:
    """Return the report for a rich console of 80 columns or more."""
    if isinstance(report, ValueReport):
        return render_value_report(report)
    parts: list[RenderableType] = [Text(f"Evaluation of {report.model}", style="bold")]
    for outcome in report.outcomes:
        parts.extend(_outcome_parts(report, outcome))
    if report.flicker_of_product:
        parts.append(heading(f"the product, {FLICKER}"))
        parts.append(_flicker_table(report.flicker_of_product))
    return Group(*parts, *notes(report.inputs, report.caveats))


def _outcome_parts(report: EvaluationReport, outcome: Outcome) -> Iterator[RenderableType]:
    """Headings and tables of one test."""
    title = f"{outcome.name}: {outcome.direction} from {outcome.start_year}"
    skills = report.skills_of(outcome)
    for truth, skill in skills.items():
        note = TRUTHS[truth]
        # The published model was scored against maps of land use as they are: it has no row beside
        # other truth or another target.
        published = truth == "raw" and bool(report.published)

        first = {row: skill.first(row) for row in skill.rows}
        yield heading(f"{title}, first year ({skill.years[0]}){note}")
        yield _reference_table(first, published="first_year" if published else None)
        yield Text()
        yield _change_table(first)

        mean = {row: skill.mean(row) for row in skill.rows}
        yield heading(f"{title}, mean of {_years(skill.mean_years, outcome.left_out)}{note}")
        yield _reference_table(mean, published="mean" if published else None)
        yield Text()
        yield _change_table(mean)
        if outcome.demand_unknown:
            yield Text(f"demand error cannot be told: {outcome.demand_unknown}", style="dim")

    skill = skills["raw"]
    yield heading(f"{title}, skill by lead year")
    yield _lead_table(skill, outcome)

    if skill.against_persistence is not None:
        n_blocks = skill.against_persistence.n_blocks
        side = skill.against_persistence.side
        yield heading(
            f"{title}, accuracy minus persistence\n"
            f"{LEVEL:.0%} intervals from {n_blocks} blocks of {side} x {side} cells"
        )
        yield _gain_table(skills, report.gain_from_noise(outcome))
        yield Text()
        yield _gains_of_scores_table(skill.against_persistence.mean)

    yield heading(
        f"{title}, significance and texture by lead year\n(patch: mean patch width in cells)"
    )
    yield _texture_table(skill, outcome)

    flicker = report.flicker_of(outcome)
    if flicker:
        yield heading(f"{title}, {FLICKER}")
        yield _flicker_table(flicker)

    if skill.by_zone:
        yield heading(f"{title}, by zone, mean of {_years(skill.mean_years, outcome.left_out)}")
        yield _zone_table(skill)

    yield heading(f"{title}, by class, mean of {_years(skill.mean_years, outcome.left_out)}")
    yield _class_scores_table(skill, report.legend)

    last_year = skill.mean_years[-1]
    transitions = _transition_table(skill, report.legend)
    if transitions.row_count:
        yield heading(f"{title}, largest changes to {last_year} in km2")
        yield transitions

    yield heading(f"{title}, change by class in km2")
    yield _class_table(
        report.class_change(outcome, last_year),
        report.legend,
        label=f"{outcome.start_year} to\n{last_year}",
    )


def _reference_table(scores: Mapping[RowName, Scores], *, published: Period | None) -> Table:
    """Rows of the model, the null models, and the published model of a period."""
    table = new_table(*REFERENCE_COLUMNS.values())
    for row, row_scores in scores.items():
        table.add_row(row, *(_score(row_scores, name) for name in REFERENCE_COLUMNS))
    if published:
        published_scores = PUBLISHED[published]
        cells = [rounded(published_scores.get(name, np.nan), 4) for name in REFERENCE_COLUMNS]
        table.add_row("published reference (other data)", *cells, style="dim")
    return table


def _change_table(scores: Mapping[RowName, Scores]) -> Table:
    table = new_table(*CHANGE_COLUMNS.values())
    for row, row_scores in scores.items():
        table.add_row(row, *(_score(row_scores, name) for name in CHANGE_COLUMNS))
    return table


def _lead_table(skill: Skill, outcome: Outcome) -> Table:
    table = new_table(
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
    for number, year, lead in _shown_years(skill, outcome):
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


def _gain_table(
    skills: Mapping[Truth, Skill], gain_from_noise: Mapping[Period, float] | None
) -> Table:
    """First year and mean against each truth: gain in accuracy, Figure of Merit and intervals."""
    table = new_table("gain\nacc.", "low", "high", "", "FoM", "low", "high", label="truth")
    first_year = skills["raw"].years[0]
    for truth, skill in skills.items():
        compared = skill.against_persistence
        if compared is None:
            continue
        name = "raw" if truth == "raw" else "de-flickered"
        _add_gain(table, f"{name}, {first_year}", compared.by_year[0])
        _add_gain(table, f"{name}, mean", compared.mean)
    if gain_from_noise is not None:
        table.add_row(f"from noise, {first_year}", _signed(gain_from_noise["first_year"]))
        table.add_row("from noise, mean", _signed(gain_from_noise["mean"]))
    return table


def _add_gain(table: Table, label: str, comparison: Comparison) -> None:
    gain = comparison.accuracy_gain
    table.add_row(
        label,
        *(_signed(value) for value in gain),
        gain.verdict,
        *(rounded(value, 4) for value in comparison.figure_of_merit),
    )


def _gains_of_scores_table(mean: Comparison) -> Table:
    """What each score of the mean gains on persistence, which has 0 on changed land."""
    table = new_table("gain", "low", "high", "", label="mean")
    for name, interval in mean._asdict().items():
        label = REFERENCE_COLUMNS[name.removesuffix("_gain")].replace("\n", " ")
        table.add_row(label, *(_signed(value) for value in interval), interval.verdict)
    return table


def _shown_years(skill: Skill, outcome: Outcome) -> Iterator[tuple[int, int, int]]:
    """Yield number, year and lead of the years that a table has a row for, the last always."""
    for number, year in enumerate(skill.years):
        lead = outcome.lead(year)
        if _is_shown(lead) or year == skill.years[-1]:
            yield number, year, lead


def _texture_table(skill: Skill, outcome: Outcome) -> Table:
    """Interval of the gain in accuracy, change from year to year and width of patches."""
    table = new_table(
        "lead",
        "gain\nlow",
        "gain\nhigh",
        "",
        "pred.\nch./yr",
        "obs.\nch./yr",
        "patch\npred.",
        "patch\nobs.",
        label="year",
    )
    compared = skill.against_persistence
    for number, year, lead in _shown_years(skill, outcome):
        interval = ["-", "-", ""]
        if compared is not None:
            gain = compared.by_year[number].accuracy_gain
            interval = [_signed(gain.low), _signed(gain.high), gain.verdict]
        scores = skill.by_year["model"][number]
        table.add_row(
            str(year),
            str(lead),
            *interval,
            _score(scores, "predicted_change_per_year"),
            _score(scores, "observed_change_per_year"),
            _score(scores, "predicted_patch_width"),
            _score(scores, "observed_patch_width"),
        )
    return table


def _flicker_table(decades: Sequence[DecadeFlicker]) -> Table:
    """Flicker of the predicted maps of each decade beside that of observed ones."""
    table = new_table("predicted", "observed", "observed in", label="changes in")
    for decade in decades:
        table.add_row(
            _span(decade.years),
            _percent(decade.predicted, digits=1),
            _percent(decade.observed, digits=1),
            _span(decade.observed_years) if decade.observed_years else "-",
        )
    return table


def _is_shown(lead: int) -> bool:
    """True for every lead year at first, then every fifth, and every tenth past the mean."""
    if lead <= 5:
        return True
    if lead <= MOST_MEAN_YEARS:
        return lead % 5 == 0
    return lead % 10 == 0


def _zone_table(skill: Skill) -> Table:
    """Means over the years in each zone that has land."""
    table = new_table(
        "all\nacc.", "persis-\ntence", "FoM", "pred/\nobs.", "obs.\nchange", label="zone"
    )
    for zone in skill.by_zone:
        model = skill.mean_of_zone("model", zone)
        null = skill.mean_of_zone("persistence", zone)
        if not np.isnan(model.accuracy):
            table.add_row(
                zone,
                _score(model, "accuracy"),
                _score(null, "accuracy"),
                _score(model, "figure_of_merit"),
                _score(model, "change_ratio"),
                _score(model, "observed_change"),
            )
    return table


def _class_scores_table(skill: Skill, legend: Legend) -> Table:
    """Means over the years of each class that has land; water is not scored."""
    table = new_table(
        "F1",
        "persis-\ntence",
        "IoU",
        "change\nF1",
        "gain\nFoM",
        "pred.\nchange",
        "obs.\nchange",
        "pred/\nobs.",
        label="class",
    )
    for k, land_class in enumerate(legend.classes):
        model = skill.mean_of_class("model", k)
        if np.isnan(model.f1):
            continue
        table.add_row(
            land_class.name.replace("_", " "),
            rounded(model.f1, 4),
            rounded(skill.mean_of_class("persistence", k).f1, 4),
            rounded(model.iou, 4),
            rounded(model.change_f1, 4),
            rounded(model.figure_of_merit, 4),
            _percent(model.predicted_change, digits=2),
            _percent(model.observed_change, digits=2),
            rounded(model.change_ratio, 2),
        )
    return table


def _transition_table(skill: Skill, legend: Legend) -> Table:
    """The largest observed changes from class to class, and how much of each is foreseen."""
    table = new_table("observed", "predicted", "in both", "FoM", label="from class to class")
    names = [land_class.name.replace("_", " ") for land_class in legend.classes]
    for change in skill.transitions[len(skill.mean_years) - 1][:MOST_TRANSITIONS]:
        if change.observed_m2:
            areas = (change.observed_m2, change.predicted_m2, change.hits_m2)
            table.add_row(
                f"{names[change.before]} to {names[change.after]}",
                *(f"{area / 1e6:,.0f}" for area in areas),
                rounded(change.figure_of_merit, 3),
            )
    return table


def _class_table(change: ClassChange, legend: Legend, *, label: str) -> Table:
    columns = {
        "gained\npred.": change.predicted_gain,
        "gained\nobs.": change.observed_gain,
        "lost\npred.": change.predicted_loss,
        "lost\nobs.": change.observed_loss,
        "net\npred.": change.predicted_gain - change.predicted_loss,
        "net\nobs.": change.observed_gain - change.observed_loss,
    }
    table = new_table(*columns, label=label)
    for k, land_class in enumerate(legend.classes):
        name = land_class.name.replace("_", " ")
        table.add_row(name, *(f"{area_m2[k] / 1e6:,.0f}" for area_m2 in columns.values()))
    return table


def _years(years: Sequence[int], left_out: Sequence[int]) -> str:
    """How many years, which, and which between them are left out."""
    if len(years) == 1:
        return f"1 year ({years[0]})"
    low, high = sorted((years[0], years[-1]))
    between = [str(year) for year in left_out if low < year < high]
    without = f" without {', '.join(between)}" if between else ""
    return f"{len(years)} years ({years[0]}-{years[-1]}{without})"


def _span(years: tuple[int, int]) -> str:
    first, last = years
    return str(first) if first == last else f"{first}-{last}"


def _score(scores: Scores, name: str) -> str:
    """A score by its name, with the digits that it deserves."""
    value = getattr(scores, name)
    if name in PERCENT_SCORES:
        return _percent(value, digits=2)
    return rounded(value, DIGITS.get(name, 4))


def _percent(value: float, *, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}%}"


def _signed(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:+.4f}"
