"""metrics.parquet has every number of the report, a number a row."""

import io
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from luray.core.legend_files import HILDA
from luray.evaluation.aggregation import Tally
from luray.evaluation.block_sums import HITS
from luray.evaluation.long_format import SCHEMA
from luray.evaluation.report import EvaluationReport
from luray.evaluation.skill import Outcome
from tests.evaluation.cases import random_tally


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    years = (2001, 2002, 2003)
    tally = random_tally(years)
    outcome = Outcome("forecast", "forward", 2000, tally, deflickered=random_tally(years, seed=1))
    return EvaluationReport((outcome,), HILDA, "a model")


@pytest.fixture(scope="module")
def table(report: EvaluationReport):
    return parquet.read_table(io.BytesIO(report.to_parquet()))


def value(table, **where) -> float:
    """The one value of a row that is told by some columns; those not named are null."""
    keys = ("test", "target", "row", "year", "lead", "class", "zone", "block_row", "bin", "metric")
    found = table
    for key in keys:
        column = found[key]
        wanted = where.get(key)
        found = found.filter(pc.is_null(column) if wanted is None else pc.equal(column, wanted))
    [number] = found["value"].to_pylist()
    return number


def test_scores_are_those_of_the_report(report, table) -> None:
    assert table.schema.equals(SCHEMA)
    skill = report.skills["forecast", "raw"]
    of_model = {"test": "forecast", "target": "raw", "row": "model"}
    third = {**of_model, "year": 2003, "lead": 3}
    scores = skill.by_year["model"][2]
    assert value(table, **third, metric="accuracy") == scores.accuracy
    assert value(table, **of_model, metric="mean_iou") == skill.mean("model").mean_iou
    null = {**of_model, "row": "random place", "year": 2001, "lead": 1}
    expected = skill.by_year["random place"][0]
    assert value(table, **null, metric="figure_of_merit") == expected.figure_of_merit
    assert value(table, **null, metric="brier") is None, "what is not known is null, not nan or 0"


def test_a_gain_has_its_interval_and_verdict(report, table) -> None:
    interval = report.skills["forecast", "raw"].against_persistence.mean.accuracy_gain
    is_mean = pc.and_(pc.equal(table["metric"], "accuracy_gain"), pc.is_null(table["year"]))
    [row] = table.filter(pc.and_(is_mean, pc.equal(table["target"], "raw"))).to_pylist()
    assert (row["value"], row["low"], row["high"]) == tuple(interval)
    assert row["verdict"] == interval.verdict


def test_classes_changes_and_blocks_add_up(report, table) -> None:
    statistics = report.outcomes[0].tally.years[2002]
    of_year = table.filter(pc.and_(pc.equal(table["year"], 2002), pc.equal(table["target"], "raw")))

    def total(metric: str, *, by_block: bool = False) -> float:
        rows = of_year.filter(pc.equal(of_year["metric"], metric))
        is_block = pc.is_valid(rows["block_row"])
        return pc.sum(rows.filter(is_block if by_block else pc.invert(is_block))["value"]).as_py()

    assert total("observed_area_m2") == statistics.table.sum()
    n = len(HILDA)
    changed = sum(statistics.table[i, j].sum() for i in range(n) for j in range(n) if i != j)
    assert total("observed_change_m2") == changed
    assert total("hits_m2") == sum(
        statistics.table[i, j, j] for i in range(n) for j in range(n) if i != j
    )
    assert total("hits_m2", by_block=True) == statistics.by_block.sums_N5[:, HITS].sum()


