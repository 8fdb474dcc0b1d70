"""Recursive rollout: the model predicts year after year on its own predictions.

Shapes: B batch, T = rollout years + 1 consecutive maps in the direction of travel, L forcing levels, S static,
H W window.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from luray.model.features import CHANGE_SCALE, Features, assemble
from luray.model.noise import NoiseConfig, corrupt
from luray.schema import OUTSIDE


class Sample(NamedTuple):
    """A batch of training samples."""

    maps_BTHW: Tensor
    """Class indices (uint8), first the prior of the first year."""
    forcing_BTLHW: Tensor
    static_BSHW: Tensor
    area_BH: Tensor
    """Cell area of each row, relative to the equator's."""
    counted_BHW: Tensor
    """True where a cell counts in the loss; the model sees the others, but is not judged by them."""

    @property
    def judged_BTHW(self) -> Tensor:
        """The maps, `OUTSIDE` where a cell does not count."""
        return torch.where(self.counted_BHW[:, None], self.maps_BTHW, OUTSIDE)


class Step(NamedTuple):
    """One predicted year of a rollout."""

    logits_BKHW: Tensor
    target_BHW: Tensor
    """The true map of the year, `OUTSIDE` where a cell does not count."""
    previous_BHW: Tensor
    """The true map of the year before."""


def rollout(model: Callable[[Tensor], Tensor], sample: Sample, features: Features, noise: NoiseConfig, *,
            generator: Generator) -> Iterator[Step]:
    """The steps of a rollout; the first prior is the true map, corrupted, later ones the model's own predictions."""
    maps, judged, forcing = sample.maps_BTHW, sample.judged_BTHW, sample.forcing_BTLHW
    prior = corrupt(maps[:, 0], noise, n_classes=features.n_classes, generator=generator)
    changing = torch.as_tensor(features.changing, device=forcing.device)
    for year in range(1, maps.shape[1]):
        change = (forcing[:, year].index_select(1, changing) - forcing[:, year - 1].index_select(1, changing))
        context = torch.cat([forcing[:, year], change / CHANGE_SCALE, sample.static_BSHW], dim=1)
        logits = model(assemble(prior, context, n_classes=features.n_classes))
        yield Step(logits, judged[:, year], maps[:, year - 1])
        predicted = logits.detach().argmax(dim=1).to(torch.uint8)
        prior = torch.where(maps[:, year] == OUTSIDE, OUTSIDE, predicted)
