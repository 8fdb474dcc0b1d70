"""Overlap averaging that does not depend on the order of arrival.

Probabilities are rounded to 16-bit integers and added with integer weights: a sum of integers has no order, so one
worker or many, any tile size and any schedule give the same bits.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from luray.compiled import compiled
from luray.schema import F32, I32, OUTSIDE, U8, Bool, Config
from luray.windows import Tiling

ONE = 65535
"""Fixed-point value of probability 1."""

Taper = Literal["uniform", "linear"]


class BlendingConfig(Config):
    """How overlapping windows are averaged: every window alike, or falling linearly towards a window's edge."""

    taper: Taper = "linear"


def window_weights(tiling: Tiling, *, taper: Taper) -> I32:
    """Integer weight of each cell of a window, shape (window, window), at least 1.

    Linear: 1 at the edge, rising by 1 a cell over the overlap of two windows, the product of both axes.
    Raises ValueError if the sums could pass 2^31.
    """
    overlap = 2 * tiling.margin
    ramp = np.minimum(np.arange(1, tiling.window + 1), np.arange(tiling.window, 0, -1))
    axis = np.minimum(ramp, max(1, overlap)) if taper == "linear" else np.ones_like(ramp)
    weights = np.outer(axis, axis).astype(np.int32)
    layers = -(-tiling.window // tiling.stride)
    if int(weights.max()) * layers**2 * ONE > np.iinfo(np.int32).max:
        raise ValueError(f"linear weights over an overlap of {overlap} cells overflow 32 bits; use taper = 'uniform' "
                         "or a smaller overlap")
    return weights


def quantise(probabilities: F32) -> I32:
    """Probabilities 0..1 as fixed-point integers 0..65535, same shape."""
    fixed: I32 = np.rint(probabilities * np.float32(ONE)).astype(np.int32)
    return fixed


@compiled
def add_window(sums_KHW: I32, odds_KHW: F32, weights_HW: I32) -> None:
    """Add to the sums of a window's cells, in place, its weighted probabilities: `quantise` of odds over their sum."""
    n_classes, height, width = odds_KHW.shape
    total_W = np.empty(width, np.float32)
    for i in range(height):
        for j in range(width):
            total_W[j] = odds_KHW[0, i, j]
        for k in range(1, n_classes):
            for j in range(width):
                total_W[j] += odds_KHW[k, i, j]
        for k in range(n_classes):
            for j in range(width):
                fixed = np.int32(np.rint(odds_KHW[k, i, j] / total_W[j] * np.float32(ONE)))
                sums_KHW[k, i, j] += fixed * weights_HW[i, j]


def decide(sums_KHW: I32, land: Bool) -> tuple[U8, U8]:
    """Class index and confidence of each cell from its sums, both uint8 (lat, lon).

    The class is the largest sum (the lowest index where equal); confidence is its share of the total in percent,
    rounded half up. Cells without land are `OUTSIDE` with confidence 0.
    """
    classes, confidence = np.full(land.shape, OUTSIDE, np.uint8), np.zeros(land.shape, np.uint8)
    assert _decide(sums_KHW, land, classes, confidence), "a land cell was covered by no window"
    return classes, confidence


@compiled
def _decide(sums_KHW: I32, land: Bool, classes: U8, confidence: U8) -> bool:
    """Fill the class and the confidence of land cells; returns whether all of them have sums."""
    for i in range(land.shape[0]):
        for j in range(land.shape[1]):
            if land[i, j]:
                total, best = np.int64(0), 0
                for k in range(sums_KHW.shape[0]):
                    total += sums_KHW[k, i, j]
                    if sums_KHW[k, i, j] > sums_KHW[best, i, j]:
                        best = k
                if total == 0:
                    return False
                classes[i, j] = best
                confidence[i, j] = (200 * np.int64(sums_KHW[best, i, j]) + total) // (2 * total)
    return True


def percent(part: I32, total: NDArray[np.int64]) -> U8:
    """Share of the total in percent, rounded half up, same shape; 0 of nothing."""
    share: NDArray[np.int64] = (200 * part.astype(np.int64) + total) // np.maximum(2 * total, 1)
    return share.astype(np.uint8)


def percentages(sums_KHW: I32, land: Bool) -> U8:
    """Averaged probability of every class of each cell in percent, rounded half up, uint8 (K, H, W); 0 off land."""
    total = sums_KHW.sum(axis=0, dtype=np.int64)
    return np.stack([np.where(land, percent(sums, total), np.uint8(0)) for sums in sums_KHW])


Rectangle = tuple[slice, slice]
"""Rows and columns of a tile."""


def frame(shape: tuple[int, int], margin: int) -> tuple[Rectangle, tuple[Rectangle, ...]]:
    """Cells of a tile that no neighbour's window reaches, and disjoint bands `margin` wide around them."""
    height, width = shape
    if 2 * margin >= min(shape):
        return (slice(0, 0), slice(0, 0)), ((slice(0, height), slice(0, width)),)
    rows, cols = slice(margin, height - margin), slice(margin, width - margin)
    return (rows, cols), ((slice(0, margin), slice(0, width)), (slice(height - margin, height), slice(0, width)),
                          (rows, slice(0, margin)), (rows, slice(width - margin, width)))


def add_strip(sums_KHW: I32, strip_KHW: I32, *, band: Rectangle, at: Rectangle) -> None:
    """Add to the sums of a band what falls into it of a strip, both rectangles of the same tile; in place."""
    both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(band, at, strict=True)]
    if all(s.start < s.stop for s in both):
        to, of = ([slice(s.start - o.start, s.stop - o.start) for s, o in zip(both, origin, strict=True)]
                  for origin in (band, at))
        sums_KHW[:, *to] += strip_KHW[:, *of]
