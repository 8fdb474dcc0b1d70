"""A small world through every stage, shared by the tests of the engine."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from luray.cube.cube import Cube
from luray.distributed.cluster import cluster
from luray.model.card import ModelCard
from luray.model.checkpoint import save_model
from luray.model.operating_point import NO_CALIBRATION, Calibration
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import demo_run, write_sandbox
from luray.stages.build import build as run_build
from luray.stages.build import plan_cube
from luray.stages.config import RunConfig
from luray.stages.infer import infer as run_infer
from luray.stages.run_file import load_run
from tests.conftest import Once
from tests.fork_server import forked_workers
from tests.worlds import random_model

SETTINGS = (
    "grid.shape=[100, 150]",
    "tiling.window=64",
    "tiling.stride=50",
    "tiling.tile=50",
    "model.width=4",
    "model.depth=2",
    "model.history=4",
    "training.years=[2000, 2003]",
    "training.steps=6",
    "training.batch=4",
    "training.micro_batch=2",
    "training.calibration_batches=2",
    "training.validation_batches=8",  # enough to calibrate on; scoring 64 takes longer than the steps
    "training.checkpoint_every=2",
    "inference.years=[1996, 2008]",
    "inference.observed=[2000, 2004]",
    "inference.operating_point=cautious",
    "demand.strength=0.0",
    "inference.workers=1",
    "product.overview_cells=40",  # two levels, the second of the whole grid where tiles are of 50
    'evaluation.tests=[{name="forecast", start=2004, stop=2006}]',
)


@dataclass(frozen=True)
class Place:
    """A sandbox with a cube, and where a test may put its own outputs."""

    world: Path
    cube: str

    def run(self, output: Path, *settings: str) -> RunConfig:
        """The run file of the small world with outputs of its own, but the shared cube."""
        output.mkdir(parents=True, exist_ok=True)
        if not (output / "cube.zarr").exists():
            (output / "cube.zarr").symlink_to(self.cube)
        return small_run(self.world, output, *settings)


def settings_of(world: Path, output: Path, *settings: str) -> list[str]:
    """Return what turns the demo's run file into that of a small world, as arguments of --set."""
    names = ("hilda", "luh2", "isimip", "koppen", "gebco", "pnnl", "pnnl")
    paths = [f"sources.{i}.path={world / name}" for i, name in enumerate(names)]
    return [*SETTINGS, *paths, f"output={output}", *settings]


def small_run(world: Path, output: Path, *settings: str) -> RunConfig:
    """Return the run of a small world."""
    return load_run(demo_run(), settings_of(world, output, *settings))


@pytest.fixture(scope="session")
def ray_cluster():
    """A cluster of four CPUs on this machine.

    Two trainers that read ahead take three and leave one to read with.
    """
    assert "RAY_ADDRESS" not in os.environ, "the tests start their own cluster"
    with forked_workers(), cluster(cpus=4):
        yield


@pytest.fixture(scope="session")
def place(once: Once, ray_cluster: None) -> Place:
    """The small world and its cube, for all tests to read."""

    def make(folder: Path) -> None:
        config = SandboxConfig(height=100, width=150, first_map=1994, last_map=2009)
        world = write_sandbox(folder / "world", config)
        run_build(plan_cube(small_run(world, folder / "shared")))

    folder = once("place", make)
    return Place(folder / "world", small_run(folder / "world", folder / "shared").cube)


@pytest.fixture(scope="session")
def finished(once: Once, place: Place) -> Callable[[Path], RunConfig]:
    """A function that copies a finished inference with its models, and returns the copy's run."""

    def make(folder: Path) -> None:
        run = place.run(folder / "out")
        give_models(run)
        run_infer(run)

    folder = once("finished", make)

    def copy(output: Path) -> RunConfig:
        shutil.copytree(folder / "out", output, symlinks=True)
        return place.run(output)

    return copy


def give_models(run: RunConfig, *, seed: int = 0) -> None:
    """Write random models, whose maps change from year to year, for both directions."""
    cube = Cube.open(run.cube)
    for i, direction in enumerate(("forward", "backward")):
        features = cube.features.remembering(run.model.history)
        model = random_model(seed=seed + i, width=4, depth=2, features=features)
        codes = tuple(int(c) for c in cube.legend.codes)
        card = ModelCard(
            direction,
            cube.legend.name,
            codes,
            features.names,
            run.model,
            {},
            f"{seed + i}",
            {},
            points={"cautious": NO_CALIBRATION, "unbiased": Calibration(1.3, -0.4)},
        )
        save_model(model, card, run.model_folder(direction))
