"""Inference and training on a GPU, against the bare network there; ends with "no GPU" where none is.

It takes at most 6 minutes and is not among the benchmarks that run by themselves: python -m
tests.benchmarks gpu. Inference is the whole engine as in the benchmark `engine`, with one worker.
Bare is the network alone, on random input that lies on the device. Two things are looked at before
anything is timed: that the device gives the same bits twice, and how many cells of its maps differ
from those of a CPU.
"""

import tempfile
from collections.abc import Iterator

import numpy as np
import torch

from luray.core.grid import Grid
from luray.core.types import U8
from luray.cube.cube import Cube
from luray.distributed.cluster import cluster
from luray.engine.tile_year import TileYears
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.sandbox.random_model import save_random_model
from tests.benchmarks import feed
from tests.benchmarks.engine import REGION, WINDOW, paced, spec_of
from tests.benchmarks.product import infer_year
from tests.benchmarks.ratio import Ratio, alone, seconds
from tests.benchmarks.windows import YEARS, write_cube

WIDTH = 32
BATCH = 16
SMALL = Grid(60, 0, 0.01, 1000, 1000)
MOST_DIFFERENT = 0.005
"""Share of cells that may get another class than on a CPU, after two years of a random model."""
BARE_PASSES = 20


def measure() -> Iterator[Ratio]:
    """Agreement with a CPU, then the speed of inference and training."""
    if not torch.cuda.is_available():
        raise SystemExit("no GPU: nothing was measured")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        small = write_cube(f"{folder}/small.zarr", grid=SMALL)
        model = f"{folder}/model"
        save_random_model(small, "forward", UNetConfig(width=WIDTH, depth=3), model)
        yield agreement(small, model, folder, device="cuda")
        yield from speed(write_cube(f"{folder}/cube.zarr", grid=REGION), model, folder)

        url = f"{folder}/feed.zarr"
        feed.write_cube(url)
        with cluster(cpus=8):
            yield from feed.measured(
                url, "local disk to GPU", goal=0.95, device=torch.device("cuda")
            )


def agreement(cube: Cube, model: str, folder: str, *, device: str) -> Ratio:
    """Share of cells that may differ from a CPU, over the share that does."""
    maps = [
        inferred(cube, model, f"{folder}/{number}.zarr", device=where)
        for number, where in enumerate(("cpu", device, device))
    ]
    if not np.array_equal(maps[1], maps[2]):
        raise SystemExit(f"{device} gave other maps the second time")
    different = float((maps[0] != maps[1]).mean())
    return Ratio(
        f"cells that may differ between {device} and cpu, over those that do",
        MOST_DIFFERENT / max(different, 1e-9),
        1,
        f"{different:.4%} of the cells of two years differ, {MOST_DIFFERENT:.1%} may; the same "
        f"bits twice on {device}",
    )


def inferred(cube: Cube, model: str, url: str, *, device: str) -> U8:
    """Maps of two years, (years, lat, lon)."""
    spec = spec_of(cube, model, url, last=YEARS[2], batch=BATCH)
    tile_years = TileYears(spec, device=device)
    for step in range(2):
        infer_year(tile_years, step=step)
    everything = spec.geometry.tiling.everything
    return np.stack([spec.product.read(year, everything) for year in YEARS[1:3]])


def speed(cube: Cube, model: str, folder: str) -> Iterator[Ratio]:
    """Windows a second of the engine over those of the network alone."""
    rate = bare_rate(model, device=torch.device("cuda"))
    pace = alone(
        paced,
        cube,
        model,
        f"{folder}/product.zarr",
        workers=1,
        last=YEARS[6],
        batch=BATCH,
        gpu=True,
    )
    yield Ratio(
        f"engine over bare forward on a GPU, width {WIDTH}, static inputs kept",
        pace.warm / rate,
        0.9,
        f"{torch.cuda.get_device_name()}: {pace.warm:.0f} of {rate:.0f} windows/s; with start and "
        f"static inputs {pace.windows / pace.seconds:.0f}; host {pace.peak_bytes / 2**30:.1f} GiB, "
        f"device {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB (network alone, batch {BATCH})",
    )


def bare_rate(model: str, *, device: torch.device) -> float:
    """Windows a second of the network as a framework runs it, in half precision."""
    network, card = load_model(model)
    bare = frozen(network).to(device, torch.half)
    inputs_BHWC = torch.rand(BATCH, WINDOW, WINDOW, len(card.channels), device=device)
    inputs_BCHW = inputs_BHWC.half().permute(0, 3, 1, 2)

    def passes() -> None:
        for _ in range(BARE_PASSES):
            bare.heads(inputs_BCHW)
        torch.cuda.synchronize()

    with torch.inference_mode():
        passes()  # chooses its algorithms
        return BARE_PASSES * BATCH / seconds(passes)
