"""`luray sources` and `luray build --check` on a small sandbox, sound and spoiled."""

import json
import re
import shutil
from pathlib import Path

import h5py
import pytest
import rasterio
from typer.testing import CliRunner

from luray.cli.app import app
from luray.sandbox.write import demo_run
from luray.sources.aggregated import AggregatedConfig
from luray.sources.verdict import CheckReport
from luray.stages.check import check as run_check
from tests.distributed.conftest import SETTINGS, Place, small_run

NAMES = ("hilda", "luh2", "isimip", "koppen", "gebco", "pnnl", "pnnl")
VARIABLES = {
    "hilda": 1,
    "luh2": 12,
    "isimip": 1,
    "koppen": 1,
    "gebco": 1,
    "pnnl_topo": 7,
    "pnnl_soil": 6,
}


def options(world: Path, output: Path) -> list[str]:
    paths = [f"sources.{i}.path={world / name}" for i, name in enumerate(NAMES)]
    return [
        part for setting in (*SETTINGS, *paths, f"output={output}") for part in ("--set", setting)
    ]


@pytest.fixture(scope="module")
def spoiled(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sandbox with a year of LUH2 that does not close, a code that HILDA+ has not, and half of
    GEBCO.
    """
    world = tmp_path_factory.mktemp("spoiled") / "world"
    shutil.copytree(place.world, world)
    with h5py.File(world / "luh2/states.nc", "r+") as states:
        states["urban"][2003 - 850, 1, 2] += 0.05
    with rasterio.open(next(world.glob("hilda/**/hilda_plus_2001_*.tif")), "r+") as maps:
        codes = maps.read(1)
        codes[20:22, 30:37] = 13
        maps.write(codes, 1)
    gebco = world / "gebco/GEBCO_2024.nc"
    gebco.write_bytes(gebco.read_bytes()[:20_000])
    return world


def verdicts(report: CheckReport) -> dict[str, set[str]]:
    return {source.name: {row.verdict for row in source.rows} for source in report.sources}


def test_a_sound_world_is_ok_and_what_is_turned_is_said(place: Place, tmp_path: Path):
    progress = []
    report = run_check(
        small_run(place.world, tmp_path / "out"), progress=lambda *at: progress.append(at)
    )
    assert report.refused == ()
    assert {s.name: len(s.rows) for s in report.sources} == VARIABLES
    assert verdicts(report) == {
        **{name: {"ok"} for name in VARIABLES},
        "gebco": {"ok, normalised: rows stored south first, read north first"},
    }
    rows = {f"{row.source}.{row.variable}": row for row in report.rows}
    assert rows["hilda.land_use"].values == "11 22 33 44 55 66 77"
    assert rows["luh2.urban"].stored == "float32, fill 1e+20"
    assert rows["isimip.population_density"].stored == "number_of_people float32, fill 1e+20"
    assert rows["pnnl_soil.sand_0_30cm"].stored == "PCT_SAND float32, %, fill -9999"
    low, high = map(float, rows["pnnl_soil.sand_0_30cm"].values.removesuffix(" %").split(".."))
    assert 0 <= low < high <= 100
    total = progress[-1][1]
    assert progress[-1] == (total, total)
    assert total == 3 * 13 + 1 + 3, (
        "13 years of maps, states and people, one of zones, which are held, and no year"
    )
    assert not (tmp_path / "out").exists(), "nothing is written"


def test_what_is_spoiled_is_refused_by_file_count_and_remedy_and_the_rest_is_ok(
    spoiled: Path, tmp_path: Path
):
    report = run_check(small_run(spoiled, tmp_path / "out"))
    assert report.refused == ("hilda", "luh2", "gebco")
    ok = {row.source for row in report.rows if not row.refused}
    assert ok == set(VARIABLES) - {"hilda", "luh2", "gebco"}
    assert {s.name: len(s.rows) for s in report.sources} == VARIABLES, (
        "a file that is broken still has its rows"
    )
    [maps] = verdicts(report)["hilda"]
    assert re.match(
        r"refused: \S+hilda_plus_2001_\S+\.tif: code 13 \(14 cells\) not in HILDA\+.*; correct the file",
        maps,
    )
    [states] = verdicts(report)["luh2"]
    assert re.match(
        r"refused: \S+states\.nc, year 2003: 1 cells have states that do not sum to 1 - icwtr.*worst 0\.05 "
        r"at latitude 47\.6250, longitude 0\.6250; expected a difference of at most 0\.001; ",
        states,
    )
    [relief] = verdicts(report)["gebco"]
    assert re.match(r"refused: \S+GEBCO_2024\.nc: cannot be read as NetCDF.*get it again", relief)


def test_the_command_line_of_the_check(spoiled: Path, place: Place, tmp_path: Path):
    runner = CliRunner()
    sound = runner.invoke(
        app, ["build", str(demo_run()), "--check", *options(place.world, tmp_path / "out")]
    )
    assert sound.exit_code == 0, sound.output
    assert "  ok: luh2.urban: found float32, fill 1e+20; values " in sound.stdout
    assert "luh2: rule: v2h up to 2014" not in sound.stdout, "the run ends before v2f begins"
    assert max(map(len, sound.stdout.splitlines())) > 120, "lines in a pipe are not wrapped"
    assert sound.stdout.splitlines()[-1] == "verdict: ok: 7 sources, 29 variables"
    bad = runner.invoke(
        app, ["build", str(demo_run()), "--check", *options(spoiled, tmp_path / "out")]
    )
    assert bad.exit_code == 1
    assert "  refused: hilda.land_use: found band 1 uint8; values " in bad.stdout
    assert "  ok: koppen.climate_group: " in bad.stdout
    assert bad.stdout.splitlines()[-1] == "verdict: refused: hilda, luh2, gebco"
    assert re.search(r"refused: hilda: \S+hilda_plus_2001_\S+ code 13 \(14 cells\)", bad.stderr)
    assert "Traceback" not in bad.output
    assert not (tmp_path / "out").exists()


def test_the_check_as_json(spoiled: Path, tmp_path: Path):
    command = ["build", str(demo_run()), "--check", "--json", *options(spoiled, tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["verdict"], found["refused"]) == (
        1,
        "refused",
        ["hilda", "luh2", "gebco"],
    )
    koppen = next(source for source in found["sources"] if source["name"] == "koppen")
    assert koppen["rules"][0].startswith("zones 1-30 read as main groups")
    [zones] = koppen["rows"]
    assert (zones["variable"], zones["verdict"], zones["covers"]) == (
        "climate_group",
        "ok",
        "100.0%",
    )
    alone = CliRunner().invoke(app, ["build", str(demo_run()), "--json"])
    assert alone.exit_code == 2
    assert "--json" in alone.output


def test_a_year_with_a_hole_is_refused_by_its_year(place: Place, tmp_path: Path):
    world = tmp_path / "world"
    shutil.copytree(place.world, world)
    with rasterio.open(next(world.glob("hilda/**/hilda_plus_2003_*.tif")), "r+") as maps:
        codes = maps.read(1)
        codes[:40] = 99
        maps.write(codes, 1)
    report = run_check(small_run(world, tmp_path / "out"))
    assert report.refused == ("hilda",)
    [refusal] = report.sources[0].refusals
    assert re.search(
        r"of the cells with a value in some year lack it in another.*missing in 2003 \(", refusal
    )


def test_the_list_of_sources_of_a_run_says_what_was_found(spoiled: Path, tmp_path: Path):
    result = CliRunner().invoke(
        app, ["sources", str(demo_run()), *options(spoiled, tmp_path / "out")]
    )
    assert result.exit_code == 1
    blocks = {block.split("\n", 1)[0]: block for block in result.stdout.split("\n\n")}
    assert set(blocks) == set(VARIABLES)
    assert f"looked in {spoiled / 'hilda'}" in blocks["hilda"]
    assert re.search(
        r"found +13 files; years 1996-2008; 100 x 150 cells of 0\.010000 degrees", blocks["hilda"]
    )
    assert re.search(r"refused +\S+GEBCO_2024\.nc: cannot be read as NetCDF", blocks["gebco"])
    assert "refused" not in blocks["luh2"], "only headers are read here"


def test_maps_between_the_cells_of_the_run_are_refused_and_what_is_made_of_maps_that_are_not_there(
    place, tmp_path
):
    run = small_run(place.world, tmp_path / "out", "grid.north=48.005", "grid.shape=[50, 100]")
    report = run_check(run)
    assert report.refused == ("hilda",)
    [row] = (r for r in report.rows if r.source == "hilda")
    assert re.match(
        r"refused: hilda: cells are shifted by 0\.500 of a cell against the run grid .*correct the georef",
        row.verdict,
    )
    gone = run.sources[0].model_copy(update={"path": str(tmp_path / "nowhere")})
    blocks = AggregatedConfig(kind="aggregated", block=25)
    report = run_check(run.model_copy(update={"sources": (blocks, gone, run.sources[4])}))
    assert report.refused == ("hilda", "aggregated")
    assert [len(source.rows) for source in report.sources] == [1, 1, 7]
    assert {r.verdict for r in report.rows if r.source == "aggregated"} == {
        "refused: source aggregated is made from the maps of the state source on the run grid, "
        "which are not open; correct the state source first"
    }


def test_a_run_without_maps_is_refused_before_anything_is_read(place: Place, tmp_path: Path):
    run = small_run(place.world, tmp_path / "out")
    without = run.model_copy(update={"sources": run.sources[1:]})
    with pytest.raises(ValueError, match="a run needs exactly one state source, found none"):
        run_check(without)


def test_maps_that_do_not_reach_the_years_of_the_run_are_refused(place: Place, tmp_path: Path):
    report = run_check(small_run(place.world, tmp_path / "out", "training.years=[1985, 2003]"))
    assert report.refused == ("hilda",)
    [row] = (r for r in report.rows if r.source == "hilda")
    assert (
        "hilda has nothing for years 1985-1993, expected 1985-2004 by inference.observed"
        in row.verdict
    )
