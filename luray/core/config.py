"""Base of every component's configuration, and the settings that several components share."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

DeviceChoice = Literal["auto", "cpu", "gpu"]
"""Where a model runs.

On GPUs if the cluster has any (auto), on none (cpu), or on GPUs that an autoscaler may bring (gpu).
"""
CpuPrecision = Literal["float32", "bfloat16"]
"""What the convolutions of a model are computed in on a CPU; see `luray.engine.precision`."""


class Config(BaseModel):
    """Base of every component's configuration: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Workers(Config):
    """Number of workers of a stage: between `min` and `max`, as the cluster has room.

    A run file gives one number, or both.

    Examples
    --------
    >>> Workers.model_validate(4)
    Workers(min=4, max=4)
    >>> Workers(min=1, max=8)
    Workers(min=1, max=8)
    """

    min: int
    max: int

    @model_validator(mode="before")
    @classmethod
    def _from_one_number(cls, value: Any) -> Any:
        return {"min": value, "max": value} if isinstance(value, int) else value

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError unless 1 <= min <= max."""
        if not 1 <= self.min <= self.max:
            raise ValueError(f"workers between {self.min} and {self.max}, expected 1 <= min <= max")
