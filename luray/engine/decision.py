"""Decide the map of a box from its sums.

Each cell gets its most probable class or a drawn one, freely or as the scenario demands; of a
continuous target it gets the mean of the values.
"""

from luray.core.random import RandomStream
from luray.core.tiling import Box
from luray.core.types import I32, U8, Bool
from luray.core.value_scale import ValueScale
from luray.engine.blending import decide
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.demand import Shortfall, constrain
from luray.engine.ensemble import perturbed, sample
from luray.engine.value_blending import decide_values


def decide_classes(
    sums_KHW: I32,
    prior_HW: U8,
    land_HW: Bool,
    *,
    year: int,
    prior_year: int,
    box: Box,
    draws: RandomStream | None = None,
    demand: CoarseDemand | None = None,
    strength: float = 0.0,
    scale: ValueScale | None = None,
) -> tuple[U8, U8, Shortfall]:
    """Decide the class of each cell of a box.

    Parameters
    ----------
    sums_KHW : array, int32
        See `blending.add_window`.
    prior_HW : array, uint8
        Class indices of the prior year.
    land_HW : array, bool
        Land mask.
    year, prior_year : int
        Years of the map and of its prior.
    box : Box
        Cells of the run grid; with a demand, whole blocks of it.
    draws : RandomStream, optional
        The numbers of a member; without them each cell takes its most probable class.
    demand : CoarseDemand, optional
        What the scenario demands.
    strength : float
        How far it is imposed, 0 to 1.
    scale : ValueScale, optional
        Scale of a continuous target, which has neither draws nor a demand.

    Returns
    -------
    classes, confidence : arrays, uint8, shape (H, W)
        Class indices, and confidence in percent; or levels and spread, see
        `value_blending.decide_values`.
    shortfall : Shortfall
        What of the demand is not met.
    """
    if scale is not None:
        return *decide_values(sums_KHW, land_HW, scale), Shortfall()
    if demand is None:
        if draws is None:
            classes, confidence = decide(sums_KHW, land_HW)
        else:
            classes, confidence = sample(sums_KHW, land_HW, draws, year=year, box=box)
        return classes, confidence, Shortfall()

    scores_KHW = None if draws is None else perturbed(sums_KHW, draws, year=year, box=box)
    return constrain(
        sums_KHW,
        prior_HW,
        land_HW,
        demand.change(year, prior_year, box, land_HW),
        block=demand.block,
        groups=demand.groups,
        strength=strength,
        scores_KHW=scores_KHW,
    )
