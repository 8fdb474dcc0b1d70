"""Build, training and inference of a run in one process without Ray: what luray computes, in an order of its own.

Everything that writes is luray's. Only the order in which tile-years are computed is decided here,
so a process that does a whole inference is there in no time, and can be killed hundreds of times.
"""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import zarr

from luray.core.progress import Progress, no_progress
from luray.cube.build import create, write_piece
from luray.cube.finish import finish
from luray.cube.plan import BuildPlan, remaining
from luray.engine.demand import Shortfall
from luray.engine.exchange import ExchangedObjects
from luray.engine.side_work import CoarserOverviews, MemberSummaries, years_to_copy
from luray.engine.spec import InferenceSpec
from luray.engine.tile_year import TileYears
from luray.engine.wavefront import Wavefront
from luray.product.trajectories import Done
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import write_sandbox
from luray.stages import build as build_stage
from luray.stages import infer as infer_stage
from luray.stages import train as train_stage
from luray.stages.build import plan_cube
from luray.stages.config import RunConfig
from luray.storage.lease import Lease, RequireLease, no_lease
from luray.training.finished_model import save_finished_model
from luray.training.progress_events import TrainingProgress, no_training_progress
from luray.training.rollout import Sample
from luray.training.training import Training, run_steps
from luray.training.training_logger import TrainingLogger
from tests.distributed.conftest import give_models, small_run

YEARS = ("inference.years=[1999, 2007]", "inference.observed=[2001, 2003]", "inference.batch=2")
"""Settings of the small world: two hindcast years, three observed ones, four forecast years."""


def small_world(folder: Path) -> Path:
    """Write the inputs of the small world, and return their folder."""
    config = SandboxConfig(height=100, width=150, first_map=1994, last_map=2006)
    return write_sandbox(folder, config)


def run_of(world: Path, output: Path, *settings: str) -> RunConfig:
    """The run of the small world, without anything of it."""
    return small_run(world, output, *YEARS, *settings)


def prepared(world: Path, output: Path, *settings: str) -> RunConfig:
    """The run with its cube and its models."""
    run = run_of(world, output, *settings)
    write_cube(plan_cube(run))
    give_models(run)
    return run


def build(run: RunConfig, *, progress: Progress = no_progress) -> None:
    """The stage `build`, with `write_cube` in the place of Ray."""
    with patch.object(build_stage, "write_cube", write_cube):
        build_stage.build(plan_cube(run), progress=progress)


def write_cube(
    plan: BuildPlan, *, require_lease: RequireLease = no_lease, progress: Progress = no_progress
) -> None:
    """Write every piece of a cube that has no receipt, and finish it."""
    create(plan)
    n_done = 0
    for pieces in plan.pieces():
        for piece in remaining(plan, pieces):
            write_piece(plan, piece, require_lease=require_lease)
            n_done += 1
            progress(n_done, n_done)
    require_lease()
    finish(plan)


def train(
    run: RunConfig, *, restart: bool = False, progress: TrainingProgress = no_training_progress
) -> None:
    """The stage `train`, with `train_models` in the place of Ray."""
    with patch.object(train_stage, "train_models", train_models):
        train_stage.train(run, restart=restart, progress=progress)


def train_models(
    trainings: list[Training],
    *,
    require_lease: RequireLease,
    restart: bool,
    progress: TrainingProgress,
) -> list[str]:
    """Train every model that is not finished yet."""
    for training in trainings:
        if restart:
            training.discard_another()
        if training.finished:
            continue
        trainer = training.trainer()
        logger = TrainingLogger(training, progress, require_lease=require_lease)
        run_steps(training, trainer, batches(training, trainer.done), after=logger)
        save_finished_model(training, trainer, logger.last, require_lease=require_lease)
    return [training.direction for training in trainings]


def batches(training: Training, done: int) -> Iterator[dict[int, Sample]]:
    """Yield the micro-batches of each step of a training after those that are done."""
    recipe = training.recipe
    plan = training.data.plan()
    for first in range(done * recipe.batch, recipe.steps * recipe.batch, recipe.batch):
        yield {
            i: training.data.micro_batch(plan, first + i * recipe.micro_batch)
            for i in range(recipe.n_micro_batches)
        }


def infer(run: RunConfig, *, progress: Progress = no_progress) -> None:
    """The stage `infer`, with `compute` in the place of Ray."""
    with patch.object(infer_stage, "compute", compute):
        infer_stage.infer(run, progress=progress)


def compute(run: RunConfig, spec: InferenceSpec, lease: Lease, *, progress: Progress) -> Shortfall:
    """Compute every tile-year that has no receipt, one after the other, and finish the product."""
    product = spec.product
    tiles = spec.geometry.tiles
    done = product.done()
    total = sum(1 for _ in product.units(tiles))
    n_done = len(done.units)
    tile_years = TileYears(spec)
    for copy in years_to_copy(product, tiles, done):
        lease.require()
        tile_years.copy(copy.tile, copy.years)
        n_done += len(copy.years)
        progress(n_done, total)
    for trajectory in range(len(product.trajectories)):
        for _ in compute_trajectory(spec, tile_years, trajectory, done):
            lease.require()
            n_done += 1
            progress(n_done, total)

    for summary in MemberSummaries(product, tiles, product.done()).possible():
        tile_years.summarise(*summary)
    for overviews in CoarserOverviews(product, tiles, product.done()).possible():
        lease.require()
        tile_years.write_overviews(overviews.year, overviews.member_indices)
    product.finish()
    return Shortfall()


def compute_trajectory(spec: InferenceSpec, tile_years: TileYears, trajectory: int, done: Done):
    """Compute the tile-years of a trajectory that are missing, and yield after each that is written."""
    geometry = spec.geometry
    described = spec.product.trajectories[trajectory]
    years = described.years[1:]
    written = done.of(described.member_indices)
    front = Wavefront(
        geometry.tiles,
        geometry.around,
        steps=len(years),
        done=[(tile, years.index(year)) for year, tile in written if year in years],
    )
    exchanged = ExchangedObjects(geometry, front)
    while not front.finished:
        task = front.ready()[0]
        operation, tile, step = task
        front.start(task)
        if operation == "predict":
            edges = exchanged.edges_for(tile, step)
            _, strips = tile_years.predict(tile, trajectory, step, *edges)
            exchanged.put_strips(tile, step, strips)
            front.finish(task)
            continue
        strips = exchanged.strips_for(tile, step)
        arrived, _ = tile_years.reduce(tile, trajectory, step, *strips)
        exchanged.put_edges(tile, step, arrived)
        front.finish(task)
        exchanged.drop_unneeded(tile, step)
        yield tile, step


def differing_cells(url: str, expected: str) -> int:
    """The cells of all arrays in which two finished products differ."""
    ours, theirs = (
        zarr.open_group(place, mode="r", zarr_format=3, use_consolidated=True)
        for place in (url, expected)
    )
    n_differing = 0
    for path, array in theirs.members(max_depth=None):
        if isinstance(array, zarr.Array):
            found, wanted = np.asarray(ours[path][...]), np.asarray(array[...])
            floats = wanted.dtype.kind == "f"
            differs = (found != wanted) & ~(np.isnan(found) & np.isnan(wanted) if floats else False)
            n_differing += int(differs.sum())
    return n_differing
