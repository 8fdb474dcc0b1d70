"""The loops of `stem`: what each kind of input channel adds to the first layer of the model.

They are one file because compiled code may use only what stands in its own file (see
`luray.core.compiled`). The innermost loop always runs over the outputs O, which lie beside each
other in memory, so that it vectorises.

Shapes: O outputs of the layer, T its 9 taps, row by row; V N channels, M those of the memory; Y X
the native grid; H W window, Q P with a cell around it; N maps from the newest; G groups of classes;
C taps and outputs together; D rows of taps, S triples of codes; U native columns under the window.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.compiled import compiled
from luray.core.regrid import AxisMap
from luray.core.types import F32, I16, I32, I64, U8, Index


class MemoryTables(NamedTuple):
    """Factors that turn the counts of a memory into model input, see `luray.model.memory`."""

    weights_N: I64
    age_N: F32
    share_scale: np.float32
    change_scale: np.float32
    known_scale: np.float32


class QuietMemory(NamedTuple):
    """Model input for a cell that had one class in all the maps that exist."""

    share: np.float32
    """Share of its class; all other classes have none."""
    age: np.float32
    known: np.float32


class ShareChanges(NamedTuple):
    """Change of the coarse share of each group of classes, from the prior year to the year."""

    change_GYX: F32
    relative_GYX: F32
    row_H: Index
    """Native row of each row of the box."""
    col_W: Index

    def under(self, rows: slice, cols: slice) -> "ShareChanges":
        """Return the changes under a window of the box."""
        return self._replace(row_H=self.row_H[rows], col_W=self.col_W[cols])


@compiled
def to_steps(field_HWO: F32, steps_HWO: I16, step_O: F32, n_steps: int) -> None:
    """Round a field to integer steps of each output's own size; `step_O` is zeros before."""
    height, width, n_out = field_HWO.shape

    # First the largest magnitude of each output over the window.
    for i in range(height):
        for j in range(width):
            field_O = field_HWO[i, j]
            for o in range(n_out):
                step_O[o] = max(step_O[o], abs(field_O[o]))

    # It becomes `n_steps` steps. An output that is 0 everywhere gets any step but 0.
    for o in range(n_out):
        step_O[o] = step_O[o] / np.float32(n_steps) if step_O[o] > 0 else np.float32(1)

    for i in range(height):
        for j in range(width):
            field_O = field_HWO[i, j]
            steps_O = steps_HWO[i, j]
            for o in range(n_out):
                steps_O[o] = np.int16(np.rint(field_O[o] / step_O[o]))


@compiled
def rectify(out: F32) -> None:
    """Apply ReLU in place."""
    for c in range(len(out)):
        out[c] = np.float32(0) if out[c] < 0 else out[c]  # NaN stays, as in torch


@compiled
def write_static_and_prior(
    out_HWO: F32,
    prior_HW: U8,
    steps_HWO: I16,
    step_O: F32,
    table_DSO: F32,
    n_classes: int,
    unknown: int,
) -> None:
    """Write what the static channels and the prior give: the first terms of the sum.

    Parameters
    ----------
    out_HWO : float32 array
        The first layer before ReLU; what it holds is replaced.
    prior_HW : uint8 array
        Class indices of the map that the model starts from, or `unknown`, or outside.
    steps_HWO, step_O : int16 and float32 array
        The contribution of the static channels: a number of steps, and their size by output.
    table_DSO : float32 array
        The contribution of three cells of the prior beside each other, see `stem.rows_of_three`.
    n_classes, unknown : int
        Number of classes, and the code of land without a class.
    """
    height, width, n_out = out_HWO.shape
    code_HW = np.empty((height, width), np.int32)
    triple_QW = np.empty((height + 2, width), np.int32)

    # Codes of the table: each class, then unknown land, then nothing (ocean).
    for i in range(height):
        for j in range(width):
            k = prior_HW[i, j]
            if k < n_classes:
                code_HW[i, j] = k
            elif k == unknown:
                code_HW[i, j] = n_classes
            else:
                code_HW[i, j] = n_classes + 1
    _find_triples(code_HW, triple_QW, n_classes + 1)

    for i in range(height):
        # Row i of the window is row i + 1 of the triples, which begin one row above it.
        above_W = triple_QW[i]
        middle_W = triple_QW[i + 1]
        below_W = triple_QW[i + 2]
        for j in range(width):
            out_O = out_HWO[i, j]
            steps_O = steps_HWO[i, j]
            above_O = table_DSO[0, above_W[j]]
            middle_O = table_DSO[1, middle_W[j]]
            below_O = table_DSO[2, below_W[j]]
            for o in range(n_out):
                out_O[o] = np.float32(steps_O[o]) * step_O[o] + (
                    above_O[o] + middle_O[o] + below_O[o]
                )


