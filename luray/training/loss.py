"""The training loss: all land cells and changed cells, mixed.

(1 - a) * mean over land + a * mean over changed cells of the cross-entropy, both weighted by cell
area and, if wanted, by class. The means are sums over denominators that span the whole effective
batch, so that the loss does not depend on how the batch is split.

Shapes: B samples, T consecutive maps of which the first is the prior, K classes, H W window.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from luray.core.legend import OUTSIDE
from luray.model.features import UNKNOWN


class TotalWeights(NamedTuple):
    """Summed weights of the land cells and of the changed cells of a batch."""

    land: Tensor
    changed: Tensor


class Loss(NamedTuple):
    """The mean over land and the mean over changed cells, or a piece's contribution to them."""

    land: Tensor
    changed: Tensor

    def mixed(self, change_weight: float) -> Tensor:
        """Return the loss, with weight `change_weight` on changed cells."""
        return (1 - change_weight) * self.land + change_weight * self.changed


def total_weights(
    maps_BTHW: Tensor, area_BHW: Tensor, *, class_weights_K: Tensor | None = None
) -> TotalWeights:
    """Sum the weights of the land cells and of the changed cells over all targets of a batch.

    Parameters
    ----------
    maps_BTHW : Tensor
        Consecutive maps (uint8 class indices, `OUTSIDE` where a cell does not count).
    area_BHW : Tensor
        Cell area, in any unit.
    class_weights_K : Tensor, optional
        Weight of the cells of each class; by default 1.
    """
    target = maps_BTHW[:, 1:]
    previous = maps_BTHW[:, :-1]
    weights = _cell_weights(target, previous, area_BHW[:, None], class_weights_K)
    changed = target != previous
    return TotalWeights(weights.sum(), (weights * changed).sum())


def loss_of(
    logits_BKHW: Tensor,
    target_BHW: Tensor,
    previous_BHW: Tensor,
    area_BHW: Tensor,
    *,
    totals: TotalWeights,
    class_weights_K: Tensor | None = None,
) -> Loss:
    """Return what one year of one (micro-)batch contributes to the loss of the whole batch.

    Parameters
    ----------
    logits_BKHW : Tensor
        Predicted logits of the year.
    target_BHW, previous_BHW : Tensor
        True maps of the year and of the year before (uint8, `OUTSIDE` where a cell does not count).
    area_BHW : Tensor
        Cell area, in the unit of the totals.
    totals : TotalWeights
        Of the whole effective batch, so that contributions add up to its loss.
    class_weights_K : Tensor, optional
        As for `total_weights`.
    """
    weights = _cell_weights(target_BHW, previous_BHW, area_BHW, class_weights_K)

    # Cells outside get some class, as cross_entropy wants one; their weight is 0.
    target = torch.where(target_BHW != OUTSIDE, target_BHW, 0).long()
    entropy = cross_entropy(logits_BKHW, target, reduction="none") * weights
    changed_entropy = entropy * (target_BHW != previous_BHW)

    # A batch without land or without change has loss 0 there, not 0 / 0.
    land_weight = totals.land.clamp(min=1e-12)
    changed_weight = totals.changed.clamp(min=1e-12)
    return Loss(entropy.sum() / land_weight, changed_entropy.sum() / changed_weight)


def _cell_weights(
    target: Tensor, previous: Tensor, area: Tensor, class_weights_K: Tensor | None
) -> Tensor:
    """Area of cells that are land in both years, times the weight of the target's class; else 0.

    A target whose value is not known, as under a cloud, has no weight either.
    """
    land = (target < UNKNOWN) & (previous != OUTSIDE)
    weights = land * area
    if class_weights_K is None:
        return weights
    return weights * class_weights_K[torch.where(target != OUTSIDE, target, 0).long()]
