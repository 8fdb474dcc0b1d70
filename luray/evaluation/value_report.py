"""The report of an evaluation of values: its numbers, and metrics.json, .csv and .parquet.

Every form of the report repeats the caveats. A score that does not exist (nan) is null in JSON and
empty in CSV. The form on screen is `luray.cli.value_tables`.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from luray.core.legend import Legend
from luray.core.time_steps import TimeSteps
from luray.core.value_scale import ValueScale
from luray.evaluation.null_models import NullModel
from luray.evaluation.significance import FEWEST_BLOCKS, LEVEL, RESAMPLES, Interval
from luray.evaluation.value_scores import ValueScores
from luray.evaluation.value_skill import (
    RowScores,
    ValueOutcome,
    ValueSkill,
    finding_of,
    skill_of_values,
)
from luray.storage.objects import write_atomically

SCORES = tuple(f.name for f in fields(ValueScores))

VALUE_DEFINITIONS = {
    "cells": (
        "land with an observed value, weighted by area; gaps in the observed maps carry no weight"
    ),
    "bias, rmse, mae": (
        "mean of predicted minus observed, root mean squared and mean absolute error, in the units "
        "of the target"
    ),
    "r2": (
        "1 - sum of squared errors / sum of squares of the observed values about their mean over "
        "all cells and steps of the row"
    ),
    "anomaly_correlation": (
        "correlation, not centred, of predicted and observed differences from the climatology of "
        "the cell; null for that climatology"
    ),
    "skill": (
        "1 - squared error of the model / squared error of a null model: 1 without error, 0 as "
        f"good as it; {LEVEL:.0%} intervals from {RESAMPLES} resamples of blocks of the map, null "
        f"with fewer than {FEWEST_BLOCKS} blocks"
    ),
    "persistence": "null model: the observed map of the start of the rollout, in every step",
    "seasonal_persistence": (
        "null model: the observed map of the same step of the year in the last year before the "
        "rollout, in its direction"
    ),
    "climatology": (
        "null model: mean of a cell over the observed maps of the years of training, by step of "
        "the year"
    ),
    "class_climatology": (
        "null model: the same mean over all cells of a class; a cell has the class of the time of "
        "each map"
    ),
    "land_climatology": "null model: the same mean over all land",
    "gaps of null models": (
        "a cell without a value has the climatology of the cell, else that of its class, else that "
        "of all land"
    ),
    "lead_year": "year of the rollout, the first is 1",
    "spread": (
        "standard deviation that the model gives; within_one, within_two: share of the observed "
        "values within one and two spreads of the prediction (68 % and 95 % of normal errors); "
        "mean_square_z: mean of (error / spread)^2, which is above 1 where the spread is too "
        "small; a spread below half a step of the scale counts as half a step"
    ),
}
"""Definitions of the names in the files, for their readers."""

PLACE_COLUMNS = ("test", "row", "period", "step", "lead_year", "step_of_year", "zone")
"""Columns that say what a line is of; empty where it is of all."""

SKILL_COLUMNS = ("skill", "skill_low", "skill_high", "verdict")
"""Columns of the skill of the model against the null model of a line."""

SCHEMA = pa.schema(
    [
        ("test", pa.string()),
        ("row", pa.string()),
        ("step", pa.string()),
        ("lead_year", pa.int32()),
        ("step_of_year", pa.int32()),
        ("zone", pa.string()),
        ("spread", pa.float64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("verdict", pa.string()),
    ]
)
"""Columns of metrics.parquet, a number a row.

