"""Kernels: functions on arrays and numbers, compiled to machine code."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function at its first call with arguments of some types; it runs without the
    interpreter's lock.

    Division by zero gives what it gives in NumPy, as a test for it would keep loops from being
    vectorised.

    The machine code is kept on disk where numba finds a folder to write to (beside the source, else
    the user's cache, or NUMBA_CACHE_DIR), so that a worker starts in no time; elsewhere it takes
    seconds once in a process. It is kept for as long as the function's file is the same, so a
    kernel uses its arguments, and constants and kernels of its own file, and nothing else.
    """
    try:
        kernel = njit(function, nogil=True, error_model="numpy", cache=True)
    except RuntimeError:  # numba's word for: no folder can be written to
        kernel = njit(function, nogil=True, error_model="numpy")
    return cast("Callable[P, R]", kernel)
