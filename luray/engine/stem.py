"""The first layer of a U-Net, worked out from what its input is made of rather than from the input.

The trick
---------
A convolution is linear, so the first layer is a sum of what each input channel contributes. Most
channels say little, and what they contribute can be had for less than 9 multiplications a cell,
channel and output:

- *One-hot channels* (the prior, climate zones). A cell multiplies one of K channels by 1 and the
  others by 0: its contribution by one tap is a row of the weights, to be looked up. Three cells
  beside each other have (K + 2)^3 combinations, few enough for a table of what three taps in a row
  give together (`rows_of_three`). Three look-ups a cell take the place of 9 K multiplications.
- *Memory* (see `luray.model.memory`). Most cells have had one class in all the maps that they
  remember, so that what they remember follows from the prior and joins its table. Only of the
  others, the *restless* cells, the difference to that is worked out and added.
- *Values* of a continuous target, of the prior and of older maps, are numbers: a table gives each
  byte's, and they are convolved as they are.
- *Shares of the own class*: how the coarse share of the class that a cell has changes. It depends
  on prior and forcing at once, so no table holds it: two channels are convolved as they are.
- *Coarse channels* (LUH2 at 0.25 degrees). Hundreds of cells share a native cell. Its contribution
  by each tap is computed once, and one line serves all rows that see the same native rows
  (`NearestContribution`).
- *Interpolated channels* (population). They differ from cell to cell, but level, change and
  relative change of a variable are computed on the way, never stored (`BilinearContribution`).
- *Static channels* (terrain, soil) are the same in every year. Their contribution is computed once
  for each window and kept in 16-bit integers (`StaticContribution`).

So the layer takes a third of the time of writing the input and convolving it (66 channels, width
16). Every output is the same sum in the same order wherever a window lies, so no bit depends on
tiles, batches or threads. The loops are in `stem_kernels`.

Shapes: O outputs of the layer, T its 9 taps, row by row; C input channels; V N some of them, M
those of the memory; Y X the grid that they are held on; H W window, Q P with a cell around it; R
restless cells; D rows of taps, S triples of codes. Beyond a window there is nothing: zero padding,
as in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch.nn.functional import conv2d

from luray.core.legend import OUTSIDE
from luray.core.regrid import AxisMap
from luray.core.types import F32, I16, U8, Index
from luray.core.value_scale import ValueScale
from luray.engine.stem_kernels import (
    MemoryTables,
    QuietMemory,
    ShareChanges,
    add_categorical,
    add_fields,
    add_memory,
    add_nearest,
    interpolated_levels_and_changes,
    own_share_changes,
    rectify,
    to_steps,
    write_static_and_prior,
)
from luray.model.features import CHANGE_SCALE, LEVEL_EPSILON, UNKNOWN, Features
from luray.model.memory import WEIGHTS, change_scale, known_scale, seen_ages, share_scale
from luray.model.unet import UNet
from luray.model.values import seen_levels

STEPS = 32767
"""Steps from 0 to the largest number of a static contribution; it is off by 1.5e-5 of that."""


class Contribution(Protocol):
    """The contribution of some input channels to the first layer, over all cells of a box."""

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """Add it to the window whose first cell is (top, left) in the box."""
        ...


class StaticContribution(NamedTuple):
    """The contribution of bias and static channels to a window, in integer steps.

    16 bits take half the memory of single precision, and this is what a worker keeps most of. Each
    output has a step of its own, as outputs differ in size.
    """

    steps_HWO: I16
    step_O: F32

    @classmethod
    def of(cls, field_HWO: F32, steps_HWO: I16) -> "StaticContribution":
        """Round a contribution to the nearest step, into an array that exists already."""
        step_O = np.zeros(field_HWO.shape[-1], np.float32)
        to_steps(field_HWO, steps_HWO, step_O, STEPS)
        return cls(steps_HWO, step_O)


@dataclass(frozen=True, eq=False)
class Stem:
    """The first convolution of a frozen model, and the tables of what the prior contributes."""

    weights_TCO: F32
    bias_O: F32
    features: Features
    _prior_tables: dict[int, F32] = field(default_factory=dict)
    """See `_prior_table`, by the number of maps."""

    @property
    def n_classes(self) -> int:
        """K."""
        return self.features.n_classes

    @property
    def history(self) -> int:
        """Maps that the model remembers, see `luray.model.memory`."""
        return self.features.history

    def _prior_table(self, n_maps: int) -> F32:
        """What the prior contributes by itself and by what quiet cells remember, (D, S, O).

        `n_maps` is the number of maps that exist. It is below `history` only in the first steps of
        a rollout, so each table is made when it is first needed.
        """
        if n_maps in self._prior_tables:
            return self._prior_tables[n_maps]

        # The land channel is 1 wherever the prior has a class or is unknown. So it needs no table
        # of its own: each class brings it along, and "unknown" is a class with land alone.
        groups = self.features.slices
        land_T1O = self.weights_TCO[:, groups.land]
        if self.features.scale is not None:
            # Values are no classes: what they contribute is added by `_add_values`.
            self._prior_tables[n_maps] = rows_of_three(land_T1O)
            return self._prior_tables[n_maps]
        class_TKO = self.weights_TCO[:, groups.prior]
        class_TKO = class_TKO + land_T1O

        # What a quiet cell remembers follows from its class, so it is added to the class's row. A
        # cell that is not quiet gets the difference to this in `add_memory`.
        if self.history > 1:
            quiet = quiet_memory(n_maps, self.history)
            class_TKO = (
                class_TKO
                + self.weights_TCO[:, groups.shares] * quiet.share
                + self.weights_TCO[:, groups.age] * quiet.age
                + self.weights_TCO[:, groups.known] * quiet.known
            )
        table_DSO = rows_of_three(np.concatenate([class_TKO, land_T1O], axis=1))
        self._prior_tables[n_maps] = table_DSO
        return table_DSO

    @cached_property
    def _memory_MTO(self) -> F32:
        """Weights of the channels of the memory."""
        return np.ascontiguousarray(self.weights_TCO[:, self.features.memory].transpose(1, 0, 2))

    @cached_property
    def _own_share_2TO(self) -> F32:
        """Weights of the channels of the own class's share."""
        own_share = self.features.slices.own_share
        return np.ascontiguousarray(self.weights_TCO[:, own_share].transpose(1, 0, 2))

    @classmethod
    def of(cls, model: UNet, features: Features) -> "Stem":
        """Take the stem of a frozen model with these inputs."""
        conv = model.first
        assert conv.bias is not None
        # Outputs last, so that the innermost loop of the kernels runs along memory.
        weights_33CO = conv.weight.detach().permute(2, 3, 1, 0)
        weights_TCO = weights_33CO.reshape(9, conv.in_channels, conv.out_channels)
        return cls(
            np.ascontiguousarray(weights_TCO.numpy()),
            conv.bias.detach().numpy().copy(),
            features,
        )

    def write(
        self,
        out_HWO: F32,
        maps_HW: Sequence[U8],
        static: StaticContribution,
        shares: ShareChanges,
        contributions: Sequence[Contribution],
        top: int,
        left: int,
    ) -> None:
        """Write the layer, ReLU included, on one window.

        Parameters
        ----------
        out_HWO : array, float32
            Receives the layer.
        maps_HW : sequence of arrays, uint8
            Class indices of the last maps, the prior first, `UNKNOWN` or `OUTSIDE`; as many as
            there are, and `history` at most.
        static : StaticContribution
            Of this window, bias included.
        shares : ShareChanges
            How coarse shares of classes change.
        contributions : sequence of Contribution
            Of all other channels, in an order that is always the same: floats do not add up to the
            same in another one.
        top, left : int
            Where the window's first cell lies in the box of shares and contributions.
        """
        assert 1 <= len(maps_HW) <= self.history

        # The first term overwrites the array, all others are added to it. Their order never
        # changes, as sums of floats depend on it.
        table_DSO = self._prior_table(len(maps_HW))
        prior_HW = maps_HW[0]
        if self.features.scale is not None:
            prior_HW = np.where(prior_HW == OUTSIDE, prior_HW, np.uint8(UNKNOWN))  # land alone
        write_static_and_prior(out_HWO, prior_HW, *static, table_DSO, self.n_classes, UNKNOWN)

        height, width = maps_HW[0].shape
        shares = shares.under(slice(top, top + height), slice(left, left + width))
        if self.features.scale is not None:
            self._add_values(out_HWO, maps_HW, self.features.scale)
        elif self.history > 1:
            add_memory(
                out_HWO,
                np.stack(maps_HW),
                self._memory_tables,
                quiet_memory(len(maps_HW), self.history),
                shares,
                self.features.group_of_class,
                self._memory_MTO,
                self.n_classes,
                OUTSIDE,
            )
        if self.features.share_groups:
            channels_2QP = own_share_changes(maps_HW[0], *shares, self.features.group_of_class)
            add_fields(out_HWO, channels_2QP, self._own_share_2TO)

        for contribution in contributions:
            contribution.add(out_HWO, top, left)

        rectify(out_HWO.reshape(-1))

    def _add_values(self, out_HWO: F32, maps_HW: Sequence[U8], scale: ValueScale) -> None:
        """Add what the prior's values contribute, and those of the lags, as they are."""
        height, width = maps_HW[0].shape
        table = seen_levels(scale)
        lags = (0, *self.features.lags)
        channels_VQP = np.zeros((2 * len(lags), height + 2, width + 2), np.float32)
        for i, lag in enumerate(lags):
            if lag < len(maps_HW):
                # (H, W, 2) to the two channels of this map, with a cell of nothing around.
                seen_2HW = np.moveaxis(table[maps_HW[lag]], -1, 0)
                channels_VQP[2 * i : 2 * i + 2, 1:-1, 1:-1] = seen_2HW
        add_fields(out_HWO, channels_VQP, self._values_VTO)

    @cached_property
    def _values_VTO(self) -> F32:
        """Weights of the channels of `_add_values`."""
        groups = self.features.slices
        channels = [*range(groups.prior.start, groups.prior.stop)]
        channels += range(groups.lags.start, groups.lags.stop)
        return np.ascontiguousarray(self.weights_TCO[:, channels].transpose(1, 0, 2))

    @cached_property
    def _memory_tables(self) -> MemoryTables:
        return MemoryTables(
            WEIGHTS,
            seen_ages(self.history),
            share_scale(self.history),
            change_scale(),
            known_scale(self.history),
        )

    def static_field(self, inputs_BHWN: F32, channels: Index) -> F32:
        """Return what some channels contribute, the bias included.

        Parameters
        ----------
        inputs_BHWN : array, float32
            Static channels of B windows, B being 2: torch takes other algorithms for a batch of
            one, and the bits of a window must not depend on its neighbour in the batch.
        channels : array of int, shape (N,)
            Which input channels they are.

        Returns
        -------
        array, float32, shape (B, H, W, O)
        """
        if not channels.size:
            return np.tile(self.bias_O, (*inputs_BHWN.shape[:3], 1))

        weights_TNO = torch.from_numpy(self.weights_TCO[:, channels])
        weights_33NO = weights_TNO.reshape(3, 3, *weights_TNO.shape[1:])
        kernel_ON33 = weights_33NO.permute(3, 2, 0, 1)  # the order of axes that torch takes
        with torch.inference_mode():
            out_BOHW = conv2d(
                torch.from_numpy(inputs_BHWN).permute(0, 3, 1, 2),
                kernel_ON33.contiguous(memory_format=torch.channels_last),
                torch.from_numpy(self.bias_O),
                padding=1,
            )
            out_BHWO: F32 = out_BOHW.permute(0, 2, 3, 1).contiguous().numpy()
        return out_BHWO

    def nearest(
        self, values_YXN: F32, rows: Index, cols: Index, channels: Index
    ) -> "NearestContribution":
        """Return the contribution of channels that are the same for a whole native cell."""
        weights_NTO = self.weights_TCO[:, channels].transpose(1, 0, 2)
        return NearestContribution(values_YXN, rows, cols, np.ascontiguousarray(weights_NTO))

    def bilinear(
        self, now_VYX: F32, prior_VYX: F32, rows: AxisMap, cols: AxisMap, channels_V3: Index
    ) -> "BilinearContribution":
        """Return the contribution of forcing that is interpolated between native cells.

        `channels_V3` are the level, change and relative change of each variable.
        """
        weights_V3TO = self.weights_TCO[:, channels_V3].transpose(1, 2, 0, 3)
        return BilinearContribution(
            now_VYX, prior_VYX, rows, cols, np.ascontiguousarray(weights_V3TO)
        )

    def categorical(
        self, channel_YX: I16, rows: Index, cols: Index, channels: slice
    ) -> "CategoricalContribution":
        """Return the contribution of a categorical variable.

        `channel_YX` says which of its channels is 1, -1 for none (see `features.category`).
        """
        n_categories = channels.stop - channels.start
        table_DSO = rows_of_three(self.weights_TCO[:, channels])
        return CategoricalContribution(channel_YX, rows, cols, n_categories, table_DSO)


