"""The input of the model as tensors, as training puts it together.

Inference never does: it works out the first layer from the parts of the input, see
`luray.engine.stem`.

Shapes: B batch, N maps from the newest, C input channels, K classes, M channels of the memory, L
level channels of the forcing, D of them continuous, S static channels, G groups of classes, H W
window.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from luray.core.legend import OUTSIDE
from luray.core.value_scale import ValueScale
from luray.model.features import UNKNOWN, Features, changes
from luray.model.memory import WEIGHTS, change_scale, known_scale, seen_ages, share_scale
from luray.model.values import seen_levels


def assemble(
    maps_BNHW: Tensor,
    now_BLHW: Tensor,
    before_BLHW: Tensor,
    static_BSHW: Tensor,
    features: Features,
    *,
    remember: "Remember | None" = None,
) -> Tensor:
    """Return the model input, (B, C, H, W), channels last.

    Parameters
    ----------
    maps_BNHW : Tensor, uint8
        Class indices of the last N maps, the prior first; `UNKNOWN` and `OUTSIDE` are allowed, and
        stand for a map that is not known. N is `features.history`. Of values they are levels.
    now_BLHW, before_BLHW : Tensor
        Level channels of the year and of the prior year.
    static_BSHW : Tensor
        Static channels.
    features : Features
        The layout of the input.
    remember : callable, optional
        Works out what cells remember; by default `memory_channels`.
    """
    n_classes = features.n_classes
    device = now_BLHW.device
    if features.scale is not None:
        groups = _value_channels(maps_BNHW, features.scale, features.lags)
        groups += _forcing_and_static(now_BLHW, before_BLHW, static_BSHW, features)
        return _joined(groups)

    # One row of the table a code of the prior: its one-hot class, and whether it is land.
    table = torch.zeros(256, n_classes + 1)
    table[:n_classes, :n_classes] = torch.eye(n_classes)
    table[:n_classes, n_classes] = 1.0
    table[UNKNOWN, n_classes] = 1.0  # land whose class is hidden
    table[OUTSIDE] = 0.0
    prior_BHW = maps_BNHW[:, 0]
    groups = [table.to(device)[prior_BHW.long()].permute(0, 3, 1, 2)]

    share_changes = _ShareChanges.of(now_BLHW, before_BLHW, features)
    if features.history > 1:
        memory = (remember or memory_channels)(maps_BNHW, n_classes=n_classes)
        groups.append(memory.channels_BMHW)
        groups += share_changes.of_class(memory.last_other_BHW)
    groups += share_changes.of_class(prior_BHW)
    groups += _forcing_and_static(now_BLHW, before_BLHW, static_BSHW, features)
    return _joined(groups)


def _value_channels(maps_BNHW: Tensor, scale: ValueScale, lags: Sequence[int]) -> list[Tensor]:
    """Return the channels of maps of values: of the prior, of land, of each lag."""
    table = torch.from_numpy(seen_levels(scale)).to(maps_BNHW.device)

    def channels(n: int) -> Tensor:
        return table[maps_BNHW[:, n].long()].permute(0, 3, 1, 2)

    is_land_B1HW = (maps_BNHW[:, :1] != OUTSIDE).float()
    return [channels(0), is_land_B1HW, *map(channels, lags)]


def _forcing_and_static(
    now_BLHW: Tensor, before_BLHW: Tensor, static_BSHW: Tensor, features: Features
) -> list[Tensor]:
    """Return the channels that do not depend on the maps."""
    device = now_BLHW.device
    continuous = torch.as_tensor(features.continuous_levels, device=device)
    now_BDHW = now_BLHW.index_select(1, continuous)
    before_BDHW = before_BLHW.index_select(1, continuous)
    return [now_BLHW, *changes(now_BDHW, before_BDHW, torch), static_BSHW]


def _joined(groups: Sequence[Tensor]) -> Tensor:
    """Return groups of channels, (B, C, H, W) each, one behind the other, channels last."""
    first = groups[0]
    if first.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.cat(list(groups), dim=1).contiguous(memory_format=torch.channels_last)

    # On a CPU it takes a quarter of the time to write each group to its place: `cat` orders all
    # channels first, and then they are ordered anew.
    n_channels = sum(group.shape[1] for group in groups)
    shape = (first.shape[0], n_channels, *first.shape[2:])
    dtype = first.dtype
    for group in groups:
        dtype = torch.promote_types(dtype, group.dtype)
    joined_BCHW = torch.empty(shape, dtype=dtype, memory_format=torch.channels_last)
    end = 0
    for group in groups:
        begin, end = end, end + group.shape[1]
        joined_BCHW[:, begin:end] = group
    return joined_BCHW


class _ShareChanges(NamedTuple):
    """Change and relative change of the coarse share of each group of classes, (B, G, H, W)."""

    change_BGHW: Tensor
    relative_BGHW: Tensor
    group_of_code: Tensor
    """Group of each code of a map, one behind the last for codes of none."""

    @classmethod
    def of(cls, now_BLHW: Tensor, before_BLHW: Tensor, features: Features) -> "_ShareChanges":
        def shares(levels_BLHW: Tensor) -> Tensor:
            sums = [levels_BLHW[:, list(levels)].sum(dim=1) for levels in features.share_groups]
            nothing = torch.zeros_like(levels_BLHW[:, 0])
            return torch.stack([*sums, nothing], dim=1)

        if not features.share_groups:
            nothing = torch.empty(0)
            return cls(nothing, nothing, nothing)
        n_groups = len(features.share_groups)
        group_of_code = torch.full((256,), n_groups)
        group_K = torch.from_numpy(features.group_of_class)
        group_of_code[: features.n_classes] = torch.where(group_K < 0, n_groups, group_K)
        return cls(
            *changes(shares(now_BLHW), shares(before_BLHW), torch),
            group_of_code.to(now_BLHW.device),
        )

    def of_class(self, codes_BHW: Tensor) -> list[Tensor]:
        """Return both changes of the class of each cell, (B, 1, H, W); empty without shares."""
        if not self.change_BGHW.numel():
            return []
        group_B1HW = self.group_of_code[codes_BHW.long()][:, None]
        return [self.change_BGHW.gather(1, group_B1HW), self.relative_BGHW.gather(1, group_B1HW)]


class Memory(NamedTuple):
    """What cells remember, see `luray.model.memory`."""

    channels_BMHW: Tensor
    """As the model sees it, in the order of `Features.slices` from `shares` to `known`."""
    last_other_BHW: Tensor
    """Last other class (uint8), `OUTSIDE` for none."""


class Remember(Protocol):
    """How memory is worked out: `memory_channels`, or what has the same bits."""

    def __call__(self, maps_BNHW: Tensor, *, n_classes: int) -> Memory:
        """Return what every cell remembers."""
        ...


def memory_channels(maps_BNHW: Tensor, *, n_classes: int) -> Memory:
    """Return what every cell remembers; nothing where the newest map is `OUTSIDE`.

    Parameters
    ----------
    maps_BNHW : Tensor, uint8
        Class indices, newest first. Any code but a class stands for a map that is not known.
    n_classes : int
        K.

    Examples
    --------
    A cell that was 1, then 0 for two maps; there is no map before that:

    >>> maps_BNHW = torch.tensor([0, 0, 1, 255], dtype=torch.uint8).reshape(1, 4, 1, 1)
    >>> memory = memory_channels(maps_BNHW, n_classes=2)
    >>> channels = memory.channels_BMHW.flatten()
    >>> shares, last_other, (age, changes, known) = channels.split([2, 2, 3])
    >>> [round(share, 2) for share in shares.tolist()], last_other.tolist()
    ([0.55, 0.24], [0.0, 1.0])
    >>> float(age), round(float(changes), 2), float(known)
    (0.25, 0.9, 0.75)
    """
    n_maps = maps_BNHW.shape[1]
    shape_BHW = maps_BNHW[:, 0].shape
    device = maps_BNHW.device
    nothing_BHW = torch.full(shape_BHW, OUTSIDE, dtype=torch.uint8, device=device)

    # Whole numbers below 2^24 are exact in single precision.
    shares_BKHW = torch.zeros(shape_BHW[0], n_classes, *shape_BHW[1:], device=device)
    past_changes_BHW = torch.zeros(shape_BHW, device=device)
    n_known_BHW = torch.zeros(shape_BHW, device=device)
    age_BHW = torch.full(shape_BHW, -1, dtype=torch.int64, device=device)

    class_now_BHW = nothing_BHW
    last_other_BHW = nothing_BHW
    newer_BHW = nothing_BHW  # the next newer map that is known, and its weight
    newer_weight_BHW = torch.zeros(shape_BHW, device=device)
    for n in range(n_maps):
        map_BHW = maps_BNHW[:, n]
        weight = float(WEIGHTS[n])
        is_known = map_BHW < n_classes
        n_known_BHW += is_known
        for k in range(n_classes):
            shares_BKHW[:, k] += (map_BHW == k) * weight

        # A change weighs as much as the newer of its two maps.
        changed = is_known & (newer_BHW != OUTSIDE) & (map_BHW != newer_BHW)
        past_changes_BHW += changed * newer_weight_BHW
        newer_BHW = torch.where(is_known, map_BHW, newer_BHW)
        newer_weight_BHW = torch.where(is_known, weight, newer_weight_BHW)

        class_now_BHW = torch.where(class_now_BHW == OUTSIDE, newer_BHW, class_now_BHW)
        is_other = is_known & (map_BHW != class_now_BHW) & (last_other_BHW == OUTSIDE)
        last_other_BHW = torch.where(is_other, map_BHW, last_other_BHW)
        age_BHW += is_known & (last_other_BHW == OUTSIDE)

    is_class = [(last_other_BHW == k).float() for k in range(n_classes)]
    age_table_N = torch.from_numpy(seen_ages(n_maps)).to(device)
    memory_BMHW = torch.cat(
        [
            shares_BKHW * float(share_scale(n_maps)),
            torch.stack(is_class, dim=1),
            age_table_N[age_BHW.clamp(min=0)][:, None],
            (past_changes_BHW * float(change_scale()))[:, None],
            (n_known_BHW * float(known_scale(n_maps)))[:, None],
        ],
        dim=1,
    )
    is_land_BHW = maps_BNHW[:, 0] != OUTSIDE
    return Memory(
        memory_BMHW * is_land_BHW[:, None], torch.where(is_land_BHW, last_other_BHW, OUTSIDE)
    )
