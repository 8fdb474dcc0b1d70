"""Average the probabilities of overlapping windows, in an order of arrival that does not matter.

A sum of floating-point numbers depends on its order, so a map would depend on which worker was
first. Here every probability is rounded to a 16-bit integer (`ONE` is 1) and added with an integer
weight. Integers add up to the same in any order, so one worker or many, any tile size and any
schedule give the same bits.

Shapes: K classes, C heads of the model (K logits and a bonus); H W cells of a window, Y X those of
the sums. Kernels work on rows: K W is one row of H.
"""

from typing import Literal

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.compiled import compiled
from luray.core.config import Config
from luray.core.legend import OUTSIDE
from luray.core.percent import percent
from luray.core.tiling import Box, Tiling
from luray.core.types import F32, I32, U8, Bool

ONE = 65535
"""Fixed-point value of probability 1."""

LINEAR = np.float32(20)
"""Bonus above which softplus, log(1 + exp(x)), is x; the same threshold as torch's."""

Taper = Literal["uniform", "linear"]


class BlendingConfig(Config):
    """Configuration of the average over overlapping windows.

    With `uniform` every window counts alike; with `linear` its weight falls towards its edge.
    """

    taper: Taper = "linear"


def window_weights(tiling: Tiling, *, taper: Taper) -> I32:
    """Return the integer weight of each cell of a window.

    With `linear` it is 1 at the edge and rises by 1 a cell over the overlap of two windows, the
    product of both axes.

    Parameters
    ----------
    tiling : Tiling
        Size and stride of the windows.
    taper : {"uniform", "linear"}
        See `BlendingConfig`.

    Returns
    -------
    array, int32, shape (window, window)
        At least 1.

    Raises
    ------
    ValueError
        If the sums could pass 2^31.

    Examples
    --------
    >>> window_weights(Tiling(8, 8, window=4, stride=2, tile=2), taper="linear")
    array([[1, 2, 2, 1],
           [2, 4, 4, 2],
           [2, 4, 4, 2],
           [1, 2, 2, 1]], dtype=int32)
    """
    overlap = 2 * tiling.margin
    from_edge = np.minimum(np.arange(1, tiling.window + 1), np.arange(tiling.window, 0, -1))
    ramp = np.minimum(from_edge, max(1, overlap))
    axis = ramp if taper == "linear" else np.ones_like(ramp)
    weights = np.outer(axis, axis).astype(np.int32)

    windows_over_a_cell = ceil_div(tiling.window, tiling.stride) ** 2
    if int(weights.max()) * windows_over_a_cell * ONE > np.iinfo(np.int32).max:
        raise ValueError(
            f"linear weights over an overlap of {overlap} cells overflow 32 bits; use taper = "
            "'uniform' or a smaller overlap"
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
    """Add a window's weighted probabilities to the sums, in place.

    The prior's class gets its bonus, all logits are divided by the temperature, and the prior's
    class gets the bias. Probabilities are the softmax of that, rounded to 1 / `ONE`.

    Parameters
    ----------
    sums_KYX : array, int32
        Changed in place.
    heads_HWC : array, float32
        The logit of each class and the bonus of the prior's class, see `UNet.heads`.
    prior_HW : array, uint8
        Class indices of the prior map; `UNKNOWN` and `OUTSIDE` get no bonus.
    weights_HW : array, int32
        See `window_weights`.
    at : tuple of int
        Row and column of the sums that the window's first cell is added to.
    temperature, bias : float
        See `luray.model.calibration.Calibration`.
    """
    bonus_HW = softplus(np.ascontiguousarray(heads_HWC[..., -1]))
    height, width, _ = heads_HWC.shape
    shares_HKW = np.empty((height, len(sums_KYX), width), np.float32)
    _calibrate(heads_HWC, bonus_HW, prior_HW, np.float32(temperature), np.float32(bias), shares_HKW)

    # NumPy's exponential over one array, in one order: no bit depends on threads or on the batch.
    np.exp(shares_HKW, out=shares_HKW)
    _accumulate(shares_HKW, weights_HW, sums_KYX, *at)


def softplus(values: F32) -> F32:
    """Return log(1 + exp(x)) of each value as torch has it, same shape."""
    result: F32 = np.log1p(np.exp(np.minimum(values, LINEAR)))
    is_linear = values > LINEAR
    result[is_linear] = values[is_linear]
    return result


@compiled
def _calibrate(
    heads_HWC: F32,
    bonus_HW: F32,
    prior_HW: U8,
    temperature: np.float32,
    bias: np.float32,
    logits_HKW: F32,
) -> None:
    """Write the calibrated logits of each cell, less the largest of them.

    The softmax does not change by that, and no exponential overflows. All loops go along a row with
    one class outside, so that the compiler vectorises them.
    """
    height, n_classes, width = logits_HKW.shape
    largest_W = np.empty(width, np.float32)
    for i in range(height):
        logits_KW = logits_HKW[i]
        heads_WC = heads_HWC[i]
        prior_W = prior_HW[i]

        # Classes first, cells last: the model gives them the other way round.
        for k in range(n_classes):
            logits_W = logits_KW[k]
            for j in range(width):
                logits_W[j] = heads_WC[j, k]

        # The order bonus, temperature, bias is that in which the calibration was fitted.
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
    """Add each class's share of the cell's total, in fixed point and weighted."""
    height, n_classes, width = shares_HKW.shape
    total_W = np.empty(width, np.float32)
    for i in range(height):
        shares_KW = shares_HKW[i]
        weights_W = weights_HW[i]
        total_W[:] = 0
        for k in range(n_classes):
            shares_W = shares_KW[k]
            for j in range(width):
                total_W[j] += shares_W[j]

        # Rounded before it is weighted: what a window adds does not depend on other windows.
        for k in range(n_classes):
            shares_W = shares_KW[k]
            sums_W = sums_KYX[k, top + i, left : left + width]
            for j in range(width):
                probability = np.int32(np.rint(shares_W[j] / total_W[j] * np.float32(ONE)))
                sums_W[j] += probability * weights_W[j]


def decide(sums_KHW: I32, land: Bool) -> tuple[U8, U8]:
    """Return the most probable class of each cell, and how probable it is.

    Parameters
    ----------
    sums_KHW : array, int32
        What `add_window` has added up.
    land : array, bool, shape (H, W)
        Every land cell must be covered by a window.

    Returns
    -------
    classes : array, uint8, shape (H, W)
        Index of the largest sum, the lowest index where equal; `OUTSIDE` off land.
    confidence : array, uint8, shape (H, W)
        Its share of the total in percent, rounded half up; 0 off land.

    Examples
    --------
    >>> sums = np.array([[[1, 0]], [[3, 0]]], np.int32)
    >>> decide(sums, np.array([[True, False]]))
    (array([[  1, 255]], dtype=uint8), array([[75,  0]], dtype=uint8))
    """
    classes = np.full(land.shape, OUTSIDE, np.uint8)
    confidence = np.zeros(land.shape, np.uint8)
    assert _decide(sums_KHW, land, classes, confidence), "a land cell was covered by no window"
    return classes, confidence


@compiled
def _decide(sums_KHW: I32, land: Bool, classes: U8, confidence: U8) -> bool:
    """Fill the class and the confidence of land cells; return whether all of them have sums.

    Short loops along a row vectorise, and so do conditional expressions, where branches would not.
    """
    n_classes, height, width = sums_KHW.shape
    total_W = np.empty(width, np.int64)
    best_W = np.empty(width, np.int32)
    winner_W = np.empty(width, np.uint8)
    for i in range(height):
        total_W[:] = 0
        best_W[:] = -1
        winner_W[:] = 0
        for k in range(n_classes):
            sums_W = sums_KHW[k, i]
            for j in range(width):
                total_W[j] += sums_W[j]
            for j in range(width):
                winner_W[j] = k if sums_W[j] > best_W[j] else winner_W[j]
                best_W[j] = max(best_W[j], sums_W[j])

        uncovered = 0
        for j in range(width):
            total = total_W[j]
            # floor((200 best + total) / (2 total)) is 100 best / total, rounded half up. Both
            # numbers are integers below 2^40, so the floor of their float64 quotient is exact.
            percent = np.floor(
                np.float64(200 * np.int64(best_W[j]) + total) / np.float64(max(2 * total, 1))
            )
            uncovered += land[i, j] and total == 0
            classes[i, j] = winner_W[j] if land[i, j] else classes[i, j]
            confidence[i, j] = np.uint8(percent) if land[i, j] else confidence[i, j]
        if uncovered:
            return False
    return True


def percentages(sums_KHW: I32, land: Bool) -> U8:
    """Return the averaged probability of every class in percent, rounded half up, (K, H, W).

    Examples
    --------
    >>> percentages(np.array([[[1, 0]], [[3, 0]]], np.int32), np.array([[True, False]])).tolist()
    [[[25, 0]], [[75, 0]]]
    """
    total = sums_KHW.sum(axis=0, dtype=np.int64)
    return np.stack([np.where(land, percent(sums, total), np.uint8(0)) for sums in sums_KHW])


Rectangle = tuple[slice, slice]
"""Rows and columns of a tile."""


def frame(shape: tuple[int, int], margin: int) -> tuple[Rectangle, tuple[Rectangle, ...]]:
    """Cut a tile into the cells that no neighbour's window reaches, and bands around them.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the tile.
    margin : int
        How far the windows of a neighbour reach into it.

    Returns
    -------
    inside : Rectangle
        Empty where the neighbours reach all of the tile.
    bands : tuple of Rectangle
        Disjoint; with `inside` they cover the tile.

    Examples
    --------
    >>> inside, bands = frame((6, 8), 2)
    >>> inside
    (slice(2, 4, None), slice(2, 6, None))
    >>> len(bands)
    4
    """
    height, width = shape
    if 2 * margin >= min(shape):
        everything = (slice(0, height), slice(0, width))
        return (slice(0, 0), slice(0, 0)), (everything,)

    rows = slice(margin, height - margin)
    cols = slice(margin, width - margin)
    north = (slice(0, margin), slice(0, width))
    south = (slice(height - margin, height), slice(0, width))
    west = (rows, slice(0, margin))
    east = (rows, slice(width - margin, width))
    return (rows, cols), (north, south, west, east)


def add_strip(sums_KHW: I32, strip_KHW: I32, *, band: Rectangle, at: Rectangle) -> None:
    """Add to the sums of a band what falls into it of a neighbour's strip, in place.

    Parameters
    ----------
    sums_KHW : array, int32
        Sums of the band.
    strip_KHW : array, int32
        What a neighbour's windows add to this tile.
    band, at : Rectangle
        Where band and strip lie in the tile.
    """
    band_box = _box_of(band)
    strip_box = _box_of(at)
    shared = band_box.intersection(strip_box)
    if shared is None:
        return
    in_band = shared.slices(origin=band_box)
    in_strip = shared.slices(origin=strip_box)
    sums_KHW[:, *in_band] += strip_KHW[:, *in_strip]


def _box_of(rectangle: Rectangle) -> Box:
    rows, cols = rectangle
    return Box(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