def no_share_changes(height: int, width: int) -> ShareChanges:
    """Return the changes of no group at all, where no forcing is a share of classes."""
    nothing_GYX = np.zeros((0, 1, 1), np.float32)
    return ShareChanges(
        nothing_GYX, nothing_GYX, np.zeros(height, np.int64), np.zeros(width, np.int64)
    )


def quiet_memory(n_maps: int, history: int) -> QuietMemory:
    """Return what a quiet cell remembers where `n_maps` of `history` maps are there."""
    return QuietMemory(
        np.float32(WEIGHTS[:n_maps].sum()) * share_scale(history),
        seen_ages(history)[n_maps - 1],
        np.float32(n_maps) * known_scale(history),
    )


class NearestContribution(NamedTuple):
    """Contribution of channels that are the same for a whole native cell."""

    values_YXN: F32
    row_H: Index
    """Native row of each row of the box."""
    col_W: Index
    weights_NTO: F32

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """Add it to a window, see `Contribution.add`."""
        height, width, _ = out_HWO.shape
        rows = self.row_H[top : top + height]
        cols = self.col_W[left : left + width]
        add_nearest(out_HWO, self.values_YXN, rows, cols, self.weights_NTO)


class BilinearContribution(NamedTuple):
    """Contribution of forcing that is interpolated between native cells."""

    now_VYX: F32
    prior_VYX: F32
    rows: AxisMap
    cols: AxisMap
    weights_V3TO: F32
    """Weights of the level, change and relative change of each variable."""

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """Add it to a window, see `Contribution.add`."""
        height, width, _ = out_HWO.shape
        rows = self.rows.take(slice(top, top + height))
        cols = self.cols.take(slice(left, left + width))
        for now_YX, prior_YX, weights_3TO in zip(
            self.now_VYX, self.prior_VYX, self.weights_V3TO, strict=True
        ):
            channels_3QP = interpolated_levels_and_changes(
                now_YX, prior_YX, rows, cols, np.float32(CHANGE_SCALE), np.float32(LEVEL_EPSILON)
            )
            add_fields(out_HWO, channels_3QP, weights_3TO)


