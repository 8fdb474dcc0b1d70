"""What a forward pass costs with nothing around it: the measure of everything that runs one."""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from luray.core.processes import keep_memory
from luray.engine.trunk import Trunk
from luray.model.checkpoint import load_model
from luray.model.unet import UNet, UNetConfig, frozen

WARM_UP = 2
"""Passes that are not timed."""


class Forward(NamedTuple):
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
) -> Forward:
    """What a window costs while `processes` processes compute at once for about `seconds`.

    Each is new, has `threads` threads and runs the frozen model of `folder` on a batch of random
    windows; unless `whole`, only its trunk, which is what inference leaves to torch.
    """
    keep_memory()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
        jobs = [
            pool.submit(_timed, folder, batch, window, threads, seconds, whole)
            for _ in range(processes)
        ]
        costs = [job.result() for job in jobs]
    return together(costs)


def together(costs: Sequence[Forward]) -> Forward:
    """Cost of a window where each of several processes, which compute at once, has its own."""
    windows_per_second = sum(1 / cost.seconds for cost in costs)
    return Forward(1 / windows_per_second, sum(cost.cpu_seconds for cost in costs) / len(costs))


def _timed(
    folder: str, batch: int, window: int, threads: int, seconds: float, whole: bool
) -> Forward:
    """Cost of a window in this process."""
    torch.set_num_threads(threads)
    model, card = load_model(folder)
    fast = frozen(model)
    run, channels = (
        (fast.heads, len(card.channels)) if whole else (Trunk(fast), fast.first.out_channels)
    )
    inputs = torch.rand(batch, window, window, channels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            run(inputs)
        passes, started, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - started < seconds:
            run(inputs)
            passes += 1
        n = passes * batch
        return Forward((time.perf_counter() - started) / n, (time.process_time() - cpu) / n)


def trunk_flops(config: UNetConfig, *, classes: int, window: int) -> int:
    """Floating-point operations of a window's trunk, a multiplication and its addition being two."""
    with torch.device("meta"):
        trunk = Trunk(UNet(1, classes, config).eval())
        first = torch.empty(1, config.width, window, window)
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        trunk(first)
    return int(counted.get_total_flops())
