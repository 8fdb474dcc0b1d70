"""The target of a run file: land use unless it says otherwise, and what does not go with it."""

from pathlib import Path

import pytest

from luray.core.legend_files import HILDA, read_legend
from luray.planning.expected_cube import expected_cube
from luray.sandbox.write import demo_run, land_cover_runs
from luray.stages.run_file import ConfigError, load_run

COVER = read_legend("esa_cci_lc")
_, LAND_COVER_RUN = land_cover_runs()


def test_land_use_is_the_target_of_a_run_that_names_none():
    assert load_run(demo_run()).target.classes == HILDA
    assert load_run(demo_run(), ["target.legend=hilda"]).target.classes == HILDA
    assert load_run(LAND_COVER_RUN).target.classes == COVER


def test_a_legend_of_ones_own_may_lie_where_a_variable_says(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "catalogs/legends/esa_cci_lc.toml").read_text()
    (tmp_path / "mine.toml").write_text(text)
    setting = "target.legend=${MY_LEGENDS}/mine.toml"
    monkeypatch.delenv("MY_LEGENDS", raising=False)
    with pytest.raises(ConfigError, match="environment variable MY_LEGENDS is not set"):
        load_run(LAND_COVER_RUN, [setting])
    monkeypatch.setenv("MY_LEGENDS", str(tmp_path))
    assert load_run(LAND_COVER_RUN, [setting]).target.classes == COVER


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "target.legend=corine",
            r"target: there is no legend 'corine', expected one of esa_cci_lc",
        ),
        ("target.legend=igbp", r"source cci_lc has maps of ESA CCI-LC, .* the legend IGBP; set"),
        ("target.kind=continuous", r"'esa_cci_lc' is categorical, and target.kind is 'continuous'"),
        ("target.legend=lai", r"'lai' is continuous, and target.kind is 'categorical'; set"),
        ("target.time_step=month", r"target.time_step is 'month', which a target of values may"),
        (
            "target.time_step=week",
            r"target\.time_step: input should be 'year', 'month', 'dekad' or",
        ),
        (
            "target.colour=red",
            r"target\.colour: unknown key; expected one of kind, legend, time_step",
        ),
    ],
)
def test_a_target_that_the_run_cannot_have_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        load_run(LAND_COVER_RUN, [setting])


def test_land_use_maps_are_no_source_of_land_cover():
    with pytest.raises(
        ConfigError, match=r"source hilda has maps of HILDA\+, and the run's target"
    ):
        load_run(demo_run(), ["target.legend=esa_cci_lc"])


def test_a_plan_counts_the_classes_of_the_target():
    run = load_run(LAND_COVER_RUN)
    cube = expected_cube(
        run.cube,
        grid=run.grid.grid,
        sources=run.sources,
        years=run.years,
        observed=range(1992, 2011),
        legend=run.target.classes,
    )
    assert (cube.legend, cube.features.n_classes) == (COVER, 37)
    names = [variable.name for layer in cube.forcing for variable in layer.variables]
    assert names == ["climate_group", "land_use"]
