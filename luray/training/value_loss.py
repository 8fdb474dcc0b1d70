"""The training loss of a continuous target, and what a step counts of it.

The loss is the negative log-likelihood of the seen value under the normal distribution that the
model gives, weighted by cell area. Each cell's share is multiplied by its spread to the power
2 * `BETA`, through which no gradient flows: without it the mean is hardly learned where the spread
is large (Seitzer et al. 2022, arXiv:2203.09168). Cells without a value carry no weight.

Shapes: B samples, H W window.
"""

import torch
from torch import Tensor

from luray.core.value_scale import ValueScale
from luray.model.features import UNKNOWN
from luray.model.values import moments, nearest_level, seen_levels
from luray.training.loss import Loss, TotalWeights

BETA = 0.5


def value_loss_of(
    outputs_B2HW: Tensor,
    target_BHW: Tensor,
    area_BHW: Tensor,
    scale: ValueScale,
    *,
    totals: TotalWeights,
) -> Loss:
    """Return what one step of one (micro-)batch contributes to the loss of the whole batch.

    Parameters
    ----------
    outputs_B2HW : Tensor
        Mean and spread of the seen value, see `UNet.forward`.
    target_BHW : Tensor
        True levels (uint8); any other byte carries no weight.
    area_BHW : Tensor
        Cell area, in the unit of the totals.
    scale : ValueScale
        What the levels stand for.
    totals : TotalWeights
        Of the whole effective batch, so that contributions add up to its loss.

    Returns
    -------
    Loss
        Both parts alike: values have no changed cells of their own.
    """
    is_known = target_BHW < UNKNOWN
    table = torch.from_numpy(seen_levels(scale)).to(target_BHW.device)
    truth_BHW = table[target_BHW.long(), 0]
    mean_BHW, spread_BHW = outputs_B2HW.unbind(dim=1)

    error_BHW = (truth_BHW - mean_BHW) / spread_BHW
    likelihood_BHW = error_BHW.square() / 2 + spread_BHW.log()
    weighted_BHW = likelihood_BHW * spread_BHW.detach() ** (2 * BETA) * (is_known * area_BHW)
    loss = weighted_BHW.sum() / totals.land.clamp(min=1e-12)
    return Loss(loss, loss)


def predicted_levels(outputs_B2HW: Tensor, scale: ValueScale) -> Tensor:
    """Return the level nearest to the mean of each cell, uint8 (B, H, W)."""
    position_BHW, _ = moments(outputs_B2HW[:, 0], outputs_B2HW[:, 1], scale, torch)
    level_BHW: Tensor = nearest_level(position_BHW, scale, torch)
    return level_BHW.to(torch.uint8)


def count_values(
    outputs_B2HW: Tensor, target_BHW: Tensor, previous_BHW: Tensor, scale: ValueScale
) -> Tensor:
    """Return the sums of `step_metrics.ValueCounts` behind its losses, float64 (5,).

    They are over the cells whose value is known, and was at the step before.
    """
    is_counted = (target_BHW < scale.levels) & (previous_BHW < scale.levels)
    outputs_B2HW = outputs_B2HW.detach()
    predicted_BHW = predicted_levels(outputs_B2HW, scale).double() * scale.step
    truth_BHW = target_BHW.double() * scale.step
    error_BHW = (predicted_BHW - truth_BHW) * is_counted
    change_BHW = (previous_BHW.double() * scale.step - truth_BHW) * is_counted
    _, deviation_BHW = moments(outputs_B2HW[:, 0], outputs_B2HW[:, 1], scale, torch)
    spread_BHW = deviation_BHW.double() * (scale.step * (scale.levels - 1))
    is_within_BHW = (error_BHW.abs() <= spread_BHW) & is_counted
    return torch.stack(
        [
            error_BHW.sum(),
            error_BHW.square().sum(),
            change_BHW.square().sum(),
            is_within_BHW.sum().double(),
            is_counted.sum().double(),
        ]
    )
