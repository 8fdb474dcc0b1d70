"""An engine in virtual time: drives a scheduler with workers that come, die and hang.

A worker has one core: a reduction delays the prediction beside it by as long as it takes.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count

from luray.engine.jobs import Job, SideTask
from luray.engine.scheduler import Scheduler


class Simulation:
    """Drives a scheduler to its end.

    Parameters
    ----------
    scheduler : Scheduler
        What decides.
    duration : callable
        Seconds that a worker takes for a job.
    delay : float
        Seconds after which a requested worker is there, if there is room.
    room : int
        Workers that can be there at once.
    after_job : callable
        Called with the simulation whenever a job is done.
    tick : float
        Seconds after which the scheduler looks at the clock, though nothing happens; 0 is never.
    echoes : bool
        Whether one hears what a worker did after its death.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        duration: Callable[[int, Job | SideTask], float],
        *,
        delay: float = 0.0,
        room: int = 10**6,
        after_job: Callable[["Simulation"], None] = lambda _: None,
        tick: float = 0.0,
        echoes: bool = False,
    ) -> None:
        self.scheduler = scheduler
        self.duration = duration
        self.delay = delay
        self.room = room
        self.after_job = after_job
        self.tick = tick
        self.echoes = echoes
        self.now = 0.0
        self.busy = 0.0
        """Seconds of all jobs."""
        self.alive: set[int] = set()
        self.done: Counter[Job | SideTask] = Counter()
        """How often each job counted."""
        self._dead: set[int] = set()
        self._delayed: Counter[int] = Counter()
        """Seconds that reductions have taken from each worker's prediction."""
        self._order = count()
        self._events: list[tuple[float, int, str, int, Job | SideTask | None]] = []
        if tick:
            self._at(tick, "tick", -1, None)

    def run(self, *, most: int = 10**6) -> float:
        """Return the seconds until nothing is left; fail after `most` events."""
        for _ in range(most):
            if self.scheduler.finished:
                return self.now
            self._follow_scheduler()
            assert self._events, "nothing happens any more and something is left"
            self.now, _, event, worker, job = heapq.heappop(self._events)
            if event == "join":
                self._join(worker)
            elif event == "tick":
                self._at(self.now + self.tick, "tick", -1, None)
            elif job.operation == "predict" and self._delayed[worker]:
                self._at(self.now + self._delayed.pop(worker), "done", worker, job)
            elif worker not in self._dead or self.echoes:
                self.done[job] += self.scheduler.finish(worker, job, self.now)
                self.after_job(self)
        raise AssertionError("does not end")

    def kill(self, worker: int) -> None:
        """Lose a worker with everything that it was doing."""
        self.alive.discard(worker)
        self._dead.add(worker)
        self.scheduler.leave(worker)

    def _follow_scheduler(self) -> None:
        for worker in self.scheduler.mark_stuck(self.now):
            assert worker in self.alive
        for worker in self.scheduler.release_workers(self.now):
            self.kill(worker)
        for worker, job in self.scheduler.assign(self.now):
            assert worker in self.alive, f"{job} was sent to a worker that is not there"
            seconds = self.duration(worker, job)
            self.busy += seconds
            self._at(self.now + seconds, "done", worker, job)
            if job.operation == "reduce" and not self.scheduler.pool.states[worker].is_free:
                self._delayed[worker] += seconds
        for worker in self.scheduler.request_workers(self.now):
            self._at(self.now + self.delay, "join", worker, None)

    def _join(self, worker: int) -> None:
        if worker in self._dead:
            return
        if len(self.alive) >= self.room:
            self._at(self.now + 1.0, "join", worker, None)
            return
        self.alive.add(worker)
        self.scheduler.join(worker, self.now)

    def _at(self, time: float, event: str, worker: int, job: Job | SideTask | None) -> None:
        heapq.heappush(self._events, (time, next(self._order), event, worker, job))
