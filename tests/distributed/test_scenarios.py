"""A run of several scenarios: what they share is stored once, and each sees what a run of its own
would see.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pystac
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner

from luray.cli.app import app
from luray.core.legend import NO_DATA, OUTSIDE
from luray.core.tiling import Box, Tile
from luray.cube.build import create, write_piece
from luray.cube.cube import Cube
from luray.cube.finish import finish
from luray.cube.region import Region
from luray.engine.blending import decide, percentages, window_weights
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.demand import constrain
from luray.engine.ensemble import perturbed, sample
from luray.engine.predictor import Predictor
from luray.engine.serial import serial_rollout
from luray.model.card import read_card
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.product.dimensions import MemberIndex
from luray.product.layout import LAYOUT
from luray.product.trajectories import TileYear
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import demo_run, write_sandbox
from luray.stages.build import build as run_build
from luray.stages.build import cube_of_run, plan_cube
from luray.stages.check import check as run_check
from luray.stages.evaluate import evaluate as run_evaluate
from luray.stages.infer import infer as run_infer
from luray.stages.infer import inference_of
from luray.stages.inputs import open_or_refuse
from luray.stages.verify import damaged
from luray.storage.receipts import fingerprint_of
from luray.training.packing import pack, unpack
from luray.training.sample_reader import read_samples
from luray.training.sample_window import SampleWindow
from tests.distributed.conftest import give_models, settings_of, small_run
from tests.distributed.test_infer import older_maps
from tests.worlds import SlowWindowInputs

NAMES = ("ssp245", "ssp126", "ssp585")
SETTINGS = (
    "inference.years=[2004, 2043]",
    "inference.observed=[2008, 2010]",
    "training.years=[2008, 2010]",
    "evaluation.tests=[]",
    "demand.strength=1.0",
)
SEVERAL = f"scenarios={list(NAMES)}".replace("'", '"')
BOX = Box(20, 30, 64, 64)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    config = SandboxConfig(height=100, width=150, scenario=NAMES, first_map=2007, last_map=2011)
    return write_sandbox(tmp_path_factory.mktemp("scenarios") / "world", config)


def run_of(world, output, *settings):
    return small_run(world, output, *SETTINGS, *settings)


def built(run):
    plan = plan_cube(run)
    create(plan)
    for pieces in plan.pieces():
        for piece in pieces:
            write_piece(plan, piece)
    finish(plan)
    return Cube.open(run.cube)


@pytest.fixture(scope="module")
def cubes(world, ray_cluster):
    """The cube of each scenario alone, and that of all of them, built by workers, under an empty
    name.
    """
    alone = {name: built(run_of(world, world.parent / name, f"scenario={name}")) for name in NAMES}
    dims = run_of(world, world.parent / "all", SEVERAL)
    run_build(plan_cube(dims))
    return {**alone, "": cube_of_run(dims)}


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_sees_what_a_run_of_its_own_sees(cubes, name):
    alone, view = cubes[name], cubes[""].of_scenario(name)
    here, there = Region(view, BOX), Region(alone, BOX)
    for year in range(2004, 2044):
        assert np.array_equal(here.forcing(year, BOX), there.forcing(year, BOX)), year
    assert np.array_equal(here.static(BOX), there.static(BOX))
    assert view.features == alone.features
    assert view.of_scenario("").forcing == cubes[""].forcing
    window = SampleWindow(BOX, (2010, 2009))
    packed = pack(view, window)
    assert packed == pack(alone, window)
    from_bytes = read_samples(view, [window], native_values=[unpack(view, window, packed)])
    assert np.array_equal(from_bytes.forcing_BTLHW, read_samples(alone, [window]).forcing_BTLHW)
    land = view.land(Box(0, 0, 50, 50))
    demanded = [
        CoarseDemand.of(cube, tile=50).change(2040, 2039, Box(0, 0, 50, 50), land)
        for cube in (view, alone)
    ]
    assert np.array_equal(*demanded, equal_nan=True)
    assert np.nanmax(np.abs(demanded[0])) > 0


def test_a_lead_means_the_same_values_in_every_view(cubes):
    region = Region(cubes[""], BOX)
    region.forcing(2043, BOX)
    for name in NAMES[1:]:
        moved = dataclasses.replace(region, cube=cubes[""].of_scenario(name))
        assert np.array_equal(moved.forcing(2043, BOX), Region(cubes[name], BOX).forcing(2043, BOX))


def test_only_what_differs_is_stored_again(cubes, world):
    root = zarr.open_group(cubes[""].url, mode="r")
    stored = {path: root[f"forcing/{path}/year"][:].tolist() for path in root["forcing"]}
    own = list(range(2015, 2044))
    assert {path: years for path, years in stored.items() if "@" in path} == {
        "luh2@ssp126": own,
        "luh2@ssp585": own,
        "isimip@ssp126": list(range(2006, 2044)),
        "isimip@ssp585": list(range(2006, 2044)),
        "koppen@ssp126": [2041],
        "koppen@ssp585": [2041],
    }
    for path in ("luh2", "isimip", "koppen"):
        alone = zarr.open_group(cubes["ssp245"].url, mode="r")
        assert stored[path] == alone[f"forcing/{path}/year"][:].tolist()
    assert "@" not in "".join(layer.path for layer in cubes[""].forcing), (
        "layers of the cube are those of one scenario"
    )
    assert [s["title"] for s in cubes[""].sources] == [s["title"] for s in cubes["ssp245"].sources]


def test_a_list_of_one_scenario_is_one_scenario(world, cubes, tmp_path):
    run = run_of(world, tmp_path, 'scenarios=["ssp126"]')
    assert plan_cube(run).fingerprint == cubes["ssp126"].fingerprint
    (tmp_path / "cube.zarr").symlink_to(cubes["ssp126"].url)
    assert cube_of_run(run).of_scenario("ssp126").fingerprint == cubes["ssp126"].fingerprint
    assert plan_cube(run_of(world, tmp_path, SEVERAL)).fingerprint == cubes[""].fingerprint
    assert len({cube.fingerprint for cube in cubes.values()}) == 4


def test_scenarios_that_never_differ_share_all(world, tmp_path):
    plan = plan_cube(
        run_of(
            world,
            tmp_path,
            SEVERAL,
            f"sources={_without_people(world)}",
            "inference.years=[2007, 2011]",
        )
    )
    assert [s.name for s in plan.sources if s.scenario] == []


def _without_people(world: Path) -> str:
    kinds = {"hilda": "hilda", "luh2": "luh2", "koppen": "koppen", "gebco": "gebco"}
    return (
        "["
        + ", ".join(f'{{kind="{kind}", path="{world / folder}"}}' for kind, folder in kinds.items())
        + "]"
    )


def test_a_cube_of_other_scenarios_is_refused(world, cubes, tmp_path):
    (tmp_path / "cube.zarr").symlink_to(cubes[""].url)
    fewer = run_of(world, tmp_path, 'scenarios=["ssp245", "ssp585"]')
    with pytest.raises(
        ValueError, match=r"built for scenarios \['ssp245', 'ssp126', 'ssp585'\], the run file has"
    ):
        cube_of_run(fewer)
    with pytest.raises(ValueError, match=r"no scenario 'ssp370', expected one of \['ssp245'"):
        cubes[""].of_scenario("ssp370")


def test_the_check_and_the_list_cover_every_scenario(world, tmp_path, ray_cluster):
    run = run_of(world, tmp_path, SEVERAL)
    report = run_check(run)
    assert report.refused == ()
    parts = {s.name: s.found for s in report.sources if "@" in s.name}
    assert set(parts) == {
        f"{source}@{name}" for source in ("luh2", "isimip", "koppen") for name in NAMES[1:]
    }
    assert "1 file; years 2015-2043" in parts["luh2@ssp126"]
    lacking = run_of(world, tmp_path, 'scenarios=["ssp245", "ssp370"]')
    refused = {one.name: one.fault for one in open_or_refuse(lacking) if one.fault}
    assert set(refused) == {"luh2@ssp370", "isimip@ssp370", "koppen@ssp370"}
    assert "ssp370" in refused["luh2@ssp370"]
    assert set(run_check(lacking).refused) == set(refused), "the first scenario is sound"
    with pytest.raises(ValueError, match="ssp370"):
        plan_cube(lacking)


def write_serially(run):
    """The product of a run as every engine must write it: each trajectory on the whole grid."""
    spec = inference_of(run, run.inference.span, run.product)
    product = spec.product
    tiling = run.inference_tiles
    everything = run.tiles.everything
    product.create(spec.cube, title="t", models=spec.models, tiles=len(spec.geometry.tiles))
    land = spec.cube.land(everything)
    last = {}

    def put(year, classes, confidence, member_indices, prior=None, kept=None):
        marked = np.where(spec.cube.no_data(everything), NO_DATA, classes).astype(np.uint8)
        for tile in spec.geometry.tiles:
            at = tiling.tile_box(tile).slices(origin=everything)
            product.write(
                year,
                tile,
                marked[at],
                confidence[at],
                member_indices,
                prior=None if prior is None else prior[at],
                probabilities=None if kept is None else kept[:, *at],
            )

    for year in product.span.copied:
        classes = spec.cube.state(year, everything)
        put(
            year,
            classes,
            np.where(classes == OUTSIDE, 0, 100).astype(np.uint8),
            product.member_indices,
            spec.cube.state(max(year - 1, 2008), everything),
        )
    for trajectory in product.trajectories:
        cube = spec.cube.of_scenario(trajectory.scenario)
        demand = CoarseDemand.of(cube, tile=tiling.tile)

        def decide_classes(
            sums, prior, land, *, year, prior_year, trajectory=trajectory, demand=demand
        ):
            last["sums"] = sums
            scores = trajectory.draws and perturbed(
                sums, trajectory.draws, year=year, box=everything
            )
            if not spec.demand_strength:
                return (
                    decide(sums, land)
                    if scores is None
                    else sample(sums, land, trajectory.draws, year=year, box=everything)
                )
            change = demand.change(year, prior_year, everything, land)
            return constrain(
                sums,
                prior,
                land,
                change,
                block=demand.block,
                groups=demand.groups,
                strength=spec.demand_strength,
                scores_KHW=scores,
            )[:2]

        model, card = load_model(run.model_folder(trajectory.direction))
        predictor = Predictor(
            frozen(model),
            cube.features.remembering(run.model.history),
            tiling,
            window_weights(tiling, taper=spec.taper),
            4,
            card.points[spec.operating_point],
        )
        start = prior = cube.state(trajectory.years[0], everything)
        inputs = SlowWindowInputs.of(Region(cube, tiling.padded(everything)), predictor.stem)
        for year, classes, confidence in serial_rollout(
            start,
            land,
            trajectory.years,
            inputs,
            predictor,
            older=older_maps(run, cube, trajectory.years[0], trajectory.direction),
            decide_classes=decide_classes,
        ):
            kept = (
                percentages(last["sums"], land) if year in product.dims.probability_years else None
            )
            put(year, classes, confidence, trajectory.member_indices, prior, kept)
            prior = classes
    if product.members:
        for year in product.span.years:
            for scenarios in product.scenario_groups(year):
                for tile in spec.geometry.tiles:
                    product.summarise(year, tile, scenarios)
    if product.overviews.coarser_levels:
        for year in product.span.years:
            for member_indices in product.map_groups(year):
                product.write_coarser_overviews(year, member_indices)
    product.finish()
    return product


DRAWN = (
    "inference.years=[2007, 2012]",
    "inference.members=2",
    "inference.seed=7",
    "inference.probabilities=[2012]",
    'evaluation.tests=[{name="forecast", start=2010, stop=2011}]',
)


def with_cube(world, output, cube, *settings):
    output.mkdir(parents=True, exist_ok=True)
    (output / "cube.zarr").symlink_to(cube.url)
    run = run_of(world, output, *settings)
    give_models(run)
    return run


@pytest.fixture(scope="module")
def drawn(world, cubes):
    """A run of three scenarios and two members, and its product."""
    run = with_cube(world, world.parent / "drawn", cubes[""], SEVERAL, *DRAWN)
    return run, write_serially(run)


def test_maps_differ_where_members_or_scenarios_do(drawn):
    run, product = drawn
    everything = run.tiles.everything
    maps = {
        (year, member_index): product.read(year, everything, member_index)
        for year in range(2007, 2013)
        for member_index in product.member_indices
    }

    def differing(year):
        return {
            (a, b)
            for a in product.member_indices
            for b in product.member_indices
            if (maps[year, a] != maps[year, b]).any()
        }

    apart = {(a, b) for a in product.member_indices for b in product.member_indices}
    assert differing(2009) == set(), "what is observed is shared"
    assert differing(2007) == {(a, b) for a, b in apart if a.member != b.member}, (
        "scenarios share the past"
    )
    assert differing(2012) == {(a, b) for a, b in apart if a != b}
    with xr.open_zarr(run.product) as ds:
        at = {"scenario": "ssp585", "member": 1}
        probable = ds.probability.sel(probability_year=2012, **at)
        use = ds.land_use.sel(year=2012, **at)
        assert np.array_equal(
            probable.sel({"class": use.where(use > 0, 11)}).where(use > 0, 0),
            ds.confidence.sel(year=2012, **at),
        )
        share = ds.class_probability.sel(year=2012, scenario="ssp585")
        assert set(np.unique(share.values)) == {0, 50, 100}
        assert np.array_equal(
            ds.entropy.sel(year=2012, scenario="ssp585") > 0, (share == 50).any("class")
        )


@pytest.mark.parametrize(
    "settings",
    [
        ("inference.workers=2",),
        ("inference.workers=1", "tiling.tile=100"),
        ("demand.strength=0.0", "inference.workers=3"),
    ],
)
def test_every_trajectory_equals_the_serial_rollout(world, cubes, drawn, tmp_path, settings):
    """Interrupted once, so that some members of a tile-year are there and others are not."""
    run, expected = (
        with_cube(world, tmp_path / "engine", cubes[""], SEVERAL, *DRAWN, *settings),
        drawn[1].url,
    )
    if "demand.strength=0.0" in settings:
        expected = write_serially(
            with_cube(world, tmp_path / "serial", cubes[""], SEVERAL, *DRAWN, *settings)
        ).url

    class Stop(Exception):
        pass

    def report(done: int, total: int) -> None:
        seen.append((done, total))
        if 2 * done > total:
            raise Stop

    seen: list[tuple[int, int]] = []
    with pytest.raises(Stop):
        run_infer(run, progress=report)
    run_infer(run, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert damaged(run) == []
    found, right = (xr.open_zarr(url, chunks=None) for url in (run.product, expected))
    assert {"land_use", "confidence", "probability", "class_probability", "entropy"} < set(found)
    assert {"fraction", "transition"} < set(found)
    for name in right.data_vars:
        equal_nan = name == "transition"  # the first year has none
        assert np.array_equal(found[name].values, right[name].values, equal_nan=equal_nan), name
    for level in ("1", "2"):
        halves, right = xr.open_zarr(run.product, group=level), xr.open_zarr(expected, group=level)
        assert np.array_equal(halves.land_use, right.land_use), level
        assert np.array_equal(halves.confidence, right.confidence), level
    run_infer(run, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]


def test_a_scenario_draws_the_same_alone_as_among_others(world, cubes, drawn, tmp_path):
    _, product = drawn
    run = with_cube(world, tmp_path, cubes["ssp585"], "scenario=ssp585", *DRAWN)
    alone = write_serially(run)
    for year in range(2007, 2013):
        for member in range(2):
            assert np.array_equal(
                alone.read(year, run.tiles.everything, MemberIndex(0, member)),
                product.read(year, run.tiles.everything, MemberIndex(2, member)),
            )


def test_many_maps_are_verified_scored_and_published(world, drawn, ray_cluster):
    run, product = drawn
    assert damaged(run) == []
    report = run_evaluate(run)
    assert report.skills["forecast", "raw"].years == (2011,)
    assert "scores: of scenario ssp245, of 3" in report.caveats
    assert any("member 0 of 2" in caveat for caveat in report.caveats)
    cube, everything = cube_of_run(run), run.tiles.everything
    right = product.read(2011, everything) == cube.state(2011, everything)
    land = cube.land(everything) & (cube.state(2011, everything) != cube.legend.index(77))
    area = np.broadcast_to(cube.grid.cell_area[:, None], land.shape)
    assert report.skills["forecast", "raw"].by_year["model"][0].accuracy == pytest.approx(
        (area * right)[land].sum() / area[land].sum(), rel=1e-6
    )
    unit = TileYear(2012, Tile(0, 0), MemberIndex(1, 1))
    place = Path(run.product, "confidence/c/1/1/5/0/0")
    whole = place.read_bytes()
    place.write_bytes(whole[:-9])
    assert damaged(run) == [unit]
    settings = settings_of(world, world.parent / "drawn", *SETTINGS, SEVERAL, *DRAWN)
    command = [str(demo_run()), *(part for setting in settings for part in ("--set", setting))]
    found = CliRunner().invoke(app, ["verify", *command])
    assert (found.exit_code, found.stderr) == (
        1,
        "damaged: year 2012, tile 0.0, scenario ssp126, member 1\n",
    )
    place.write_bytes(whole)
    for verb, said in (
        ("status", "360 of 360 tile-years, 6 of 6 years whole"),  # 36 are coarser overviews
        ("plot", "overview_ssp585"),
        ("publish", "STAC catalog"),
        ("verify", "every tile-year matches its receipt"),
    ):
        result = CliRunner().invoke(app, [verb, *command], catch_exceptions=False)
        assert (result.exit_code, said in result.output) == (0, True), result.output
    collections = pystac.Catalog.from_file(run.path("stac", "catalog.json")).get_collections()
    maps, models = (list(collection.get_items()) for collection in collections)
    assert [item.properties["luray:scenario"] for item in maps] == list(NAMES)
    assert {item.properties["luray:seed"] for item in maps} == {7}
    directions = {item.properties["luray:direction"] for item in models}
    assert directions == set(run.inference.span.chains)


def test_only_what_is_asked_for_changes_a_product(world, cubes, tmp_path):
    def fingerprint(name, *settings):
        run = with_cube(
            world, tmp_path / name, cubes["ssp245"], "inference.years=[2007, 2012]", *settings
        )
        return inference_of(run, run.inference.span, run.product).product.fingerprint

    plain, run = (
        fingerprint("plain"),
        run_of(world, tmp_path / "plain", "inference.years=[2007, 2012]"),
    )
    plan = inference_of(run, run.inference.span, run.product)
    cards = {
        d: (card.weights_sha256, card.points["cautious"])
        for d in plan.models
        for card in [read_card(run.model_folder(d))]
    }
    assert plain == fingerprint_of(
        plan.cube.fingerprint,
        cards,
        64,
        50,
        50,
        "linear",
        2007,
        2012,
        (2008, 2010),
        "ssp245",
        1.0,
        (LAYOUT, 0.25, 2, 1, True),
    ), "scenarios and members that are not there leave no trace"
    assert plain == fingerprint("seed", "inference.seed=3"), "nothing is drawn"
    asked = [
        ("one", 'scenarios=["ssp245"]'),
        ("two", "inference.members=2"),
        ("three", "inference.members=3"),
        ("seeded", "inference.members=3", "inference.seed=1"),
        ("kept", "inference.probabilities=[2012]"),
        ("coarse", "product.coarse_step=0.5"),
        ("overviews", "product.overview_cells=1000"),
    ]
    assert len({plain, *(fingerprint(*settings) for settings in asked)}) == 8
