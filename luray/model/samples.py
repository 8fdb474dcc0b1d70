"""Which window and years the k-th training sample is: a pure function of the seed and k.

Nothing is listed or shuffled in memory, so 80,000 samples cost what 800 cost, and sample k is the same on any worker.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from luray.schema import Direction
from luray.windows import Box, Core, Tiling


class Draw(NamedTuple):
    """One sample: a window, shifted off the lattice, and consecutive years in the direction of travel."""

    box: Box
    years: tuple[int, ...]


@dataclass(frozen=True)
class SamplePlan:
    """Windows around the active cores, drawn with equal chance, and years within `first_year` .. `last_year`.

    Raises ValueError when there is no land or there are fewer years than a rollout needs.
    """

    tiling: Tiling
    cores: tuple[Core, ...]
    first_year: int
    last_year: int
    rollout_years: int
    direction: Direction
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.cores:
            raise ValueError("no window of the grid has land to train on; check the state source and [grid]")
        if self.last_year - self.first_year < self.rollout_years:
            raise ValueError(f"training years {self.first_year}-{self.last_year} are fewer than a rollout of "
                             f"{self.rollout_years} years needs; widen training.years or lower training.rollout_years")

    def __getitem__(self, k: int) -> Draw:
        """Sample k, k >= 0."""
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=k))
        core = self.cores[random.integers(len(self.cores))]
        half = self.tiling.stride // 2
        shift_row, shift_col = (int(i) for i in random.integers(-half, half + 1, size=2))
        box = self.tiling.window_box(core)
        first = int(random.integers(self.first_year, self.last_year - self.rollout_years + 1))
        years = tuple(range(first, first + self.rollout_years + 1))
        return Draw(box._replace(row=box.row + shift_row, col=box.col + shift_col),
                    years if self.direction == "forward" else years[::-1])
