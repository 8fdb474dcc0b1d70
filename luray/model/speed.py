"""What a forward pass costs with nothing around it: the measure of everything that runs one."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from luray.model.checkpoint import load_model
from luray.model.unet import frozen

WARM_UP = 2
"""Passes that are not timed."""


def forward_seconds(folder: str, *, batch: int, window: int, processes: int, threads: int, seconds: float) -> float:
    """Seconds of `processes` processes, computing at once for about `seconds`, per window of them all.

    Each is new, has `threads` threads and runs the frozen model of `folder` on a batch of random windows.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
        jobs = [pool.submit(_timed, folder, batch, window, threads, seconds) for _ in range(processes)]
        rates = [1 / job.result() for job in jobs]
    return 1 / sum(rates)


def _timed(folder: str, batch: int, window: int, threads: int, seconds: float) -> float:
    """Seconds a window in this process."""
    torch.set_num_threads(threads)
    model, card = load_model(folder)
    fast = frozen(model)
    inputs = torch.rand(batch, len(card.channels), window, window).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            fast(inputs)
        passes, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            fast(inputs)
            passes += 1
        return (time.perf_counter() - started) / passes / batch
