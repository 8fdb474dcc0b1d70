"""The benchmark of the globe: one year at 0.01 degrees.

Measured are the time of the inference against that of the bare forward passes, and the peak memory.
Every stage goes on where it was; a stage that had nothing left to do keeps what was measured of it
before.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from luray.bench.globe_world import write_globe
from luray.bench.measurements import Measurements, Stage, StageCost
from luray.bench.watch import Watch
from luray.core.progress import Progress, no_progress
from luray.cube.cube import Cube
from luray.cube.plan import remaining
from luray.distributed.cluster import cluster
from luray.engine.geometry import Geometry
from luray.model.card import read_card
from luray.planning.measure import ForwardCost, forward_cost
from luray.sandbox.random_model import save_random_model
from luray.sources import open_source
from luray.stages.build import build as run_build
from luray.stages.build import plan_cube
from luray.stages.config import RunConfig
from luray.stages.infer import infer as run_infer
from luray.stages.infer import inference_of
from luray.stages.run_file import load_run
from luray.storage.places import local_place
from luray.viz.maps import map_of_year

StageProgress = Callable[[Stage], Progress]
"""Gives the progress callback of a stage."""

FORWARD_SECONDS = 20.0
"""Time for which forward passes are measured, before the inference and after it."""
BONUS = 6.0
"""Bonus of persistence in the model with random weights: land use stays recognisable on the map."""


def globe_run(output: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the run of the globe with all outputs, and the inputs it writes, below a folder.

    Parameters
    ----------
    output : str
        A folder of this machine.
    overrides : sequence of str
        As of `--set`, such as ``grid.step=0.25``.

    Raises
    ------
    ValueError
        If the output is on a store, or an override does not fit.
    """
    output = local_place(output, what="the output of the benchmark")
    places = [f"output={output}"]
    for i, name in enumerate(("hilda", "luh2", "isimip")):
        places.append(f"sources.{i}.path={output}/inputs/{name}")

    run = load_run(Path(__file__).with_name("globe.toml"), [*places, *overrides])
    # an override may have set another output
    local_place(run.output, what="the output of the benchmark")
    return run


def bench(
    run: RunConfig,
    *,
    show: StageProgress = lambda _: no_progress,
    forward: float = FORWARD_SECONDS,
) -> Measurements:
    """Measure a run of `globe_run` from its inputs to the picture.

    The numbers are written to `globe.json` in its output after each stage.

    Parameters
    ----------
    run : RunConfig
    show : callable, optional
        Gives the progress callback of a stage.
    forward : float
        Seconds for which bare forward passes are measured, before the inference and after it.

    Raises
    ------
    ValueError
        Without the package of the land mask, and what the stages raise.
    """
    path = Path(run.path("globe.json"))
    measurements = Measurements.read(path)

    write_inputs(run, measurements, show("inputs"))
    measurements.write(path)

    with cluster(cpus=_cores(run)):
        build(run, measurements, show("build"))
    measurements.write(path)

    save_models(run)
    infer(run, measurements, show("infer"), forward=forward)
    measurements.write(path)

    with _measured(measurements, "picture"):
        picture(run)
    measurements.write(path)
    return measurements


def _cores(run: RunConfig) -> int:
    return run.inference.workers.max * run.inference.threads


@contextmanager
def _measured(measurements: Measurements, stage: Stage) -> Iterator[None]:
    """Note what a block takes as the cost of a stage."""
    started = time.perf_counter()
    with Watch() as watch:
        yield
    seconds = time.perf_counter() - started
    measurements.costs[stage] = StageCost(seconds, watch.cpu_seconds, watch.peak)


def write_inputs(run: RunConfig, measurements: Measurements, progress: Progress) -> None:
    """Write what is missing of the inputs."""
    configs = {config.label: config for config in run.sources}
    real = {
        label: open_source(configs[label], run_years=run.years, scenario=run.scenario)
        for label in ("relief", "climate")
    }

    earlier = measurements.costs.get("inputs")
    with _measured(measurements, "inputs"):
        has_written = write_globe(
            Path(run.path("inputs")),
            grid=run.grid.grid,
            year=run.inference.observed[0],
            relief=real["relief"],
            climate=real["climate"],
            progress=progress,
        )
    if earlier and not has_written:
        measurements.costs["inputs"] = earlier


def build(run: RunConfig, measurements: Measurements, progress: Progress) -> None:
    """Build what is missing of the cube."""
    earlier = measurements.costs.get("build")
    with _measured(measurements, "build"):
        plan = plan_cube(run)
        is_needed = any(remaining(plan, pieces) for pieces in plan.pieces())
        run_build(plan, progress=progress)
    if earlier and not is_needed:
        measurements.costs["build"] = earlier


def save_models(run: RunConfig) -> None:
    """Write a model with random weights for each direction that has none."""
    cube = Cube.open(run.cube)
    for direction in run.directions:
        folder = run.model_folder(direction)
        if read_card(folder) is None:
            save_random_model(cube, direction, run.model, folder, bonus=BONUS)


def infer(
    run: RunConfig, measurements: Measurements, progress: Progress, *, forward: float
) -> None:
    """Predict what is missing of the year, between two measurements of the bare forward pass."""
    windows = _windows_left(run, measurements)
    if not windows:
        with cluster(cpus=_cores(run)):
            run_infer(run)  # finishes what is predicted but not yet published
        return

    [direction] = run.directions

    def bare() -> ForwardCost:
        return forward_cost(
            run.model_folder(direction),
            batch=run.inference.batch,
            window=run.inference_tiles.window,
            processes=run.inference.workers.max,
            threads=run.inference.threads,
            seconds=forward,
        )

    measurements.windows = windows
    measurements.before = bare()
    with cluster(cpus=_cores(run)), _measured(measurements, "infer"):
        run_infer(run, progress=progress)
    measurements.after = bare()


def _windows_left(run: RunConfig, measurements: Measurements) -> int:
    """Count the windows with land of tile-years without a receipt; note the tiles with land."""
    cube = Cube.open(run.cube)
    tiling = run.inference_tiles
    started = time.perf_counter()
    measurements.tiles = len(Geometry.of(cube, tiling).tiles)
    measurements.land_seconds = time.perf_counter() - started

    plan = inference_of(run, run.span, run.product)
    done = plan.product.done()
    windows = 0
    for trajectory in plan.product.trajectories:
        finished = done.of(trajectory.member_indices)
        predicted_years = trajectory.years[1:]  # the first is observed
        for tile in plan.geometry.tiles:
            years_left = sum((year, tile) not in finished for year in predicted_years)
            box = tiling.tile_box(tile)
            windows += years_left * len(tiling.active_cores(box, cube.land(box)))
    return windows


def picture(run: RunConfig) -> str:
    """Draw the map of the predicted year; returns its place."""
    year = run.inference.years[1]
    place = run.path("pictures", f"map_{year}.png")
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    map_of_year(xr.open_zarr(run.product), year, place)
    return place
