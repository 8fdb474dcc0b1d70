"""What the model sees: the channels of its input and their order.

Shapes: B batch, C input channels, K classes, L level channels of the forcing, D of them continuous, S static channels,
H W window; V N some channels, Y X the grid that they are held on. Channels: prior one-hot (K), land (1), forcing levels
(L), their changes since the prior year (D), the same relative to the larger of both levels (D), static (S).

Training puts them together in torch, `assemble`, a batch at a time; inference writes them in place, `fill`, to the same
bits.
"""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luray.compiled import compiled
from luray.regrid import AxisMap
from luray.schema import F32, OUTSIDE, U8, Variable

Index = NDArray[np.int64]

UNKNOWN = 254
"""Prior class of a land cell whose class is hidden from the model."""

CHANGE_SCALE = 0.05
"""Change of a scaled forcing in one year that the model sees as a half; it sees no change, however large, as 1."""

NOTHING = 1e-6
"""Added to the level that a relative change is divided by."""


def scaled(values: NDArray[Any], variable: Variable) -> F32:
    """One variable as the model sees it, shape (channels, lat, lon) for values (lat, lon); missing (NaN) is 0."""
    if variable.categories:
        one_hot: F32 = (values == np.array(variable.categories, values.dtype)[:, None, None]).astype(np.float32)
        return one_hot
    seen: F32 = values.astype(np.float32)
    if variable.transform == "log1p":
        np.log1p(seen, out=seen)
    seen /= np.float32(variable.scale)
    seen[np.isnan(seen)] = 0
    return seen[None]


def category(codes: NDArray[Any], variable: Variable) -> NDArray[np.int16]:
    """Position of codes among the categories of a variable, same shape; -1 for none of them."""
    found = np.full(codes.shape, -1, np.int16)
    _find(codes.reshape(-1), np.array(variable.categories, codes.dtype), found.reshape(-1))
    return found


@compiled
def _find(codes: NDArray[Any], categories: NDArray[Any], found: NDArray[np.int16]) -> None:
    for i in range(len(codes)):
        for n in range(len(categories)):
            if codes[i] == categories[n]:
                found[i] = n
                break


@dataclass(frozen=True)
class Features:
    """Layout of the input for K classes and the given forcing and static variables."""

    n_classes: int
    forcing: tuple[Variable, ...]
    static: tuple[Variable, ...]

    @cached_property
    def changing(self) -> NDArray[np.int64]:
        """Level channels of continuous forcing, which also enter as change since the prior year."""
        kinds = [not v.categories for v in self.forcing for _ in range(v.channels)]
        return np.flatnonzero(kinds)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of every input channel, in order."""

        def levels(variables: tuple[Variable, ...]) -> list[str]:
            return [f"{v.name}={c}" if v.categories else v.name for v in variables for c in v.categories or (0,)]

        forcing = levels(self.forcing)
        prior = [f"prior={k}" for k in range(self.n_classes)]
        changes = (f"{kind} of {forcing[i]}" for kind in ("change", "relative change") for i in self.changing)
        return (*prior, "land", *forcing, *changes, *levels(self.static))

    @property
    def n_channels(self) -> int:
        """C, channels of the model input."""
        return len(self.names)


def changes(now: Any, prior: Any, xp: ModuleType) -> tuple[Any, Any]:
    """Change from the prior level, and change relative to the larger of both; arrays of `xp`, same shape.

    The change x is seen as x / (|x| + `CHANGE_SCALE`), between -1 and 1: a model is not led astray by changes larger
    than those that it was trained on. Of a share that falls the relative change is the part that is lost, of one that
    rises the part that is new.
    """
    change = now - prior
    return (change / (xp.abs(change) + CHANGE_SCALE),
            change / (xp.maximum(xp.abs(now), xp.abs(prior)) + NOTHING))


def assemble(prior_BHW: Tensor, context_BCHW: Tensor, *, n_classes: int) -> Tensor:
    """Model input (B, C, H, W) from the prior class indices (uint8; `UNKNOWN`, `OUTSIDE` allowed) and the context."""
    table = torch.zeros(256, n_classes + 1)
    table[:n_classes, :n_classes] = torch.eye(n_classes)
    table[:n_classes, n_classes] = table[UNKNOWN, n_classes] = 1.0
    table[OUTSIDE] = 0.0
    prior_BCHW = table.to(context_BCHW.device)[prior_BHW.long()].permute(0, 3, 1, 2)
    return torch.cat([prior_BCHW, context_BCHW], dim=1).contiguous(memory_format=torch.channels_last)


class Nearest(NamedTuple):
    """Channels in a row, from the first, on a grid of their own: a cell has the values at its row and column there."""

    values_YXN: F32
    row_H: Index
    col_W: Index
    first: int


class Bilinear(NamedTuple):
    """Forcing interpolated between native cells: its level and both of its changes."""

    now_VYX: F32
    prior_VYX: F32
    rows: AxisMap
    cols: AxisMap
    channels_V3: Index
    """Channels of level, change and relative change."""


class Categories(NamedTuple):
    """A categorical variable on a grid of its own: which of its channels is 1 (see `category`), from the first."""

    channel_YX: NDArray[np.int16]
    row_H: Index
    col_W: Index
    first: int


class Context(NamedTuple):
    """What the model sees of a box besides the prior; every part has index maps of all the box's rows and columns."""

    static: tuple[Nearest, ...]
    forcing: tuple[Nearest, ...]
    """Levels and changes of forcing that is the same for a whole native cell."""
    interpolated: tuple[Bilinear, ...]
    categories: tuple[Categories, ...]

    @classmethod
    def of(cls, shape: tuple[int, int], static: list[Nearest], forcing: list[Nearest], interpolated: list[Bilinear],
           categories: list[Categories]) -> "Context":
        """The context of a box; a part without channels stands for what there is none of, as a kernel needs types."""
        rows, cols = (AxisMap(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.float32)) for n in shape)
        blank = np.zeros((0, 1, 1), np.float32)
        nearest = Nearest(blank.reshape(1, 1, 0), rows.low, cols.low, 0)
        bilinear = Bilinear(blank, blank, rows, cols, np.zeros((0, 3), np.int64))
        nothing = Categories(np.full((1, 1), -1, np.int16), rows.low, cols.low, 0)
        return cls(tuple(static or [nearest]), tuple(forcing or [nearest]), tuple(interpolated or [bilinear]),
                   tuple(categories or [nothing]))


