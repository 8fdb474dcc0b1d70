"""All numbers of a report as one long table, a number a row: metrics.parquet.

Every program reads it, and every question is a filter: `test == "forecast" and metric ==
"accuracy" and row == "model"`.
"""

from collections.abc import Iterator
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa

from luray.core.legend import Legend
from luray.core.types import F64, I64
from luray.evaluation.aggregation import Tally
from luray.evaluation.block_sums import (
    CHANGE_PARTS,
    FALSE_ALARMS,
    HITS,
    LAND,
    MISSES,
    WRONG_GAIN,
    BlockSums,
)
from luray.evaluation.class_scores import ClassScores
from luray.evaluation.metrics import Scores, confidence_bins, figure_of_merit
from luray.evaluation.significance import ClassComparison, Comparison
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
        ("bin", pa.string()),
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
from the north-west. bin: probabilities of a reliability diagram, as "0.90-1.00". low, high,
verdict: of an interval. What does not apply is null, as is a value that does not exist.
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
    names = [land_class.name for land_class in legend.classes]
    for outcome in outcomes:
        for (test, target), skill in skills.items():
            if test == outcome.name:
                tally = outcome.tally if target == "raw" else outcome.deflickered
                assert tally is not None, "it has a skill"
                rows.extend(_of_skill(skill, outcome, target))
                rows.extend(_of_classes(skill, outcome, target, names))
                rows.extend(_of_tally(tally, skill, outcome, target, names))
        rows.extend(_of_p_change(outcome))
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
            yield from _scores(skill.mean_of_zone(row, zone), of_zone)

    compared = skill.against_persistence
    if compared is not None:
        of_model: Row = {"test": outcome.name, "target": target, "row": "model"}
        for year, comparison in zip(skill.years, compared.by_year, strict=True):
            place = {**of_model, "year": year, "lead": outcome.lead(year)}
            yield from _intervals(comparison, place)
        yield from _intervals(compared.mean, of_model)


def _scores(scores: Scores | ClassScores, place: Row) -> Iterator[Row]:
    for metric, value in asdict(scores).items():
        yield {**place, "metric": metric, "value": value}


def _intervals(comparison: Comparison | ClassComparison, place: Row) -> Iterator[Row]:
    """Gains over persistence with their intervals; scores of change gain on one of 0."""
    for name, interval in comparison._asdict().items():
        exists = not np.isnan(interval.low)
        yield {
            **place,
            "metric": name if name.endswith("_gain") else f"{name}_gain",
            "value": interval.estimate,
            "low": interval.low if exists else None,
            "high": interval.high if exists else None,
            "verdict": interval.verdict,
        }


def _of_classes(skill: Skill, outcome: Outcome, target: Truth, names: list[str]) -> Iterator[Row]:
    """Scores by class by year and their means, and changes from class to class in m2."""
    for row, scores_of_classes in skill.by_class.items():
        for name, scores_of_years in zip(names, scores_of_classes, strict=True):
            of_class: Row = {"test": outcome.name, "target": target, "row": row, "class": name}
            for year, scores in zip(skill.years, scores_of_years, strict=True):
                yield from _scores(scores, {**of_class, "year": year, "lead": outcome.lead(year)})
            yield from _scores(skill.mean_of_class(row, names.index(name)), of_class)

    compared = skill.against_persistence
    if compared is not None:
        for k, name in enumerate(names):
            of_model: Row = {"test": outcome.name, "target": target, "row": "model", "class": name}
            for year, comparison in zip(skill.years, compared.by_class[k], strict=True):
                place = {**of_model, "year": year, "lead": outcome.lead(year)}
                yield from _intervals(comparison, place)
            yield from _intervals(compared.mean_of_class[k], of_model)

    for year, transitions in zip(skill.years, skill.transitions, strict=True):
        for change in transitions:
            place = {
                "test": outcome.name,
                "target": target,
                "row": "model",
                "year": year,
                "lead": outcome.lead(year),
                "class": f"{names[change.before]} to {names[change.after]}",
            }
            yield {**place, "metric": "observed_change_m2", "value": change.observed_m2}
            yield {**place, "metric": "predicted_change_m2", "value": change.predicted_m2}
            yield {**place, "metric": "hits_m2", "value": change.hits_m2}
            yield {**place, "metric": "figure_of_merit", "value": change.figure_of_merit}


