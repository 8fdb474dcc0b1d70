"""Quantities that change while a model is trained."""

import math
from typing import Any

from pydantic import model_validator

from luray.core.config import Config


class Ramp(Config):
    """A number that goes straight from `first` to `last` over a training; in a run file, one number
    or both.
    """

    first: float
    last: float

    @model_validator(mode="before")
    @classmethod
    def _constant(cls, value: Any) -> Any:
        return {"first": value, "last": value} if isinstance(value, int | float) else value

    def at(self, progress: float) -> float:
        """The number at a progress between 0 (first step) and 1 (last step)."""
        return self.first + (self.last - self.first) * progress

    @property
    def least(self) -> float:
        """The smaller end."""
        return min(self.first, self.last)

    @property
    def most(self) -> float:
        """The larger end."""
        return max(self.first, self.last)


def constant(value: float) -> Ramp:
    """A number that does not change."""
    return Ramp(first=value, last=value)


def cosine(step: int, *, steps: int, warmup: float) -> float:
    """Share of the learning rate at a step: a linear warm-up over a share of the steps, then a
    cosine to zero.
    """
    first = max(1, round(warmup * steps))
    if step < first:
        return (step + 1) / first
    return 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, steps - first)))
