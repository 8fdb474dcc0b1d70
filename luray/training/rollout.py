"""Recursive rollout: the model predicts year after year on its own predictions.

Shapes: B batch, T = rollout years + 1 consecutive maps in the direction of travel, L forcing
levels, S static, H W window.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from luray.core.legend import OUTSIDE
from luray.model.features import Features, assemble, context_channels
from luray.training.noise import Kind, corrupt


class Sample(NamedTuple):
    """A batch of training samples."""

    maps_BTHW: Tensor
    """Class indices (uint8), first the prior of the first year."""
    forcing_BTLHW: Tensor
    static_BSHW: Tensor
    area_BHW: Tensor
    """Cell area, relative to the largest of the grid."""
    counted_BHW: Tensor
    """True where a cell counts in the loss; the model sees the others, but is not judged by them.
    """

    @property
    def judged_BTHW(self) -> Tensor:
        """The maps, `OUTSIDE` where a cell does not count."""
        return torch.where(self.counted_BHW[:, None], self.maps_BTHW, OUTSIDE)

    def first(self, years: int) -> "Sample":
        """The same for a rollout of only so many years."""
        return self._replace(
            maps_BTHW=self.maps_BTHW[:, : years + 1],
            forcing_BTLHW=self.forcing_BTLHW[:, : years + 1],
        )


class Feeding(NamedTuple):
    """What a model is shown as the prior of a year."""

    noise: float = 0.0
    """Share of land cells whose class is corrupted in the first year's."""
    kind: Kind = "mask"
    truth: float = 0.0
    """Share of samples that are shown the true map in a later year (teacher forcing), not the
    model's own.
    """


CLEAN = Feeding()
"""The true map in the first year, the model's own in later ones."""


class Step(NamedTuple):
    """One predicted year of a rollout."""

    logits_BKHW: Tensor
    target_BHW: Tensor
    """The true map of the year, `OUTSIDE` where a cell does not count."""
    previous_BHW: Tensor
    """The true map of the year before."""


def rollout(
    model: Callable[[Tensor], Tensor],
    sample: Sample,
    features: Features,
    feeding: Feeding = CLEAN,
    *,
    generator: Generator | None = None,
) -> Iterator[Step]:
    """The steps of a rollout; the first prior is the true map, later ones the model's own
    predictions, see `Feeding`.

    `generator`, without which the random numbers are those of a new one, is on the CPU.
    """
    maps, judged, forcing = sample.maps_BTHW, sample.judged_BTHW, sample.forcing_BTLHW
    random = generator or Generator()
    prior = corrupt(
        maps[:, 0],
        share=feeding.noise,
        kind=feeding.kind,
        n_classes=features.n_classes,
        generator=random,
    )
    for year in range(1, maps.shape[1]):
        context = context_channels(
            forcing[:, year], forcing[:, year - 1], sample.static_BSHW, features
        )
        logits = model(assemble(prior, context, n_classes=features.n_classes))
        yield Step(logits, judged[:, year], maps[:, year - 1])
        taught = (torch.rand(maps.shape[0], 1, 1, generator=random) < feeding.truth).to(maps.device)
        predicted = torch.where(
            taught, maps[:, year], logits.detach().argmax(dim=1).to(torch.uint8)
        )
        prior = torch.where(maps[:, year] == OUTSIDE, OUTSIDE, predicted)
