"""Everything after the first layer of a frozen U-Net, in less arithmetic.

What a decoder block does with the features below it is worked out before they are repeated 2 x 2,
see `luray.model.decoder_corners`. Equal to `UNet.heads` but for rounding.

Shapes: B batch; O outputs of the first layer, K classes; H W window.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from luray.model.decoder_corners import add_corners, corner_kernels
from luray.model.unet import UNet


class Trunk(nn.Module):
    """Heads of a frozen U-Net (B, K + 1, H, W) from its first layer (B, O, H, W)."""

    def __init__(self, model: UNet) -> None:
        super().__init__()
        first, *down = model.down
        behind_the_stem = first[3:]  # type: ignore[index]  # its convolution, batch norm and ReLU
        self.down = nn.ModuleList([behind_the_stem, *down])
        self.up = nn.ModuleList(DecoderBlock(block) for block in model.up)  # type: ignore[arg-type]
        self.head = model.head

    def forward(self, first_BOHW: Tensor) -> Tensor:
        """Return the heads, in the precision of the head whatever that of the other layers."""
        top, *lower = self.down
        features = top(first_BOHW.to(self.dtype))

        # Down: half the resolution at each block, the features before it kept as a skip.
        skips = []
        for block in lower:
            skips.append(features)
            features = block(_max_pool(features))

        # Up: each block doubles the resolution and takes the skip of its own, the last one first.
        for block in self.up:
            skip = skips.pop()
            features = block(skip, features)

        heads: Tensor = self.head(features.to(self.head.weight.dtype))
        return heads

    @property
    def dtype(self) -> torch.dtype:
        """Precision of all layers but the head."""
        return next(self.down.parameters()).dtype


class DecoderBlock(nn.Module):
    """A decoder block of a frozen U-Net."""

    def __init__(self, block: Sequence[nn.Module]) -> None:
        super().__init__()
        conv, *later_layers = block
        assert isinstance(conv, nn.Conv2d)

        # The U-Net convolves the skip and the features side by side, the skip first.
        weights_of_skip = conv.weight[:, : conv.out_channels]
        weights_of_features = conv.weight[:, conv.out_channels :]
        self.bias = conv.bias
        self.skip = _parameter(weights_of_skip)

        # The four kernels are one convolution with four times the outputs.
        self.corners = _parameter(corner_kernels(weights_of_features))
        self.later_layers = nn.Sequential(*later_layers)

    def forward(self, skip: Tensor, features: Tensor) -> Tensor:
        """Return what the block gives.

        Parameters
        ----------
        skip : Tensor, shape (B, C, H, W)
        features : Tensor, shape (B, D, H / 2, W / 2)
            Of the block below.
        """
        out = conv2d(skip, self.skip, self.bias, padding=1)
        add_corners(out, conv2d(features, self.corners, padding=1))
        result: Tensor = self.later_layers(out)
        return result


def _max_pool(features: Tensor) -> Tensor:
    """2 x 2 max pooling, in half the time that torch takes for it with channels last."""
    of_columns = torch.maximum(features[..., ::2], features[..., 1::2])
    return torch.maximum(of_columns[:, :, ::2], of_columns[:, :, 1::2])


def _parameter(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
