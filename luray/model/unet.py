"""A U-Net whose head is residual to persistence.

After Ronneberger et al. 2015 (doi:10.1007/978-3-319-24574-4_28), with batch norm, zero padding and
nearest upsampling. The head gives each class a logit and each cell a bonus for the class of the
prior, so that an untrained model says "nothing changes" and change has to be earned.

A model of values has no classes: its two heads are the change since the prior and the spread, see
`luray.model.values`.

Shapes: B windows of a batch, C input channels, K classes, H W window.
"""

import math
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad, softplus
from torch.nn.utils.fusion import fuse_conv_bn_eval

from luray.model.unet_config import UNetConfig
from luray.model.values import FIRST_SPREAD, LEAST_SPREAD


def convolution_block(n_in: int, n_out: int) -> nn.Sequential:
    """Return two 3 x 3 convolutions, each with batch norm and ReLU."""
    # The convolutions need no bias: batch norm subtracts it again.
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


Decode = Callable[[nn.Sequential, Tensor, Tensor], Tensor]
"""Gives what a decoder block does with its skip and the features of the block below."""


def decode_block(level: nn.Sequential, skip: Tensor, features: Tensor) -> Tensor:
    """Run a decoder block on its skip and, at twice their resolution, the features below."""
    raised = interpolate(features, scale_factor=2.0, mode="nearest")
    decoded: Tensor = level(torch.cat([skip, raised], dim=1))
    return decoded


class UNet(nn.Module):
    """Logits (B, K, H, W) from inputs (B, C, H, W) whose first K channels are the one-hot prior.

    Of values it gives mean and spread (B, 2, H, W), and the first channel is the prior's value.

    Parameters
    ----------
    n_channels : int
        C.
    n_classes : int
        K, 0 for a model of values.
    config : UNetConfig
        Width and depth; H and W must be multiples of 2^depth.

    Examples
    --------
    An untrained model keeps the class of the prior, here 1 of 3:

    >>> model = UNet(n_channels=5, n_classes=3, config=UNetConfig(width=4, depth=1)).eval()
    >>> inputs_BCHW = torch.zeros(1, 5, 8, 8)
    >>> inputs_BCHW[:, 1] = 1.0
    >>> logits_BKHW = model(inputs_BCHW)
    >>> logits_BKHW.argmax(dim=1).unique().tolist()
    [1]
    """

    def __init__(self, n_channels: int, n_classes: int, config: UNetConfig) -> None:
        super().__init__()
        self.n_classes = n_classes
        widths = [config.width * 2**level for level in range(config.depth + 1)]

        n_inputs = [n_channels, *widths[:-1]]
        self.down = nn.ModuleList(
            convolution_block(n_in, n_out) for n_in, n_out in zip(n_inputs, widths, strict=True)
        )

        # Upward a level reads its own features of the way down beside those of the level below.
        finer = widths[-2::-1]
        coarser = widths[:0:-1]
        self.up = nn.ModuleList(
            convolution_block(n_out + n_below, n_out)
            for n_out, n_below in zip(finer, coarser, strict=True)
        )

        self.head = nn.Conv2d(config.width, n_classes + 1 if n_classes else 2, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            if n_classes:
                # The bonus of the prior's class at first: P(no change) = 0.96 with 7 classes.
                self.head.bias[n_classes] = 5.0  # type: ignore[index]
            else:
                self.head.bias[1] = math.log(math.expm1(FIRST_SPREAD))  # type: ignore[index]

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Return the logits of each class, (B, K, H, W); the prior's has the bonus.

        Of values, mean and spread of the seen value, (B, 2, H, W).
        """
        return self.logits(self.heads(inputs_BCHW), inputs_BCHW)

    def logits(self, heads_BHW: Tensor, inputs_BCHW: Tensor) -> Tensor:
        """Return what `forward` does, for the heads of an input."""
        if not self.n_classes:
            mean_B1HW = inputs_BCHW[:, :1] + heads_BHW[:, :1]
            spread_B1HW = softplus(heads_BHW[:, 1:]) + LEAST_SPREAD
            return torch.cat([mean_B1HW, spread_B1HW], dim=1)
        prior_BKHW = inputs_BCHW[:, : self.n_classes]

        # Softplus keeps the bonus positive: a cell can earn change, never a penalty for staying.
        bonus_BKHW = softplus(heads_BHW[:, self.n_classes :]) * prior_BKHW
        logits_BKHW: Tensor = heads_BHW[:, : self.n_classes].contiguous() + bonus_BKHW
        return logits_BKHW

    @property
    def first(self) -> nn.Conv2d:
        """The first convolution, which inference computes by itself (see `engine.stem`)."""
        convolution: nn.Conv2d = self.down[0][0]  # type: ignore[index]
        return convolution

    def heads(self, inputs_BCHW: Tensor, *, decode: Decode = decode_block) -> Tensor:
        """Return the logits without a bonus, and the bonus before softplus, (B, K + 1, H, W).

        Of values, the change since the prior and the spread before softplus, (B, 2, H, W).

        `decode` computes a decoder block; any other than the default gives the same but for
        rounding.
        """
        first_level, *lower_levels = self.down
        features = first_level(inputs_BCHW)

        skips = []
        for level in lower_levels:
            skips.append(features)
            features = level(max_pool2d(features, 2))

        for level in self.up:
            features = decode(level, skips.pop(), features)  # type: ignore[arg-type]

        heads: Tensor = self.head(features)
        return heads


def frozen(model: UNet) -> UNet:
    """Return a copy for inference whose logits do not depend on how they are computed.

    Batch norm is folded into the convolutions, and the head's kernel is filled up with zeros from
    1 x 1 to 1 x 3. So a window's logits depend neither on the number of threads nor on the batch it
    is in, if that has two windows or more: on a CPU the order of the sums of a 1 x 1 convolution
    follows the threads, and a batch of one takes other algorithms.
    """
    copy = deepcopy(model).eval().requires_grad_(False)

    for level in [*copy.down, *copy.up]:
        for i in (0, 3):  # the two convolutions of a block; batch norm follows each
            level[i] = fuse_conv_bn_eval(level[i], level[i + 1])
            level[i + 1] = nn.Identity()

    narrow = copy.head
    head = nn.Conv2d(narrow.in_channels, narrow.out_channels, (1, 3), padding=(0, 1))
    head.requires_grad_(False)
    head.weight.copy_(pad(narrow.weight, (1, 1)))
    head.bias = narrow.bias
    copy.head = head
    return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
