"""Kernels: functions on arrays and numbers, compiled to machine code by numba."""

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Kernel(Generic[P, R]):
    """A function that is compiled at its first call, see `compiled`."""

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the machine code."""
        result: R = self._dispatcher(*args, **kwargs)
        return result

    @cached_property
    def _dispatcher(self) -> Any:
        """The function as numba has compiled it.

        numba is imported here, so that a module that has a kernel beside a configuration can be
        read in a process that never runs it.
        """
        from numba import njit

        # Division by zero gives what it gives in NumPy: a test for it would keep loops from being
        # vectorised.
        try:
            return njit(self.function, nogil=True, error_model="numpy", cache=True)
        except RuntimeError:  # numba found no folder that it can write to
            return njit(self.function, nogil=True, error_model="numpy")

    @property
    def _numba_type_(self) -> Any:
        """The attribute by which numba recognises a kernel inside of another one."""
        return self._dispatcher._numba_type_


def compiled(function: Callable[P, R]) -> Kernel[P, R]:
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
    return Kernel(function)
