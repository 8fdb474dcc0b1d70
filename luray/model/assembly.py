"""Model input written in place, without arrays in between.

Shapes: H W C a window, all channels of a cell together, as convolutions on a CPU want it; Y X native cells; V
variables. What is written equals what `features.assemble` makes of `Features.context`, to the bit. `lay` comes first:
the others write what differs from cell to cell into what it has laid.
"""

import numpy as np
from numpy.typing import NDArray

from luray.compiled import compiled
from luray.model.features import CHANGE_SCALE, NOTHING, UNKNOWN
from luray.regrid import AxisMap
from luray.schema import F32, U8

Index = NDArray[np.int64]
SCALE, LITTLE, ONE = np.float32(CHANGE_SCALE), np.float32(NOTHING), np.float32(1)
CODES = 2**16
"""Codes of a category lie below this."""


@compiled
def lay(native_YXC: F32, rows_H: Index, cols_W: Index, field_HWS: F32, top: int, left: int, cuts: Index,
        out_HWC: F32) -> None:
    """Every channel of the nearest native cell, and over it those of a fine field.

    A row is put together once and copied while the native row is the same. The window begins at the field's row `top`
    and column `left`; each of `cuts` is a channel, a number of channels, and where they are in the field, (n, 3).
    """
    n_channels, row = out_HWC.shape[2], -1
    line = np.empty(cols_W.size * n_channels, np.float32)
    for i in range(rows_H.size):
        if rows_H[i] != row:
            row = rows_H[i]
            for j in range(cols_W.size):
                for c in range(n_channels):
                    line[j * n_channels + c] = native_YXC[row, cols_W[j], c]
        cells, fine = out_HWC[i].reshape(-1), field_HWS[top + i]
        for x in range(line.size):
            cells[x] = line[x]
        for cut in range(cuts.shape[0]):
            first, n, s = cuts[cut]
            for j in range(cols_W.size):
                for c in range(n):
                    out_HWC[i, j, first + c] = fine[left + j, s + c]


@compiled
def put_prior(classes_HW: U8, n_classes: int, out_HWC: F32) -> None:
    """Ones for the prior's class and for land, the first channels, where zeros were laid."""
    for i in range(classes_HW.shape[0]):
        for j in range(classes_HW.shape[1]):
            k = classes_HW[i, j]
            if k < n_classes:
                out_HWC[i, j, k] = ONE
            if k < n_classes or k == UNKNOWN:
                out_HWC[i, j, n_classes] = ONE


@compiled
def put_codes(codes_YX: NDArray[np.generic], rows_H: Index, cols_W: Index, channel_of: Index, out_HWC: F32) -> None:
    """Ones for the category of the nearest native cell, where zeros were laid; `channel_of` a code is -1 for none."""
    for i in range(rows_H.size):
        for j in range(cols_W.size):
            channel = channel_of[codes_YX[rows_H[i], cols_W[j]]]
            if channel >= 0:
                out_HWC[i, j, channel] = ONE


def channels_of(categories: tuple[int, ...], first: int) -> Index:
    """Channel of each code, int64 (`CODES`,): from `first` on in the order of the categories, -1 for other codes."""
    channel_of = np.full(CODES, -1, np.int64)
    channel_of[list(categories)] = first + np.arange(len(categories))
    return channel_of


@compiled
def put_runs(native_YXV: F32, rows_H: Index, cols_W: Index, firsts: Index, out_HWC: F32) -> None:
    """Values of the nearest native cells, in runs of equally many channels that begin at `firsts`."""
    n = native_YXV.shape[2] // firsts.size
    for i in range(rows_H.size):
        for j in range(cols_W.size):
            for r in range(firsts.size):
                for v in range(n):
                    out_HWC[i, j, firsts[r] + v] = native_YXV[rows_H[i], cols_W[j], r * n + v]


def put_changes(now_YXV: F32, prior_YXV: F32, rows: AxisMap, cols: AxisMap, firsts: Index, out_HWC: F32) -> None:
    """Interpolated levels, their changes and relative changes, in three runs of channels that begin at `firsts`."""
    _put_changes(now_YXV, prior_YXV, rows.low, rows.high, rows.weight, cols.low, cols.high, cols.weight, firsts,
                 out_HWC)


def put_levels(native_YXV: F32, rows: AxisMap, cols: AxisMap, first: int, out_HWC: F32) -> None:
    """Interpolated levels, from channel `first` on."""
    _put_levels(native_YXV, rows.low, rows.high, rows.weight, cols.low, cols.high, cols.weight, first, out_HWC)


@compiled
def _put_changes(now_YXV: F32, prior_YXV: F32, low_H: Index, high_H: Index, weight_H: F32, low_W: Index, high_W: Index,
                 weight_W: F32, firsts: Index, out_HWC: F32) -> None:
    now_XV, prior_XV = np.empty_like(now_YXV[0]), np.empty_like(prior_YXV[0])
    for i in range(low_H.size):
        _mix(now_YXV, low_H[i], high_H[i], weight_H[i], now_XV)
        _mix(prior_YXV, low_H[i], high_H[i], weight_H[i], prior_XV)
        for j in range(low_W.size):
            c, d, w = low_W[j], high_W[j], weight_W[j]
            for v in range(now_XV.shape[1]):
                now = now_XV[c, v] * (ONE - w) + now_XV[d, v] * w
                prior = prior_XV[c, v] * (ONE - w) + prior_XV[d, v] * w
                change = now - prior
                out_HWC[i, j, firsts[0] + v] = now
                out_HWC[i, j, firsts[1] + v] = change / (abs(change) + SCALE)
                out_HWC[i, j, firsts[2] + v] = change / (max(abs(now), abs(prior)) + LITTLE)


@compiled
def _put_levels(native_YXV: F32, low_H: Index, high_H: Index, weight_H: F32, low_W: Index, high_W: Index, weight_W: F32,
                first: int, out_HWC: F32) -> None:
    native_XV = np.empty_like(native_YXV[0])
    for i in range(low_H.size):
        _mix(native_YXV, low_H[i], high_H[i], weight_H[i], native_XV)
        for j in range(low_W.size):
            for v in range(native_XV.shape[1]):
                out_HWC[i, j, first + v] = (native_XV[low_W[j], v] * (ONE - weight_W[j])
                                            + native_XV[high_W[j], v] * weight_W[j])


@compiled
def _mix(native_YXV: F32, low: int, high: int, weight: np.float32, out_XV: F32) -> None:
    """Interpolate between two native rows."""
    for x in range(out_XV.shape[0]):
        for v in range(out_XV.shape[1]):
            out_XV[x, v] = native_YXV[low, x, v] * (ONE - weight) + native_YXV[high, x, v] * weight
