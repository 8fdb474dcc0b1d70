"""A U-Net whose head is residual to persistence.

Ronneberger et al. 2015 (doi:10.1007/978-3-319-24574-4_28) with batch norm, zero padding and nearest
upsampling. The head gives each class a logit and each cell a bonus for the class of the prior, so
that an untrained model says "nothing changes" and change has to be earned.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, softplus
from torch.nn.utils.fusion import fuse_conv_bn_eval

from luray.core.config import Config


class UNetConfig(Config):
    """Channels of the first level, doubled at each of `depth` halvings of the resolution."""

    width: int = 16
    depth: int = 3


def block(n_in: int, n_out: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Logits (B, K, H, W) from inputs (B, C, H, W) whose first K channels are the one-hot prior.

    H and W are multiples of 2^depth.
    """

    def __init__(self, n_channels: int, n_classes: int, config: UNetConfig) -> None:
        super().__init__()
        self.n_classes = n_classes
        widths = [config.width * 2**level for level in range(config.depth + 1)]
        self.down = nn.ModuleList(
            block(a, b) for a, b in zip([n_channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            block(a + b, a) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.head = nn.Conv2d(config.width, n_classes + 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.head.bias[n_classes] = 5.0  # type: ignore[index]  # P(no change) = 0.96 with 7 classes

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits of each class; the prior's has the bonus."""
        out = self.heads(inputs_BCHW)
        bonus = softplus(out[:, self.n_classes :]) * inputs_BCHW[:, : self.n_classes]
        logits: Tensor = out[:, : self.n_classes].contiguous() + bonus
        return logits

    @property
    def first(self) -> nn.Conv2d:
        """The first convolution."""
        conv: nn.Conv2d = self.down[0][0]  # type: ignore[index]
        return conv

    def heads(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits of each class without a bonus, and the bonus before softplus, (B, K + 1, H, W)."""
        features, skips = self.down[0](inputs_BCHW), []
        for down in list(self.down)[1:]:
            skips.append(features)
            features = down(nn.functional.max_pool2d(features, 2))
        for up in self.up:
            raised = interpolate(features, scale_factor=2.0, mode="nearest")
            features = up(torch.cat([skips.pop(), raised], dim=1))
        heads: Tensor = self.head(features)
        return heads


def frozen(model: UNet) -> UNet:
    """A copy for inference, batch norm folded into the convolutions and the head's kernel filled up
    to 1 x 3.

    So a window's logits do not depend on the number of threads, nor on the batch it is in if that
    has two windows or more: on a CPU the sums of a 1 x 1 convolution follow the threads, and a
    batch of one takes other algorithms.
    """
    copy = deepcopy(model).eval().requires_grad_(False)
    for pair in [*copy.down, *copy.up]:
        for i in (0, 3):
            pair[i], pair[i + 1] = fuse_conv_bn_eval(pair[i], pair[i + 1]), nn.Identity()
    head = nn.Conv2d(
        copy.head.in_channels, copy.head.out_channels, (1, 3), padding=(0, 1)
    ).requires_grad_(False)
    head.weight.copy_(pad(copy.head.weight, (1, 1)))
    copy.head, head.bias = head, copy.head.bias
    return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
