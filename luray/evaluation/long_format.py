"""All numbers of a report as one long table, a number a row: metrics.parquet.

Every program reads it, and every question is a filter: `test == "forecast" and metric ==
"accuracy" and row == "model"`.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from luray.core.legend import Legend
from luray.evaluation.metrics import Scores
from luray.evaluation.significance import FALSE_ALARMS, HITS, LAND, MISSES, WRONG_GAIN, Comparison
from luray.evaluation.skill import Outcome, Skill, Truth

SCHEMA = pa.schema(
    [
        ("test", pa.string()),
        ("target", pa.string()),
        ("row", pa.string()),
        ("year", pa.int32()),
        ("lead", pa.int32()),
        ("class", pa.string()),
        ("zone", pa.string()),
        ("block_row", pa.int32()),
        ("block_col", pa.int32()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("verdict", pa.string()),
    ]
)
"""Columns of the table.

target: raw or deflickered maps. row: model or a null model. year and lead are null for a mean over
the years. class: a class, or "a to b" for a change. block_row, block_col: place of a block, counted
from the north-west. low, high, verdict: of an interval. What does not apply is null, as is a value
that does not exist.
"""

Row = dict[str, Any]


def long_table(
    skills: dict[tuple[str, Truth], Skill], outcomes: tuple[Outcome, ...], legend: Legend
) -> pa.Table:
    """Return the numbers of a report, in the order of its tests.

    Parameters
    ----------
    skills : dict
        Skill by test and target.
    outcomes : tuple of Outcome
        The tests.
    legend : Legend
        Of the classes.

    Returns
    -------
    pyarrow.Table
        With the columns of `SCHEMA`.
    """
    rows: list[Row] = []
    for outcome in outcomes:
        for (test, target), skill in skills.items():
            if test == outcome.name:
                rows.extend(_of_skill(skill, outcome, target))
        rows.extend(_of_classes(outcome, legend))
        rows.extend(_of_blocks(outcome))
    for row in rows:
        value = row["value"]
        row["value"] = None if value is None or np.isnan(value) else float(value)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _of_skill(skill: Skill, outcome: Outcome, target: Truth) -> Iterator[Row]:
    """Scores by year and their means, of all land and by zone, and what they gain."""
    for row in skill.rows:
        of_row: Row = {"test": outcome.name, "target": target, "row": row}
        for year, scores in zip(skill.years, skill.by_year[row], strict=True):
            place = {**of_row, "year": year, "lead": outcome.lead(year)}
            yield from _scores(scores, place)
        yield from _scores(skill.mean(row), of_row)

    for zone, rows_of_zone in skill.by_zone.items():
        for row, scores_of_years in rows_of_zone.items():
            of_zone: Row = {"test": outcome.name, "target": target, "row": row, "zone": zone}
            for year, scores in zip(skill.years, scores_of_years, strict=True):
                place = {**of_zone, "year": year, "lead": outcome.lead(year)}
                yield from _scores(scores, place)

    compared = skill.against_persistence
    if compared is not None:
        of_model: Row = {"test": outcome.name, "target": target, "row": "model"}
        for year, comparison in zip(skill.years, compared.by_year, strict=True):
            place = {**of_model, "year": year, "lead": outcome.lead(year)}
            yield from _intervals(comparison, place)
        yield from _intervals(compared.mean, of_model)


def _scores(scores: Scores, place: Row) -> Iterator[Row]:
    for metric, value in asdict(scores).items():
        yield {**place, "metric": metric, "value": value}


def _intervals(comparison: Comparison, place: Row) -> Iterator[Row]:
    """The gain over persistence with its interval; the Figure of Merit gains on one of 0."""
    for name, interval in comparison._asdict().items():
        known = not np.isnan(interval.low)
        yield {
            **place,
            "metric": name if name.endswith("_gain") else f"{name}_gain",
            "value": interval.estimate,
            "low": interval.low if known else None,
            "high": interval.high if known else None,
            "verdict": interval.verdict,
        }


def _of_classes(outcome: Outcome, legend: Legend) -> Iterator[Row]:
    """Areas by class and by transition since the start, in m2, against the raw maps."""
    names = [land_class.name for land_class in legend.classes]
    for year in sorted(outcome.tally.years, key=outcome.lead):
        table_JTP = outcome.tally.years[year].table
        place: Row = {
            "test": outcome.name,
            "target": "raw",
            "row": "model",
            "year": year,
            "lead": outcome.lead(year),
        }
        for k, name in enumerate(names):
            of_class = {**place, "class": name}
            yield {**of_class, "metric": "observed_area_m2", "value": table_JTP[:, k].sum()}
            yield {**of_class, "metric": "predicted_area_m2", "value": table_JTP[:, :, k].sum()}
            yield {**of_class, "metric": "right_area_m2", "value": table_JTP[:, k, k].sum()}
        for i, before in enumerate(names):
            for j, after in enumerate(names):
                observed = table_JTP[i, j].sum()
                predicted = table_JTP[i, :, j].sum()
                if i != j and (observed or predicted):
                    of_change = {**place, "class": f"{before} to {after}"}
                    hits = table_JTP[i, j, j]
                    yield {**of_change, "metric": "observed_change_m2", "value": observed}
                    yield {**of_change, "metric": "predicted_change_m2", "value": predicted}
                    yield {**of_change, "metric": "hits_m2", "value": hits}


def _of_blocks(outcome: Outcome) -> Iterator[Row]:
    """Land and parts of the change by block of the map, in m2, against the raw maps."""
    columns = {
        "land_m2": LAND,
        "hits_m2": HITS,
        "wrong_gain_m2": WRONG_GAIN,
        "misses_m2": MISSES,
        "false_alarms_m2": FALSE_ALARMS,
    }
    for year in sorted(outcome.tally.years, key=outcome.lead):
        by_block = outcome.tally.years[year].by_block
        for place_2, sums_5 in zip(by_block.places_N2, by_block.sums_N5, strict=True):
            for metric, column in columns.items():
                yield {
                    "test": outcome.name,
                    "target": "raw",
                    "row": "model",
                    "year": year,
                    "lead": outcome.lead(year),
                    "block_row": int(place_2[0]),
                    "block_col": int(place_2[1]),
                    "metric": metric,
                    "value": sums_5[column],
                }
