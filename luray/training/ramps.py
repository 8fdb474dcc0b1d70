"""Quantities that change while a model is trained."""

import math
from typing import Any

from pydantic import model_validator

from luray.core.config import Config


class Ramp(Config):
    """A number that goes straight from `first` to `last` over a training.

    In a run file it is one number, or both ends.

    Examples
    --------
    >>> Ramp(first=2, last=4).at(0.5)
    3.0
    """

    first: float
    last: float

    @model_validator(mode="before")
    @classmethod
    def _constant(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            return {"first": value, "last": value}
        return value

    def at(self, progress: float) -> float:
        """Return the number at a progress between 0 (first step) and 1 (last step)."""
        return self.first + (self.last - self.first) * progress

    @property
    def minimum(self) -> float:
        """The smaller end."""
        return min(self.first, self.last)

    @property
    def maximum(self) -> float:
        """The larger end."""
        return max(self.first, self.last)


def constant(value: float) -> Ramp:
    """Return a number that does not change."""
    return Ramp(first=value, last=value)


def warmup_cosine(step: int, *, steps: int, warmup: float) -> float:
    """Return the share of the learning rate at a step, between 0 and 1.

    Parameters
    ----------
    step : int
        From 0.
    steps : int
        Steps of the training.
    warmup : float
        Share of the steps in which the rate rises in a straight line; then a cosine takes it to 0
        (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts).
    """
    warmup_steps = max(1, round(warmup * steps))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))
