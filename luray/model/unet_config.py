"""The model as a run file gives it: its size, and how many maps it remembers."""

from typing import Any

from pydantic import Field

from luray.core.config import Config
from luray.model.memory import MOST_MAPS


class UNetConfig(Config):
    """Channels of the first level, doubled at each of `depth` halvings of the resolution."""

    width: int = Field(16, ge=1, le=4096)
    depth: int = Field(3, ge=0, le=8)
    history: int = 8
    """Maps that a cell is remembered in, in the direction of travel; 1: the last map alone."""

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a history that cannot be remembered."""
        if not 1 <= self.history <= MOST_MAPS:
            raise ValueError(f"model.history is {self.history}, expected 1 to {MOST_MAPS} maps")
