"""Steps of training with the real feed, against steps on one batch that stays in memory: how far
reading is hidden.

The cube is like that of `catalogs/brazil`: 5 km maps of 2000-2012, fractions of 5 x 5 blocks, soil,
relief and climate on grids of their own; the recipe is its recipe. Every round begins with no chunk
kept and reads the store, a local disk or an S3 server in a process of its own. Fed steps and steps
from memory take turns, a few seconds each, and the ratio is the median of such pairs, so that
others on the machine slow both alike.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import Any

import fsspec
import numpy as np
import torch
import zarr

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.variable import Variable
from luray.cube.cube import Cube
from luray.cube.schema import create_native, create_state, native_layout
from luray.distributed.cluster import cluster
from luray.distributed.data import (
    PREFETCHED_BATCHES,
    in_order_and_silent,
    micro_batches,
    read_windows,
)
from luray.model.unet_config import UNetConfig
from luray.sources.base import STATE
from luray.storage.arrays import consolidate
from luray.training.change_counts_store import read_or_count_changes
from luray.training.recipe import Recipe
from luray.training.rollout import Sample
from luray.training.training import Training
from luray.training.training_data import TrainingData
from luray.training.window_groups import WorkerShare
from luray.training.window_rows import WindowReader
from tests.benchmarks.ratio import Ratio, seconds
from tests.benchmarks.windows import describe, smooth
from tests.s3 import serve

GRID = Grid(6.05, -75, 0.045, 891, 901)
YEARS = range(2000, 2013)
STEPS = 5
"""Steps that are timed at a time."""
AHEAD = PREFETCHED_BATCHES + 2
"""Steps before fed ones that are timed."""
PAIRS = 5
ROUNDS = 2
CPU = torch.device("cpu")
SOURCES = {
    "aggregated": (
        0.225,
        tuple(Variable(f"share_{c.name}", "forcing", "1", c.name) for c in HILDA.classes),
    ),
    "soil": (
        0.045,
        (Variable("texture", "static", "1", "soil", dtype="uint8", categories=(1, 2, 3, 4, 5)),),
    ),
    "relief": (0.1, (Variable("elevation", "static", "m", "elevation", scale=1000.0),)),
    "climate": (
        1 / 120,
        (Variable("climate", "static", "1", "climate", dtype="uint8", categories=(1, 2, 3, 4, 5)),),
    ),
}


def measure() -> Iterator[Ratio]:
    """Steps a second with the feed over steps a second without, on a local disk and through an S3
    server.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder, cluster(cpus=os.cpu_count() or 1):
        url = f"{folder}/cube.zarr"
        write_cube(url)
        yield from measured(url, "local disk", goal=0.95)
        with (
            _server() as endpoint,
            _environment(
                AWS_ACCESS_KEY_ID="test",
                AWS_SECRET_ACCESS_KEY="test",
                AWS_DEFAULT_REGION="us-east-1",
                AWS_ENDPOINT_URL=endpoint,
            ),
        ):
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            fsspec.filesystem("s3").put(url, "s3://feed/cube.zarr", recursive=True)
            yield from measured("s3://feed/cube.zarr", "S3 server", goal=0.8)


def measured(url: str, where: str, *, goal: float, device: torch.device = CPU) -> Iterator[Ratio]:
    """Steps a second with the feed over steps a second without, from a cube somewhere."""
    training = training_of(Cube.open(url))
    data = training.data
    read_or_count_changes(data.cube, data.tiling, data.recipe.sampling)
    pairs = np.array([pair for _ in range(ROUNDS) for pair in _round(training, device)])
    kept, fed = (STEPS / np.median(column) for column in pairs.T)
    ratios = pairs[:, 0] / pairs[:, 1]
    low, ratio, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    yield Ratio(
        f"training steps fed from {where}",
        float(ratio),
        goal,
        f"{fed:.2f} steps/s fed, {kept:.2f} from memory; half of {len(ratios)} pairs in "
        f"{low:.2f}-{high:.2f}",
    )