@compiled
def fill(inputs_HWC: F32, prior_HW: U8, context: Context, top: int, left: int, n_classes: int) -> None:
    """Write the whole input of the window whose first cell is (top, left) in the context, as `assemble` does.

    Row by row, while a row is in the processor's cache: what a coarse cell determines is put on a line, which the rows
    of the same coarse cells copy, together with the static channels; then come the few that differ from cell to cell.
    """
    height, width, _ = inputs_HWC.shape
    line_WC = np.zeros(inputs_HWC.shape[1:], np.float32)
    for i in range(height):
        row, inputs_WC = top + i, inputs_HWC[i]
        for part in context.forcing:
            if i == 0 or part.row_H[row] != part.row_H[row - 1]:
                _spread(line_WC, part, row, left)
        _copy(inputs_WC, line_WC, context.static[-1], row, left)
        for p in range(len(context.static) - 1):
            _spread(inputs_WC, context.static[p], row, left)
        for j in range(width):
            k = prior_HW[i, j]
            inputs_WC[j, min(k, n_classes)] = 1
            inputs_WC[j, n_classes] = k < n_classes or k == UNKNOWN
        for kind in context.categories:
            channel_X = kind.channel_YX[kind.row_H[row]]
            for j in range(width):
                channel = channel_X[kind.col_W[left + j]]
                if channel >= 0:
                    inputs_WC[j, kind.first + channel] = 1
        for mixed in context.interpolated:
            _interpolate(inputs_WC, mixed, row, left)


@compiled
def _copy(inputs_WC: F32, line_WC: F32, part: Nearest, row: int, left: int) -> None:
    """Write a whole row, a line and the channels of a part over it; in one go where they are the last channels."""
    values_XN, first = part.values_YXN[part.row_H[row]], part.first
    if first + values_XN.shape[1] < inputs_WC.shape[1]:
        cells, line = inputs_WC.reshape(-1), line_WC.reshape(-1)
        for c in range(len(line)):
            cells[c] = line[c]
        _spread(inputs_WC, part, row, left)
        return
    assert first >= 0  # so that the compiler need not ask whether an index counts from the end
    for j in range(len(inputs_WC)):
        x = part.col_W[left + j]
        for c in range(first):
            inputs_WC[j, c] = line_WC[j, c]
        if x >= 0:
            for n in range(values_XN.shape[1]):
                inputs_WC[j, first + n] = values_XN[x, n]


@compiled
def _spread(inputs_WC: F32, part: Nearest, row: int, left: int) -> None:
    """Write the channels of a part to a row."""
    values_XN, first = part.values_YXN[part.row_H[row]], part.first
    for j in range(len(inputs_WC)):
        x = part.col_W[left + j]
        for n in range(values_XN.shape[1]):
            inputs_WC[j, first + n] = values_XN[x, n]


@compiled
def _interpolate(inputs_WC: F32, part: Bilinear, row: int, left: int) -> None:
    """Write levels and changes of interpolated forcing to a row: between native rows first, then between columns."""
    n_variables, _, n_cols = part.now_VYX.shape
    width, one = len(inputs_WC), np.float32(1)
    above, below, weight = part.rows.low[row], part.rows.high[row], part.rows.weight[row]
    left_W, right_W = part.cols.low[left : left + width], part.cols.high[left : left + width]
    weight_W = part.cols.weight[left : left + width]
    now_X, prior_X = np.empty(n_cols, np.float32), np.empty(n_cols, np.float32)
    seen_3W = np.empty((3, width), np.float32)
    for v in range(n_variables):
        for x in range(n_cols):
            now_X[x] = part.now_VYX[v, above, x] * (one - weight) + part.now_VYX[v, below, x] * weight
            prior_X[x] = part.prior_VYX[v, above, x] * (one - weight) + part.prior_VYX[v, below, x] * weight
        for j in range(width):
            now = now_X[left_W[j]] * (one - weight_W[j]) + now_X[right_W[j]] * weight_W[j]
            prior = prior_X[left_W[j]] * (one - weight_W[j]) + prior_X[right_W[j]] * weight_W[j]
            change = now - prior
            seen_3W[0, j] = now
            seen_3W[1, j] = change / (abs(change) + np.float32(CHANGE_SCALE))
            seen_3W[2, j] = change / (max(abs(now), abs(prior)) + np.float32(NOTHING))
        level, change_to, relative = part.channels_V3[v]
        for j in range(width):
            inputs_WC[j, level], inputs_WC[j, change_to], inputs_WC[j, relative] = seen_3W[:, j]
