"""Recursive rollout: the model predicts year after year on its own predictions.

Shapes: B samples of a batch, T = rollout years + 1 consecutive maps in the direction of travel, N
maps from the newest that a cell is remembered in, L level channels of the forcing, S static
channels, K classes, H W window.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN, Features
from luray.model.model_input import assemble
from luray.training.memory_kernel import fast_memory_channels
from luray.training.noise import corrupt
from luray.training.prior_feeding import CLEAN, PriorFeeding
from luray.training.value_loss import predicted_levels


class Sample(NamedTuple):
    """A batch of training samples."""

    maps_BTHW: Tensor
    """Class indices (uint8); the first map is the prior of the first predicted year."""
    older_maps_BNHW: Tensor
    """Maps before the first, newest first (uint8); `OUTSIDE` where there is none. One fewer than
    `Features.history`, as the prior is remembered, too.
    """
    forcing_BTLHW: Tensor
    static_BSHW: Tensor
    area_BHW: Tensor
    """Cell area, relative to the largest of the grid."""
    counted_BHW: Tensor
    """True where a cell counts in the loss; the model sees the others, but is not scored there."""

    @property
    def scored_maps_BTHW(self) -> Tensor:
        """The maps, `OUTSIDE` where a cell does not count."""
        return torch.where(self.counted_BHW[:, None], self.maps_BTHW, OUTSIDE)

    def first_years(self, rollout_years: int) -> "Sample":
        """Return the same samples for a shorter rollout."""
        return self._replace(
            maps_BTHW=self.maps_BTHW[:, : rollout_years + 1],
            forcing_BTLHW=self.forcing_BTLHW[:, : rollout_years + 1],
        )


class Step(NamedTuple):
    """One predicted year of a rollout."""

    logits_BKHW: Tensor
    """Of values mean and spread, see `UNet.forward`."""
    target_BHW: Tensor
    """The true map of the year, `OUTSIDE` where a cell does not count."""
    previous_BHW: Tensor
    """The true map of the year before."""


def rollout(
    model: Callable[[Tensor], Tensor],
    sample: Sample,
    features: Features,
    feeding: PriorFeeding = CLEAN,
    *,
    generator: Generator | None = None,
) -> Iterator[Step]:
    """Predict the years of a batch of samples, one after the other.

    Parameters
    ----------
    model : callable
        Gives logits (B, K, H, W) for an input (B, C, H, W).
    sample : Sample
        The maps, forcing and static channels.
    features : Features
        Layout of the model input.
    feeding : PriorFeeding
        What the model is shown as prior; by default the true map first, then its own predictions.
    generator : Generator, optional
        Source of the noise, on the CPU; by default a new one, which always gives the same numbers.

    Yields
    ------
    Step
        One for each predicted year. No gradient flows from one year to the year before.
    """
    if generator is None:
        generator = Generator()
    maps_BTHW = sample.maps_BTHW
    scored_maps_BTHW = sample.scored_maps_BTHW
    forcing_BTLHW = sample.forcing_BTLHW
    n_samples, n_maps = maps_BTHW.shape[:2]

    def noisy(map_BHW: Tensor) -> Tensor:
        return corrupt(
            map_BHW,
            share=feeding.noise,
            kind=feeding.noise_kind,
            n_classes=features.n_classes if features.scale is None else features.scale.levels,
            generator=generator,
        )

    prior_BHW = noisy(maps_BTHW[:, 0])
    older_maps_BNHW = sample.older_maps_BNHW
    if feeding.noise and feeding.noise_kind == "jitter":
        # Older maps are the model's own as well in use, with errors of their own.
        older_maps_BNHW = older_maps_BNHW.clone()
        for lag in features.lags:
            older_maps_BNHW[:, lag - 1] = noisy(older_maps_BNHW[:, lag - 1])
    # What is remembered are the maps that the model was shown, noise and its own errors included.
    shown_BNHW = torch.cat([prior_BHW[:, None], older_maps_BNHW], dim=1)
    for year in range(1, n_maps):
        inputs_BCHW = assemble(
            shown_BNHW,
            forcing_BTLHW[:, year],
            forcing_BTLHW[:, year - 1],
            sample.static_BSHW,
            features,
            remember=fast_memory_channels,
        )
        logits_BKHW = model(inputs_BCHW)

        true_BHW = maps_BTHW[:, year]
        yield Step(logits_BKHW, scored_maps_BTHW[:, year], maps_BTHW[:, year - 1])
        if year == n_maps - 1:
            return  # nobody is shown the last prediction

        # Teacher forcing is drawn a sample, not a cell: half a true map would be a map of its own.
        drawn = torch.rand(n_samples, 1, 1, generator=generator) < feeding.teacher_forcing
        shown_truth = drawn.to(maps_BTHW.device)
        predicted_BHW = decided(logits_BKHW.detach(), features)
        next_BHW = torch.where(shown_truth & (true_BHW != UNKNOWN), true_BHW, predicted_BHW)
        prior_BHW = torch.where(true_BHW == OUTSIDE, OUTSIDE, next_BHW)
        shown_BNHW = torch.cat([prior_BHW[:, None], shown_BNHW[:, :-1]], dim=1)


def decided(outputs_BKHW: Tensor, features: Features) -> Tensor:
    """Return the map that a model's outputs stand for, uint8 (B, H, W)."""
    if features.scale is not None:
        return predicted_levels(outputs_BKHW, features.scale)
    return likeliest_class(outputs_BKHW)


def likeliest_class(logits_BKHW: Tensor) -> Tensor:
    """Return the first class of the largest logit, uint8 (B, H, W).

    On a CPU that is a fifth of the time of `argmax`, which goes along the classes cell by cell.

    Examples
    --------
    >>> likeliest_class(torch.tensor([1.0, 3.0, 3.0]).reshape(1, 3, 1, 1)).item()
    1
    """
    largest_BHW = logits_BKHW[:, 0]
    class_BHW = torch.zeros_like(largest_BHW, dtype=torch.uint8)
    for k in range(1, logits_BKHW.shape[1]):
        is_larger = logits_BKHW[:, k] > largest_BHW
        class_BHW = class_BHW.masked_fill(is_larger, k)
        largest_BHW = torch.maximum(largest_BHW, logits_BKHW[:, k])
    return class_BHW
