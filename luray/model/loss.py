"""The training loss: all land cells and changed cells, mixed.

(1 - a) * mean over land + a * mean over changed cells of the cross-entropy, both weighted by cell area. The means are
sums over denominators that span the whole effective batch, so that the loss does not depend on how the batch is split.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from luray.schema import OUTSIDE


class Weights(NamedTuple):
    """Area of the land cells and of the changed cells of a batch, in the unit of `area_BH`."""

    land: Tensor
    changed: Tensor


def weights_of(maps_BTHW: Tensor, area_BH: Tensor) -> Weights:
    """Area of land and of change summed over the targets of a batch of consecutive maps, the first the prior."""
    target, previous = maps_BTHW[:, 1:], maps_BTHW[:, :-1]
    land = (target != OUTSIDE) & (previous != OUTSIDE)
    area = area_BH[:, None, :, None]
    return Weights((land * area).sum(), ((land & (target != previous)) * area).sum())


def mixed_loss(logits_BKHW: Tensor, target_BHW: Tensor, previous_BHW: Tensor, area_BH: Tensor, *,
               change_weight: float, totals: Weights) -> Tensor:
    """Contribution of one step of one (micro-)batch to the loss; contributions add up to that of the whole batch."""
    land = (target_BHW != OUTSIDE) & (previous_BHW != OUTSIDE)
    target = torch.where(land, target_BHW, 0).long()
    entropy = cross_entropy(logits_BKHW, target, reduction="none") * land * area_BH[:, :, None]
    changed = (entropy * (target_BHW != previous_BHW)).sum() / totals.changed.clamp(min=1e-12)
    return (1 - change_weight) * entropy.sum() / totals.land.clamp(min=1e-12) + change_weight * changed
