"""Corruption of the prior map in training, so that the model learns not to trust it blindly.

Shapes: B samples, H W window.
"""

import torch
from torch import Generator, Tensor

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN
from luray.training.noise_config import NoiseKind


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
    kind : {"mask", "replace"}
        Whether the class of such a cell becomes `UNKNOWN` or a random one.
    n_classes : int
        Classes that a random one is drawn from.
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

    random_class = torch.randint(n_classes, prior_BHW.shape, generator=generator, dtype=torch.uint8)
    return torch.where(corrupted, random_class.to(device), prior_BHW)
