"""Predictions that wait for a worker, in the order in which they should begin.

Everything is kept up to date as jobs and workers come and go, so that a decision looks at a few
jobs and workers, however many there are.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from luray.engine.jobs import InputsKey, Job


class WaitingJob(NamedTuple):
    """A prediction and its place in the queue: earliest years first, then tiles in their order."""

    step: int
    order: int
    """Of its tile."""
    trajectory: int
    job: Job


class WaitingPredictions:
    """Waiting predictions by their inputs, and who has these inputs cached."""

    def __init__(self) -> None:
        self._by_inputs: dict[InputsKey, list[WaitingJob]] = {}
        self._holders: dict[InputsKey, set[int]] = {}
        self._cached: list[WaitingJob] = []
        """Those whose inputs some worker has cached, in order."""
        self._not_cached: list[WaitingJob] = []
        self._inputs: dict[Job, InputsKey] = {}

    def __contains__(self, job: Job) -> bool:
        return job in self._inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def add(self, job: Job, inputs: InputsKey, *, order: int) -> None:
        """Let a job wait that does not wait yet."""
        waiting = WaitingJob(job.task.step, order, job.trajectory, job)
        self._inputs[job] = inputs
        insort(self._by_inputs.setdefault(inputs, []), waiting)
        insort(self._queue_of(inputs), waiting)

    def remove(self, job: Job, *, order: int) -> None:
        """Take a waiting job out."""
        waiting = WaitingJob(job.task.step, order, job.trajectory, job)
        inputs = self._inputs.pop(job)
        _remove(self._queue_of(inputs), waiting)
        of_inputs = self._by_inputs[inputs]
        _remove(of_inputs, waiting)
        if not of_inputs:
            del self._by_inputs[inputs]

    def of(self, inputs: InputsKey) -> list[WaitingJob]:
        """Return the jobs that wait with some inputs, in order."""
        return self._by_inputs.get(inputs, [])

    def first_not_cached(self) -> Job | None:
        """Return the first job whose inputs no worker has cached, None where there is none."""
        return self._not_cached[0].job if self._not_cached else None

    def cached_elsewhere(self) -> Iterator[Job]:
        """Yield the jobs whose inputs some worker has cached, in order."""
        for waiting in self._cached:
            yield waiting.job

    def holders(self, inputs: InputsKey) -> set[int]:
        """Return the workers that have some inputs cached."""
        return self._holders.get(inputs, set())

    def cache(self, inputs: InputsKey, worker: int) -> None:
        """Record that a worker has some inputs cached."""
        holders = self._holders.setdefault(inputs, set())
        if not holders:
            self._move(inputs, self._not_cached, self._cached)
        holders.add(worker)

    def drop(self, inputs: InputsKey, worker: int) -> None:
        """Record that a worker has some inputs cached no more."""
        holders = self._holders[inputs]
        holders.discard(worker)
        if not holders:
            del self._holders[inputs]
            self._move(inputs, self._cached, self._not_cached)

    def _queue_of(self, inputs: InputsKey) -> list[WaitingJob]:
        return self._cached if inputs in self._holders else self._not_cached

    def _move(self, inputs: InputsKey, old: list[WaitingJob], new: list[WaitingJob]) -> None:
        for waiting in self.of(inputs):
            _remove(old, waiting)
            insort(new, waiting)


def _remove(queue: list[WaitingJob], waiting: WaitingJob) -> None:
    """Remove an element of a sorted list."""
    place = bisect_left(queue, waiting)
    assert queue[place] == waiting, f"{waiting.job} is not in its queue"
    del queue[place]
