"""The actor between the workers of a training and its driver.

It has a module of its own because a process that only holds events needs no torch, whose import
takes seconds.
"""

import ray

from luray.training.progress_events import ProgressEvent


@ray.remote
class StatusActor:
    """Where workers leave what the driver reads: progress events, and the error of a fault.

    It outlives the workers, which Ray Train starts anew after a failure.
    """

    def __init__(self) -> None:
        self._events: list[ProgressEvent] = []
        self._error = ""

    def put(self, event: ProgressEvent) -> None:
        """Add an event."""
        self._events.append(event)

    def fail(self, error: str) -> None:
        """Note the error that a worker stopped on."""
        self._error = error

    def read(self, since: int) -> list[ProgressEvent]:
        """Return the events from number `since` on."""
        return self._events[since:]

    def error(self) -> str:
        """Return the error that a worker stopped on, empty if none did."""
        return self._error
