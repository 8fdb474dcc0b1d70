"""A step of the emulator on a region of 512 x 512 cells, against the bare forward pass of its
windows.

One core, one thread, all land, the inputs of a global run, a model that remembers. The step is
everything that a host waits for: the forcing of the year is read and resampled, windows predicted
and averaged, the map decided and decoded. The bare pass runs the same folded model on as many
random windows. They run in turn.
"""

import tempfile
from collections.abc import Iterator
from statistics import median

import torch

from luray.core.grid import Grid
from luray.core.processes import keep_memory
from luray.emulator import EmulatorConfig, LandSurface
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.sandbox.random_model import save_random_model
from tests.benchmarks.ratio import Ratio, alone, seconds
from tests.benchmarks.windows import YEARS, write_cube

SIDE = 512
WINDOW, STRIDE, BATCH = 456, 400, 2
ROUNDS = 5
GOAL = 0.9


def measure() -> Iterator[Ratio]:
    """Latency of a year of the region."""
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        cube = write_cube(f"{folder}/cube.zarr", grid=Grid(60, 0, 0.01, SIDE, SIDE))
        save_random_model(cube, "forward", UNetConfig(width=16, depth=3), f"{folder}/model")
        steps, passes, n_windows = alone(_in_turn, f"{folder}/cube.zarr", f"{folder}/model")
    step, bare = median(steps), median(passes)
    yield Ratio(
        f"emulator, {SIDE} x {SIDE} cells, over bare forward",
        bare / step,
        GOAL,
        f"{step:.2f} s a year, {bare:.2f} s for {n_windows} bare windows of {WINDOW}",
    )


def _in_turn(cube: str, model: str) -> tuple[list[float], list[float], int]:
    """Seconds of steps and of bare passes, and the windows of either."""
    torch.set_num_threads(1)
    config = EmulatorConfig(
        cube=cube, model=model, start=YEARS[0], window=WINDOW, stride=STRIDE, batch=BATCH
    )
    emulator = LandSurface()
    emulator.initialize(config)
    n_windows = len(emulator._running.domain.cores)
    network, card = load_model(model)
    fast = frozen(network)
    inputs = torch.rand(BATCH, WINDOW, WINDOW, len(card.channels)).permute(0, 3, 1, 2)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(n_windows // BATCH):
                fast.heads(inputs)

    emulator.update()  # compiles
    bare()
    steps, passes = [], []
    for _ in range(ROUNDS):
        passes.append(seconds(bare))
        steps.append(seconds(emulator.update))
    return steps, passes, n_windows
