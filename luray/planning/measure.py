"""Time of a bare forward pass, by which everything that runs one is measured."""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from luray.core.config import CpuPrecision
from luray.core.processes import keep_memory
from luray.engine.precision import trunk_of_precision
from luray.engine.trunk import Trunk
from luray.model.checkpoint import load_model
from luray.model.unet import UNet, frozen
from luray.model.unet_config import UNetConfig

WARM_UP = 2
"""Passes that are not timed."""


class ForwardCost(NamedTuple):
    """Cost of a window's forward pass."""

    seconds: float
    """Wall-clock time, over all processes that compute at once."""
    cpu_seconds: float
    """Processor time, which other work on the machine hardly changes."""


def forward_cost(
    folder: str,
    *,
    batch: int,
    window: int,
    processes: int,
    threads: int,
    seconds: float,
    whole: bool = True,
    precision: CpuPrecision = "float32",
) -> ForwardCost:
    """Measure what a window costs while several processes compute at once.

    Each process is new and runs the frozen model on batches of random windows.

    Parameters
    ----------
    folder : str
        Of the model.
    batch : int
        Windows of a forward pass.
    window : int
        Cells along a side of a window.
    processes, threads : int
        Processes, and threads of each.
    seconds : float
        About how long they compute.
    whole : bool
        Whether the whole model runs, or only its trunk, which is what inference leaves to torch.
    precision : {"float32", "bfloat16"}
        Of the trunk; the whole model runs in float32.
    """
    assert precision == "float32" or not whole, "only a trunk has another precision"
    keep_memory()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
        jobs = [
            pool.submit(_measure, folder, batch, window, threads, seconds, whole, precision)
            for _ in range(processes)
        ]
        costs = [job.result() for job in jobs]
    return together(costs)


def together(costs: Sequence[ForwardCost]) -> ForwardCost:
    """Return the cost of a window where several processes compute at once, each at its own cost.

    Examples
    --------
    >>> together([ForwardCost(3, 1), ForwardCost(6, 1), ForwardCost(6, 4)])
    ForwardCost(seconds=1.5, cpu_seconds=2.0)
    """
    windows_per_second = sum(1 / cost.seconds for cost in costs)
    return ForwardCost(1 / windows_per_second, sum(cost.cpu_seconds for cost in costs) / len(costs))


def _measure(
    folder: str,
    batch: int,
    window: int,
    threads: int,
    seconds: float,
    whole: bool,
    precision: CpuPrecision,
) -> ForwardCost:
    """Measure the cost of a window in this process."""
    torch.set_num_threads(threads)
    model, card = load_model(folder)
    fast = frozen(model)
    forward = fast.heads if whole else trunk_of_precision(Trunk(fast), precision)
    channels = len(card.channels) if whole else fast.first.out_channels
    inputs = torch.rand(batch, window, window, channels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            forward(inputs)

        passes = 0
        started = time.perf_counter()
        cpu_started = time.process_time()
        while time.perf_counter() - started < seconds:
            forward(inputs)
            passes += 1
        n_windows = passes * batch
        wall_seconds = time.perf_counter() - started
        cpu_seconds = time.process_time() - cpu_started
        return ForwardCost(wall_seconds / n_windows, cpu_seconds / n_windows)


def trunk_flops(config: UNetConfig, *, classes: int, window: int) -> int:
    """Count the floating-point operations of a window's trunk.

    A multiplication and its addition are two.

    Examples
    --------
    >>> multiplications = 4 * 4 * 9 + 4 * 4  # a 3 x 3 convolution, and the head
    >>> trunk_flops(UNetConfig(width=4, depth=0), classes=3, window=8) // (8 * 8)
    320
    >>> 2 * multiplications
    320
    """
    with torch.device("meta"):  # shapes without values
        trunk = Trunk(UNet(1, classes, config).eval())
        first = torch.empty(1, config.width, window, window)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        trunk(first)
    return int(counter.get_total_flops())


def first_layer_flops(n_channels: int, width: int, *, window: int) -> int:
    """Count the floating-point operations of a window's first convolution, 3 x 3.

    Examples
    --------
    >>> first_layer_flops(10, 4, window=8) // (8 * 8)
    720
    """
    return 2 * 9 * n_channels * width * window**2
