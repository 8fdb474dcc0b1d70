"""The pass of a U-Net that is trained: the same function as the model, in less arithmetic.

The upward blocks convolve skip and features apart, as `luray.model.decoder_corners` has it. Batch
norm, pooling, weights and gradients are those of the model, whose own pass is the slow twin; sums
are rounded otherwise.

Shapes: B windows of a batch, C input channels, K classes, H W window.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from luray.model.decoder_corners import AddCorners, corner_kernels
from luray.model.unet import UNet


class TrainingPass(nn.Module):
    """A U-Net as it is trained: its own weights, in a pass of less arithmetic."""

    def __init__(self, model: UNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Return the logits of each class, (B, K, H, W)."""
        return training_logits(self.model, inputs_BCHW)


def training_logits(model: UNet, inputs_BCHW: Tensor) -> Tensor:
    """Return what `model(inputs_BCHW)` does, (B, K, H, W), but for rounding."""
    return model.logits(model.heads(inputs_BCHW, decode=_decode), inputs_BCHW)


def _decode(level: nn.Sequential, skip: Tensor, features: Tensor) -> Tensor:
    """Return what a decoder block gives for the skip and the features of the block below."""
    convolution, *rest = level
    assert isinstance(convolution, nn.Conv2d)
    n_skip = skip.shape[1]
    of_skip, of_features = torch.split(convolution.weight, [n_skip, features.shape[1]], dim=1)
    corners = conv2d(features, _last(corner_kernels(of_features)), padding=1)
    out: Tensor = AddCorners.apply(conv2d(skip, _last(of_skip), padding=1), corners)  # type: ignore[no-untyped-call]
    for layer in rest:
        out = layer(out)
    return out


def _last(kernel: Tensor) -> Tensor:
    return kernel.contiguous(memory_format=torch.channels_last)