def test_every_metric_is_there_by_class_transition_zone_block_and_year() -> None:
    """DOMAIN's list: each score by lead year and in the mean, against raw and de-flickered maps."""
    years = (2001, 2002, 2003)
    outcome = Outcome(
        "forecast",
        "forward",
        2000,
        with_zones(random_tally(years)),
        deflickered=with_zones(random_tally(years, seed=1)),
        zones=("climate 1", "climate 2"),
        p_change={
            "cells": 100,
            "brier": 0.02,
            "reliability": [
                {"from": 0.0, "to": 0.1, "share": 1.0, "predicted": 0.02, "observed": 0.03}
            ],
        },
    )
    report = EvaluationReport((outcome,), HILDA, "a model")
    long = parquet.read_table(io.BytesIO(report.to_parquet())).to_pylist()

    of_table = {
        *("accuracy", "macro_f1", "weighted_f1", "mean_iou"),
        *("change_accuracy", "change_macro_f1", "change_weighted_f1", "change_mean_iou"),
        *("figure_of_merit", "quantity_disagreement", "allocation_disagreement", "change_ratio"),
    }
    of_maps = {
        *("figure_of_merit_5", "figure_of_merit_25", "net_change_error", "demand_error", "brier"),
        *("calibration_error", "observed_demand_error", "accuracy_gain", "figure_of_merit_gain"),
        *("macro_f1_gain", "weighted_f1_gain", "mean_iou_gain", "change_macro_f1_gain"),
    }
    of_class = {
        *("f1", "iou", "change_f1", "change_iou", "figure_of_merit", "change_ratio"),
        *("f1_gain", "iou_gain", "change_f1_gain", "figure_of_merit_gain"),
    }
    of_class_and_year = {"observed_area_m2", "predicted_area_m2"}
    of_change = {"observed_change_m2", "predicted_change_m2", "hits_m2", "figure_of_merit"}
    of_block = {"land_m2", "hits_m2", "misses_m2", "false_alarms_m2", "figure_of_merit"}
    in_bin = {"confidence_right_share"}

    def metrics(*given: str, target: str, year: int | None) -> set[str]:
        """Metrics of rows of the model that have a value in these columns and in no other."""
        columns = ("class", "zone", "block_row", "bin")
        return {
            row["metric"]
            for row in long
            if (row["target"], row["row"], row["year"]) == (target, "model", year)
            and tuple(name for name in columns if row[name] is not None) == given
        }

    for target in ("raw", "deflickered"):
        for year in (*years, None):
            assert of_table | of_maps <= metrics(target=target, year=year)
            assert of_table <= metrics("zone", target=target, year=year)
            assert of_class <= metrics("class", target=target, year=year)
        for year in years:
            assert of_class_and_year | of_change <= metrics("class", target=target, year=year)
            assert of_block <= metrics("block_row", target=target, year=year)
            assert in_bin <= metrics("bin", target=target, year=year)
        assert "figure_of_merit" in metrics("block_row", target=target, year=None)

    rows = {row["row"] for row in long if row["metric"] == "figure_of_merit"}
    assert {"model", "persistence", "random place"} <= rows
    assert [row["value"] for row in long if row["metric"] == "p_change_brier"] == [0.02]
    [observed] = [row for row in long if row["metric"] == "p_change_observed"]
    assert (observed["bin"], observed["value"], observed["lead"]) == ("0-0.1", 0.03, 1)
    leads = {row["lead"] for row in long if row["year"] is not None}
    assert leads == {1, 2, 3}


def test_several_starts_stand_beside_each_other_by_lead_year() -> None:
    starts = (2000, 2003, 1990)
    outcomes = []
    for n, start in enumerate(starts):
        step = -1 if start == 1990 else 1
        years = [start + step * lead for lead in (1, 2, 3)]
        direction = "forward" if step > 0 else "backward"
        outcomes.append(Outcome(f"from {start}", direction, start, random_tally(years, seed=n)))
    report = EvaluationReport(tuple(outcomes), HILDA, "a model")
    rows = parquet.read_table(io.BytesIO(report.to_parquet())).to_pylist()
    found = {
        (row["test"], row["lead"]): (row["year"], row["value"])
        for row in rows
        if (row["metric"], row["row"], row["zone"]) == ("accuracy", "model", None)
    }
    assert len(found) == 3 * (3 + 1), "each lead year of each start, and its mean"
    assert [found[f"from {start}", 2][0] for start in starts] == [2002, 2005, 1988]
    for start in starts:
        by_lead = [found[f"from {start}", lead][1] for lead in (1, 2, 3)]
        assert found[f"from {start}", None][1] == pytest.approx(np.mean(by_lead))


def with_zones(tally: Tally) -> Tally:
    """The same tally, of which the first zone has all cells and the second none."""
    years = {}
    for year, statistics in tally.years.items():
        zones = np.stack([statistics.table, np.zeros_like(statistics.table)])
        years[year] = replace(statistics, by_zone=zones)
    return Tally(years)


def test_a_reliability_diagram_adds_up(report, table) -> None:
    """Confidence is 80 % everywhere: one bin has all scored land."""
    statistics = report.outcomes[0].tally.years[2001]
    is_bin = pc.and_(pc.is_valid(table["bin"]), pc.equal(table["year"], 2001))
    rows = table.filter(pc.and_(is_bin, pc.equal(table["target"], "raw"))).to_pylist()
    assert {row["bin"] for row in rows} == {"0.80-0.90"}
    by_metric = {row["metric"]: row["value"] for row in rows}
    area, right = statistics.reliability[80]
    assert by_metric == {"confidence_area_m2": area, "confidence_right_share": right / area}


def test_the_merit_of_a_block_is_that_of_its_parts(report, table) -> None:
    [of_test] = report.to_dict()["tests"]
    by_block = of_test["by_block"]
    is_merit = pc.and_(
        pc.is_valid(table["block_row"]), pc.equal(table["metric"], "figure_of_merit")
    )
    mean = pc.and_(pc.is_null(table["year"]), pc.equal(table["target"], "raw"))
    rows = table.filter(pc.and_(is_merit, mean)).to_pylist()
    assert [[row["block_row"], row["block_col"]] for row in rows] == by_block["places"]
    assert [row["value"] for row in rows] == by_block["figure_of_merit"]
