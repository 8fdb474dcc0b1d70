"""A map of another kind in a cube: training and scores without its transitions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from luray.core.legend_files import HILDA
from luray.cube.cube import Cube
from luray.evaluation.deflicker import deflicker
from luray.evaluation.metrics import score
from luray.evaluation.statistics import tile_statistics
from luray.stages.evaluate import evaluate as run_evaluate
from luray.stages.evaluate import is_evaluated
from luray.stages.train import trainings
from tests.distributed.conftest import give_models

WATER = HILDA.index(77)


def declare(run, base):
    """Give a run a cube of its own that declares the map of a year as `build` does a base map."""
    cube = Path(run.cube)
    shared = cube.resolve()
    cube.unlink()
    shutil.copytree(shared, cube)

    root = json.loads((cube / "zarr.json").read_text())
    state = json.loads((cube / "state/zarr.json").read_text())
    for attributes in (
        root["consolidated_metadata"]["metadata"]["state"]["attributes"],
        state["attributes"],
    ):
        attributes["luray"]["other_kind"] = [[base, "a base map of another kind"]]
    (cube / "zarr.json").write_text(json.dumps(root))
    (cube / "state/zarr.json").write_text(json.dumps(state))
    return run


@pytest.fixture
def run_with(place, tmp_path):
    """A function that makes a run whose cube declares the map of a year to be a base map."""

    def make(base, *settings):
        folder = tmp_path / f"of {base}"
        run = place.run(folder, *settings)
        return declare(run, base) if Path(run.cube).is_symlink() else run

    return make


def test_training_meets_no_base_map(place, run_with, tmp_path):
    short = "training.rollout_years=1"
    met, *_ = trainings(place.run(tmp_path / "plain", short))
    clear, *_ = trainings(run_with(2002, short))
    elsewhere, *_ = trainings(run_with(2002, "training.years=[2003, 2006]", "evaluation.tests=[]"))

    assert met.data.cube.other_kind == {}
    assert "left_out" not in met.identity
    assert met.data.left_out == frozenset()
    assert clear.data.left_out == {2002}
    assert elsewhere.data.left_out == frozenset()
    assert {key for key in clear.identity if clear.identity[key] != met.identity.get(key)} == {
        "left_out"
    }
    for use in ("training", "held-out blocks"):
        plan_with_base, plan_without = met.data.plan(use), clear.data.plan(use)
        assert any(2002 in plan_with_base[k].years for k in range(50))
        assert not any(2002 in plan_without[k].years for k in range(50))

    too_long, *_ = trainings(
        run_with(
            2002,
            "training.rollout_years=2",
            "training.sampling.validation_years=0.0",
        )
    )
    with pytest.raises(
        ValueError,
        match=r"hold no rollout of 2 years that does not meet a base map \(2002\).*"
        r'or set base_maps = "keep" in \[\[sources\]\] of the maps',
    ):
        too_long.data.plan()


def test_years_that_come_to_or_from_the_base_map_are_not_scored(place, tmp_path):
    run = place.run(tmp_path / "out", 'evaluation.tests=[{name="forecast", start=2004, stop=2008}]')
    give_models(run)
    whole = run_evaluate(run)
    assert is_evaluated(run)
    declare(run, 2006)
    assert not is_evaluated(run)
    report = run_evaluate(run)
    assert is_evaluated(run)

    assert whole.skills["forecast", "raw"].years == (2005, 2006, 2007, 2008)
    assert not any("left out" in caveat for caveat in whole.caveats)
    assert report.caveats[-1] == (
        "scores: 2006, 2007 left out, since 2006 is a base map of another kind; later years "
        "are still compared with a start before it"
    )

    cube, everything = Cube.open(run.cube), run.tiles.everything
    product = xr.open_zarr(run.product)
    years = (2004, 2005, 2007, 2008)
    maps = np.stack([cube.state(year, everything) for year in years])
    for truth, compared in (("raw", maps), ("deflickered", deflicker(maps))):
        skill = report.skills["forecast", truth]
        assert skill.years == skill.mean_years == (2005, 2008)
        for year, found in zip(skill.years, skill.by_year["model"], strict=True):
            predicted = HILDA.encode(product.land_use.sel(year=year).values)
            direct = score(
                tile_statistics(
                    maps[0],
                    compared[years.index(year)],
                    predicted,
                    n_classes=7,
                    water=WATER,
                    cell_area=cube.grid.cell_area,
                ),
                water=WATER,
            )
            assert found.accuracy == pytest.approx(direct.accuracy, rel=1e-12)
            assert found.figure_of_merit == pytest.approx(direct.figure_of_merit, rel=1e-12)


def test_a_test_that_starts_from_the_base_map_is_refused_by_name(run_with):
    run = run_with(2004)
    give_models(run)
    with pytest.raises(
        ValueError, match="evaluation test 'forecast': the rollout starts from 2004, a base map"
    ):
        run_evaluate(run)


def test_a_test_that_ends_in_the_base_map_is_scored_up_to_it(run_with):
    run = run_with(2006)
    give_models(run)
    report = run_evaluate(run)
    assert report.skills["forecast", "raw"].years == (2005,)
    assert report.caveats[-1].endswith("2006 is a base map of another kind")
