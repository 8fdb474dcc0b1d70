"""Members of an ensemble: a class drawn from the averaged probabilities, the same whoever draws it.

The numbers come from a counter-based generator (Philox4x64-10; Salmon et al. 2011,
doi:10.1145/2063384.2063405), keyed by seed, scenario and member, its counter the year, row and
column of the cell on the run grid: no tile, order or engine changes a draw. A class is drawn by the
exponential race: with E_k independent and exponential, argmax_k s_k / E_k is k with probability s_k
/ sum(s). So the map of a member is the argmax of scores, as an unsampled one is of the sums, and a
demand can be imposed on it the same way.

Shapes: K classes; H W cells of a box; C cells of a row.
"""

import numpy as np

from luray.core.compiled import compiled
from luray.core.legend import OUTSIDE
from luray.core.random import RandomStream
from luray.core.tiling import Box
from luray.core.types import F32, I32, U8, U32, Bool
from luray.engine.demand import F64

LOG_2 = 0.6931471805599453

OFFSET = np.uint64((1024 << 52) - 0x3FE6A09E667F3BCD)
"""What makes the exponent of a double 1024 from the square root of 1/2 to that of 2."""


def sample(
    sums_KHW: I32, land_HW: Bool, draws: RandomStream, *, year: int, box: Box
) -> tuple[U8, U8]:
    """Class index and confidence of each cell of a box of the run grid, drawn from its sums, both
    uint8 (H, W).

    The class is the largest of `perturbed` (the lowest index where equal); confidence is the share
    of its sum in percent, rounded half up, as in `blending.decide`. Cells without land are
    `OUTSIDE` with confidence 0.
    """
    sums, (classes, confidence) = (
        np.ascontiguousarray(sums_KHW),
        np.empty((2, *land_HW.shape), np.uint8),
    )
    waits_KC = np.empty((len(sums_KHW), box.width))
    for row, numbers_CB in enumerate(draws.rows(len(sums_KHW), year=year, box=box)):
        _wait(numbers_CB, waits_KC)
        _draw(sums, row, waits_KC, classes[row], confidence[row])
    return np.where(land_HW, classes, np.uint8(OUTSIDE)), np.where(land_HW, confidence, np.uint8(0))


def perturbed(sums_KHW: I32, draws: RandomStream, *, year: int, box: Box) -> F32:
    """Scores s_k / E_k of the classes of each cell of a box of the run grid, float32 (K, H, W).

    They are 0 where the sum is, and their argmax is the map of `sample`: see `demand.constrain`.
    """
    scores_KHW = np.empty(sums_KHW.shape, np.float32)
    waits_KC = np.empty((len(sums_KHW), box.width))
    for row, numbers_CB in enumerate(draws.rows(len(sums_KHW), year=year, box=box)):
        _wait(numbers_CB, waits_KC)
        np.divide(sums_KHW[:, row], waits_KC, out=scores_KHW[:, row], casting="same_kind")
    return scores_KHW


@compiled
def _wait(numbers_CB: U32, waits_KC: F64) -> None:
    """Exponential waiting times -log(u), u = (n + 1/2) / 2^32, of a row.

    The logarithm is a series in operations that IEEE 754 rounds in one way only, exact to a few
    units in the last place: that of a C library could draw another class on another machine.
    """
    bits_KC = waits_KC.view(np.uint64)
    for k in range(len(waits_KC)):
        for c in range(waits_KC.shape[1]):
            waits_KC[k, c] = (numbers_CB[c, k] + 0.5) * 2.0**-32
        for c in range(waits_KC.shape[1]):
            exponent = np.int32((bits_KC[k, c] + OFFSET) >> np.uint64(52)) - np.int32(1024)
            bits_KC[k, c] -= np.uint64(exponent) << np.uint64(52)
            u = waits_KC[k, c]
            s = (u - 1) / (u + 1)
            t = s * s
            series = 1 + t * (
                1 / 3
                + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t * (1 / 13 + t / 15)))))
            )
            waits_KC[k, c] = -(exponent * LOG_2 + 2 * s * series)


@compiled
def _draw(sums_KHW: I32, row: int, waits_KC: F64, classes_C: U8, confidence_C: U8) -> None:
    """Class with the largest sum of a row over waiting time, in single precision, and its share of
    the total.
    """
    n_cells = len(classes_C)
    best_C, winner_C = np.full(n_cells, np.float32(-1)), np.zeros(n_cells, np.int32)
    chosen_C, total_C = np.zeros(n_cells, np.int32), np.zeros(n_cells)
    for k in range(len(sums_KHW)):
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
