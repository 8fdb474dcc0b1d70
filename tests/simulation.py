"""The scheduler run with a clock of its own: durations are given, and anything may go wrong.

A worker has one core: a reduction delays the prediction beside it by as long as it takes.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count

from luray.engine.scheduler import Job, Scheduler, SideTask


class Simulation:
    """Drives a scheduler to its end. `duration(worker, job)` in seconds; workers come `delay`
    seconds after they are hired, while fewer than `room` are there. `harm(simulation)` is called
    whenever a job is done; every `tick` seconds the scheduler looks at the clock, though nothing
    happens. With `echoes` one hears what a worker did after its death.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        duration: Callable[[int, Job | SideTask], float],
        *,
        delay: float = 0.0,
        room: int = 10**6,
        harm: Callable[["Simulation"], None] = lambda _: None,
        tick: float = 0.0,
        echoes: bool = False,
    ) -> None:
        self.scheduler, self.duration, self.delay, self.room, self.harm = (
            scheduler,
            duration,
            delay,
            room,
            harm,
        )
        self.tick, self.echoes = tick, echoes
        self.now, self.alive, self.done, self.busy = 0.0, set(), Counter(), 0.0
        self._events, self._order, self._dead, self._late = [], count(), set(), Counter()
        if tick:
            self._at(tick, "tick", -1, None)

    def run(self, *, most: int = 10**6) -> float:
        """Seconds until nothing is left."""
        for _ in range(most):
            if self.scheduler.finished:
                return self.now
            for worker in self.scheduler.stuck(self.now):
                assert worker in self.alive
            for worker in self.scheduler.release_workers(self.now):
                self.kill(worker)
            for worker, job in self.scheduler.assign(self.now):
                assert worker in self.alive, f"{job} was sent to a worker that is not there"
                took = self.duration(worker, job)
                self.busy += took
                self._at(self.now + took, "done", worker, job)
                if job.kind == "reduce" and not self.scheduler.worker_states[worker].free:
                    self._late[worker] += took
            for worker in self.scheduler.request_workers(self.now):
                self._at(self.now + self.delay, "join", worker, None)
            assert self._events, "nothing happens any more and something is left"
            self.now, _, what, worker, job = heapq.heappop(self._events)
            if what == "join":
                self._join(worker)
            elif what == "tick":
                self._at(self.now + self.tick, "tick", -1, None)
            elif job.kind == "predict" and self._late[worker]:
                self._at(self.now + self._late.pop(worker), "done", worker, job)
            elif worker not in self._dead or self.echoes:
                self.done[job] += self.scheduler.done(worker, job, self.now)
                self.harm(self)
        raise AssertionError("does not end")

    def kill(self, worker: int) -> None:
        """A worker is gone, with everything that it was doing."""
        self.alive.discard(worker)
        self._dead.add(worker)
        self.scheduler.leave(worker)

    def _join(self, worker: int) -> None:
        if worker in self._dead:
            return
        if len(self.alive) >= self.room:
            self._at(self.now + 1.0, "join", worker, None)
            return
        self.alive.add(worker)
        self.scheduler.join(worker, self.now)

    def _at(self, time: float, what: str, worker: int, job: Job | SideTask | None) -> None:
        heapq.heappush(self._events, (time, next(self._order), what, worker, job))
