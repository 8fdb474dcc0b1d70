"""Average the values that overlapping windows give, in an order of arrival that does not matter.

The counterpart of `luray.engine.blending` for a continuous target. Three whole numbers are added up
for each cell: the weight of its windows, and, so weighted, the positions of value and spread in the
scale, both in steps of 1 / `ONE`. Whole numbers add up to the same in any order. The map has the
level nearest to the mean of the values. Its spread is the mean of the windows' spreads: windows see
much the same inputs, so their errors are no independent draws that would average out.

Shapes: H W cells of a window or box, Y X those of the sums.
"""

import numpy as np

from luray.core.legend import NO_VALUE, OUTSIDE
from luray.core.types import F32, I32, U8, Bool
from luray.core.value_scale import MOST_LEVELS, ValueScale
from luray.engine.blending import ONE, softplus
from luray.model.operating_point import Calibration
from luray.model.values import LEAST_SPREAD, calibrated_moments, seen_levels


def add_values(
    sums_3YX: I32,
    heads_HW2: F32,
    prior_HW: U8,
    weights_HW: I32,
    scale: ValueScale,
    *,
    at: tuple[int, int],
    calibration: Calibration,
) -> None:
    """Add a window's weight, values and spreads to the sums, in place.

    Parameters
    ----------
    sums_3YX : array, int32
        Changed in place.
    heads_HW2 : array, float32
        Change of the seen value, and spread before softplus, see `UNet.heads`.
    prior_HW : array, uint8
        Levels of the prior map; those of no value are seen as 0.
    weights_HW : array, int32
        See `blending.window_weights`.
    scale : ValueScale
        What the levels stand for.
    at : tuple of int
        Row and column of the sums that the window's first cell is added to.
    calibration : Calibration
        Of the operating point, see `luray.model.value_calibration`.
    """
    # The heads say how the seen value changes since the prior, and how sure that is.
    prior_value_HW = seen_levels(scale)[prior_HW, 0]
    mean_HW = prior_value_HW + heads_HW2[..., 0]
    raw_spread_HW = np.ascontiguousarray(heads_HW2[..., 1])
    spread_HW = softplus(raw_spread_HW) + np.float32(LEAST_SPREAD)
    position_HW, deviation_HW = calibrated_moments(mean_HW, spread_HW, scale, calibration, np)

    top, left = at
    height, width = prior_HW.shape
    weight_sums_YX, value_sums_YX, spread_sums_YX = sums_3YX
    in_window = (slice(top, top + height), slice(left, left + width))
    weight_sums_YX[in_window] += ONE * weights_HW
    value_sums_YX[in_window] += _fixed_point(position_HW) * weights_HW
    spread_sums_YX[in_window] += _fixed_point(deviation_HW) * weights_HW


def _fixed_point(share: F32) -> I32:
    """Round shares of 1 to whole numbers of 1 / `ONE`.

    That comes before they are weighted: what a window adds does not depend on other windows.
    """
    rounded: I32 = np.rint(share * np.float32(ONE)).astype(np.int32)
    return rounded


def decide_values(sums_3HW: I32, land: Bool, scale: ValueScale) -> tuple[U8, U8]:
    """Return the level nearest to the mean value of each cell, and its spread.

    Parameters
    ----------
    sums_3HW : array, int32
        What `add_values` has added up.
    land : array, bool, shape (H, W)
        Every land cell must be covered by a window.
    scale : ValueScale
        Its levels.

    Returns
    -------
    levels : array, uint8, shape (H, W)
        Rounded half up; `OUTSIDE` off land.
    spread : array, uint8, shape (H, W)
        Standard deviation in steps of the scale, rounded half up; `NO_VALUE` off land.

    Examples
    --------
    >>> sums = np.array([[[10, 10]], [[5, 0]], [[1, 0]]], np.int32)
    >>> scale = ValueScale("1", first=0.0, step=0.1, levels=11)
    >>> decide_values(sums, np.array([[True, False]]), scale)
    (array([[  5, 255]], dtype=uint8), array([[  1, 255]], dtype=uint8))
    """
    weight_HW = sums_3HW[0].astype(np.int64)
    assert (weight_HW[land] > 0).all(), "a land cell was covered by no window"
    weight_HW[~land] = 1
    highest = scale.levels - 1

    def nearest_step(sums_HW: I32) -> U8:
        # Rounded half up: floor(x + 1/2), with x = highest * sums / weight, in whole numbers.
        steps_HW = (2 * highest * sums_HW.astype(np.int64) + weight_HW) // (2 * weight_HW)
        nearest_HW: U8 = np.minimum(steps_HW, MOST_LEVELS).astype(np.uint8)
        return nearest_HW

    levels = np.where(land, nearest_step(sums_3HW[1]), np.uint8(OUTSIDE))
    spread = np.where(land, nearest_step(sums_3HW[2]), np.uint8(NO_VALUE))
    return levels, spread
