"""The usual duration of jobs, by which slow ones are found."""

from collections import deque
from statistics import median

SLOW = 3.0
"""Times the usual duration after which another worker, if one is idle, does the job as well."""
LOST = 30.0
"""Times the usual duration after which the worker is released."""
GRACE = 5.0
"""Seconds that are added to both, so that short jobs are not called slow for a hiccup."""
KNOWN = 5
"""Jobs of an operation that must be done before one of them can be called slow."""
REMEMBERED = 100
"""Durations of each operation that the usual one is taken of."""


class JobDurations:
    """Seconds that the latest jobs of each operation took.

    Examples
    --------
    >>> durations = JobDurations()
    >>> for seconds in (1.0, 1.0, 2.0, 1.0, 9.0):
    ...     durations.add("predict", seconds)
    >>> durations.usual("predict")
    1.0
    >>> durations.is_slow("predict", 7.0, times=SLOW), durations.is_slow("predict", 9.0, times=SLOW)
    (False, True)
    """

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._usual: dict[str, float] = {}
        """Medians that were asked for since the last job of their operation."""

    def add(self, operation: str, seconds: float) -> None:
        """Remember how long a job took."""
        self._seconds.setdefault(operation, deque(maxlen=REMEMBERED)).append(seconds)
        self._usual.pop(operation, None)

    def usual(self, operation: str) -> float | None:
        """Return the median of an operation, None before its first job is done."""
        seconds = self._seconds.get(operation)
        if not seconds:
            return None
        if operation not in self._usual:
            self._usual[operation] = median(seconds)
        return self._usual[operation]

    def is_slow(self, operation: str, seconds: float, *, times: float) -> bool:
        """Return whether a job that has been running for so long is slow by some factor.

        The first jobs of a run compile kernels and open files: nothing is slow before `KNOWN` jobs
        of the operation are done.
        """
        if len(self._seconds.get(operation, ())) < KNOWN:
            return False
        usual = self.usual(operation)
        return usual is not None and seconds > times * usual + GRACE