@compiled
def own_share_changes(
    prior_HW: U8,
    change_GYX: F32,
    relative_GYX: F32,
    row_H: Index,
    col_W: Index,
    group_K: I64,
) -> F32:
    """Return both changes of the share of each cell's class, with zeros around, (2, Q, P).

    Parameters
    ----------
    prior_HW : uint8 array
        Class indices.
    change_GYX, relative_GYX : float32 array
        Change and relative change of each group's coarse share, on native cells.
    row_H, col_W : int64 array
        Native row of each row of the window, and native column of each column.
    group_K : int64 array
        Group of each class, -1 for none; a class without a group keeps 0.
    """
    height, width = prior_HW.shape
    channels_2QP = np.zeros((2, height + 2, width + 2), np.float32)
    for i in range(height):
        row = row_H[i]
        for j in range(width):
            code = prior_HW[i, j]
            if code < len(group_K) and group_K[code] >= 0:
                channels_2QP[0, i + 1, j + 1] = change_GYX[group_K[code], row, col_W[j]]
                channels_2QP[1, i + 1, j + 1] = relative_GYX[group_K[code], row, col_W[j]]
    return channels_2QP


@compiled
def add_memory(
    out_HWO: F32,
    maps_NHW: U8,
    tables: MemoryTables,
    quiet: QuietMemory,
    shares: ShareChanges,
    group_K: I64,
    weights_MTO: F32,
    n_classes: int,
    outside: int,
) -> None:
    """Add what restless cells remember, beyond what the table of the prior says of them.

    A 3 x 3 convolution of channels that are 0 but in some cells. Each restless cell adds to the
    nine outputs that see it, row by row, so an output adds what it sees in the order of its taps.
    """
    n_maps, height, width = maps_NHW.shape
    n_channels = len(weights_MTO)
    n_out = out_HWO.shape[2]
    lines_HC = out_HWO.reshape(height, width * n_out)

    # The taps of a row in the order of the outputs that see a cell through them, which is the other
    # way round. So the three outputs beside each other are one piece of a line, and so is what they
    # are given.
    n_three = 3 * n_out
    weights_MC = np.empty((n_channels, 3 * n_three), np.float32)
    for m in range(n_channels):
        for d in range(3):
            for e in range(3):
                first = d * n_three + (2 - e) * n_out
                weights_MC[m, first : first + n_out] = weights_MTO[m, 3 * d + e]

    # Buffers of one row or one cell, allocated once.
    is_restless_W = np.empty(width, np.bool_)
    share_K = np.empty(n_classes, np.int64)
    memory_M = np.empty(n_channels, np.float32)
    channels = np.zeros(n_channels + 4, np.int64)
    values = np.zeros(n_channels + 4, np.float32)
    product_C = np.empty(3 * n_three, np.float32)

    for i in range(height):
        # A cell is restless where any older map differs from the prior. A whole row is compared at
        # a time, as that vectorises; few cells are restless, and only these are worked on below.
        prior_W = maps_NHW[0, i]
        is_restless_W[:] = False
        for n in range(1, n_maps):
            older_W = maps_NHW[n, i]
            for j in range(width):
                is_restless_W[j] |= older_W[j] != prior_W[j]

        for j in range(width):
            if not is_restless_W[j] or prior_W[j] == outside:
                continue
            last_other = _remember(maps_NHW[:, i, j], tables, quiet, n_classes, share_K, memory_M)

            # The last two channels: how the coarse share of the last other class changes.
            if len(shares.change_GYX):
                group = group_K[last_other] if last_other >= 0 else -1
                row = shares.row_H[i]
                col = shares.col_W[j]
                change = shares.change_GYX[group, row, col] if group >= 0 else np.float32(0)
                relative = shares.relative_GYX[group, row, col] if group >= 0 else np.float32(0)
                memory_M[2 * n_classes + 3] = change
                memory_M[2 * n_classes + 4] = relative

            # Rows of taps d: the outputs at (i + 1 - d, j - 1 to j + 1) see this cell. The ranges
            # leave out the outputs beyond the window.
            _multiply(memory_M, weights_MC, product_C, channels, values)
            begin = n_out if j == 0 else 0
            end = 2 * n_out if j == width - 1 else n_three
            left = (j - 1) * n_out
            for d in range(max(0, i + 2 - height), min(3, i + 2)):
                out_C = lines_HC[i + 1 - d, left + begin : left + end]
                seen_C = product_C[d * n_three + begin : d * n_three + end]
                for c in range(len(out_C)):
                    out_C[c] += seen_C[c]


