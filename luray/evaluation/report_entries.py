"""Skill and flicker as the files of a report hold them: entries of metrics.json, lines of the CSV.

A number that does not exist (nan) is null in JSON and empty in CSV.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from luray.evaluation.block_sums import CHANGE_PARTS, HITS, BlockSums
from luray.evaluation.flicker import DecadeFlicker
from luray.evaluation.metrics import Scores
from luray.evaluation.significance import (
    ClassComparison,
    Comparison,
    Interval,
    Significance,
)
from luray.evaluation.skill import Outcome, Skill

INTERVAL_COLUMNS = ("_low", "_high")
"""Ends of the names of the columns of an interval."""

GAIN_COLUMNS = ("", *INTERVAL_COLUMNS, "_verdict")
"""The same of a difference to persistence, which is no score and has a column of its own."""

CSV_COLUMNS = (
    "test",
    "truth",
    "row",
    "period",
    "year",
    "lead",
    *(f.name for f in fields(Scores)),
    *(
        f"{score}{end}"
        for score in Comparison._fields
        for end in (GAIN_COLUMNS if score.endswith("_gain") else INTERVAL_COLUMNS)
    ),
    "flicker",
    "observed_flicker",
)
"""Columns of metrics.csv but the caveats; a line is empty where it has nothing."""


def skill_entry(skill: Skill, outcome: Outcome, names: Sequence[str]) -> dict[str, Any]:
    """Return the skill of one test against one truth for JSON; `names` are those of the classes."""
    compared = skill.against_persistence
    rows = {}
    for row in skill.rows:
        rows[row] = {
            "first_year": _or_null(asdict(skill.first(row))),
            "mean": _or_null(asdict(skill.mean(row))),
        }

    by_lead_year = []
    for number, year in enumerate(skill.years):
        entry: dict[str, Any] = {"year": year, "lead": outcome.lead(year)}
        for row in skill.rows:
            entry[row] = _or_null(asdict(skill.by_year[row][number]))
        if compared is not None:
            entry["against_persistence"] = _comparison_entry(compared.by_year[number])
        by_lead_year.append(entry)

    by_zone: dict[str, dict[str, Any]] = {}
    for zone, rows_of_zone in skill.by_zone.items():
        by_zone[zone] = {}
        for row in rows_of_zone:
            by_zone[zone][row] = _or_null(asdict(skill.mean_of_zone(row, zone)))

    return {
        "first_year": skill.years[0],
        "mean_years": list(skill.mean_years),
        "rows": rows,
        "against_persistence": None if compared is None else _significance_entry(compared),
        "by_lead_year": by_lead_year,
        "by_zone": by_zone,
        "by_class": {name: _class_entry(skill, k) for k, name in enumerate(names)},
        "transitions": _transitions_entry(skill, names),
    }


def _class_entry(skill: Skill, k: int) -> dict[str, Any]:
    """Means of the scores of a class, and what they gain on persistence."""
    entry: dict[str, Any] = {
        row: _or_null(asdict(skill.mean_of_class(row, k))) for row in skill.by_class
    }
    compared = skill.against_persistence
    if compared is not None:
        entry["against_persistence"] = _comparison_entry(compared.mean_of_class[k])
    return entry


def _transitions_entry(skill: Skill, names: Sequence[str]) -> dict[str, Any]:
    """Changes from class to class from the start to the last year of the mean, largest first."""
    last = len(skill.mean_years) - 1
    changes = []
    for change in skill.transitions[last]:
        entry = {
            "from": names[change.before],
            "to": names[change.after],
            "observed_m2": change.observed_m2,
            "predicted_m2": change.predicted_m2,
            "hits_m2": change.hits_m2,
            "figure_of_merit": change.figure_of_merit,
        }
        changes.append(entry)
    return {"year": skill.mean_years[last], "changes": changes}


def _significance_entry(significance: Significance) -> dict[str, Any]:
    return {
        "blocks": significance.n_blocks,
        "block_cells": significance.side,
        "first_year": _comparison_entry(significance.by_year[0]),
        "mean": _comparison_entry(significance.mean),
    }


def _comparison_entry(comparison: Comparison | ClassComparison) -> dict[str, Any]:
    return {name: _interval_entry(interval) for name, interval in comparison._asdict().items()}


def _interval_entry(interval: Interval) -> dict[str, Any]:
    return _or_null(interval._asdict()) | {"verdict": interval.verdict}


def block_entry(years: Sequence[BlockSums]) -> dict[str, Any] | None:
    """Return the Figure of Merit by block over some years for JSON, None without blocks."""
    if not all(year.side for year in years):
        return None
    sums = reduce(add, years)
    all_change_N = sums.sums_N5[:, CHANGE_PARTS].sum(axis=1)
    merits = []
    for hits, all_change in zip(sums.sums_N5[:, HITS], all_change_N, strict=True):
        merits.append(float(hits / all_change) if all_change else None)
    return {
        "side": sums.side,
        "places": sums.places_N2.tolist(),
        "figure_of_merit": merits,
    }


def decade_entry(decade: DecadeFlicker) -> dict[str, Any]:
    """Return the flicker of one decade for JSON."""
    return {
        "years": list(decade.years),
        **_or_null({"predicted": decade.predicted, "observed": decade.observed}),
        "observed_years": decade.observed_years and list(decade.observed_years),
    }


def csv_lines_of_skill(skill: Skill, outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Yield the mean and each year of every row of scores."""
    mean_period = {"period": f"mean of {len(skill.mean_years)} years"}
    for row in skill.rows:
        compared = skill.against_persistence if row == "model" else None
        mean_comparison = compared.mean if compared else None
        scores = _or_empty(asdict(skill.mean(row)))
        yield {"row": row, **mean_period, **scores, **_intervals(mean_comparison)}

        for number, year in enumerate(skill.years):
            comparison = compared.by_year[number] if compared else None
            yield {
                "row": row,
                "period": "year" if number else "first year",
                "year": year,
                "lead": outcome.lead(year),
                **_or_empty(asdict(skill.by_year[row][number])),
                **_intervals(comparison),
            }


def csv_line_of_decade(decade: DecadeFlicker) -> dict[str, Any]:
    """Return the flicker of one decade for CSV."""
    first, last = decade.years
    shares = {"flicker": decade.predicted, "observed_flicker": decade.observed}
    return {"period": f"{first}-{last}", **_or_empty(shares)}


def _intervals(comparison: Comparison | None) -> dict[str, Any]:
    """The intervals of a line, nothing without a comparison."""
    if comparison is None:
        return {}
    columns: dict[str, Any] = {}
    for score, interval in comparison._asdict().items():
        ends = {f"{score}_low": interval.low, f"{score}_high": interval.high}
        columns |= _or_empty(ends)
        if score.endswith("_gain"):
            columns |= _or_empty({score: interval.estimate})
            columns[f"{score}_verdict"] = interval.verdict
    return columns


def _or_null(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """The numbers with None in place of nan, which JSON does not have."""
    return {name: None if np.isnan(value) else value for name, value in numbers.items()}


def _or_empty(numbers: Mapping[str, float]) -> dict[str, float | str]:
    """The numbers with nothing in place of nan."""
    return {name: "" if np.isnan(value) else value for name, value in numbers.items()}
