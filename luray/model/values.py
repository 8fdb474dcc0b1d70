"""How a model sees the values of a continuous target, and what its two heads say of them.

A value is seen by its *position* in its scale, 0 at the first level and 1 at the last, or by the
square root of that (`ValueScale.transform`), which tells small values apart. So the model sees, of
each map that it is shown, the value and whether it is known.

For each cell the network gives the change of the seen value since the prior map, and how sure it is
of it: mean and spread (standard deviation) of a normal distribution of the seen value. `moments`
turns both into positions.

Functions take the module of their arrays, NumPy for inference and torch for training, so that both
compute the same.
"""

from types import ModuleType
from typing import Any

import numpy as np

from luray.core.types import F32
from luray.core.value_scale import ValueScale
from luray.model.operating_point import Calibration

LEAST_SPREAD = 1e-3
"""Smallest spread of a seen value: without it a loss could fall without end."""

FIRST_SPREAD = 0.05
"""Spread that an untrained model gives."""


def seen_levels(scale: ValueScale) -> F32:
    """Return what a model sees of each byte of a map, (256, 2): the value, and 1 where it is known.

    Examples
    --------
    >>> table = seen_levels(ValueScale("1", first=0.0, step=0.5, levels=3, transform="sqrt"))
    >>> table[[0, 2, 255]].tolist(), f"{table[1, 0]:.2f}"
    ([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]], '0.71')
    """
    table = np.zeros((256, 2), np.float32)
    table[: scale.levels, 0] = seen(np.arange(scale.levels) / (scale.levels - 1), scale, np)
    table[: scale.levels, 1] = 1
    return table


def seen(position: Any, scale: ValueScale, xp: ModuleType) -> Any:
    """Return how the model sees a position in the scale."""
    return xp.sqrt(position) if scale.transform == "sqrt" else position


def moments(mean: Any, spread: Any, scale: ValueScale, xp: ModuleType) -> tuple[Any, Any]:
    """Return mean and standard deviation of the position from those of the seen value.

    Where the square root is seen, these are the moments of the square of a normal variable: with
    mean m and deviation s they are m^2 + s^2 and s * sqrt(4 m^2 + 2 s^2).

    Examples
    --------
    >>> scale = ValueScale("1", first=0.0, step=0.5, levels=3, transform="sqrt")
    >>> mean, deviation = moments(np.array(0.5), np.array(0.1), scale, np)
    >>> round(float(mean), 3), round(float(deviation), 3)
    (0.26, 0.101)
    """
    if scale.transform == "sqrt":
        mean = xp.clip(mean, 0, 1)
        variance = spread * spread
        spread = xp.sqrt(4 * mean * mean + 2 * variance) * spread
        mean = mean * mean + variance
    return xp.clip(mean, 0, 1), spread


def calibrated_moments(
    mean: Any, spread: Any, scale: ValueScale, calibration: Calibration, xp: ModuleType
) -> tuple[Any, Any]:
    """Return the same after calibration: the bias is added to the mean, the deviation is scaled.

    Both stay within the scale, between 0 and 1.
    """
    position, deviation = moments(mean, spread, scale, xp)
    position = xp.clip(position + calibration.bias, 0, 1)
    deviation = xp.clip(deviation * calibration.temperature, 0, 1)
    return position, deviation


def nearest_level(position: Any, scale: ValueScale, xp: ModuleType) -> Any:
    """Return the number of the level nearest to a position, as a number with a point."""
    return xp.floor(position * (scale.levels - 1) + 0.5)
