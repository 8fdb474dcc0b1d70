"""The workers of a run: which are there, what they are doing, and how many there should be."""

from bisect import bisect_left, insort
from collections.abc import Collection
from dataclasses import dataclass, field

from luray.core.config import Workers
from luray.engine.jobs import InputsKey, Job, SideTask

IDLE = 60.0
"""Seconds without work after which a worker is released."""
CACHED_TILES = 4
"""Tiles whose static inputs a worker keeps, for one direction each.

`TileInputsCache` in the worker follows the same rule, so that the scheduler knows what is there
without asking.
"""


@dataclass
class WorkerState:
    """The scheduler's knowledge of one worker."""

    last_event: float
    """When it was last given a job, or finished one."""
    running: dict[Job | SideTask, float] = field(default_factory=dict)
    """Jobs that it is doing, and since when."""
    is_stuck: bool = False
    """Whether it is so slow that others do its jobs as well."""
    cached: dict[InputsKey, None] = field(default_factory=dict)
    """Inputs of the tiles that it has predicted, the latest last."""
    reads_inputs: bool = False
    """Whether it has to read the inputs of its present prediction."""
    cached_seconds: float | None = None
    """Seconds that its last prediction took whose inputs were cached."""

    @property
    def is_free(self) -> bool:
        """True when it can take a prediction or a side task; reductions run beside them."""
        only_reduces = all(job.operation == "reduce" for job in self.running)
        return not self.is_stuck and only_reduces

    def start(
        self, job: Job | SideTask, now: float, *, inputs: InputsKey | None = None
    ) -> InputsKey | None:
        """Record that it is given a job, which may need some inputs; return those it drops."""
        self.running[job] = now
        self.last_event = now
        if inputs is None:
            return None

        # The same rule as `TileInputsCache`: the latest last, the oldest dropped.
        self.reads_inputs = inputs not in self.cached
        self.cached.pop(inputs, None)
        self.cached[inputs] = None
        if len(self.cached) <= CACHED_TILES:
            return None
        oldest = next(iter(self.cached))
        self.cached.pop(oldest)
        return oldest

    def finish(self, job: Job | SideTask, now: float) -> float:
        """Record that it has done a job, or failed; return the seconds it took.

        Whoever answers is not stuck any more.
        """
        self.last_event = now
        self.is_stuck = False
        return now - self.running.pop(job, now)


class WorkerPool:
    """Workers by their number, within the limits of a run.

    Parameters
    ----------
    limits : Workers
        The fewest and the most workers.
    """

    def __init__(self, limits: Workers) -> None:
        self.states: dict[int, WorkerState] = {}
        self.pending: dict[int, float] = {}
        """Workers that were requested and have not joined yet, and since when nobody needs them."""
        self._limits = limits
        self._n_requested = 0
        self._free: dict[int, tuple[int, int]] = {}
        """Those that can take a prediction or a side task, and their places in the line."""
        self._line: list[tuple[int, int]] = []
        """The free workers in order: cached tiles and number of each."""
        self._n_stuck = 0

    def __len__(self) -> int:
        return len(self.states)

    def request(self, n_waiting: int, now: float) -> list[int]:
        """Return the numbers of new workers: one for each waiting job, up to the most."""
        # A stuck worker does not count: its jobs are given to others as well.
        in_use = len(self.states) - self._n_stuck + len(self.pending)
        n_new = max(0, min(self._limits.max - in_use, n_waiting - len(self.pending)))
        new = list(range(self._n_requested, self._n_requested + n_new))
        self._n_requested += n_new
        self.pending.update(dict.fromkeys(new, now))
        return new

    def join(self, worker: int, now: float) -> None:
        """Record that a requested worker is there."""
        self.pending.pop(worker)
        self.states[worker] = WorkerState(now)
        self._note_whether_free(worker)

    def leave(self, worker: int) -> WorkerState | None:
        """Record that a worker is gone; return its state, None if it never joined."""
        self.pending.pop(worker, None)
        self._leave_line(worker)
        state = self.states.pop(worker, None)
        if state and state.is_stuck:
            self._n_stuck -= 1
        return state

    def start(
        self, worker: int, job: Job | SideTask, now: float, *, inputs: InputsKey | None = None
    ) -> InputsKey | None:
        """Record that a worker is given a job; return the inputs that it drops for it, if any."""
        dropped = self.states[worker].start(job, now, inputs=inputs)
        self._note_whether_free(worker)
        return dropped

    def finish(self, worker: int, job: Job | SideTask, now: float) -> float:
        """Record that a worker has done a job, or failed; return the seconds it took."""
        state = self.states[worker]
        self._n_stuck -= state.is_stuck
        seconds = state.finish(job, now)
        self._note_whether_free(worker)
        return seconds

    def mark_stuck(self, worker: int) -> None:
        """Record that a worker is so slow that others do its jobs as well."""
        self.states[worker].is_stuck = True
        self._n_stuck += 1
        self._leave_line(worker)

    def _note_whether_free(self, worker: int) -> None:
        self._leave_line(worker)
        state = self.states[worker]
        if state.is_free:
            place = (len(state.cached), worker)
            self._free[worker] = place
            insort(self._line, place)

    def _leave_line(self, worker: int) -> None:
        place = self._free.pop(worker, None)
        if place is not None:
            del self._line[bisect_left(self._line, place)]

    def keep_pending(self, now: float) -> None:
        """Record that all pending workers are needed now."""
        self.pending.update(dict.fromkeys(self.pending, now))

    def is_free(self, worker: int) -> bool:
        """Return whether a worker is there and can take a prediction or a side task."""
        return worker in self._free

    def first_free(self, n: int) -> list[int]:
        """Return up to `n` workers that can take a prediction or a side task.

        First those that have cached the fewest tiles: they lose the least by another one.
        """
        return [worker for _, worker in self._line[:n]]

    @property
    def any_free(self) -> bool:
        """True when some worker can take a prediction or a side task."""
        return bool(self._free)

    def idle(self, now: float, *, needed: Collection[int]) -> list[int]:
        """Return the workers that nobody has needed for `IDLE` seconds, pending ones first."""
        idle = [worker for worker, since in self.pending.items() if now - since > IDLE]
        for worker, state in self.states.items():
            if not state.running and worker not in needed and now - state.last_event > IDLE:
                idle.append(worker)
        return idle

    def n_beyond_fewest(self, *, without: int) -> int:
        """Return how many may be released after some others, so that the fewest are left."""
        n_workers = len(self.states) + len(self.pending) - without
        return max(0, n_workers - self._limits.min)
