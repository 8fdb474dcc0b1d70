"""The report on values: what its files hold."""

import csv
import io
import json
import pathlib

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from luray.evaluation.value_report import VALUE_DEFINITIONS, ValueReport
from tests.evaluation.value_cases import LAI, MONTHS, value_outcome

ROWS = [
    "model",
    "persistence",
    "seasonal_persistence",
    "climatology",
    "class_climatology",
]


@pytest.fixture(scope="module")
def report():
    forecast = value_outcome("forecast", years=2, zones=("zone 1", "zone 2"))
    hindcast = value_outcome("hindcast", direction="backward", seed=3)
    return ValueReport(
        (forecast, hindcast),
        LAI,
        MONTHS,
        "U-Net of width 16",
        ("only a sandbox",),
        scored={"forecast": "f" * 64},
        inputs={"lai": ("turned",)},
        product="p" * 64,
    )


@pytest.fixture(scope="module")
def files(report, tmp_path_factory):
    """The three files as they are read."""
    folder = tmp_path_factory.mktemp("report")
    places = report.write(folder)
    assert [place.rpartition("/")[2] for place in places] == [
        "metrics.json",
        "metrics.csv",
        "metrics.parquet",
    ]
    json_place, csv_place, parquet_place = places
    with pathlib.Path(json_place).open() as json_file, pathlib.Path(csv_place).open() as csv_file:
        entry = json.load(json_file)
        lines = list(csv.DictReader(io.StringIO(csv_file.read())))
    return entry, lines, parquet.read_table(parquet_place)


def test_json_holds_all_parts_of_a_test(report, files):
    entry, _, _ = files
    assert (entry["kind"], entry["units"], entry["time_step"]) == ("continuous", "m2 m-2", "month")
    assert entry["definitions"] == VALUE_DEFINITIONS
    assert entry["product"] == {"fingerprint": "p" * 64}
    assert entry["caveats"] == ["only a sandbox"]
    forecast, hindcast = entry["tests"]
    assert (forecast["start"], forecast["first"], forecast["last"]) == (
        "2003-12",
        "2004-01",
        "2005-12",
    )
    assert (hindcast["start"], hindcast["first"], hindcast["last"]) == (
        "2003-01",
        "2002-12",
        "2002-01",
    )
    assert [len(forecast[f"by_{part}"]) for part in ("lead_year", "step_of_year", "step")] == [
        2,
        12,
        24,
    ]
    assert list(forecast["by_zone"]) == ["zone 1", "zone 2"]
    assert list(forecast["overall"]["rows"]) == ROWS

    skill = report.skills["forecast"]
    assert forecast["overall"]["rows"]["model"]["rmse"] == skill.overall.scores["model"].rmse
    assert forecast["overall"]["rows"]["climatology"]["anomaly_correlation"] is None, "nan is null"
    interval = skill.intervals["persistence"]
    assert forecast["overall"]["skill"]["persistence"] == {
        "estimate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "verdict": "better",
    }
    assert forecast["by_lead_year"][1]["skill"]["persistence"]["low"] is not None
    assert forecast["spread"]["within_one"] == skill.calibration.within_one


def test_csv_holds_a_line_for_each_row_and_part(report, files):
    _, lines, _ = files
    forecast = [line for line in lines if line["test"] == "forecast"]
    parts = 1 + 2 + 12 + 2 + 2 * 12 + 24
    assert len(forecast) == parts * len(ROWS)
    [line] = [
        line
        for line in forecast
        if (line["row"], line["period"], line["zone"]) == ("persistence", "all", "")
    ]
    skill = report.skills["forecast"]
    assert float(line["rmse"]) == skill.overall.scores["persistence"].rmse
    assert float(line["skill_low"]) == skill.intervals["persistence"].low
    assert (line["verdict"], line["caveats"]) == ("better", "only a sandbox")
    [of_climatology] = [
        line
        for line in forecast
        if (line["row"], line["period"], line["zone"]) == ("climatology", "all", "")
    ]
    assert of_climatology["anomaly_correlation"] == ""


def test_parquet_answers_by_a_filter(report, files):
    """By class and month."""
    _, _, table = files
    rows = table.to_pylist()
    skill = report.skills["forecast"]
    [in_june] = [
        row["value"]
        for row in rows
        if row["test"] == "forecast"
        and row["row"] == "model"
        and row["metric"] == "bias"
        and row["zone"] == "zone 2"
        and row["step_of_year"] == 5
        and row["step"] is None
    ]
    expected = skill.by_zone_and_step_of_year["zone 2", 5].scores["model"].bias
    assert in_june == expected
    assert table.schema.field("value").type == pa.float64()
    z = [row["value"] for row in rows if row["metric"] == "mean_square_z"]
    assert z[0] == skill.calibration.mean_square_z
    assert not np.isnan([row["value"] for row in rows if row["value"] is not None]).any()


def test_two_tests_of_one_name_are_refused(report):
    forecast, _ = report.outcomes
    with pytest.raises(ValueError, match="expected each name once; rename a test"):
        ValueReport((forecast, forecast), LAI, MONTHS, "m")