class CategoricalContribution(NamedTuple):
    """Contribution of a categorical variable."""

    channel_YX: I16
    row_H: Index
    """Native row of each row of the box."""
    col_W: Index
    n_categories: int
    table_DSO: F32
    """See `rows_of_three`."""

    def add(self, out_HWO: F32, top: int, left: int) -> None:
        """Add it to a window, see `Contribution.add`."""
        height, width, _ = out_HWO.shape
        rows = self.row_H[top : top + height]
        cols = self.col_W[left : left + width]
        add_categorical(out_HWO, self.channel_YX, rows, cols, self.n_categories, self.table_DSO)


def rows_of_three(weights_TKO: F32) -> F32:
    """Return what three one-hot cells beside each other contribute by a row of taps.

    Parameters
    ----------
    weights_TKO : array, float32
        Weights of the K one-hot channels.

    Returns
    -------
    array, float32, shape (3, (K + 1)^3, O)
        For each row of taps, and for each triple of codes in the order left, middle, right. Code K
        stands for no channel at all: ocean, or beyond the window.
    """
    n_outputs = weights_TKO.shape[-1]
    no_channel_T1O = np.zeros((9, 1, n_outputs), np.float32)
    weights_TKO = np.concatenate([weights_TKO, no_channel_T1O], axis=1)
    by_row_DEKO = weights_TKO.reshape(3, 3, -1, n_outputs)  # E is the column of the tap

    # Each on an axis of its own, so that the sum has every combination: (D, K + 1, K + 1, K + 1, O)
    left = by_row_DEKO[:, 0, :, None, None]
    middle = by_row_DEKO[:, 1, None, :, None]
    right = by_row_DEKO[:, 2, None, None, :]
    combinations = left + middle + right
    return np.ascontiguousarray(combinations.reshape(3, -1, n_outputs))