def _round(training: Training, device: torch.device = CPU) -> Iterator[tuple[float, float]]:
    """Seconds of `STEPS` steps on a batch in memory and of as many that are fed, in turn, beginning
    with no chunk kept.

    Of the fed ones the first few are not timed: they were read ahead while the batch in memory was
    trained on.
    """
    trainer = training.trainer(device=device)
    recipe = training.recipe
    plan = training.data.plan()
    kept = {
        number: on(device, training.data.micro_batch(plan, number * recipe.micro_batch))
        for number in range(recipe.n_micro_batches)
    }
    cube = Cube.open(training.data.cube.url)
    tiling = training.data.tiling
    share = WorkerShare(plan, recipe.batch, recipe.micro_batch, PAIRS * (AHEAD + STEPS))
    in_order_and_silent()
    rows = read_windows(cube, tiling, YEARS, windows=share)
    reader = WindowReader(cube, tiling, plan.counted)
    batches = micro_batches(rows, share, reader, device=device)
    for _ in range(PAIRS):
        from_memory = seconds(lambda: [trainer.step(kept) for _ in range(STEPS)])
        for batch in islice(batches, AHEAD):
            trainer.step(batch)
        yield (
            from_memory,
            seconds(lambda: [trainer.step(batch) for batch in islice(batches, STEPS)]),
        )


def on(device: torch.device, sample: Sample) -> Sample:
    """A sample on a device."""
    return Sample(*(tensor.to(device) for tensor in sample))


def training_of(cube: Cube) -> Training:
    """The training of `catalogs/brazil` on a cube."""
    recipe = Recipe(years=(2000, 2009), steps=240, learning_rate=0.004)
    tiling = cube.tiling(window=128, stride=100, tile=300)
    data = TrainingData(cube, tiling, recipe, "forward", UNetConfig().history)
    return Training(data, UNetConfig(width=16, depth=3), f"{cube.url}.model")


def write_cube(url: str) -> None:
    """A cube with land in the middle, a class map that drifts and four sources."""
    random = np.random.default_rng(0)
    root, groups = zarr.open_group(url, mode="w", zarr_format=3), {"maps": "state"}
    create_state(root, grid=GRID, years=YEARS, tile=300, legend=HILDA)
    relief, speed = smooth(random, 2, GRID.shape, 12)
    land = smooth(random, 1, GRID.shape, 120)[0] > -0.3
    for step in range(len(YEARS)):
        codes = HILDA.codes[
            np.digitize(relief + 0.03 * step * speed, (-1.5, -0.8, -0.2, 0.3, 1.0, 1.6))
        ]
        root["state/land_use"][step : step + 1] = np.where(land, codes, HILDA.ocean)[None]  # type: ignore[index]
    root["state/land"][:] = land.astype(np.uint8)  # type: ignore[index]
    root["state"].attrs.update(describe((STATE,), GRID, YEARS, {}))
    for name, (step_deg, variables) in SOURCES.items():
        native = Grid(
            GRID.north,
            GRID.west,
            step_deg,
            *(-(-round(n * GRID.step / step_deg * 100) // 100) for n in GRID.shape),
        )
        role, years = variables[0].role, list(YEARS) if variables[0].role == "forcing" else None
        create_native(
            root,
            name,
            role=role,
            grid=native,
            variables=variables,
            years=years,
            layout=native_layout(native, variables, window=128 * GRID.step),
        )
        groups[name] = path = f"{role}/{name}"
        fields = smooth(random, len(variables), native.shape, 8)
        values = (
            np.digitize(fields, (-1, -0.3, 0.4, 1.2)) + 1
            if variables[0].categories
            else np.abs(fields)
        )
        shape = (len(years), *values.shape) if years else values.shape
        root[f"{path}/values"][:] = np.broadcast_to(values, shape).astype(variables[0].dtype)  # type: ignore[index]
        root[path].attrs.update(describe(variables, native, years or (), {}))
    root.attrs["luray"] = {
        "grid": asdict(GRID),
        "legend": HILDA.name,
        "fingerprint": "feed",
        "groups": groups,
    }
    consolidate(url)


@contextmanager
def _server() -> Iterator[str]:
    """Endpoint of an S3 server with a bucket `feed`, in a process of its own: its work is not the
    trainer's.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        server.join()


def _serve(pipe: Any) -> None:
    with serve("feed") as bucket:
        pipe.send(bucket.endpoint)
        pipe.recv()


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
