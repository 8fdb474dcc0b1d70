"""The model as a run file gives it: its size, and how many maps it remembers."""

from typing import Any

from luray.core.config import Config
from luray.model.memory import MOST_MAPS


class UNetConfig(Config):
    """Channels of the first level, doubled at each of `depth` halvings of the resolution."""

    width: int = 16
    depth: int = 3
    history: int = 8
    """Maps that a cell is remembered in, in the direction of travel; 1: the last map alone."""

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a history that cannot be remembered."""
        if not 1 <= self.history <= MOST_MAPS:
            raise ValueError(f"model.history is {self.history}, expected 1 to {MOST_MAPS} maps")
