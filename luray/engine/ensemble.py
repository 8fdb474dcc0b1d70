"""Members of an ensemble: a class drawn from the averaged probabilities, the same whoever draws it.

The numbers come from a counter-based generator (Philox4x64-10; Salmon et al. 2011,
doi:10.1145/2063384.2063405), keyed by seed, scenario and member; its counter is the year, row and
column of the cell on the run grid. So no tile, order or engine changes a draw.

A class is drawn by the exponential race: with E_k independent and exponential, argmax_k s_k / E_k
is k with probability s_k / sum(s). So the map of a member is the argmax of scores, as an unsampled
map is the argmax of the sums, and a demand can be imposed on it the same way.

Shapes: K classes; H W cells of a box; C cells of a row; B numbers of a cell, at least K.
"""

import numpy as np

from luray.core.compiled import compiled
from luray.core.legend import OUTSIDE
from luray.core.random import RandomStream
from luray.core.tiling import Box
from luray.core.types import F32, F64, I32, U8, U32, Bool

LOG_2 = 0.6931471805599453

OFFSET = np.uint64((1024 << 52) - 0x3FE6A09E667F3BCD)
"""Added to the bits of a double, it makes their exponent 1024 for values from sqrt(1/2) to sqrt(2).

0x3FE6A09E667F3BCD are the bits of sqrt(1/2). See `_draw_waiting_times`.
"""


def sample(
    sums_KHW: I32, land_HW: Bool, draws: RandomStream, *, year: int, box: Box
) -> tuple[U8, U8]:
    """Draw the class of each cell of a box from its sums.

    Parameters
    ----------
    sums_KHW : array, int32
        See `blending.add_window`.
    land_HW : array, bool
        Land mask of the box.
    draws : RandomStream
        The numbers of the member.
    year : int
        Year of the map.
    box : Box
        Cells of the run grid.

    Returns
    -------
    classes : array, uint8, shape (H, W)
        The largest of `perturbed`, the lowest index where equal; `OUTSIDE` off land.
    confidence : array, uint8, shape (H, W)
        The share of the drawn class's sum in percent, rounded half up, as in `blending.decide`; 0
        off land.
    """
    sums_KHW = np.ascontiguousarray(sums_KHW)
    n_classes = len(sums_KHW)
    classes = np.empty(land_HW.shape, np.uint8)
    confidence = np.empty(land_HW.shape, np.uint8)
    waits_KC = np.empty((n_classes, box.width))
    for row, numbers_CB in enumerate(draws.rows(n_classes, year=year, box=box)):
        _draw_waiting_times(numbers_CB, waits_KC)
        _draw_classes(sums_KHW, row, waits_KC, classes[row], confidence[row])
    classes = np.where(land_HW, classes, np.uint8(OUTSIDE))
    return classes, np.where(land_HW, confidence, np.uint8(0))


def perturbed(sums_KHW: I32, draws: RandomStream, *, year: int, box: Box) -> F32:
    """Return the scores s_k / E_k of the classes of each cell of a box, float32 (K, H, W).

    They are 0 where the sum is, and their argmax is the map of `sample`. `demand.constrain` takes
    them in place of the sums. Parameters as in `sample`.
    """
    n_classes = len(sums_KHW)
    scores_KHW = np.empty(sums_KHW.shape, np.float32)
    waits_KC = np.empty((n_classes, box.width))
    for row, numbers_CB in enumerate(draws.rows(n_classes, year=year, box=box)):
        _draw_waiting_times(numbers_CB, waits_KC)
        np.divide(sums_KHW[:, row], waits_KC, out=scores_KHW[:, row], casting="same_kind")
    return scores_KHW


@compiled
def _draw_waiting_times(numbers_CB: U32, waits_KC: F64) -> None:
    """Write the exponential waiting times -log(u), u = (n + 1/2) / 2^32, of a row.

    The logarithm is a series in operations that IEEE 754 rounds in one way only, exact to a few
    units in the last place: that of a C library could draw another class on another machine.
    """
    bits_KC = waits_KC.view(np.uint64)
    for k in range(len(waits_KC)):
        for c in range(waits_KC.shape[1]):
            waits_KC[k, c] = (numbers_CB[c, k] + 0.5) * 2.0**-32

        for c in range(waits_KC.shape[1]):
            # u = 2^exponent v with v from sqrt(1/2) to sqrt(2), where the series converges fast.
            # Taking the exponent off the bits of u leaves v, with no rounding.
            exponent = np.int32((bits_KC[k, c] + OFFSET) >> np.uint64(52)) - np.int32(1024)
            bits_KC[k, c] -= np.uint64(exponent) << np.uint64(52)
            v = waits_KC[k, c]
            # log(v) = 2 artanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...), s = (v - 1) / (v + 1)
            s = (v - 1) / (v + 1)
            t = s * s
            series = 1 + t * (
                1 / 3
                + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t * (1 / 13 + t / 15)))))
            )
            waits_KC[k, c] = -(exponent * LOG_2 + 2 * s * series)


@compiled
def _draw_classes(sums_KHW: I32, row: int, waits_KC: F64, classes_C: U8, confidence_C: U8) -> None:
    """Write the class with the largest sum over waiting time, and its share of the total.

    Scores are compared in single precision, as `perturbed` stores them: both agree about ties.
    """
    n_cells = len(classes_C)
    best_C = np.full(n_cells, np.float32(-1))
    winner_C = np.zeros(n_cells, np.int32)
    chosen_C = np.zeros(n_cells, np.int32)
    total_C = np.zeros(n_cells)
    for k in range(len(sums_KHW)):
        # Conditional expressions vectorise, where a branch would not.
        for c in range(n_cells):
            score = np.float32(sums_KHW[k, row, c] / waits_KC[k, c])
            larger = score > best_C[c]
            best_C[c] = score if larger else best_C[c]
            chosen_C[c] = sums_KHW[k, row, c] if larger else chosen_C[c]
            winner_C[c] = np.int32(k) if larger else winner_C[c]
            total_C[c] += sums_KHW[k, row, c]
    for c in range(n_cells):
        classes_C[c] = winner_C[c]
        confidence_C[c] = np.uint8((200.0 * chosen_C[c] + total_C[c]) / max(2 * total_C[c], 1.0))
