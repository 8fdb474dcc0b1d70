"""The scale of a continuous target: what the whole numbers of its maps stand for.

A map of values is stored as bytes, as a map of classes is. A byte is a *level*, and
value = first + step * level, which CF calls packing (`scale_factor` and `add_offset`).
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.types import F32, U8

MOST_LEVELS = 250
"""Levels of a scale at most: a byte has room for no more beside those that are no value."""

Transform = Literal["linear", "sqrt"]
"""How a model sees a value: by its position between the first value and the last, or by the square
root of that, which tells small values apart.
"""


@dataclass(frozen=True)
class ValueScale:
    """Levels 0 .. `levels` - 1 of a continuous quantity.

    Examples
    --------
    >>> scale = ValueScale("m2 m-2", first=0.0, step=0.1, levels=71)
    >>> scale.last, scale.values(np.array([0, 25], np.uint8)).round(2).tolist()
    (7.0, [0.0, 2.5])
    >>> scale.levels_of(np.array([0.04, 0.06, 7.0])).tolist()
    [0, 1, 70]
    """

    units: str
    first: float
    """Value of level 0."""
    step: float
    """Difference between two levels, above 0."""
    levels: int
    transform: Transform = "linear"
    standard_name: str = ""
    """CF's name of the quantity, empty where it has none."""
    colours: tuple[str, ...] = ("#f7fcf5", "#00441b")
    """Colours from the lowest value to the highest, evenly spaced, written #rrggbb."""

    @property
    def last(self) -> float:
        """Value of the highest level."""
        return round(self.first + self.step * (self.levels - 1), 9)

    def values(self, levels: U8) -> F32:
        """Return the values of levels, in `units`, same shape."""
        return (self.first + self.step * levels.astype(np.float64)).astype(np.float32)

    def levels_of(self, values: NDArray[np.floating]) -> U8:
        """Return the nearest level of each value, same shape.

        Raises
        ------
        ValueError
            For values outside the scale, NaN among them, by more than half a step.
        """
        levels = np.floor((values.astype(np.float64) - self.first) / self.step + 0.5)
        wrong = ~((levels >= 0) & (levels < self.levels))
        if wrong.any():
            raise ValueError(
                f"{int(wrong.sum())} values lie outside {self.first:g} to {self.last:g} "
                f"{self.units} (first {values[wrong].flat[0]:g}); correct the file, or widen "
                "valid_range of the target"
            )
        return levels.astype(np.uint8)


def require_scale(scale: ValueScale, *, where: str) -> None:
    """Raise ValueError, beginning with `where`, for a scale that no map could have."""
    if not (math.isfinite(scale.first) and math.isfinite(scale.step) and scale.step > 0):
        raise ValueError(
            f"{where}: first {scale.first} and step {scale.step} of the values, expected finite "
            "numbers, the step above 0"
        )
    if not 2 <= scale.levels <= MOST_LEVELS:
        raise ValueError(
            f"{where}: valid_range holds {scale.levels} steps of {scale.step:g}, expected 2 to "
            f"{MOST_LEVELS}; choose a larger step or a narrower range"
        )
    wrong = [colour for colour in scale.colours if not re.fullmatch("#[0-9a-fA-F]{6}", colour)]
    if wrong or len(scale.colours) < 2:
        raise ValueError(
            f"{where}: colours {list(scale.colours)}, expected two colours or more, each written "
            "#rrggbb"
        )
