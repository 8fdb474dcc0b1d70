"""Progress of long work: a callback that every stage takes."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the work done so far and all the work."""


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""
