"""The input of the model as tensors, as training puts it together.

Inference never does: it works out the first layer from the parts of the input, see
`luray.engine.stem`.

Shapes: B batch, C input channels, K classes, L level channels of the forcing, D
of them continuous, S static channels, H W window.
"""

import torch
from torch import Tensor

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN, Features, changes


def context_channels(
    now_BLHW: Tensor, before_BLHW: Tensor, static_BSHW: Tensor, features: Features
) -> Tensor:
    """Return every input channel behind the prior and the land, (B, C - K - 1, H, W).

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


def assemble(prior_BHW: Tensor, context_BCHW: Tensor, *, n_classes: int) -> Tensor:
    """Return the model input, (B, C, H, W), channels last.

    Parameters
    ----------
    prior_BHW : Tensor, uint8
        Class indices of the prior map; `UNKNOWN` and `OUTSIDE` are allowed.
    context_BCHW : Tensor
        All channels but those of the prior and the land, see `context_channels`.
    n_classes : int
        K.
    """
    # One row of the table a code of the prior: its one-hot class, and whether it is land.
    table = torch.zeros(256, n_classes + 1)
    table[:n_classes, :n_classes] = torch.eye(n_classes)
    table[:n_classes, n_classes] = 1.0
    table[UNKNOWN, n_classes] = 1.0  # land whose class is hidden
    table[OUTSIDE] = 0.0
    prior_BCHW = table.to(context_BCHW.device)[prior_BHW.long()].permute(0, 3, 1, 2)
    inputs_BCHW = torch.cat([prior_BCHW, context_BCHW], dim=1)
    return inputs_BCHW.contiguous(memory_format=torch.channels_last)
