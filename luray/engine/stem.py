"""The first layer of a U-Net on a window, worked out from what its input is made of rather than
from the input.

Most of an input says little: classes are one-hot, hundreds of cells share a native cell of the
scenario, and terrain never changes. The first convolution is linear, so it is a sum of what each of
these gives: one vector of a table for three neighbouring classes, one line for all rows of the same
native cells, and for what is fixed a field that is computed once. So it takes a third of the time
of writing the input and convolving it (66 channels, width 16).

Every output is the same sum in the same order wherever a window lies, so no bit depends on tiles,
batches or threads.

Shapes: O outputs of the layer, T its 9 taps, row by row; C input channels; V N some of them; Y X
the grid that they are held on; H W window, Q P with a cell around it. Beyond a window there is
nothing: zero padding, as in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import conv2d

from luray.core.compiled import compiled
from luray.core.regrid import AxisMap
from luray.core.types import F32, U8
from luray.model.features import CHANGE_SCALE, NOTHING, UNKNOWN
from luray.model.unet import UNet

Index = NDArray[np.int64]

STEPS = 32767
"""From 0 to the largest number of a field that never changes: it is off by 1.5e-5 of that at most.
"""


class Part(Protocol):
    """What some channels are made of; its index maps reach over all rows and columns of a box."""

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """Add what it gives to the window whose first cell is (top, left) in the box."""
        ...


class Fixed(NamedTuple):
    """What never changes gives to a window, in `STEPS` of each output's own: half the memory of
    single precision.
    """

    steps_HWO: NDArray[np.int16]
    step_O: F32

    @classmethod
    def of(cls, field_HWO: F32, steps_HWO: NDArray[np.int16]) -> "Fixed":
        """A field, to the nearest step, in an array that is there."""
        step_O = np.zeros(field_HWO.shape[-1], np.float32)
        _pack(field_HWO, steps_HWO, step_O, STEPS)
        return cls(steps_HWO, step_O)


@dataclass(frozen=True, eq=False)
class Stem:
    """The first convolution of a frozen model, and the table of what each prior class gives."""

    weights_TCO: F32
    bias_O: F32
    n_classes: int
    _prior_DSO: F32 = field(init=False)

    def __post_init__(self) -> None:
        w_TKO, land_T1O = (
            self.weights_TCO[:, : self.n_classes],
            self.weights_TCO[:, [self.n_classes]],
        )
        object.__setattr__(
            self, "_prior_DSO", _in_threes(np.concatenate([w_TKO + land_T1O, land_T1O], axis=1))
        )

    @classmethod
    def of(cls, model: UNet) -> "Stem":
        """The stem of a frozen model."""
        conv = model.first
        weights = (
            conv.weight.detach().permute(2, 3, 1, 0).reshape(9, conv.in_channels, conv.out_channels)
        )
        assert conv.bias is not None
        return cls(
            np.ascontiguousarray(weights.numpy()),
            conv.bias.detach().numpy().copy(),
            model.n_classes,
        )

    def fixed(self, inputs_BHWN: F32, channels: Index) -> F32:
        """What some channels give, and the bias, (B, H, W, O). No bit depends on what is in a batch
        of two.
        """
        weights_TNO = self.weights_TCO[:, channels]
        if not channels.size:
            return np.tile(self.bias_O, (*inputs_BHWN.shape[:3], 1))
        kernel = (
            torch.from_numpy(weights_TNO).reshape(3, 3, *weights_TNO.shape[1:]).permute(3, 2, 0, 1)
        )
        with torch.inference_mode():
            out = conv2d(
                torch.from_numpy(inputs_BHWN).permute(0, 3, 1, 2),
                kernel.contiguous(memory_format=torch.channels_last),
                torch.from_numpy(self.bias_O),
                padding=1,
            )
            found: F32 = out.permute(0, 2, 3, 1).contiguous().numpy()
        return found

    def begin(
        self, out_HWO: F32, prior_HW: U8, fixed: Fixed, parts: Sequence[Part], top: int, left: int
    ) -> None:
        """Write the layer, ReLU included, on the window whose first cell is (top, left) in the box
        of the parts.

        `prior_HW` are class indices, `UNKNOWN` or `OUTSIDE`.
        """
        _begin(out_HWO, prior_HW, *fixed, self._prior_DSO, self.n_classes, UNKNOWN)
        for part in parts:
            part.add(out_HWO, top, left)
        _rectify(out_HWO.reshape(-1))

    def coarse(self, values_YXN: F32, rows: Index, cols: Index, channels: Index) -> "Coarse":
        """The part of channels that are the same for a whole native cell."""
        w_NTO = self.weights_TCO[:, channels].transpose(1, 0, 2)
        return Coarse(values_YXN, rows, cols, np.ascontiguousarray(w_NTO))

    def smooth(
        self, now_VYX: F32, prior_VYX: F32, rows: AxisMap, cols: AxisMap, channels_V3: Index
    ) -> "Smooth":
        """The part of forcing interpolated between native cells: level, change and relative change
        of each variable.
        """
        return Smooth(
            now_VYX,
            prior_VYX,
            rows,
            cols,
            np.ascontiguousarray(self.weights_TCO[:, channels_V3].transpose(1, 2, 0, 3)),
        )

    def coded(
        self, channel_YX: NDArray[np.int16], rows: Index, cols: Index, channels: slice
    ) -> "Coded":
        """The part of a categorical variable: which of its channels is 1, -1 for none (see
        `features.category`).
        """
        return Coded(
            channel_YX,
            rows,
            cols,
            channels.stop - channels.start,
            _in_threes(self.weights_TCO[:, channels]),
        )


class Coarse(NamedTuple):
    """See `Stem.coarse`."""

    values_YXN: F32
    row_H: Index
    col_W: Index
    weights_NTO: F32

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """See `Part.add`."""
        height, width, _ = out_HWO.shape
        _add_coarse(
            out_HWO,
            self.values_YXN,
            self.row_H[top : top + height],
            self.col_W[left : left + width],
            self.weights_NTO,
        )


class Smooth(NamedTuple):
    """See `Stem.smooth`."""

    now_VYX: F32
    prior_VYX: F32
    rows: AxisMap
    cols: AxisMap
    weights_V3TO: F32

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """See `Part.add`."""
        height, width, _ = out_HWO.shape
        rows, cols = (
            self.rows.take(slice(top, top + height)),
            self.cols.take(slice(left, left + width)),
        )
        for now_YX, prior_YX, weights_3TO in zip(
            self.now_VYX, self.prior_VYX, self.weights_V3TO, strict=True
        ):
            seen_3QP = _seen(
                now_YX, prior_YX, rows, cols, np.float32(CHANGE_SCALE), np.float32(NOTHING)
            )
            _add_smooth(out_HWO, seen_3QP, weights_3TO)


class Coded(NamedTuple):
    """See `Stem.coded`."""

    channel_YX: NDArray[np.int16]
    row_H: Index
    col_W: Index
    n: int
    table_DSO: F32
    """For each row of taps, what three channels beside each other give, see `_in_threes`."""

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """See `Part.add`."""
        height, width, _ = out_HWO.shape
        _add_coded(
            out_HWO,
            self.channel_YX,
            self.row_H[top : top + height],
            self.col_W[left : left + width],
            self.n,
            self.table_DSO,
        )


def _in_threes(weights_TKO: F32) -> F32:
    """What three one-hot cells beside each other give, (3, (K + 1)^3, O): of each row of taps, of
    each three codes.

    The code after the last stands for nothing.
    """
    n_out = weights_TKO.shape[-1]
    w_DEKO = np.concatenate([weights_TKO, np.zeros((9, 1, n_out), np.float32)], axis=1).reshape(
        3, 3, -1, n_out
    )
    left, middle, right = (
        w_DEKO[:, 0, :, None, None],
        w_DEKO[:, 1, None, :, None],
        w_DEKO[:, 2, None, None, :],
    )
    return np.ascontiguousarray((left + middle + right).reshape(3, -1, n_out))


@compiled
def _threes(code_HW: NDArray[Any], three_QW: NDArray[np.int32], nothing: int) -> None:
    """Place in the table of each cell and its left and right neighbour, for rows around the window
    as well.
    """
    n, (height, width) = nothing + 1, code_HW.shape
    three_QW[0] = three_QW[height + 1] = (nothing * n + nothing) * n + nothing
    for i in range(height):
        codes_W, threes_W = code_HW[i], three_QW[i + 1]
        for j in range(1, width - 1):
            threes_W[j] = (codes_W[j - 1] * n + codes_W[j]) * n + codes_W[j + 1]
        first, last = codes_W[0], codes_W[width - 1]
        threes_W[0] = (nothing * n + first) * n + (codes_W[1] if width > 1 else nothing)
        threes_W[width - 1] = (
            (codes_W[width - 2] if width > 1 else nothing) * n + last
        ) * n + nothing


@compiled
def _pack(field_HWO: F32, steps_HWO: NDArray[np.int16], step_O: F32, most: int) -> None:
    height, width, n_out = field_HWO.shape
    for i in range(height):
        for j in range(width):
            field = field_HWO[i, j]
            for o in range(n_out):
                step_O[o] = max(step_O[o], abs(field[o]))
    for o in range(n_out):
        step_O[o] = step_O[o] / np.float32(most) if step_O[o] > 0 else np.float32(1)
    for i in range(height):
        for j in range(width):
            field, steps = field_HWO[i, j], steps_HWO[i, j]
            for o in range(n_out):
                steps[o] = np.int16(np.rint(field[o] / step_O[o]))


@compiled
def _begin(
    out_HWO: F32,
    prior_HW: U8,
    steps_HWO: NDArray[np.int16],
    step_O: F32,
    table_DSO: F32,
    n_classes: int,
    unknown: int,
) -> None:
    """What is fixed, and what the prior gives."""
    height, width, n_out = out_HWO.shape
    code_HW, three_QW = np.empty((height, width), np.int32), np.empty((height + 2, width), np.int32)
    for i in range(height):
        for j in range(width):
            k = prior_HW[i, j]
            code_HW[i, j] = k if k < n_classes else n_classes if k == unknown else n_classes + 1
    _threes(code_HW, three_QW, n_classes + 1)
    for i in range(height):
        above_W, here_W, below_W = three_QW[i], three_QW[i + 1], three_QW[i + 2]
        for j in range(width):
            out, steps = out_HWO[i, j], steps_HWO[i, j]
            a, b, c = table_DSO[0, above_W[j]], table_DSO[1, here_W[j]], table_DSO[2, below_W[j]]
            for o in range(n_out):
                out[o] = np.float32(steps[o]) * step_O[o] + (a[o] + b[o] + c[o])


@compiled
def _rectify(out: F32) -> None:
    for c in range(len(out)):
        out[c] = np.float32(0) if out[c] < 0 else out[c]  # NaN stays, as in torch


@compiled
def _add_coded(
    out_HWO: F32, channel_YX: NDArray[np.int16], row_H: Index, col_W: Index, n: int, table_DSO: F32
) -> None:
    height, width, n_out = out_HWO.shape
    code_HW, three_QW = np.empty((height, width), np.int32), np.empty((height + 2, width), np.int32)
    for i in range(height):
        channel_X = channel_YX[row_H[i]]
        for j in range(width):
            code = channel_X[col_W[j]]
            code_HW[i, j] = code if code >= 0 else n
    _threes(code_HW, three_QW, n)
    for i in range(height):
        above_W, here_W, below_W = three_QW[i], three_QW[i + 1], three_QW[i + 2]
        for j in range(width):
            out = out_HWO[i, j]
            a, b, c = table_DSO[0, above_W[j]], table_DSO[1, here_W[j]], table_DSO[2, below_W[j]]
            for o in range(n_out):
                out[o] += a[o] + b[o] + c[o]


@compiled
def _add_coarse(
    out_HWO: F32, values_YXN: F32, row_H: Index, col_W: Index, weights_NTO: F32
) -> None:
    """A line is worked out for rows that lie in other native rows than those before them, and added
    to all the rest.
    """
    height, width, n_out = out_HWO.shape
    run_W = np.zeros(width, np.int64)  # columns of the same native cell
    for j in range(1, width):
        run_W[j] = run_W[j - 1] + (col_W[j] != col_W[j - 1])
    col_U = np.empty(run_W[width - 1] + 1, np.int64)
    for j in range(width):
        col_U[run_W[j]] = col_W[j]
    given_3UTO = np.empty(
        (3, len(col_U), 9, n_out), np.float32
    )  # of the native rows above, here and below
    line_WO = np.empty((width, n_out), np.float32)
    slot_H = np.zeros(height, np.int64)
    for i in range(1, height):
        slot_H[i] = slot_H[i - 1] if row_H[i] == row_H[i - 1] else (slot_H[i - 1] + 1) % 3
    _give(given_3UTO[0], values_YXN[row_H[0]], col_U, weights_NTO)
    for i in range(height):
        if i + 1 < height and row_H[i + 1] != row_H[i]:
            _give(given_3UTO[slot_H[i + 1]], values_YXN[row_H[i + 1]], col_U, weights_NTO)
        if not (1 < i < height - 1 and row_H[i - 2] == row_H[i - 1] == row_H[i] == row_H[i + 1]):
            line_WO[:] = 0
            for d in range(max(0, 1 - i), min(3, height - i + 1)):
                given_UTO = given_3UTO[slot_H[i + d - 1]]
                for e in range(3):
                    for j in range(max(0, 1 - e), min(width, width + 1 - e)):
                        line_O, given_O = line_WO[j], given_UTO[run_W[j + e - 1], 3 * d + e]
                        for o in range(n_out):
                            line_O[o] += given_O[o]
        out, line = out_HWO[i].reshape(-1), line_WO.reshape(-1)
        for c in range(len(line)):
            out[c] += line[c]


@compiled
def _give(given_UTO: F32, values_XN: F32, col_U: Index, weights_NTO: F32) -> None:
    """What each of some cells gives by each tap."""
    for u in range(len(col_U)):
        given, values_N = given_UTO[u].reshape(-1), values_XN[col_U[u]]
        given[:] = 0
        for n in range(len(values_N)):
            weights, value = weights_NTO[n].reshape(-1), values_N[n]
            for c in range(len(given)):
                given[c] += value * weights[c]


@compiled
def _seen(
    now_YX: F32, prior_YX: F32, rows: AxisMap, cols: AxisMap, scale: np.float32, nothing: np.float32
) -> F32:
    """Level, change and relative change (see `features.changes`) of a window, with zeros around it,
    (3, Q, P).

    Interpolated between native rows first, then between columns.
    """
    n_cols, width, one = now_YX.shape[1], len(cols.low), np.float32(1)
    seen_3QP = np.zeros((3, len(rows.low) + 2, width + 2), np.float32)
    now_X, prior_X = np.empty(n_cols, np.float32), np.empty(n_cols, np.float32)
    for i in range(len(rows.low)):
        above, below, weight = rows.low[i], rows.high[i], rows.weight[i]
        for x in range(n_cols):
            now_X[x] = now_YX[above, x] * (one - weight) + now_YX[below, x] * weight
            prior_X[x] = prior_YX[above, x] * (one - weight) + prior_YX[below, x] * weight
        levels, changes, relative = seen_3QP[0, i + 1], seen_3QP[1, i + 1], seen_3QP[2, i + 1]
        for j in range(width):
            w = cols.weight[j]
            now = now_X[cols.low[j]] * (one - w) + now_X[cols.high[j]] * w
            prior = prior_X[cols.low[j]] * (one - w) + prior_X[cols.high[j]] * w
            change = now - prior
            levels[j + 1] = now
            changes[j + 1] = change / (abs(change) + scale)
            relative[j + 1] = change / (max(abs(now), abs(prior)) + nothing)
    return seen_3QP


@compiled
def _add_smooth(out_HWO: F32, seen_3QP: F32, weights_3TO: F32) -> None:
    height, width, n_out = out_HWO.shape
    for i in range(height):
        for v in range(3):
            w = weights_3TO[v]
            w0, w1, w2, w3, w4, w5, w6, w7, w8 = (
                w[0],
                w[1],
                w[2],
                w[3],
                w[4],
                w[5],
                w[6],
                w[7],
                w[8],
            )
            above_P, here_P, below_P = seen_3QP[v, i], seen_3QP[v, i + 1], seen_3QP[v, i + 2]
            for j in range(width):
                out = out_HWO[i, j]
                x0, x1, x2 = above_P[j], above_P[j + 1], above_P[j + 2]
                x3, x4, x5 = here_P[j], here_P[j + 1], here_P[j + 2]
                x6, x7, x8 = below_P[j], below_P[j + 1], below_P[j + 2]
                for o in range(n_out):
                    out[o] += (
                        x0 * w0[o]
                        + x1 * w1[o]
                        + x2 * w2[o]
                        + x3 * w3[o]
                        + x4 * w4[o]
                        + x5 * w5[o]
                        + x6 * w6[o]
                        + x7 * w7[o]
                        + x8 * w8[o]
                    )
