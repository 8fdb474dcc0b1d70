"""TO BE WRITTEN."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

LeaveOut = Literal["nothing", "base maps"]
"""Transitions that are left out: none, or those into and out of maps that their source declares of
another kind.
"""


class Config(BaseModel):
    """Base of every component's configuration: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


DeviceChoice = Literal["auto", "cpu", "gpu"]
"""Where a model runs: on GPUs if the cluster has any, on none, or on GPUs that an autoscaler may
bring.
"""


class Workers(Config):
    """How many workers: between `min` and `max`, as the cluster has room; in a run file, one number
    or both.
    """

    min: int
    max: int

    @model_validator(mode="before")
    @classmethod
    def _fixed(cls, value: Any) -> Any:
        return {"min": value, "max": value} if isinstance(value, int) else value

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError unless 1 <= min <= max."""
        if not 1 <= self.min <= self.max:
            raise ValueError(f"workers between {self.min} and {self.max}, expected 1 <= min <= max")
