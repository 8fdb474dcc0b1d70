"""The demand imposed on a tile, against what the tile's map costs without it: the forward passes of
its windows.

And the draw of a member's classes, against the decision for the likeliest.

A tile of 2000 x 2000 cells on land, 100 windows of 256 x 256, 6400 blocks of 25 x 25 cells; one
thread.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from luray.core.legend_files import HILDA
from luray.core.random import RandomStream
from luray.core.tiling import Box
from luray.core.types import F32, I32, U8
from luray.engine.blending import ONE, decide
from luray.engine.demand import Shortfall, constrain
from luray.engine.ensemble import sample
from luray.model.unet import UNet, frozen
from luray.model.unet_config import UNetConfig
from tests.benchmarks.ratio import Ratio, in_turn, seconds

SIDE, BLOCK = 2000, 25
WINDOWS, BATCH, CHANNELS = 100, 2, 48
GROUPS = ((0,), (1,), (2,), (3,), (4, 5))
"""Class indices of the groups that LUH2 can tell apart; water is in none."""


def measure() -> Iterator[Ratio]:
    """Forward passes over what the demand adds to the decision; the decision alone over a tile
    without any demand.
    """
    prior, sums = world()
    land, change = np.full(prior.shape, True), some_change()
    torch.set_num_threads(1)
    model = frozen(UNet(CHANNELS, len(HILDA), UNetConfig()))
    inputs = torch.zeros(BATCH, CHANNELS, 256, 256)

    def impose(change_GYX: F32) -> tuple[U8, U8, Shortfall]:
        return constrain(sums, prior, land, change_GYX, block=BLOCK, groups=GROUPS, strength=1.0)

    compiling = seconds(lambda: impose(change))
    with torch.inference_mode():
        plain, imposed, idle, forward = in_turn(
            lambda: decide(sums, land),
            lambda: impose(change),
            lambda: impose(np.full_like(change, np.nan)),
            lambda: model(inputs),
        )
    moved = (impose(change)[0] != decide(sums, land)[0]).sum() / change[0].size
    passes = forward * WINDOWS / BATCH
    yield Ratio(
        "demand of a tile, forward passes over it",
        passes / (imposed - plain),
        20,
        f"{imposed - plain:.2f} s more than the decision's {plain:.2f} s, {passes:.1f} s of "
        f"forward passes, {moved:.1f} cells moved a block, first call {compiling:.1f} s",
    )
    yield Ratio(
        "demand of nothing, decision over it",
        plain / idle,
        0.6,
        f"{idle:.2f} s with, {plain:.2f} s without",
    )
    draws, box = RandomStream(0, "ssp126", 1), Box(SIDE, SIDE, SIDE, SIDE)
    seconds(lambda: sample(sums, land, draws, year=2050, box=box))
    plain, drawn = in_turn(
        lambda: decide(sums, land), lambda: sample(sums, land, draws, year=2050, box=box)
    )
    yield Ratio(
        "draw of a member's tile, decision over it",
        plain / drawn,
        0.6,
        f"{drawn:.2f} s for a draw, {plain:.2f} s for the likeliest classes",
    )


def world() -> tuple[U8, I32]:
    """Return a patchy prior map and sums that keep 99 of 100 cells of it."""
    random = np.random.default_rng(0)
    n_classes = len(HILDA)

    # patches of some 20 cells: each cell has the class whose smooth noise is largest there
    noise_KHW = [gaussian_filter(random.normal(size=(SIDE, SIDE)), 20) for _ in range(n_classes)]
    prior_HW = np.stack(noise_KHW).argmax(axis=0)

    is_prior_KHW = np.arange(n_classes)[:, None, None] == prior_HW
    logits_KHW = random.normal(size=(n_classes, SIDE, SIDE)) + 4 * is_prior_KHW
    odds_KHW = np.exp(logits_KHW)
    probability_KHW = odds_KHW / odds_KHW.sum(axis=0)
    sums_KHW = np.rint(probability_KHW * ONE * 64).astype(np.int32)
    return prior_HW.astype(np.uint8), sums_KHW


def some_change() -> F32:
    """Return changes that sum to nothing.

    Net, they are 3 to 4 % of each block, more than HILDA+ has anywhere in a year.
    """
    n_blocks = SIDE // BLOCK
    change = np.random.default_rng(1).normal(size=(len(GROUPS), n_blocks, n_blocks)) * 0.02
    return (change - change.mean(axis=0)).astype(np.float32)
