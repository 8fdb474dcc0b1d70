"""Kernels: functions on arrays and numbers, compiled to machine code by numba."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function to machine code that runs without the interpreter's lock.

    It is compiled at its first call with arguments of given types. The machine code is stored on
    disk where numba finds a folder to write to (beside the source, else the user's cache, or
    NUMBA_CACHE_DIR), so that a worker starts in no time; elsewhere compiling takes seconds once in
    a process. Stored code is used for as long as the function's file is unchanged. A kernel
    therefore uses its arguments, and constants and kernels of its own file, and nothing else.

    Parameters
    ----------
    function : callable
        A function in the subset of Python that numba compiles.

    Returns
    -------
    callable
        The same function, compiled.

    Examples
    --------
    >>> @compiled
    ... def half(number):
    ...     return number / 2
    >>> half(3)
    1.5
    """
    # Division by zero gives what it gives in NumPy: a test for it would keep loops from being
    # vectorised.
    try:
        kernel = njit(function, nogil=True, error_model="numpy", cache=True)
    except RuntimeError:  # numba found no folder that it can write to
        kernel = njit(function, nogil=True, error_model="numpy")
    return cast("Callable[P, R]", kernel)