def _of_tally(
    tally: Tally, skill: Skill, outcome: Outcome, target: Truth, names: list[str]
) -> Iterator[Row]:
    """Areas by class, parts of the change by block in m2, and reliability of the confidence."""
    of_model: Row = {"test": outcome.name, "target": target, "row": "model"}
    for year in skill.years:
        statistics = tally.years[year]
        place = {**of_model, "year": year, "lead": outcome.lead(year)}
        for k, name in enumerate(names):
            of_class = {**place, "class": name}
            table_JTP = statistics.table
            yield {**of_class, "metric": "observed_area_m2", "value": table_JTP[:, k].sum()}
            yield {**of_class, "metric": "predicted_area_m2", "value": table_JTP[:, :, k].sum()}
            yield {**of_class, "metric": "right_area_m2", "value": table_JTP[:, k, k].sum()}
        yield from _of_blocks(statistics.by_block, place)
        yield from _of_confidence(statistics.reliability, place)

    by_block = [tally.years[year].by_block for year in skill.mean_years]
    if all(sums.side for sums in by_block):
        total = reduce(add, by_block)
        for place_2, parts_4 in zip(total.places_N2, total.sums_N5[:, CHANGE_PARTS], strict=True):
            of_block = {**of_model, **_block(place_2)}
            yield {**of_block, "metric": "figure_of_merit", "value": figure_of_merit(parts_4)}


def _of_blocks(by_block: BlockSums, place: Row) -> Iterator[Row]:
    """Land, parts of the change and Figure of Merit by block of the map in one year."""
    columns = {
        "land_m2": LAND,
        "hits_m2": HITS,
        "wrong_gain_m2": WRONG_GAIN,
        "misses_m2": MISSES,
        "false_alarms_m2": FALSE_ALARMS,
    }
    for place_2, sums_5 in zip(by_block.places_N2, by_block.sums_N5, strict=True):
        of_block = {**place, **_block(place_2)}
        for metric, column in columns.items():
            yield {**of_block, "metric": metric, "value": sums_5[column]}
        merit = figure_of_merit(sums_5[CHANGE_PARTS])
        yield {**of_block, "metric": "figure_of_merit", "value": merit}


def _block(place_2: I64) -> Row:
    """Columns that say which block of the map a row is of."""
    return {"block_row": int(place_2[0]), "block_col": int(place_2[1])}


def _of_confidence(reliability: F64, place: Row) -> Iterator[Row]:
    """Area and share that is right by bin of the confidence; none where no confidence is known."""
    for first, last, (area, right) in confidence_bins(reliability):
        in_bin = {**place, "bin": f"{first:.2f}-{last:.2f}"}
        yield {**in_bin, "metric": "confidence_area_m2", "value": area}
        yield {**in_bin, "metric": "confidence_right_share", "value": right / area}


def _of_p_change(outcome: Outcome) -> Iterator[Row]:
    """Brier score and reliability of the probability of change, on held-out cells."""
    if outcome.p_change is None:
        return
    of_model: Row = {"test": outcome.name, "target": "raw", "row": "model", "lead": 1}
    yield {**of_model, "metric": "p_change_brier", "value": outcome.p_change["brier"]}
    for entry in outcome.p_change["reliability"]:
        in_bin = {**of_model, "bin": f"{entry['from']:g}-{entry['to']:g}"}
        for name in ("share", "predicted", "observed"):
            yield {**in_bin, "metric": f"p_change_{name}", "value": entry[name]}