row: model or a null model. step: first day of a time step. step_of_year: counted from 0. spread: of
a bin of the calibration. What does not apply is null, as is a value that does not exist.
"""

Line = dict[str, Any]


@dataclass(frozen=True)
class ValueReport:
    """Outcomes of one or several tests of a model of values, with what a reader has to know."""

    outcomes: tuple[ValueOutcome, ...]
    legend: Legend
    """With a scale."""
    time: TimeSteps
    model: str
    """Description of the model: architecture, training years."""
    caveats: tuple[str, ...] = ()
    scored: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of the rollout that each test scored."""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Corrections that were made to the data of each source, in words."""
    product: str = ""
    """Fingerprint of the product, empty where it was not finished."""

    def __post_init__(self) -> None:
        names = [outcome.name for outcome in self.outcomes]
        if len(set(names)) < len(names):
            raise ValueError(f"tests named {names}, expected each name once; rename a test")

    @property
    def scale(self) -> ValueScale:
        """What the levels stand for."""
        assert self.legend.scale is not None, "a report of values"
        return self.legend.scale

    @cached_property
    def skills(self) -> dict[str, ValueSkill]:
        """Skill by test."""
        return {outcome.name: skill_of_values(outcome, self.scale) for outcome in self.outcomes}

    def to_dict(self) -> dict[str, Any]:
        """Return everything in the report, ready for JSON."""
        return {
            "kind": "continuous",
            "model": self.model,
            "legend": self.legend.name,
            "long_name": self.legend.long_name,
            "units": self.scale.units,
            "time_step": self.time.interval,
            "caveats": list(self.caveats),
            "scored": dict(self.scored),
            "inputs": {name: list(rules) for name, rules in self.inputs.items()},
            "definitions": VALUE_DEFINITIONS,
            "product": {"fingerprint": self.product},
            "tests": [self._test_entry(outcome) for outcome in self.outcomes],
        }

    def _test_entry(self, outcome: ValueOutcome) -> dict[str, Any]:
        skill = self.skills[outcome.name]
        label = self.time.label
        by_lead_year = []
        for lead, scores in skill.by_lead_year.items():
            intervals = skill.lead_year_intervals[lead]
            by_lead_year.append({"lead_year": lead, **_rows_entry(scores, intervals)})
        by_step_of_year = []
        for k, scores in skill.by_step_of_year.items():
            place = {"step_of_year": k, "label": season_label(self.time, k)}
            by_step_of_year.append({**place, **_rows_entry(scores)})
        by_step = []
        for step, scores in skill.by_step.items():
            place = {"step": label(step), "lead_year": outcome.lead_year(step)}
            by_step.append({**place, **_rows_entry(scores)})
        calibration = None
        if skill.calibration is not None:
            calibration = asdict(skill.calibration)
            calibration["bins"] = [spread_bin._asdict() for spread_bin in skill.calibration.bins]
        return {
            "name": outcome.name,
            "direction": outcome.direction,
            "start": label(outcome.nulls.start),
            "first": label(outcome.steps[0]),
            "last": label(outcome.steps[-1]),
            "last_with_values": outcome.last_with_values,
            "left_out": [label(step) for step in outcome.left_out],
            "finding": finding_of(skill, self.scale)._asdict(),
            "blocks": skill.n_blocks,
            "block_cells": skill.side,
            "overall": _rows_entry(skill.overall, skill.intervals),
            "by_lead_year": by_lead_year,
            "by_step_of_year": by_step_of_year,
            "by_zone": {zone: _rows_entry(scores) for zone, scores in skill.by_zone.items()},
            "by_step": by_step,
            "spread": calibration,
        }

    def to_csv(self) -> str:
        """Return one line for each test, row, and part of the cells and steps."""
        text = io.StringIO()
        columns = (*PLACE_COLUMNS, *SCORES, *SKILL_COLUMNS, "caveats")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        caveats = "; ".join(self.caveats)
        for place, scores, intervals in self._parts():
            for line in _lines(scores, intervals):
                numbers = {
                    name: "" if isinstance(value, float) and np.isnan(value) else value
                    for name, value in line.items()
                }
                writer.writerow({**place, **numbers, "caveats": caveats})
        return text.getvalue()

    def _parts(self) -> Iterator[tuple[Line, RowScores, Mapping[NullModel, Interval]]]:
        """Place, scores and intervals of every part of the cells and steps of every test."""
        for outcome in self.outcomes:
            skill = self.skills[outcome.name]
            test = {"test": outcome.name}
            yield {**test, "period": "all"}, skill.overall, skill.intervals
            for lead, scores in skill.by_lead_year.items():
                place = {**test, "period": "lead year", "lead_year": lead}
                yield place, scores, skill.lead_year_intervals[lead]
            for k, scores in skill.by_step_of_year.items():
                yield {**test, "period": "step of the year", "step_of_year": k}, scores, {}
            for zone, scores in skill.by_zone.items():
                yield {**test, "period": "all", "zone": zone}, scores, {}
            for (zone, k), scores in skill.by_zone_and_step_of_year.items():
                place = {**test, "period": "step of the year", "step_of_year": k, "zone": zone}
                yield place, scores, {}
            for step, scores in skill.by_step.items():
                place = {
                    **test,
                    "period": "step",
                    "step": self.time.label(step),
                    "lead_year": outcome.lead_year(step),
                    "step_of_year": self.time.in_year(step),
                }
                yield place, scores, {}

    def to_parquet(self) -> bytes:
        """Return every number as a row of a long table with the columns of `SCHEMA`."""
        rows: list[Line] = []
        for place, scores, intervals in self._parts():
            columns = {name: value for name, value in place.items() if name != "period"}
            for line in _lines(scores, intervals):
                of_row = {**columns, "row": line["row"]}
                rows += [{**of_row, "metric": name, "value": line[name]} for name in SCORES]
                if "skill" in line:
                    skill = {"value": line["skill"], "verdict": line.get("verdict")}
                    ends = {end: line.get(f"skill_{end}") for end in ("low", "high")}
                    rows.append({**of_row, "metric": "skill", **skill, **ends})
        for name, skill_of_test in self.skills.items():
            rows += _spread_rows(name, skill_of_test)
        for row in rows:
            for column in ("value", "low", "high"):
                number = row.get(column)
                row[column] = None if number is None or np.isnan(number) else float(number)
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink)
        return bytes(sink.getvalue())

    def write(self, folder: str | Path) -> tuple[str, str, str]:
        """Write the report; returns the places of its files, each written whole or not at all.

        metrics.json stands for all, so it is written last.
        """
        base = str(folder).rstrip("/")
        places = (f"{base}/metrics.json", f"{base}/metrics.csv", f"{base}/metrics.parquet")
        json_text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_atomically(places[2], self.to_parquet())
        write_atomically(places[1], self.to_csv().encode())
        write_atomically(places[0], json_text.encode())
        return places


def season_label(time: TimeSteps, k: int) -> str:
    """Return what step k of a year is called whatever the year, such as "03"; "" for a year.

    Examples
    --------
    >>> season_label(TimeSteps("month"), 2), season_label(TimeSteps("dekad"), 8)
    ('03', '03-21')
    """
    return time.label(time.step(2001, k))[5:]


def _rows_entry(
    scores: RowScores, intervals: Mapping[NullModel, Interval] | None = None
) -> dict[str, Any]:
    """Scores of all rows for JSON, and the skill against each null model."""
    rows = {row: _or_null(asdict(of_row)) for row, of_row in scores.scores.items()}
    skill: dict[str, Any] = {}
    for null, estimate in scores.skill.items():
        skill[null] = _or_null({"estimate": estimate})
        if intervals:
            interval = intervals[null]
            skill[null] |= _or_null({"low": interval.low, "high": interval.high})
            skill[null]["verdict"] = interval.verdict
    return {"rows": rows, "skill": skill}


def _lines(scores: RowScores, intervals: Mapping[NullModel, Interval]) -> Iterator[Line]:
    """Scores of each row, and of a null model the skill against it."""
    for row, of_row in scores.scores.items():
        line: Line = {"row": row, **asdict(of_row)}
        if row != "model":
            line["skill"] = scores.skill[row]
            if row in intervals:
                interval = intervals[row]
                line["skill_low"] = interval.low
                line["skill_high"] = interval.high
                line["verdict"] = interval.verdict
        yield line


def _spread_rows(test: str, skill: ValueSkill) -> Iterator[Line]:
    """Rows of the long table on the spread of the model."""
    calibration = skill.calibration
    if calibration is None:
        return
    of_model: Line = {"test": test, "row": "model"}
    for name in ("within_one", "within_two", "mean_square_z", "mean_spread"):
        yield {**of_model, "metric": name, "value": getattr(calibration, name)}
    for spread_bin in calibration.bins:
        in_bin = {**of_model, "spread": spread_bin.spread}
        yield {**in_bin, "metric": "spread_share", "value": spread_bin.share}
        yield {**in_bin, "metric": "spread_rmse", "value": spread_bin.rmse}


def _or_null(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """The numbers with None in place of nan, which JSON does not have."""
    return {name: None if np.isnan(value) else value for name, value in numbers.items()}
