"""Plans of an inference against other ways to know.

Naive counts, a real product, the longest path of a graph, and the scheduler in virtual time.
"""

import json
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from luray.cli.app import app
from luray.core.config import Workers
from luray.core.regrid import grid_map
from luray.core.tiling import Tile, Tiling
from luray.cube.build import create, write_piece
from luray.cube.cube import Cube
from luray.cube.finish import finish
from luray.cube.plan import plan_build
from luray.cube.schema import native_layout
from luray.engine.geometry import Geometry
from luray.engine.jobs import SideTask
from luray.engine.scheduler import Scheduler
from luray.engine.wavefront import Wavefront
from luray.model.unet_config import UNetConfig
from luray.planning.expected_cube import expected_cube
from luray.planning.inference import InferencePlan
from luray.planning.measure import trunk_flops
from luray.planning.prices import PRICES
from luray.planning.ranges import Range
from luray.planning.rate import Rate
from luray.planning.run_time import READ_RATE
from luray.planning.workload import Reading, TileLoad, tile_loads
from luray.product.dimensions import ONE_MAP
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import demo_run, write_sandbox
from luray.sources import open_source
from luray.stages import plan as estimate
from luray.stages.plan import plan_of, read_prices
from luray.stages.run_file import load_run
from tests.cube.cubes import make_cube
from tests.product.products import DIMS, OVERVIEWS, WALK, created, fill
from tests.simulation import Simulation

CATALOGS = Path(__file__).parents[2] / "catalogs"
NAMES = ("ssp245", "ssp585")
PRICE = read_prices(PRICES)
SPAN = Span(1995, 2012, (2000, 2004))


@pytest.fixture(scope="module", params=["globe", "region"])
def cube(request, tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), request.param).cube


def plan_for(cube, product, loads, *, workers=2, seconds=0.1, device="cpu"):
    return InferencePlan(
        "t",
        product,
        cube,
        tuple(loads),
        "",
        UNetConfig(),
        Rate(Range(seconds, 2 * seconds), ""),
        workers,
        device == "cpu",
        2,
        2,
        PRICE.devices[device],
        PRICE.storage,
        PRICE.as_of,
    )


def random_plan(rows, cols, seed, *, dims=ONE_MAP, share=0.7, seconds=0.1, workers=2):
    """A plan of random loads on a lattice of tiles."""
    random = np.random.default_rng(seed)
    tiling = Tiling(rows * 8, cols * 8, window=8, stride=4, tile=8)
    tiles = [t for t in tiling.tiles() if random.random() < share] or [Tile(0, 0)]
    loads = [
        TileLoad(
            t,
            64,
            int(random.integers(1, 5)),
            30,
            Reading(10**6 * int(random.integers(1, 40)), 3),
            Reading(50, 2),
        )
        for t in tiles
    ]
    unread = expected_cube(
        "nowhere",
        grid=load_run(demo_run()).grid.grid,
        sources=(),
        years=range(1995, 2013),
        observed=range(2000, 2005),
    )
    return plan_for(
        unread,
        Product("", SPAN, tiling, "", "ssp245", dims, legend=unread.legend),
        loads,
        seconds=seconds,
        workers=workers,
    )


