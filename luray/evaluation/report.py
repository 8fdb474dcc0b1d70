"""The report: reference table with the persistence row, change, skill by lead year; on screen, as
JSON and as CSV.

Every form of it repeats the caveats. A score that does not exist (nan) is "-" on screen, null in
JSON, empty in CSV.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luray.core.legend import Legend
from luray.core.types import Direction
from luray.evaluation.aggregation import Tally
from luray.evaluation.metrics import (
    ClassChange,
    Scores,
    change_by_class,
    mean_scores,
    persistence,
    score,
)
from luray.storage.objects import write_atomically

MEAN_YEARS = 15
"""Lead years that the reference table averages; all of them where there are fewer."""

Row = Literal["model", "persistence"]
ROWS: tuple[Row, ...] = ("model", "persistence")

FOUR = ("accuracy", "macro_f1", "weighted_f1", "mean_iou")
HEADS = ("acc.", "macro\nF1", "wtd.\nF1", "mean\nIoU")

PUBLISHED: dict[Literal["first_year", "mean"], dict[str, float]] = {
    "first_year": dict(
        zip(
            (*FOUR, *(f"change_{m}" for m in FOUR)),
            (0.8826, 0.8072, 0.8802, 0.6983, 0.4796, 0.3182, 0.4818, 0.2089),
            strict=True,
        )
    ),
    "mean": dict(
        zip(
            (*FOUR, *(f"change_{m}" for m in FOUR)),
            (0.8270, 0.7110, 0.8156, 0.5894, 0.4513, 0.2661, 0.4175, 0.1748),
            strict=True,
        )
    ),
}
"""The published model's four metrics, overall and on change: first year, and mean of 15 years.
Other data than any run's: U-Net, 80k samples 1960-2000, 8 epochs, tested 2001-2015.
"""

DEFINITIONS = {
    "cells": "land whose true class is not water, weighted by area; changed cells differ in truth "
    "from the initial map",
    "persistence": "the null model: the initial map in every year",
    "classes": "water, and classes absent from truth and prediction, are left out of macro F1 and "
    "mean IoU",
    "figure_of_merit": "hits / (hits + wrong gain + misses + false alarms); _5 and _25 in blocks "
    "of so many cells",
    "change_by_class": "area gained and lost since the initial map, water included",
    "predicted_change, observed_change": "share of the land that differs from the initial map; "
    "change_ratio: the first "
    "over the second",
    "net_change_error": "sum of |predicted - observed| over sum of |observed| net change by class, "
    "blocks of 25 cells",
    "brier, calibration_error": "of the confidence as the probability that the class is right",
    "deflickered": "scores against truth in which A -> B -> A within two years is removed",
}


@dataclass(frozen=True)
class Outcome:
    """What one test gave: a rollout from the map of `start_year`, tallied year by year against the
    truth.
    """

    name: str
    direction: Direction
    start_year: int
    tally: Tally
    deflickered: Tally | None = None
    """The same predictions tallied against de-flickered truth, see `statistics.deflicker`."""
    left_out: tuple[int, ...] = ()
    """Years that are not scored, because a rollout comes to or from a map of another kind; see
    `scored_years`.
    """

    def __post_init__(self) -> None:
        sign = 1 if self.direction == "forward" else -1
        for tally in (self.tally, self.deflickered):
            wrong = (
                []
                if tally is None
                else [y for y in tally.years if (y - self.start_year) * sign <= 0]
            )
            if wrong:
                raise ValueError(
                    f"test {self.name!r} goes {self.direction} from {self.start_year} but was "
                    "tallied in "
                    f"{wrong}; tally only the years that it predicts"
                )
        if not self.tally.years:
            raise ValueError(
                f"test {self.name!r} has no year tallied, expected at least one; predict and tally "
                "a year "
                "that has an observed map"
            )

    @property
    def scores_beyond(self) -> bool:
        """True when years are scored that lie beyond those left out."""
        past = max((self.lead(year) for year in self.left_out), default=0)
        return bool(past) and any(self.lead(year) > past for year in self.tally.years)

    def lead(self, year: int) -> int:
        """Years travelled from the start, at least 1."""
        return abs(year - self.start_year)


@dataclass(frozen=True)
class Skill:
    """Scores of one test against one truth, from the first lead year on."""

    years: tuple[int, ...]
    by_year: Mapping[Row, tuple[Scores, ...]]

    @property
    def averaged(self) -> tuple[int, ...]:
        """Years in the mean."""
        return self.years[:MEAN_YEARS]

    def first(self, row: Row) -> Scores:
        """Scores of the first year."""
        return self.by_year[row][0]

    def mean(self, row: Row) -> Scores:
        """Mean of the yearly scores over `averaged`."""
        return mean_scores(self.by_year[row][:MEAN_YEARS])


@dataclass(frozen=True)
class EvaluationReport:
    """Outcomes of one or several tests of a model, with everything that a reader has to know beside
    them.
    """

    outcomes: tuple[Outcome, ...]
    legend: Legend
    model: str
    """Description of the model: architecture, training years, device."""
    caveats: tuple[str, ...] = ()
    scored: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of the rollout that each test scored."""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was done to the data of each source, in words."""

    def __post_init__(self) -> None:
        names = [outcome.name for outcome in self.outcomes]
        if len(set(names)) < len(names):
            raise ValueError(f"tests named {names}, expected each name once; rename a test")

    @property
    def water(self) -> int | None:
        """Class index left out of land scores."""
        return None if self.legend.water is None else self.legend.index(self.legend.water)

    @cached_property
    def skills(self) -> dict[tuple[str, str], Skill]:
        """Skill by (test, truth), truth being "raw" or "deflickered"."""
        found = {}
        for outcome in self.outcomes:
            for truth, tally in (("raw", outcome.tally), ("deflickered", outcome.deflickered)):
                if tally is not None and tally.years:
                    years = tuple(sorted(tally.years, key=outcome.lead))
                    made = [tally.years[y] for y in years]
                    found[outcome.name, truth] = Skill(
                        years,
                        {
                            "model": tuple(score(s, water=self.water) for s in made),
                            "persistence": tuple(
                                score(persistence(s), water=self.water) for s in made
                            ),
                        },
                    )
        return found

    def class_change(self, outcome: Outcome, year: int) -> ClassChange:
        """Gains and losses by class from the initial map to one year, m2."""
        return change_by_class(outcome.tally.years[year].table)

    def to_dict(self) -> dict[str, Any]:
        """Everything in the report, ready for JSON."""
        return {
            "model": self.model,
            "legend": self.legend.name,
            "caveats": list(self.caveats),
            "scored": dict(self.scored),
            "inputs": {name: list(rules) for name, rules in self.inputs.items()},
            "definitions": DEFINITIONS,
            "published_on_other_data": PUBLISHED,
            "tests": [self._test(outcome) for outcome in self.outcomes],
        }

    def _test(self, outcome: Outcome) -> dict[str, Any]:
        truths = {truth: _skill(skill, outcome) for truth, skill in self._truths(outcome)}
        names = [c.name for c in self.legend.classes]
        by_class = [
            {
                "year": year,
                "lead": outcome.lead(year),
                **{
                    f"{key}_m2": dict(zip(names, area.tolist(), strict=True))
                    for key, area in asdict(self.class_change(outcome, year)).items()
                },
            }
            for year in sorted(outcome.tally.years, key=outcome.lead)
        ]
        left_out = {"left_out": list(outcome.left_out)} if outcome.left_out else {}
        return {
            "name": outcome.name,
            "direction": outcome.direction,
            "start_year": outcome.start_year,
            **left_out,
            **truths["raw"],
            "change_by_class": by_class,
            "deflickered": truths.get("deflickered"),
        }

    def to_csv(self) -> str:
        """One line for each test, truth, row and year, and for each first year and mean; the
        caveats in a column.
        """
        out = io.StringIO()
        metrics = [f.name for f in fields(Scores)]
        head = ["test", "truth", "row", "period", "year", "lead", *metrics, "caveats"]
        writer = csv.DictWriter(out, head, lineterminator="\n")
        writer.writeheader()
        lead = {outcome.name: outcome.lead for outcome in self.outcomes}
        for (name, truth), skill in self.skills.items():
            for row in ROWS:
                mean = f"mean of {len(skill.averaged)} years"
                lines: list[tuple[str, int | str, int | str, Scores]] = [
                    (mean, "", "", skill.mean(row))
                ]
                lines += [
                    ("first year" if i == 0 else "year", y, lead[name](y), s)
                    for i, (y, s) in enumerate(zip(skill.years, skill.by_year[row], strict=True))
                ]
                for period, year, n, scores in lines:
                    writer.writerow(
                        {
                            "test": name,
                            "truth": truth,
                            "row": row,
                            "period": period,
                            "year": year,
                            "lead": n,
                            **_known(scores, missing=""),
                            "caveats": "; ".join(self.caveats),
                        }
                    )
        return out.getvalue()

    def write(self, folder: str | Path) -> tuple[str, str]:
        """Write metrics.json and metrics.csv, each whole or not at all; returns their paths or
        URLs.
        """
        base = str(folder).rstrip("/")
        paths = f"{base}/metrics.json", f"{base}/metrics.csv"
        write_atomically(paths[0], json.dumps(self.to_dict(), indent=1, allow_nan=False).encode())
        write_atomically(paths[1], self.to_csv().encode())
        return paths

    def render(self) -> Group:
        """The report for a rich console of 80 columns or more."""
        parts: list[RenderableType] = [Text(f"Evaluation of {self.model}", style="bold")]
        for outcome in self.outcomes:
            title = f"{outcome.name}: {outcome.direction} from {outcome.start_year}"
            for truth, skill in self._truths(outcome):
                note = ", against de-flickered truth" if truth == "deflickered" else ""
                years, raw = skill.averaged, truth == "raw"
                first = {row: skill.first(row) for row in ROWS}
                mean = {row: skill.mean(row) for row in ROWS}
                parts += [
                    _heading(f"{title}, first year ({years[0]}){note}"),
                    _reference_table(first, "first_year" if raw else None),
                    Text(),
                    _change_table(first),
                    _heading(f"{title}, mean of {_count(years, outcome.left_out)}{note}"),
                    _reference_table(mean, "mean" if raw else None),
                    Text(),
                    _change_table(mean),
                ]
            parts += [
                _heading(f"{title}, skill by lead year"),
                self._lead_table(outcome),
                _heading(f"{title}, change by class in km2"),
                self._class_table(outcome),
            ]
        if self.inputs:
            parts.append(_heading("what was done to the inputs"))
        parts += [
            Text(f"{name}: {rule}", "dim") for name, rules in self.inputs.items() for rule in rules
        ]
        return Group(*parts, Text(), *caveat_lines(self.caveats))

    def _truths(self, outcome: Outcome) -> Iterator[tuple[str, Skill]]:
        yield from (
            (truth, skill) for (name, truth), skill in self.skills.items() if name == outcome.name
        )

    def _lead_table(self, outcome: Outcome) -> Table:
        skill = self.skills[outcome.name, "raw"]
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
        for year, model, null in zip(
            skill.years, skill.by_year["model"], skill.by_year["persistence"], strict=True
        ):
            lead = outcome.lead(year)
            if (
                lead <= 5
                or (lead % 5 == 0 and lead <= MEAN_YEARS)
                or lead % 10 == 0
                or year == skill.years[-1]
            ):
                table.add_row(
                    str(year),
                    str(lead),
                    _number(model.accuracy, 4),
                    _number(null.accuracy, 4),
                    _number(model.change_accuracy, 4),
                    _number(model.figure_of_merit, 4),
                    _percent(model.predicted_change),
                    _percent(model.observed_change),
                    _number(model.change_ratio, 2),
                )
        return table

    def _class_table(self, outcome: Outcome) -> Table:
        year = self.skills[outcome.name, "raw"].averaged[-1]
        change = self.class_change(outcome, year)
        table = _table(
            "gained\npred.",
            "gained\nobs.",
            "lost\npred.",
            "lost\nobs.",
            "net\npred.",
            "net\nobs.",
            label=f"{outcome.start_year} to\n{year}",
        )
        net = (
            change.predicted_gain - change.predicted_loss,
            change.observed_gain - change.observed_loss,
        )
        columns = (
            change.predicted_gain,
            change.observed_gain,
            change.predicted_loss,
            change.observed_loss,
            *net,
        )
        for k, land in enumerate(self.legend.classes):
            table.add_row(
                land.name.replace("_", " "), *(f"{area[k] / 1e6:,.0f}" for area in columns)
            )
        return table


def caveat_lines(caveats: Sequence[str]) -> list[Text]:
    """The caveats as lines for a console."""
    return [Text(f"! {caveat}", style="yellow") for caveat in caveats]


def _skill(skill: Skill, outcome: Outcome) -> dict[str, Any]:
    rows = {
        row: {"first_year": _known(skill.first(row)), "mean": _known(skill.mean(row))}
        for row in ROWS
    }
    leads = [
        {
            "year": year,
            "lead": outcome.lead(year),
            **{row: _known(skill.by_year[row][i]) for row in ROWS},
        }
        for i, year in enumerate(skill.years)
    ]
    return {
        "first_year": skill.years[0],
        "mean_years": list(skill.averaged),
        "rows": rows,
        "by_lead_year": leads,
    }


def _known(scores: Scores, *, missing: str | None = None) -> dict[str, Any]:
    return {key: missing if np.isnan(value) else value for key, value in asdict(scores).items()}


def _number(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.2%}"


def _count(years: Sequence[int], left_out: Sequence[int]) -> str:
    if len(years) == 1:
        return f"1 year ({years[0]})"
    low, high = sorted((years[0], years[-1]))
    between = [str(year) for year in left_out if low < year < high]
    without = f" without {', '.join(between)}" if between else ""
    return f"{len(years)} years ({years[0]}-{years[-1]}{without})"


def _reference_table(
    scores: Mapping[Row, Scores], period: Literal["first_year", "mean"] | None
) -> Table:
    """Rows model and persistence, and the published ones where `period` says which."""
    table = _table(
        *(f"all\n{h}" for h in HEADS), *(f"change\n{h}" for h in HEADS), "FoM", "pred/\nobs."
    )
    keys = (*FOUR, *(f"change_{m}" for m in FOUR), "figure_of_merit", "change_ratio")
    for row, found in scores.items():
        table.add_row(
            row, *(_number(getattr(found, k), 2 if k == "change_ratio" else 4) for k in keys)
        )
    if period:
        table.add_row(
            "published reference (other data)",
            *(_number(PUBLISHED[period].get(k, np.nan), 4) for k in keys),
            style="dim",
        )
    return table


def _change_table(scores: Mapping[Row, Scores]) -> Table:
    table = _table(
        "pred.\nchange",
        "obs.\nchange",
        "FoM\n5",
        "FoM\n25",
        "quan-\ntity",
        "alloc-\nation",
        "net ch.\nerror",
        "Brier",
        "calib.\nerror",
    )
    keys = (
        "figure_of_merit_5",
        "figure_of_merit_25",
        "quantity_disagreement",
        "allocation_disagreement",
        "net_change_error",
        "brier",
        "calibration_error",
    )
    for row, found in scores.items():
        table.add_row(
            row,
            _percent(found.predicted_change),
            _percent(found.observed_change),
            *(_number(getattr(found, k), 4) for k in keys),
        )
    return table


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold cyan")


def _table(*columns: str, label: str = "") -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    table.add_column(label, overflow="fold", min_width=11)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
