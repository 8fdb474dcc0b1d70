"""The stages `evaluate` and `report` on a run of values: a rollout, its scores, files and page."""

import json
from pathlib import Path

import pytest

from luray.cli.score_tables import render_report
from luray.cube.cube import Cube
from luray.evaluation.value_report import ValueReport
from luray.sandbox.random_model import save_random_model
from luray.stages.config import RunConfig
from luray.stages.evaluate import evaluate, is_evaluated, rollout_of
from luray.stages.report import report as write_report
from luray.stages.run_file import load_run
from tests.product.test_value_scoring import maps_of, skill_of, tallied
from tests.product.value_worlds import value_cube

RUN = """
name = "values"
output = "{output}"

[target]
kind = "continuous"
legend = "lai"
time_step = "month"

[grid]
north = 52
west = 4
step = 0.5
shape = [13, 17]

[[sources]]
kind = "c3s_lai"
path = "nowhere"

[tiling]
window = 8
stride = 4
tile = 8

[model]
width = 3
depth = 1

[training]
years = [2001, 2003]
steps = 1

[inference]
years = [2001, 2003]
observed = [2001, 2003]
workers = 1

[evaluation]
zones = "zone"
tests = [{{ name = "forecast", start = 2003, stop = 2004 }}]
"""


def run_of(folder: Path, *settings: str) -> RunConfig:
    """The run of a small cube of values with a random model."""
    file = folder / "run.toml"
    file.write_text(RUN.format(output=folder / "out"))
    return load_run(file, settings)


@pytest.fixture(scope="module")
def evaluated(ray_cluster, tmp_path_factory):
    """A folder with an evaluated run, and the report that `evaluate` returned."""
    folder = tmp_path_factory.mktemp("values")
    run = run_of(folder)
    value_cube(run.cube)
    save_random_model(Cube.open(run.cube), "forward", run.unet, run.model_folder("forward"))
    assert not is_evaluated(run)
    return folder, evaluate(run)


def test_scores_are_those_of_one_process(evaluated):
    folder, report = evaluated
    run = run_of(folder)
    assert isinstance(report, ValueReport)
    spec = rollout_of(run, run.tests[0])
    maps = maps_of(spec.cube, spec.product, run.tests[0].start, run.tests[0].stop)
    expected = skill_of(maps, tallied(maps))
    skill = report.skills["forecast"]
    assert skill.overall == expected.overall
    assert skill.by_zone == expected.by_zone
    assert skill.calibration == expected.calibration
    assert skill.calibration is not None, "the rollout has a spread"
    assert len(skill.by_step) == 12
    assert list(skill.by_lead_year) == [1]


def test_a_report_stands_until_something_changes(evaluated):
    folder, _ = evaluated
    assert is_evaluated(run_of(folder))
    assert not is_evaluated(run_of(folder, "evaluation.zones="))
    assert not is_evaluated(run_of(folder, "training.years=[2002, 2003]"))


def test_the_page_has_the_scores_of_the_run(evaluated):
    folder, report = evaluated
    run = run_of(folder)
    page = Path(write_report(run)).read_text()
    metrics = json.loads((folder / "out" / "report" / "metrics.json").read_text())
    rmse = metrics["tests"][0]["overall"]["rows"]["model"]["rmse"]
    assert rmse == report.skills["forecast"].overall.scores["model"].rmse
    assert f"{rmse:.3f}" in page
    assert "observed, 2004-12" in page
    assert render_report(report).renderables


def test_zones_that_the_cube_lacks_are_named(evaluated):
    folder, _ = evaluated
    with pytest.raises(
        ValueError, match=r"no categorical variable 'soil', expected one of \['zone'\]"
    ):
        evaluate(run_of(folder, "evaluation.zones=soil"))
