"""The actor between the workers of a training and its driver.

It has a module of its own because a process that only holds events needs no torch, whose import
takes seconds.
"""

import ray

from luray.training.progress_events import ProgressEvent


@ray.remote
class StatusActor:
    """Where workers leave what the driver reads: progress events, and the error they stopped on.

    It outlives the workers, which Ray Train starts anew after a failure.
    """

    def __init__(self) -> None:
        self._events: list[ProgressEvent] = []
        self._fault: Exception | None = None

    def put(self, event: ProgressEvent) -> None:
        """Add an event."""
        self._events.append(event)

    def fail(self, fault: Exception) -> None:
        """Note the error that a worker stopped on."""
        self._fault = fault

    def read(self, since: int) -> list[ProgressEvent]:
        """Return the events from number `since` on."""
        return self._events[since:]

    def fault(self) -> Exception | None:
        """Return the error that a worker stopped on, None if none did."""
        return self._fault
