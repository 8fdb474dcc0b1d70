"""Overlap averaging that does not depend on the order of arrival.

Probabilities are rounded to 16-bit integers and added with integer weights: a sum of integers has
no order, so one worker or many, any tile size and any schedule give the same bits.

Shapes: K classes, C heads of the model; H W cells of a window, Y X those of the sums.
"""

from typing import Literal

import numpy as np

from luray.core.compiled import compiled
from luray.core.config import Config
from luray.core.legend import OUTSIDE
from luray.core.percent import percent
from luray.core.tiling import Tiling
from luray.core.types import F32, I32, U8, Bool

ONE = 65535
"""Fixed-point value of probability 1."""

LINEAR = np.float32(20)
"""Bonus above which log(1 + exp(x)) is x, as in torch."""

Taper = Literal["uniform", "linear"]


class BlendingConfig(Config):
    """How overlapping windows are averaged: every window alike, or falling linearly towards a
    window's edge.
    """

    taper: Taper = "linear"


def window_weights(tiling: Tiling, *, taper: Taper) -> I32:
    """Integer weight of each cell of a window, shape (window, window), at least 1.

    Linear: 1 at the edge, rising by 1 a cell over the overlap of two windows, the product of both
    axes. Raises ValueError if the sums could pass 2^31.
    """
    overlap = 2 * tiling.margin
    ramp = np.minimum(np.arange(1, tiling.window + 1), np.arange(tiling.window, 0, -1))
    axis = np.minimum(ramp, max(1, overlap)) if taper == "linear" else np.ones_like(ramp)
    weights = np.outer(axis, axis).astype(np.int32)
    layers = -(-tiling.window // tiling.stride)
    if int(weights.max()) * layers**2 * ONE > np.iinfo(np.int32).max:
        raise ValueError(
            f"linear weights over an overlap of {overlap} cells overflow 32 bits; use taper = "
            "'uniform' "
            "or a smaller overlap"
        )
    return weights


def add_window(
    sums_KYX: I32,
    heads_HWC: F32,
    prior_HW: U8,
    weights_HW: I32,
    *,
    at: tuple[int, int],
    temperature: float,
    bias: float,
) -> None:
    """Add a window's weighted probabilities to the sums, in place, its first cell at a row and
    column.

    `heads_HWC` are the logit of each class and the bonus of the prior's class (see
    `unet.UNet.heads`); logits are divided by the temperature, and the prior's class gets the bias
    then. Probabilities are their softmax, rounded to 1 / `ONE`. Exponentials are NumPy's, over one
    array in one order: no bit depends on threads, or on the batch.
    """
    bonus_HW = np.ascontiguousarray(heads_HWC[..., -1])
    softplus_HW = np.log1p(np.exp(np.minimum(bonus_HW, LINEAR)))
    softplus_HW[bonus_HW > LINEAR] = bonus_HW[bonus_HW > LINEAR]
    shares_HKW = np.empty((heads_HWC.shape[0], len(sums_KYX), heads_HWC.shape[1]), np.float32)
    _calibrate(
        heads_HWC, softplus_HW, prior_HW, np.float32(temperature), np.float32(bias), shares_HKW
    )
    np.exp(shares_HKW, out=shares_HKW)
    _accumulate(shares_HKW, weights_HW, sums_KYX, *at)


@compiled
def _calibrate(
    heads_HWC: F32,
    bonus_HW: F32,
    prior_HW: U8,
    temperature: np.float32,
    bias: np.float32,
    logits_HKW: F32,
) -> None:
    """Logits less the largest of each cell; short loops along a row, which vectorise."""
    height, n_classes, width = logits_HKW.shape
    largest_W = np.empty(width, np.float32)
    for i in range(height):
        logits_KW, heads_WC, prior_W = logits_HKW[i], heads_HWC[i], prior_HW[i]
        for k in range(n_classes):
            logits_W = logits_KW[k]
            for j in range(width):
                logits_W[j] = heads_WC[j, k]
        for j in range(width):
            if prior_W[j] < n_classes:
                logits_KW[prior_W[j], j] += bonus_HW[i, j]
        for k in range(n_classes):
            logits_W = logits_KW[k]
            for j in range(width):
                logits_W[j] /= temperature
        largest_W[:] = -np.inf
        for j in range(width):
            if prior_W[j] < n_classes:
                logits_KW[prior_W[j], j] += bias
        for k in range(n_classes):
            logits_W = logits_KW[k]
            for j in range(width):
                largest_W[j] = max(largest_W[j], logits_W[j])
        for k in range(n_classes):
            logits_W = logits_KW[k]
            for j in range(width):
                logits_W[j] -= largest_W[j]


@compiled
def _accumulate(shares_HKW: F32, weights_HW: I32, sums_KYX: I32, top: int, left: int) -> None:
    """Add shares of their total, in fixed point and weighted."""
    height, n_classes, width = shares_HKW.shape
    total_W = np.empty(width, np.float32)
    for i in range(height):
        shares_KW, weights_W = shares_HKW[i], weights_HW[i]
        total_W[:] = 0
        for k in range(n_classes):
            shares_W = shares_KW[k]
            for j in range(width):
                total_W[j] += shares_W[j]
        for k in range(n_classes):
            shares_W, sums_W = shares_KW[k], sums_KYX[k, top + i, left : left + width]
            for j in range(width):
                sums_W[j] += (
                    np.int32(np.rint(shares_W[j] / total_W[j] * np.float32(ONE))) * weights_W[j]
                )


def decide(sums_KHW: I32, land: Bool) -> tuple[U8, U8]:
    """Class index and confidence of each cell from its sums, both uint8 (lat, lon).

    The class is the largest sum (the lowest index where equal); confidence is its share of the
    total in percent, rounded half up. Cells without land are `OUTSIDE` with confidence 0.
    """
    classes, confidence = np.full(land.shape, OUTSIDE, np.uint8), np.zeros(land.shape, np.uint8)
    assert _decide(sums_KHW, land, classes, confidence), "a land cell was covered by no window"
    return classes, confidence


@compiled
def _decide(sums_KHW: I32, land: Bool, classes: U8, confidence: U8) -> bool:
    """Fill the class and the confidence of land cells; returns whether all of them have sums.

    Short loops along a row, which vectorise. The floor of a float64 quotient of two integers below
    2^40 is exact.
    """
    n_classes, height, width = sums_KHW.shape
    total_W, best_W, which_W = (
        np.empty(width, np.int64),
        np.empty(width, np.int32),
        np.empty(width, np.uint8),
    )
    for i in range(height):
        total_W[:], best_W[:], which_W[:] = 0, -1, 0
        for k in range(n_classes):
            sums_W = sums_KHW[k, i]
            for j in range(width):
                total_W[j] += sums_W[j]
            for j in range(width):
                which_W[j] = k if sums_W[j] > best_W[j] else which_W[j]
                best_W[j] = max(best_W[j], sums_W[j])
        unseen = 0
        for j in range(width):
            total = total_W[j]
            percent = np.floor(
                np.float64(200 * np.int64(best_W[j]) + total) / np.float64(max(2 * total, 1))
            )
            unseen += land[i, j] and total == 0
            classes[i, j] = which_W[j] if land[i, j] else classes[i, j]
            confidence[i, j] = np.uint8(percent) if land[i, j] else confidence[i, j]
        if unseen:
            return False
    return True


def percentages(sums_KHW: I32, land: Bool) -> U8:
    """Averaged probability of every class of each cell in percent, rounded half up, uint8 (K, H,
    W); 0 off land.
    """
    total = sums_KHW.sum(axis=0, dtype=np.int64)
    return np.stack([np.where(land, percent(sums, total), np.uint8(0)) for sums in sums_KHW])


Rectangle = tuple[slice, slice]
"""Rows and columns of a tile."""


def frame(shape: tuple[int, int], margin: int) -> tuple[Rectangle, tuple[Rectangle, ...]]:
    """Cells of a tile that no neighbour's window reaches, and disjoint bands `margin` wide around
    them.
    """
    height, width = shape
    if 2 * margin >= min(shape):
        return (slice(0, 0), slice(0, 0)), ((slice(0, height), slice(0, width)),)
    rows, cols = slice(margin, height - margin), slice(margin, width - margin)
    return (rows, cols), (
        (slice(0, margin), slice(0, width)),
        (slice(height - margin, height), slice(0, width)),
        (rows, slice(0, margin)),
        (rows, slice(width - margin, width)),
    )


def add_strip(sums_KHW: I32, strip_KHW: I32, *, band: Rectangle, at: Rectangle) -> None:
    """Add to the sums of a band what falls into it of a strip, both rectangles of the same tile; in
    place.
    """
    both = [
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(band, at, strict=True)
    ]
    if all(s.start < s.stop for s in both):
        to, of = (
            [slice(s.start - o.start, s.stop - o.start) for s, o in zip(both, origin, strict=True)]
            for origin in (band, at)
        )
        sums_KHW[:, *to] += strip_KHW[:, *of]