def test_loads_are_those_of_a_naive_count(cube):
    tiling = cube.tiling(window=8, stride=4, tile=8)
    loads = tile_loads(cube, tiling, tiling.tiles(), cube.land, window=72.0)
    land = cube.land(tiling.everything)
    cores = product(range(0, tiling.n_lat, 4), range(0, tiling.n_lon, 4))
    windows = sum(land[row : row + 4, col : col + 4].any() for row, col in cores)
    assert sum(load.windows for load in loads) == windows
    assert sum(load.land for load in loads) == land.sum()
    assert [load.tile for load in loads] == list(Geometry.of(cube, tiling).tiles)
    for load in loads:
        box = tiling.padded(tiling.tile_box(load.tile))
        for layers, reading in ((cube.static, load.static), (cube.forcing, load.forcing)):
            n_bytes = chunks = 0
            for layer in layers:
                sides = native_layout(layer.grid, layer.variables, window=72.0).chunk
                method = (
                    "bilinear"
                    if any(v.resampling == "bilinear" for v in layer.variables)
                    else "nearest"
                )
                axes = grid_map(layer.grid, cube.grid, method).take(box)
                n = np.prod(
                    [
                        len({int(i) // side for i in (*axis.low, *axis.high)})
                        for axis, side in zip(axes, sides, strict=True)
                    ]
                )
                chunks += n
                n_bytes += (
                    n
                    * np.prod(sides)
                    * len(layer.variables)
                    * np.dtype(layer.variables[0].dtype).itemsize
                )
            if (box.col >= 0 and box.col + box.width <= tiling.n_lon) or not tiling.periodic:
                assert (reading.n_bytes, reading.chunks) == (n_bytes, chunks)
            else:  # across the dateline a chunk that both pieces are in is read for each
                assert chunks <= reading.chunks <= 2 * chunks


@pytest.mark.parametrize("dims", DIMS)
def test_output_is_that_of_a_finished_product(tmp_path, dims):
    cube = make_cube(str(tmp_path / "cube.zarr"), "region").cube
    url = tmp_path / "product.zarr"
    product = created(cube, url, span=WALK, dims=dims, tiles=6, overviews=OVERVIEWS)
    fill(product)
    product.finish()
    tiles = list(product.tiling.tiles())
    loads = [
        TileLoad(t, int(np.prod(product.tiling.tile_box(t).shape)), 1, 1, Reading(), Reading())
        for t in tiles
    ]
    plan = plan_for(cube, product, loads)
    assert plan.output.receipts == len(list(product.units(tiles))) == len(product.ledger.done())
    assert plan.workload.predictions == len(
        {
            (n, year, tile)
            for n, trajectory in enumerate(product.trajectories)
            for year in trajectory.years[1:]
            for tile in tiles
        }
    )
    folders = tmp_path / "product.zarr", Path(product.ledger.folder)
    assert plan.output.objects == sum(
        file.is_file() for folder in folders for file in folder.rglob("*")
    )
    arrays = [
        a
        for _, a in product._root.members(max_depth=1)
        if isinstance(a, zarr.Array) and a.ndim > 2  # two where it is bounds
    ]
    transition = product._array("transition")
    of_first_year = transition.nbytes // len(WALK.years)
    assert plan.output.n_bytes == sum(array.nbytes for array in arrays) - of_first_year


def longest(plan):
    """The longest chain of predictions and reductions, without reading and writing to a store, step
    by step.
    """
    geometry, best = Geometry(plan.workload.tiling, tuple(load.tile for load in plan.loads)), 0.0
    loads = {load.tile: load for load in plan.loads}
    for trajectory in plan.workload.trajectories:
        end = dict.fromkeys(loads, 0.0)
        for _ in trajectory.years[1:]:
            around = {t: [t, *geometry.around(t)] for t in loads}
            predicted = {
                t: max(end[n] for n in around[t]) + plan.time.predict_seconds(loads[t]).low
                for t in loads
            }
            end = {
                t: max(predicted[n] for n in around[t])
                + plan.time.reduce_seconds(trajectory, loads[t].cells).low
                for t in loads
            }
        best = max(best, *end.values())
    return best


@given(
    rows=st.integers(1, 4),
    cols=st.integers(1, 4),
    seed=st.integers(0, 999),
    dims=st.sampled_from(DIMS[:2]),
)
def test_the_critical_path_is_the_longest_path(rows, cols, seed, dims):
    plan = random_plan(rows, cols, seed, dims=dims)
    dearest = max(plan.loads, key=lambda load: load.windows).static.n_bytes
    most = max(load.static.n_bytes for load in plan.loads)
    difference = plan.time.critical_path.low - longest(plan)
    assert -1e-9 <= difference <= max(dearest, most) / 250e6 + 1e-9, (
        "only the first reading comes on top"
    )


class CachingWorkers:
    """What jobs take when each worker caches the inputs of its last tiles, as `TileYears` does."""

    def __init__(self, plan):
        self.plan = plan
        self.cached = {}
        self.reads = 0
        self.loads = {load.tile: load for load in plan.loads}

    def __call__(self, worker, job):
        if job.operation == "reduce":
            return self.plan.time.reduce_seconds(
                self.plan.workload.trajectories[job.trajectory], 64
            ).low
        if isinstance(job, SideTask):
            return (
                self.plan.time.parts["copies"].low
                / len(self.plan.loads)
                / len(self.plan.product.span.copied)
            )
        load = self.loads[job.task.tile]
        needed = self.plan.workload.trajectories[job.trajectory].direction, job.task.tile
        cached = self.cached.setdefault(worker, [])
        missing = needed not in cached
        self.reads += missing
        others = [inputs for inputs in cached if inputs != needed]
        self.cached[worker] = [*others, needed][-self.plan.cached_tiles :]
        return self.plan.time.predict_seconds(load).low + missing * load.static.n_bytes / READ_RATE


def simulated(plan):
    """Seconds that the scheduler takes in virtual time, and how often static inputs are read."""
    geometry = Geometry(plan.workload.tiling, tuple(load.tile for load in plan.loads))
    wavefronts = [
        Wavefront(geometry.tiles, geometry.around, steps=len(c.years) - 1)
        for c in plan.workload.trajectories
    ]
    side_tasks = [SideTask((t, year)) for t in geometry.tiles for year in plan.product.span.copied]
    duration = CachingWorkers(plan)
    workers = Workers(min=plan.workers, max=plan.workers)
    directions = [trajectory.direction for trajectory in plan.workload.trajectories]
    scheduler = Scheduler(wavefronts, side_tasks, workers=workers, input_groups=directions)
    seconds = Simulation(scheduler, duration).run()
    return seconds, duration.reads


@given(
    rows=st.integers(2, 5),
    cols=st.integers(2, 5),
    seed=st.integers(0, 999),
    workers=st.integers(1, 40),
    dims=st.sampled_from(DIMS[:2]),
    cached_tiles=st.sampled_from([1, 4, 100]),
)
def test_no_run_leaves_the_bounds(rows, cols, seed, workers, dims, cached_tiles):
    plan = random_plan(rows, cols, seed, dims=dims, workers=workers)
    plan = replace(plan, cached_tiles=cached_tiles)
    wall, reads = simulated(plan)
    assert len(plan.loads) <= reads <= plan.workload.predictions
    graham = plan.time.work.high / workers + plan.time.critical_path.high
    assert longest(plan) <= wall <= graham


@pytest.mark.parametrize("dims", DIMS[:2])
@pytest.mark.parametrize("workers", [2, 8, 32, 100])
def test_a_run_on_many_tiles_takes_what_is_planned(workers, dims):
    plan = random_plan(8, 12, 3, dims=dims, workers=workers, seconds=0.2)
    wall, reads = simulated(replace(plan, cached_tiles=4))
    assert plan.inputs.reads.low <= reads <= plan.inputs.reads.high
    assert plan.time.wall.low <= wall <= plan.time.wall.high


@settings(max_examples=15)
@given(
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    seed=st.integers(0, 999),
    dims=st.sampled_from(DIMS[:2]),
    seconds=st.sampled_from([1e-4, 0.1, 3.0]),
)
def test_more_workers_never_take_longer(rows, cols, seed, dims, seconds):
    plan = random_plan(rows, cols, seed, dims=dims, seconds=seconds)
    plans = [replace(plan, workers=n) for n in (1, 2, 3, 5, 8, 16, 17, 40, 200)]
    for fewer, more in pairwise(plans):
        assert more.time.wall.low <= fewer.time.wall.low * (1 + 1e-9)
        assert more.time.wall.high <= fewer.time.wall.high * (1 + 1e-9)
    for plan in plans:
        time = plan.time
        assert max(time.critical_path.low, time.driver) <= time.wall.low <= time.wall.high
        assert time.critical_path.high <= time.wall.high
    enough = replace(plan, workers=2 * plan.time.most_workers).time
    assert enough.wall.low == pytest.approx(max(enough.critical_path.low, enough.driver))


def test_the_cost_is_workers_by_time_by_price():
    plan = random_plan(3, 3, 1, workers=7)
    for end, price in zip(("low", "high"), PRICE.devices["cpu"].dollars, strict=True):
        assert getattr(plan.costs.compute, end) == pytest.approx(
            getattr(plan.time.wall, end) / 3600 * 7 * 2 * price
        )
    on_gpu = replace(plan, on_cpu=False)
    assert on_gpu.costs.compute.low * 2 == pytest.approx(plan.costs.compute.low), (
        "a GPU is not paid by the thread"
    )


def test_operations_are_those_of_the_convolutions():
    convolutions = [
        (4, 4, 9, 8),
        (4, 8, 9, 4),
        (8, 8, 9, 4),
        (4, 4, 9, 8),
        (8, 16, 4, 5),
        (4, 4, 9, 8),
        (4, 4, 1, 8),
    ]
    assert trunk_flops(UNetConfig(width=4, depth=1), classes=3, window=8) == sum(
        2 * n_in * n_out * cells * side**2 for n_in, n_out, cells, side in convolutions
    )


SETTINGS = (
    "grid.shape=[100, 150]",
    "tiling.window=64",
    "tiling.stride=50",
    "tiling.tile=50",
    "model.width=4",
    "model.depth=2",
    "training.years=[2008, 2010]",
    "inference.years=[2004, 2043]",
    "inference.observed=[2008, 2010]",
    "evaluation.tests=[]",
    f"scenarios={json.dumps(NAMES)}",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Settings of a run file in two scenarios, whose cube is built."""
    root = tmp_path_factory.mktemp("plan")
    config = SandboxConfig(height=100, width=150, scenario=NAMES, first_map=2007, last_map=2011)
    folder = write_sandbox(root / "world", config)
    names = ("hilda", "luh2", "isimip", "koppen", "gebco", "pnnl", "pnnl")
    settings = [
        *SETTINGS,
        *(f"sources.{i}.path={folder / name}" for i, name in enumerate(names)),
        f"output={root}",
    ]
    run = load_run(demo_run(), settings)
    sources, parts = [], []
    for config in run.sources:
        first, other = (open_source(config, run_years=run.years, scenario=name) for name in NAMES)
        sources.append(first)
        parts += (
            [part for part in [other.part(NAMES[1], first=first)] if part]
            if config.by_scenario
            else []
        )
    plan = plan_build(
        run.cube, grid=run.grid.grid, tiling=run.tiles, sources=[*sources, *parts], scenarios=NAMES
    )
    create(plan)
    for pieces in plan.pieces():
        for piece in pieces:
            write_piece(plan, piece)
    finish(plan)
    return settings


def test_the_expected_cube_is_the_one_that_is_built(world):
    run = load_run(demo_run(), world)
    built = Cube.open(run.cube)
    expected = expected_cube(
        run.cube,
        grid=run.grid.grid,
        sources=run.sources,
        years=run.years,
        observed=built.years,
        scenarios=NAMES,
    )
    assert expected.features == built.features
    by_path = {layer.path: layer for layer in (*expected.forcing, *expected.static)}
    for layer in (*built.forcing, *built.static):
        other = by_path[layer.path]
        assert (other.grid.step, other.variables) == (layer.grid.step, layer.variables)
        assert np.abs(np.subtract(other.grid.shape, layer.grid.shape)).max() <= 2, (
            "the world ends where the run does"
        )
    for name in NAMES:
        for here, there in zip(built.scenarios[name], expected.scenarios[name], strict=True):
            assert (here.path, len(set(here.steps.values()))) == (
                there.path,
                len(set(there.steps.values())),
            )


def planned(*arguments):
    found = CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return {
        line.partition(":")[0]: line.partition(":")[2].strip() for line in found.stdout.splitlines()
    }


def sets(settings):
    return [word for setting in settings for word in ("--set", setting)]


def test_the_command_counts_cube_or_land_mask(world, tmp_path):
    command = [str(demo_run()), *sets(world), "--rate", "10", "--workers", "3"]
    built = planned(*command)
    run = load_run(demo_run(), world)
    cube, tiling = Cube.open(run.cube), run.inference_tiles
    tiles = Geometry.of(cube, tiling).tiles
    windows = len(tiling.active_cores(tiling.everything, cube.land(tiling.everything)))
    assert built["windows"].startswith(f"{windows} a year in {len(tiles)} of 6 tiles (")
    assert "land of the cube" in built["windows"]
    assert built["tile-years"].startswith(
        f"{len(tiles) * 40 * 2} written, {len(tiles) * (4 + 2 * 33)} predicted"
    )
    assert built["rate of a worker"] == "10 windows/s (as given with --rate)"
    assert "3 workers of 1 threads" in built["wall time"]
    unbuilt = planned(*command, "--set", f"output={tmp_path}")
    assert "global-land-mask" in unbuilt["windows"]
    assert (
        {*unbuilt}
        == {*built}
        >= {"bytes in", "bytes out", "objects", "memory a worker", "critical path", "cost"}
    )
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_a_cpu_is_measured_and_a_gpu_is_reckoned(world, monkeypatch):
    monkeypatch.setattr(estimate, "SECONDS", 0.2)
    run = load_run(demo_run(), world)
    measured = plan_of(run)
    assert "measured now" in measured.rate.source
    assert measured.workers == run.inference.workers.max
    gpus = {name: plan_of(run, device=name) for name in ("h100", "l4")}
    assert all("not measured" in plan.rate.source for plan in gpus.values())
    assert gpus["h100"].rate.window.high <= gpus["l4"].rate.window.high


def test_the_mission_is_planned_without_data(monkeypatch):
    for name in ("LURAY_INPUTS", "LURAY_CATALOG", "LURAY_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    said = planned(str(CATALOGS / "global" / "all.toml"), "--device", "h100", "--workers", "8")
    assert said["windows"].startswith("2,101 a year in 147 of 162 tiles")
    assert said["years"].startswith(
        "251: 121 copied, 49 hindcast once for all scenarios, 81 forecast in each of 4"
    )
    assert said["tile-years"].startswith("147,588 written, 54,831 predicted")
    assert "${" not in "".join(said.values())


def test_what_cannot_be_planned_says_what_to_do(world, tmp_path, monkeypatch):
    run = load_run(demo_run(), world)
    with pytest.raises(
        ValueError, match=r"--device tpu: .* has cpu, h100, .*; name one of them, or add it"
    ):
        plan_of(run, device="tpu")
    with pytest.raises(ValueError, match="--workers 0: expected 1 or more; leave it out"):
        plan_of(run, workers=0)
    with pytest.raises(
        ValueError, match="--rate -1: expected windows a second, more than 0; leave it out"
    ):
        plan_of(run, rate=-1)
    with pytest.raises(ValueError, match=r"was built on .*; run `luray build`, or plan"):
        plan_of(load_run(demo_run(), [*world, "grid.north=49.0"]), rate=1)
    wrong = tmp_path / "prices.toml"
    wrong.write_text(PRICES.read_text().replace("tflops = 989", 'tflops = "many"'))
    with pytest.raises(ValueError, match=r"devices.h100.tflops: .*; correct it"):
        read_prices(wrong)
    with pytest.raises(ValueError, match=r"no such file; .*is one to copy"):
        read_prices(tmp_path / "none.toml")
    monkeypatch.setattr("luray.planning.land_mask.find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=r"is not built, and .*pip install .*; or run `luray build` first"
    ):
        plan_of(load_run(demo_run(), [*world, f"output={tmp_path}"]), rate=1)