@compiled
def _remember(
    code_N: U8,
    tables: MemoryTables,
    quiet: QuietMemory,
    n_classes: int,
    share_K: I64,
    memory_M: F32,
) -> int:
    """Write what a cell remembers, see `luray.model.memory`, minus what a quiet one would.

    The channels are those of `Features.slices`: K shares, K for the last other class, age, past
    changes and known. Returns the last other class, -1 for none; `share_K` is for use in between.

    Conditional expressions instead of branches: nobody can guess what a restless cell was.
    """
    share_K[:] = 0
    past_changes = 0
    n_known = 0
    age = -1
    class_now = -1
    last_other = -1
    newer = -1
    newer_weight = 0
    for n in range(len(code_N)):  # from the newest map to the oldest
        code = int(code_N[n])
        if code >= n_classes:
            continue  # not known
        n_known += 1
        share_K[code] += tables.weights_N[n]

        # A change counts with the weight of the newer of its two maps.
        past_changes += newer_weight if (newer >= 0) & (code != newer) else 0
        newer = code
        newer_weight = tables.weights_N[n]

        class_now = code if class_now < 0 else class_now
        last_other = code if (last_other < 0) & (code != class_now) else last_other
        age += 1 if last_other < 0 else 0  # maps in a row, from the newest, of the present class

    # The counts above are whole numbers, so that their order does not matter; here they are scaled.
    for k in range(n_classes):
        memory_M[k] = np.float32(share_K[k]) * tables.share_scale
        memory_M[n_classes + k] = 0
    if last_other >= 0:
        memory_M[n_classes + last_other] = 1
    memory_M[2 * n_classes] = tables.age_N[max(age, 0)]
    memory_M[2 * n_classes + 1] = np.float32(past_changes) * tables.change_scale
    memory_M[2 * n_classes + 2] = np.float32(n_known) * tables.known_scale

    # The table of the prior has added what a quiet cell of this class remembers: take it away.
    prior = code_N[0]
    if prior < n_classes:
        memory_M[prior] -= quiet.share
        memory_M[2 * n_classes] -= quiet.age
        memory_M[2 * n_classes + 2] -= quiet.known
    return last_other


@compiled
def _multiply(value_M: F32, weights_MC: F32, product_C: F32, channels: Index, values: F32) -> None:
    """Write the product of one cell's channels with the weights, a vector times a matrix.

    Most channels are 0. The others are added in their order, four in one pass over the outputs.
    `channels` and `values` are buffers of M + 4 elements.
    """
    # Every channel is written down, and overwritten by the next one where it is 0: no branch.
    n = 0
    for m in range(len(value_M)):
        channels[n] = m
        values[n] = value_M[m]
        n += value_M[m] != 0
    # The last pass may have fewer than four channels left: it adds whatever channel numbers the
    # buffer still holds, times 0.
    values[n : n + 3] = 0

    product_C[:] = 0
    for first in range(0, n, 4):
        v0 = values[first]
        v1 = values[first + 1]
        v2 = values[first + 2]
        v3 = values[first + 3]
        w0 = weights_MC[channels[first]]
        w1 = weights_MC[channels[first + 1]]
        w2 = weights_MC[channels[first + 2]]
        w3 = weights_MC[channels[first + 3]]
        for c in range(len(product_C)):
            product_C[c] = product_C[c] + v0 * w0[c] + v1 * w1[c] + v2 * w2[c] + v3 * w3[c]


