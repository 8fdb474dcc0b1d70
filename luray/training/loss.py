"""The training loss: all land cells and changed cells, mixed.

(1 - a) * mean over land + a * mean over changed cells of the cross-entropy, both weighted by cell
area and, if wanted, by class. The means are sums over denominators that span the whole effective
batch, so that the loss does not depend on how the batch is split.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from luray.core.legend import OUTSIDE


class Weights(NamedTuple):
    """Weight of the land cells and of the changed cells of a batch, in the unit of `area_BHW`."""

    land: Tensor
    changed: Tensor


class Loss(NamedTuple):
    """Parts of the loss: the mean over land and the mean over changed cells, or what a piece
    contributes to them.
    """

    land: Tensor
    changed: Tensor

    def mixed(self, change_weight: float) -> Tensor:
        """The loss, with weight `change_weight` on changed cells."""
        return (1 - change_weight) * self.land + change_weight * self.changed


def weights_of(
    maps_BTHW: Tensor, area_BHW: Tensor, *, class_weights_K: Tensor | None = None
) -> Weights:
    """Weight of land and of change summed over the targets of a batch of consecutive maps, the
    first the prior.
    """
    target, previous = maps_BTHW[:, 1:], maps_BTHW[:, :-1]
    weights = _cell_weights(target, previous, area_BHW[:, None], class_weights_K)
    return Weights(weights.sum(), (weights * (target != previous)).sum())


def loss_of(
    logits_BKHW: Tensor,
    target_BHW: Tensor,
    previous_BHW: Tensor,
    area_BHW: Tensor,
    *,
    totals: Weights,
    class_weights_K: Tensor | None = None,
) -> Loss:
    """Contribution of one step of one (micro-)batch to the loss; contributions add up to that of
    the whole batch.
    """
    weights = _cell_weights(target_BHW, previous_BHW, area_BHW, class_weights_K)
    target = torch.where(target_BHW != OUTSIDE, target_BHW, 0).long()
    entropy = cross_entropy(logits_BKHW, target, reduction="none") * weights
    changed = (entropy * (target_BHW != previous_BHW)).sum()
    return Loss(
        entropy.sum() / totals.land.clamp(min=1e-12), changed / totals.changed.clamp(min=1e-12)
    )


def _cell_weights(
    target: Tensor, previous: Tensor, area: Tensor, class_weights_K: Tensor | None
) -> Tensor:
    """Area, times the weight of the target's class, of cells that are land in both years, else 0."""
    weights = ((target != OUTSIDE) & (previous != OUTSIDE)) * area
    if class_weights_K is None:
        return weights
    return weights * class_weights_K[torch.where(target != OUTSIDE, target, 0).long()]
