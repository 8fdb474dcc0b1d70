"""Loops over cells, compiled."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on arrays and numbers at its first call; other threads run meanwhile.

    It divides as NumPy does, so that loops with divisions are vectorised. The machine code is kept on disk for the
    processes that come, where there is a place for it: compiling takes a second or more, a worker's start should not.
    """
    try:
        return cast("Callable[P, R]", njit(nogil=True, cache=True, error_model="numpy")(function))
    except RuntimeError:  # numba found no folder that it may write to
        return cast("Callable[P, R]", njit(nogil=True, error_model="numpy")(function))
