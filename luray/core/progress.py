"""Progress of long work: a callback that every stage takes."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the work done so far and all the work."""


NamedProgress = Callable[[int, int, str], None]
"""Called with the pieces of work done, those in all, and the name of the next."""


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


def no_named_progress(done: int, total: int, name: str) -> None:
    """Ignore progress."""
