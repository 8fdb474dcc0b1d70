"""The input of the model as tensors, as training puts it together.

Inference never does: it works out the first layer from the parts of the input, see
`luray.engine.stem`.

Shapes: B batch, N maps from the newest, C input channels, K classes, M channels of the memory, L
level channels of the forcing, D of them continuous, S static channels, H W window.
"""

import torch
from torch import Tensor

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN, Features, changes
from luray.model.memory import WEIGHTS, change_scale, known_scale, seen_ages, share_scale


def context_channels(
    now_BLHW: Tensor, before_BLHW: Tensor, static_BSHW: Tensor, features: Features
) -> Tensor:
    """Return every input channel behind those of the maps, (B, C - levels.start, H, W).

    Parameters
    ----------
    now_BLHW, before_BLHW : Tensor
        Level channels of the year and of the prior year.
    static_BSHW : Tensor
        Static channels.
    features : Features
        The layout of the input.
    """
    continuous = torch.as_tensor(features.continuous_levels, device=now_BLHW.device)
    now_BDHW = now_BLHW.index_select(1, continuous)
    before_BDHW = before_BLHW.index_select(1, continuous)
    change_BDHW, relative_BDHW = changes(now_BDHW, before_BDHW, torch)
    return torch.cat([now_BLHW, change_BDHW, relative_BDHW, static_BSHW], dim=1)


def assemble(maps_BNHW: Tensor, context_BCHW: Tensor, *, n_classes: int) -> Tensor:
    """Return the model input, (B, C, H, W), channels last.

    Parameters
    ----------
    maps_BNHW : Tensor, uint8
        Class indices of the last N maps, the prior first; `UNKNOWN` and `OUTSIDE` are allowed, and
        stand for a map that is not known. N is `Features.history`.
    context_BCHW : Tensor
        All channels but those of the maps, see `context_channels`.
    n_classes : int
        K.
    """
    # One row of the table a code of the prior: its one-hot class, and whether it is land.
    table = torch.zeros(256, n_classes + 1)
    table[:n_classes, :n_classes] = torch.eye(n_classes)
    table[:n_classes, n_classes] = 1.0
    table[UNKNOWN, n_classes] = 1.0  # land whose class is hidden
    table[OUTSIDE] = 0.0
    prior_BHW = maps_BNHW[:, 0]
    prior_BCHW = table.to(context_BCHW.device)[prior_BHW.long()].permute(0, 3, 1, 2)

    groups = [prior_BCHW]
    if maps_BNHW.shape[1] > 1:
        groups.append(memory_channels(maps_BNHW, n_classes=n_classes))
    groups.append(context_BCHW)
    return torch.cat(groups, dim=1).contiguous(memory_format=torch.channels_last)


def memory_channels(maps_BNHW: Tensor, *, n_classes: int) -> Tensor:
    """Return what every cell remembers, as the model sees it; see `luray.model.memory`.

    Parameters
    ----------
    maps_BNHW : Tensor, uint8
        Class indices, newest first. Any code but a class stands for a map that is not known.
    n_classes : int
        K.

    Returns
    -------
    Tensor, float32, shape (B, M, H, W)
        In the order of `Features.slices`; 0 where the newest map is `OUTSIDE`.

    Examples
    --------
    A cell that was 1, then 0 for two maps; there is no map before that:

    >>> maps_BNHW = torch.tensor([0, 0, 1, 255], dtype=torch.uint8).reshape(1, 4, 1, 1)
    >>> memory_BMHW = memory_channels(maps_BNHW, n_classes=2)
    >>> shares, last_other, (age, changes, known) = memory_BMHW.flatten().split([2, 2, 3])
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
    return memory_BMHW * is_land_BHW[:, None]
