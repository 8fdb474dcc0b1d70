"""metrics.parquet has every number of the report, a number a row."""

import io

import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from luray.core.legend_files import HILDA
from luray.evaluation.long_format import SCHEMA
from luray.evaluation.report import EvaluationReport
from luray.evaluation.significance import HITS
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
    keys = ("test", "target", "row", "year", "lead", "class", "zone", "block_row", "metric")
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
