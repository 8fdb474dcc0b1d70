"""A measured ratio beside its goal, and the clock that the benchmarks share."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """A ratio that should reach its goal: larger is better."""

    name: str
    ratio: float
    goal: float
    detail: str

    @property
    def reached(self) -> bool:
        """True where the goal is met."""
        return self.ratio >= self.goal


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(*works: Callable[[], object], rounds: int = 3) -> list[float]:
    """Fewest seconds of each of several things, run in turn so that a noisy moment hits them alike."""
    taken = [[seconds(work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*taken, strict=True)]