@compiled
def add_categorical(
    out_HWO: F32,
    channel_YX: I16,
    row_H: Index,
    col_W: Index,
    n_categories: int,
    table_DSO: F32,
) -> None:
    """Add what a categorical variable gives: three look-ups a cell, one for each row of taps.

    Parameters
    ----------
    out_HWO : float32 array
        What is added to.
    channel_YX : int16 array
        Which of the one-hot channels is 1 in a native cell, -1 for none.
    row_H, col_W : int64 array
        Native row of each row of the window, and native column of each column.
    n_categories : int
        Number of the one-hot channels.
    table_DSO : float32 array
        See `stem.rows_of_three`.
    """
    height, width, n_out = out_HWO.shape
    code_HW = np.empty((height, width), np.int32)
    triple_QW = np.empty((height + 2, width), np.int32)
    for i in range(height):
        channel_X = channel_YX[row_H[i]]
        for j in range(width):
            channel = channel_X[col_W[j]]
            code_HW[i, j] = channel if channel >= 0 else n_categories
    _find_triples(code_HW, triple_QW, n_categories)

    for i in range(height):
        above_W = triple_QW[i]
        middle_W = triple_QW[i + 1]
        below_W = triple_QW[i + 2]
        for j in range(width):
            out_O = out_HWO[i, j]
            above_O = table_DSO[0, above_W[j]]
            middle_O = table_DSO[1, middle_W[j]]
            below_O = table_DSO[2, below_W[j]]
            for o in range(n_out):
                out_O[o] += above_O[o] + middle_O[o] + below_O[o]


@compiled
def _find_triples(code_HW: NDArray[Any], triple_QW: I32, nothing: int) -> None:
    """Find each cell's triple (left neighbour, itself, right neighbour) in `stem.rows_of_three`.

    The first and the last row of the result are rows of nothing, above and below the window.
    """
    # A triple is a number of three digits in base n: left, middle, right.
    n = nothing + 1
    height, width = code_HW.shape
    three_times_nothing = (nothing * n + nothing) * n + nothing
    triple_QW[0] = three_times_nothing
    triple_QW[height + 1] = three_times_nothing
    for i in range(height):
        codes_W = code_HW[i]
        triples_W = triple_QW[i + 1]
        for j in range(1, width - 1):
            triples_W[j] = (codes_W[j - 1] * n + codes_W[j]) * n + codes_W[j + 1]

        # Beyond the sides of the window there is nothing either.
        first = codes_W[0]
        last = codes_W[width - 1]
        after_first = codes_W[1] if width > 1 else nothing
        before_last = codes_W[width - 2] if width > 1 else nothing
        triples_W[0] = (nothing * n + first) * n + after_first
        triples_W[width - 1] = (before_last * n + last) * n + nothing


@compiled
def add_nearest(
    out_HWO: F32, values_YXN: F32, row_H: Index, col_W: Index, weights_NTO: F32
) -> None:
    """Add what channels give that are the same for a whole native cell.

    A line of outputs is worked out where a row sees other native rows than the row before it, and
    added to all rows that see the same. With 0.01 degrees under 0.25, that is for one row in
    25 or so.

    Parameters
    ----------
    out_HWO : float32 array
        What is added to.
    values_YXN : float32 array
        Model input on native cells.
    row_H, col_W : int64 array
        Native row of each row of the window, and native column of each column.
    weights_NTO : float32 array
        Weights of these channels.
    """
    height, width, n_out = out_HWO.shape

    # Number the native cells under a row: U of them, each under a run of columns.
    cell_W = np.zeros(width, np.int64)
    for j in range(1, width):
        cell_W[j] = cell_W[j - 1] + (col_W[j] != col_W[j - 1])
    col_U = np.empty(cell_W[width - 1] + 1, np.int64)
    for j in range(width):
        col_U[cell_W[j]] = col_W[j]

    # A row sees at most three native rows: above, at and below it. Their products with the weights
    # are held in three slots that are used in turn.
    product_3UTO = np.empty((3, len(col_U), 9, n_out), np.float32)
    slot_H = np.zeros(height, np.int64)
    for i in range(1, height):
        slot_H[i] = slot_H[i - 1] if row_H[i] == row_H[i - 1] else (slot_H[i - 1] + 1) % 3

    line_WO = np.empty((width, n_out), np.float32)
    _multiply_native_row(product_3UTO[0], values_YXN[row_H[0]], col_U, weights_NTO)
    for i in range(height):
        # The row below comes into view: its native row is multiplied once, when it is new.
        if i + 1 < height and row_H[i + 1] != row_H[i]:
            _multiply_native_row(
                product_3UTO[slot_H[i + 1]], values_YXN[row_H[i + 1]], col_U, weights_NTO
            )

        # The line of the row before serves again where all rows that the two of them see lie in one
        # native row, and inside the window.
        if not (1 < i < height - 1 and row_H[i - 2] == row_H[i - 1] == row_H[i] == row_H[i + 1]):
            line_WO[:] = 0
            for d in range(max(0, 1 - i), min(3, height - i + 1)):  # rows of taps in the window
                product_UTO = product_3UTO[slot_H[i + d - 1]]
                for e in range(3):
                    for j in range(max(0, 1 - e), min(width, width + 1 - e)):
                        line_O = line_WO[j]
                        product_O = product_UTO[cell_W[j + e - 1], 3 * d + e]
                        for o in range(n_out):
                            line_O[o] += product_O[o]

        out = out_HWO[i].reshape(-1)
        line = line_WO.reshape(-1)
        for c in range(len(line)):
            out[c] += line[c]


