"""Everything after the first layer of a frozen U-Net, in less arithmetic; what comes before it is
the `stem`.

A decoder block convolves a skip beside what was upsampled by repeating each cell. By linearity that
is the convolution of the skip plus that of the upsampled half; and a 3 x 3 kernel over repeated
cells sees no more than 2 x 2 of them, in one of four arrangements, so its taps are added up once
and it runs before the upsampling: 4 taps a cell for 9, and nothing is upsampled or concatenated.
Equal to `UNet.heads` but for rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from luray.model.unet import UNet

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of a cell among the four that one cell is repeated to."""


class Trunk(nn.Module):
    """Heads of a frozen U-Net (B, K + 1, H, W) from what its first layer gives (B, O, H, W), see
    `UNet.heads`.
    """

    def __init__(self, model: UNet) -> None:
        super().__init__()
        first, *down = model.down
        self.down = nn.ModuleList([first[3:], *down])  # type: ignore[index]
        self.up = nn.ModuleList(Up(block) for block in model.up)  # type: ignore[arg-type]
        self.head = model.head

    def forward(self, first_BOHW: Tensor) -> Tensor:
        """The heads."""
        features, skips = self.down[0](first_BOHW), []
        for block in list(self.down)[1:]:
            skips.append(features)
            features = block(_halved(features))
        for block in self.up:
            features = block(skips.pop(), features)
        heads: Tensor = self.head(features)
        return heads


class Up(nn.Module):
    """A decoder block of a frozen U-Net."""

    def __init__(self, block: Sequence[nn.Module]) -> None:
        super().__init__()
        conv, *rest = block
        assert isinstance(conv, nn.Conv2d)
        skip, up = conv.weight[:, : conv.out_channels], conv.weight[:, conv.out_channels :]
        self.bias, self.skip = conv.bias, _laid(skip)
        self.corners = _laid(
            torch.cat([_added(_added(up, 2, row), 3, col) for row, col in CORNERS])
        )
        self.rest = nn.Sequential(*rest)

    def forward(self, skip: Tensor, low: Tensor) -> Tensor:
        """What the block gives from a skip (B, C, H, W) and the features below it (B, D, H / 2, W /
        2).
        """
        out = conv2d(skip, self.skip, self.bias, padding=1)
        corners = conv2d(low, self.corners, padding=1).chunk(
            4, dim=1
        )  # a row and a column more than `low`
        height, width = low.shape[2:]
        for (row, col), given in zip(CORNERS, corners, strict=True):
            out[:, :, row::2, col::2] += given[:, :, row : row + height, col : col + width]
        features: Tensor = self.rest(out)
        return features


def _halved(features: Tensor) -> Tensor:
    """2 x 2 max pooling, in half the time that torch takes for it with channels last."""
    wide = torch.maximum(features[..., ::2], features[..., 1::2])
    return torch.maximum(wide[:, :, ::2], wide[:, :, 1::2])


def _added(kernel: Tensor, dim: int, place: int) -> Tensor:
    """Three taps along an axis over repeated cells: two of them see the same cell, the last two or
    the first two.
    """
    a, b, c = kernel.unbind(dim)
    return torch.stack([a + b, c] if place else [a, b + c], dim)


def _laid(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
