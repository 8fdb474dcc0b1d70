"""Everything after the first layer of a frozen U-Net, in less arithmetic.

The trick
---------
A decoder block doubles the resolution of the features below it by repeating each cell to 2 x 2,
puts them beside the skip, and convolves both. By linearity that is the convolution of the skip plus
the convolution of the repeated features. And a 3 x 3 kernel over cells that are repeated twice sees
no more than 2 x 2 different ones:

    repeated row     a a | b b | c c        kernel  w0 w1 w2
    on the left b    a  [a | b  b]  ->      w0 a + (w1 + w2) b
    on the right b      [b  b | c]  ->      (w0 + w1) b + w2 c

So there are four 2 x 2 kernels, one for each of the four cells that a cell is repeated to
(`CORNERS`), whose taps are sums that are taken once. They run on the small features: 4 taps a cell
for 9, and nothing is upsampled or concatenated. Equal to `UNet.heads` but for rounding.

Shapes: B batch; O outputs of the first layer, K classes; H W window.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from luray.model.unet import UNet

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of a cell among the four that one cell is repeated to."""


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
        features = self.down[0](first_BOHW.to(self.dtype))
        skips = []
        for block in list(self.down)[1:]:
            skips.append(features)
            features = block(_max_pool(features))
        for block in self.up:
            features = block(skips.pop(), features)
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
        conv, *rest = block
        assert isinstance(conv, nn.Conv2d)
        of_skip = conv.weight[:, : conv.out_channels]
        of_features = conv.weight[:, conv.out_channels :]
        self.bias = conv.bias
        self.skip = _parameter(of_skip)
        # The four kernels are one convolution with four times the outputs.
        kernels = [_fold(_fold(of_features, 2, row), 3, col) for row, col in CORNERS]
        self.corners = _parameter(torch.cat(kernels))
        self.rest = nn.Sequential(*rest)

    def forward(self, skip: Tensor, features: Tensor) -> Tensor:
        """Return what the block gives.

        Parameters
        ----------
        skip : Tensor, shape (B, C, H, W)
        features : Tensor, shape (B, D, H / 2, W / 2)
            Of the block below.
        """
        out = conv2d(skip, self.skip, self.bias, padding=1)
        # A 2 x 2 kernel with a cell of padding on all sides gives a row and a column more than the
        # features have. The corner says which of them it does not see.
        of_corners = conv2d(features, self.corners, padding=1).chunk(4, dim=1)
        height, width = features.shape[2:]
        for (row, col), of_corner in zip(CORNERS, of_corners, strict=True):
            out[:, :, row::2, col::2] += of_corner[:, :, row : row + height, col : col + width]
        result: Tensor = self.rest(out)
        return result


def _max_pool(features: Tensor) -> Tensor:
    """2 x 2 max pooling, in half the time that torch takes for it with channels last."""
    of_columns = torch.maximum(features[..., ::2], features[..., 1::2])
    return torch.maximum(of_columns[:, :, ::2], of_columns[:, :, 1::2])


def _fold(kernel: Tensor, dim: int, place: int) -> Tensor:
    """Fold three taps along an axis into two, for the first or the second of two repeated cells.

    The first sees the cell before and then its own twice; the second its own twice, and the next.
    """
    w0, w1, w2 = kernel.unbind(dim)
    taps = [w0, w1 + w2] if place == 0 else [w0 + w1, w2]
    return torch.stack(taps, dim)


def _parameter(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
