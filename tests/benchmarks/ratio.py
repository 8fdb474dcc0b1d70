"""A measured ratio beside its goal, and the clock that the benchmarks share."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


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
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(*works: Callable[[], object], rounds: int = 3) -> list[float]:
    """Return the fewest seconds of each of several functions.

    They run in turn, so that a noisy moment hits them alike.
    """
    taken = [[seconds(work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*taken, strict=True)]


def alone(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns in a new process, which a benchmark has left no memory in."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()