@compiled
def _multiply_native_row(product_UTO: F32, values_XN: F32, col_U: Index, weights_NTO: F32) -> None:
    """Write what each native cell of a row contributes by each tap, the sum over its channels."""
    for u in range(len(col_U)):
        product = product_UTO[u].reshape(-1)
        values_N = values_XN[col_U[u]]
        product[:] = 0
        for n in range(len(values_N)):
            weights = weights_NTO[n].reshape(-1)
            value = values_N[n]
            for c in range(len(product)):
                product[c] += value * weights[c]


@compiled
def interpolated_levels_and_changes(
    now_YX: F32,
    prior_YX: F32,
    rows: AxisMap,
    cols: AxisMap,
    change_scale: np.float32,
    level_epsilon: np.float32,
) -> F32:
    """Return level, change and relative change of a window, with zeros around it, (3, Q, P).

    The same as `features.changes` of both years' windows, without holding them: interpolated
    between native rows first, then between columns.
    """
    n_cols = now_YX.shape[1]
    width = len(cols.low)
    one = np.float32(1)
    channels_3QP = np.zeros((3, len(rows.low) + 2, width + 2), np.float32)
    now_X = np.empty(n_cols, np.float32)
    prior_X = np.empty(n_cols, np.float32)
    for i in range(len(rows.low)):
        # Between native rows: one native line for a whole row of fine cells.
        above = rows.low[i]
        below = rows.high[i]
        weight = rows.weight[i]
        for x in range(n_cols):
            now_X[x] = now_YX[above, x] * (one - weight) + now_YX[below, x] * weight
            prior_X[x] = prior_YX[above, x] * (one - weight) + prior_YX[below, x] * weight

        # Between native columns. Changes come last, as they are not linear in the levels.
        level_P = channels_3QP[0, i + 1]
        change_P = channels_3QP[1, i + 1]
        relative_P = channels_3QP[2, i + 1]
        for j in range(width):
            w = cols.weight[j]
            now = now_X[cols.low[j]] * (one - w) + now_X[cols.high[j]] * w
            prior = prior_X[cols.low[j]] * (one - w) + prior_X[cols.high[j]] * w
            change = now - prior
            level_P[j + 1] = now
            change_P[j + 1] = change / (abs(change) + change_scale)
            relative_P[j + 1] = change / (max(abs(now), abs(prior)) + level_epsilon)
    return channels_3QP


@compiled
def add_fields(out_HWO: F32, channels_VQP: F32, weights_VTO: F32) -> None:
    """Add the 3 x 3 convolution of some channels.

    The nine taps are written out, so that each output is read and written once a channel and the
    loop over outputs vectorises.
    """
    height, width, n_out = out_HWO.shape
    for i in range(height):
        for v in range(len(channels_VQP)):
            w = weights_VTO[v]
            w0, w1, w2 = w[0], w[1], w[2]
            w3, w4, w5 = w[3], w[4], w[5]
            w6, w7, w8 = w[6], w[7], w[8]
            above_P = channels_VQP[v, i]
            middle_P = channels_VQP[v, i + 1]
            below_P = channels_VQP[v, i + 2]
            for j in range(width):
                out_O = out_HWO[i, j]
                x0, x1, x2 = above_P[j], above_P[j + 1], above_P[j + 2]  # a 3 x 3 neighbourhood
                x3, x4, x5 = middle_P[j], middle_P[j + 1], middle_P[j + 2]
                x6, x7, x8 = below_P[j], below_P[j + 1], below_P[j + 2]
                for o in range(n_out):
                    out_O[o] += (
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
