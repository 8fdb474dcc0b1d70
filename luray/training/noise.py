"""Corruption of the prior map in training, so that the model learns not to trust it blindly."""

from typing import Literal

import torch
from torch import Generator, Tensor

from luray.core.config import Config
from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN
from luray.training.ramps import Ramp, constant

Kind = Literal["mask", "replace"]


class NoiseConfig(Config):
    """Share of land cells whose prior is corrupted: hidden (`mask`) or given a random class
    (`replace`).
    """

    share: Ramp = constant(0.1)
    kind: Kind = "mask"


def corrupt(
    prior_BHW: Tensor, *, share: float, kind: Kind, n_classes: int, generator: Generator
) -> Tensor:
    """The prior (uint8 class indices) with `share` of its land cells corrupted; cells outside stay
    outside.
    """
    land = prior_BHW != OUTSIDE
    hit = land & (torch.rand(prior_BHW.shape, generator=generator) < share).to(prior_BHW.device)
    if kind == "mask":
        return prior_BHW.masked_fill(hit, UNKNOWN)
    random = torch.randint(n_classes, prior_BHW.shape, generator=generator, dtype=torch.uint8)
    return torch.where(hit, random.to(prior_BHW.device), prior_BHW)
