"""Corruption of the prior map in training, so that the model learns not to trust it blindly.

Shapes: B samples, H W window.
"""

import torch
from torch import Generator, Tensor

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN
from luray.training.noise_config import NoiseKind

JITTER = 0.05
"""Standard deviation of the error of a jittered value, as a share of the scale."""


def corrupt(
    prior_BHW: Tensor, *, share: float, kind: NoiseKind, n_classes: int, generator: Generator
) -> Tensor:
    """Return the prior with a share of its land cells corrupted.

    Parameters
    ----------
    prior_BHW : Tensor
        Class indices (uint8); `OUTSIDE` stays `OUTSIDE`.
    share : float
        Probability that a land cell is corrupted.
    kind : {"mask", "replace", "jitter"}
        Whether the class of such a cell becomes `UNKNOWN` or a random one, or its level is off.
    n_classes : int
        Classes that a random one is drawn from, or levels of a scale.
    generator : Generator
        On the CPU, so that a sample has the same noise on any device.

    Returns
    -------
    Tensor
        uint8, shape (B, H, W), on the device of the prior.
    """
    device = prior_BHW.device
    land = prior_BHW != OUTSIDE
    drawn = torch.rand(prior_BHW.shape, generator=generator) < share
    corrupted = land & drawn.to(device)
    if kind == "mask":
        return prior_BHW.masked_fill(corrupted, UNKNOWN)
    if kind == "jitter":
        error = torch.randn(prior_BHW.shape, generator=generator) * (JITTER * n_classes)
        moved = (prior_BHW.float() + error.to(device)).round().clip(0, n_classes - 1)
        return torch.where(corrupted & (prior_BHW < n_classes), moved.byte(), prior_BHW)

    random_class = torch.randint(n_classes, prior_BHW.shape, generator=generator, dtype=torch.uint8)
    return torch.where(corrupted, random_class.to(device), prior_BHW)
