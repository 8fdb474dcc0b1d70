"""Build, evaluate, plot and publish through the functions and the command line."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
import zarr
from rich.console import Console
from typer.testing import CliRunner

from luray.cli.app import app
from luray.cli.tables import plan_table
from luray.core.legend_files import HILDA
from luray.cube.build import create, write_piece
from luray.cube.cube import Cube
from luray.cube.land import NOTED
from luray.cube.plan import remaining
from luray.evaluation.flicker import FlickerSeries
from luray.evaluation.metrics import score
from luray.evaluation.statistics import tile_statistics
from luray.planning.build import costs, objects, worker_memory
from luray.sandbox.write import demo_run
from luray.stages.build import build as run_build
from luray.stages.build import plan_cube
from luray.stages.evaluate import evaluate as run_evaluate
from luray.stages.evaluate import is_evaluated
from luray.stages.plot import plot as run_plot
from tests.distributed.conftest import give_models, settings_of, small_run


def test_the_cube_opens_as_a_tree_and_keeps_native_grids(place):
    tree = xr.open_datatree(place.cube, engine="zarr")
    sizes = dict(tree["forcing/luh2"]["values"].sizes)
    assert (sizes["lat"], sizes["lon"], sizes["variable"]) == (4, 6, 12)
    assert dict(tree["state"]["land_use"].sizes) == {"year": 13, "lat": 100, "lon": 150}
    stored = sum(v.nbytes for v in tree["forcing/luh2"].data_vars.values())
    assert stored < 0.02 * sizes["year"] * 12 * 100 * 150 * 4, (
        "forcing is not stored at the fine resolution"
    )


def test_a_build_notes_the_tiles_with_land(place):
    cube = Cube.open(place.cube)
    noted = zarr.open_array(f"{place.cube}/state/land", mode="r")
    tiling = cube.tiling(window=64, stride=50, tile=50)
    assert noted.shards == (50, 50)
    found = [list(tile) for tile in tiling.tiles() if cube.land(tiling.tile_box(tile)).any()]
    assert noted.attrs[NOTED] == found
    assert len(found) > 0


def test_a_plan_counts_what_the_build_wrote(place, tmp_path):
    run = place.run(tmp_path / "out")
    plan = plan_cube(run)
    found = {cost.group: cost for cost in costs(plan)}
    receipts = list(Path(f"{place.cube}.ledger").rglob("*.json"))
    shards = [
        p
        for name in ("land_use", "land", "values")
        for p in Path(place.cube).rglob(f"{name}/c/**/*")
        if p.is_file()
    ]
    assert objects(plan) == 2 * len(receipts)
    assert sum(cost.shards for cost in found.values()) == len(receipts) == len(shards)
    tree = xr.open_datatree(place.cube, engine="zarr")
    for group, cost in found.items():
        if group != "state":
            stored = tree[group]["values"]
            assert (stored.sizes["variable"], stored.sizes.get("year", 0)) == (
                cost.variables,
                cost.years,
            )
            assert stored.nbytes == cost.write_bytes
            assert cost.grid.shape == (stored.sizes["lat"], stored.sizes["lon"])
    assert (
        tree["state"]["land_use"].nbytes + tree["state"]["land"].nbytes
        == found["state"].write_bytes
    )
    needed = [place.world / "luh2" / name for name in ("states.nc", "staticData_quarterdeg.nc")]
    assert found["forcing/luh2"].read_bytes == sum(file.stat().st_size for file in needed), (
        "no year of a scenario"
    )
    assert (found["forcing/koppen"].years, found["forcing/isimip"].years) == (1, 13), (
        "one climate map, held"
    )
    assert worker_memory(plan) > max(cost.piece_bytes for cost in found.values())
    told = re.sub(r"\s+", " ", printed(plan_table(plan)))
    assert f"12 variables, 13 years of 4 x 6 at 0.25° {found['forcing/luh2'].files} " in told
    assert f"{objects(plan)} objects" in told


def printed(table):
    with (console := Console(width=160, file=io.StringIO())).capture() as held:
        console.print(table)
    return held.get()


def test_a_build_is_resumed_and_repeated_without_work(place, tmp_path):
    run = small_run(
        place.world, tmp_path / "out", "inference.years=[2000, 2004]", "evaluation.tests=[]"
    )

    class Stop(Exception):
        pass

    def stop(done, total):
        if 0 < done < total:
            raise Stop

    with pytest.raises(Stop):
        run_build(plan_cube(run), progress=stop)
    with pytest.raises(FileNotFoundError, match="luray build"):
        Cube.open(run.cube)
    first = []
    run_build(plan_cube(run), progress=lambda done, total: first.append(done / total))
    assert 0 < first[0] < 1
    everything = run.tiles.everything
    assert np.array_equal(
        Cube.open(run.cube).state(2002, everything), Cube.open(place.cube).state(2002, everything)
    )
    again = []
    run_build(plan_cube(run), progress=lambda done, total: again.append(done / total))
    assert set(again) == {1.0}


def test_a_cube_that_is_begun_anew_has_no_receipts_of_the_shards_that_went(place, tmp_path):
    wide = plan_cube(small_run(place.world, tmp_path / "out"))
    create(wide)
    pieces, _ = wide.pieces()
    write_piece(wide, pieces[0])
    create(wide)
    assert len(remaining(wide, pieces)) == len(pieces) - 1, "the same build goes on"
    create(
        plan_cube(
            small_run(
                place.world, tmp_path / "out", "inference.years=[2000, 2004]", "evaluation.tests=[]"
            )
        )
    )
    create(wide)
    assert remaining(wide, pieces) == pieces


def test_a_code_outside_the_legend_leaves_no_cube(place, tmp_path):
    world = tmp_path / "world"
    shutil.copytree(place.world, world)
    victim = next(world.rglob("hilda_plus_2001_states*.tif"))
    with rasterio.open(victim, "r+") as file:
        codes = file.read(1)
        codes[60:63, 60] = 88
        file.write(codes, 1)
    run = small_run(world, tmp_path / "out")
    with pytest.raises(ValueError, match=r"hilda_plus_2001.*code 88 \(\d+ cells?\)"):
        run_build(plan_cube(run))
    with pytest.raises(FileNotFoundError):
        Cube.open(run.cube)


def test_a_year_missing_in_the_middle_is_named_before_anything_is_written(place, tmp_path):
    world = tmp_path / "world"
    shutil.copytree(place.world, world)
    next(world.rglob("hilda_plus_2001_states*.tif")).unlink()
    run = small_run(world, tmp_path / "out")
    with pytest.raises(ValueError, match="2001"):
        run_build(plan_cube(run))
    assert not (tmp_path / "out/cube.zarr").exists()


def test_evaluation_equals_a_direct_computation(place, finished, tmp_path):
    run = finished(tmp_path / "out")
    assert not is_evaluated(run)
    report = run_evaluate(run)
    assert is_evaluated(run)
    cube, everything = Cube.open(run.cube), run.tiles.everything
    codes = xr.open_zarr(run.product).land_use.sel(year=2006).values
    direct = score(
        tile_statistics(
            cube.state(2004, everything),
            cube.state(2006, everything),
            HILDA.encode(codes),
            cell_area=cube.grid.cell_area,
            n_classes=7,
            water=HILDA.index(77),
        ),
        water=HILDA.index(77),
    )
    skill = report.skills["forecast", "raw"]
    assert skill.years == (2005, 2006)
    assert skill.by_year["model"][1].accuracy == pytest.approx(direct.accuracy, rel=1e-12)
    assert skill.by_year["model"][1].figure_of_merit == pytest.approx(
        direct.figure_of_merit, rel=1e-12
    )
    aside = place.run(tmp_path / "out", 'evaluation.tests=[{name="aside", start=2003, stop=2005}]')
    assert not is_evaluated(aside)
    assert run_evaluate(aside).skills["aside", "raw"].years == (2004, 2005)
    give_models(aside, seed=5)
    assert not is_evaluated(aside)
    assert run_evaluate(aside).skills["aside", "raw"].years == (2004, 2005), (
        "an earlier model's rollout is replaced"
    )
    written = json.loads((tmp_path / "out/report/metrics.json").read_text())
    assert written["tests"]
    assert written["product"] == {"fingerprint": "", "flicker": []}, "it is of the earlier model"


def test_flicker_is_that_of_the_maps(finished, tmp_path):
    run = finished(tmp_path / "out")
    report = run_evaluate(run)
    cube, everything = Cube.open(run.cube), run.tiles.everything
    observed = FlickerSeries(cube.grid.cell_area)
    for year in cube.years:
        observed.add(year, cube.state(year, everything))
    assert report.observed_flicker == observed.by_year

    product = xr.open_zarr(run.product)
    predicted = {}
    for chain in (range(2004, 2009), range(1996, 2001)):
        series = FlickerSeries(cube.grid.cell_area)
        for year in chain:
            series.add(year, HILDA.encode(product.land_use.sel(year=year).values))
        predicted |= series.by_year
    assert report.product_flicker == predicted
    assert sorted(predicted) == [1997, 1998, 2005, 2006]
    assert all(flicker.changed for flicker in predicted.values())


def test_a_report_of_an_earlier_version_is_written_anew(finished, tmp_path):
    run = finished(tmp_path / "out")
    run_evaluate(run)
    file = tmp_path / "out/report/metrics.json"
    report = json.loads(file.read_text())
    assert is_evaluated(run)
    report["definitions"].pop("flicker")
    file.write_text(json.dumps(report))
    assert not is_evaluated(run)
    del report["product"]
    file.write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"a report of an earlier version.*luray evaluate again"):
        run_plot(run)


def test_a_product_that_is_finished_later_is_evaluated_then(place, finished, tmp_path):
    aside = 'evaluation.tests=[{name="aside", start=2003, stop=2005}]'
    finished(tmp_path / "out")
    run = place.run(tmp_path / "out", aside)
    shutil.move(tmp_path / "out/product.zarr", tmp_path / "elsewhere")
    assert run_evaluate(run).product_flicker == {}
    assert is_evaluated(run)
    shutil.move(tmp_path / "elsewhere", tmp_path / "out/product.zarr")
    assert not is_evaluated(run)
    assert run_evaluate(run).product_flicker


def test_a_damaged_map_stops_the_evaluation_with_an_error_that_a_user_can_read(finished, tmp_path):
    run = finished(tmp_path / "out")
    shard = next(p for p in (tmp_path / "out/product.zarr/land_use/c/9").rglob("*") if p.is_file())
    shard.write_bytes(b"damaged")
    with pytest.raises(ValueError) as error:  # noqa: PT011  # Zarr's own words, which differ by version
        run_evaluate(run)
    assert "RayTask" not in type(error.value).__name__


def test_every_verb_works_alone_from_the_command_line(place, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(demo_run().read_text())
    options = [part for s in settings_of(place.world, tmp_path / "out") for part in ("--set", s)]
    runner = CliRunner()
    said = {}
    refused = runner.invoke(app, ["report", str(file), *options])
    assert "run `luray evaluate` first" in str(refused.exception)
    verbs = "build train infer evaluate plot report publish verify run"
    for verb in verbs.split():
        result = runner.invoke(app, [verb, str(file), *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        said[verb] = result.output
    assert "persistence" in said["evaluate"]
    assert "Evaluation of" in said["evaluate"]
    assert "Evaluation of" not in said["run"], "what is done is not done again"
    assert said["run"].count("trained earlier") == 2
    catalog = pystac.Catalog.from_file(str(tmp_path / "out/stac/catalog.json"))
    item = next(catalog.get_items(recursive=True))
    with xr.open_zarr(item.assets["data"].get_absolute_href()) as product:
        assert product.year.size == 13
    assert (tmp_path / "out/pictures/overview.png").stat().st_size > 10_000
    for key in ("report", "report_page", "metrics"):
        assert Path(item.assets[key].get_absolute_href()).exists()
    page = (tmp_path / "out/report/report.html").read_text()
    assert "forecast: 2005 to 2006 from the map of 2004" in page
    assert "as the coarse forcing changes" in page, "the demand of luh2 stands beside the areas"
    assert str(tmp_path) not in page
    shard = next(
        p for p in (tmp_path / "out/product.zarr/confidence/c/12").rglob("*") if p.is_file()
    )
    shard.write_bytes(b"damaged")
    result = runner.invoke(app, ["verify", str(file), *options])
    assert result.exit_code == 1
    assert "damaged: year 2008" in result.stderr
