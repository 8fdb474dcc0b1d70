"""The scheduler decides which worker does what, while workers come and go.

There is no engine and no clock in here. The engine asks which job to send to which worker, which
workers to request and which to release, and it reports completions and failures with their times.
Every decision follows from these reports, so that a simulation can run the same rules with a clock
of its own.

The rules
---------
- A worker has one prediction or side task at a time. What waits is bound to nobody, so nobody is
  idle while there is work.
- Earliest years first: they are what others wait for.
- A worker predicts the tiles whose static inputs it has cached, a tile's scenarios and members one
  after the other: reading those inputs takes longer than a prediction. Without such work it takes a
  tile that no worker has cached, or else one that it can read before any worker that has it cached
  will come to it. So workers that join a run are used at once. An idle worker does not read another
  one's tile if one of its own will be ready soon.
- A reduction goes at once to the worker that holds the sums of its prediction, which does it beside
  its other job: it is short, and neighbours wait for it.
- Side tasks may go anywhere, and wait for tile-years.
- A worker that is much slower than others are for the same is *stuck* while somebody is idle: its
  jobs are given to others as well, and whoever is first counts. Any job may be done twice, because
  doing it again gives the same bytes. One that is slower still is *lost*, and released.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from math import inf

from luray.core.config import Workers
from luray.core.tiling import Tile
from luray.engine.job_durations import LOST, SLOW, JobDurations
from luray.engine.jobs import InputsKey, Job, SideTask, SumsKey
from luray.engine.waiting import WaitingPredictions
from luray.engine.wavefront import Task, Wavefront
from luray.engine.worker_pool import WorkerPool, WorkerState

Assignment = tuple[int, Job | SideTask]
"""A worker and what it is to do."""

READING = "predict, inputs to be read"
CACHED = "predict, inputs cached"
PATIENCE = 0.5
"""Times that a worker takes to read inputs that it waits for a tile whose inputs it has cached.

See "Scheduling" in luray/PERFORMANCE.md for what other values gave.
"""
LOOKED_AT = 64
"""Waiting tiles of others, and idle workers, at most, that are looked at for a tile to be read."""
LOOK_SECONDS = 1.0
"""Between two looks at all workers for stuck, lost and idle ones."""


class Scheduler:
    """The state of a run. Times are seconds of any clock that the caller keeps to.

    Parameters
    ----------
    wavefronts : sequence of Wavefront
        One for each trajectory.
    side_tasks : iterable of SideTask
        What is to be done besides.
    workers : Workers
        The fewest and the most workers.
    input_groups : sequence
        One entry for each trajectory: those with equal entries need the same static inputs of a
        tile. Left out, all do.
    """

    def __init__(
        self,
        wavefronts: Sequence[Wavefront],
        side_tasks: Iterable[SideTask] = (),
        *,
        workers: Workers,
        input_groups: Sequence[Hashable] = (),
    ) -> None:
        self.wavefronts = wavefronts
        self.pool = WorkerPool(workers)
        self.waiting = 0
        """Jobs that could be done at the last assignment, had there been workers for them."""
        self._input_groups = input_groups or [None] * len(wavefronts)
        self._side_tasks = deque(side_tasks)
        self._unfinished_side_tasks = set(self._side_tasks)
        """Waiting or running."""
        self._sums_holder: dict[SumsKey, int] = {}
        """The worker that holds the sums of each prediction that is not reduced yet."""
        self._waiting = WaitingPredictions()
        self._reductions: set[Job] = set()
        """Those that could be done."""
        self._predicting: dict[SumsKey, int] = {}
        """The worker that was given each running prediction last."""
        self._looked_for: set[int] = set()
        """Free workers that may have become able to predict a tile they have cached."""
        self._durations = JobDurations()
        self._closing = False
        self._next_look = -inf
        """When stuck workers are looked for again."""
        self._next_release = -inf
        """When lost and idle workers are looked for again."""

    @property
    def finished(self) -> bool:
        """True when nothing is left to do; after `close`, when nothing is left that was begun."""
        if self._closing:
            running = any(state.running for state in self.pool.states.values())
            return not running and not self._reductions_ready()
        return not self._unfinished_side_tasks and all(f.finished for f in self.wavefronts)

    def _reductions_ready(self) -> bool:
        self._take_changes()
        return bool(self._reductions)

    def close(self) -> None:
        """Begin nothing more: finish what runs, and reduce as far as no prediction is missing."""
        self._closing = True

    def add(self, side_task: SideTask) -> None:
        """Add a side task."""
        self._side_tasks.append(side_task)
        self._unfinished_side_tasks.add(side_task)

    # Workers that come and go

    def request_workers(self, now: float) -> list[int]:
        """Return the numbers of new workers that the engine should ask for."""
        if self._closing:
            return []
        return self.pool.request(self.waiting, now)

    def join(self, worker: int, now: float) -> None:
        """Record that a requested worker is there."""
        self.pool.join(worker, now)
        self._looked_for.add(worker)

    def leave(self, worker: int) -> None:
        """Record that a worker is gone: others do what it had, and its sums are lost."""
        state = self.pool.leave(worker)
        if state:
            for inputs in state.cached:
                self._waiting.drop(inputs, worker)
            self._take_back(worker, state)

    def release_workers(self, now: float) -> list[int]:
        """Return the workers to be stopped: the lost ones, and beyond the fewest the idle ones.

        A worker that holds sums is not idle, whatever it does.
        """
        if now < self._next_release:
            return []
        self._next_release = now + LOOK_SECONDS
        if self.waiting:
            self.pool.keep_pending(now)
        states = self.pool.states.items()
        lost = [worker for worker, state in states if self._is_slow(state, now, times=LOST)]
        idle = self.pool.idle(now, needed=set(self._sums_holder.values()))
        return lost + idle[: self.pool.n_beyond_fewest(without=len(lost))]

    def mark_stuck(self, now: float) -> list[int]:
        """Return the workers found stuck now; what they have is given to others as well.

        Nobody is stuck while all are busy: nobody could do it sooner.
        """
        if now < self._next_look or not self.pool.any_free:
            return []
        self._next_look = now + LOOK_SECONDS
        stuck = []
        for worker, state in self.pool.states.items():
            if not state.is_stuck and self._is_slow(state, now, times=SLOW):
                stuck.append(worker)
        for worker in stuck:
            state = self.pool.states[worker]
            self.pool.mark_stuck(worker)
            self._take_back(worker, state)
        return stuck

    def _is_slow(self, state: WorkerState, now: float, *, times: float) -> bool:
        return any(
            self._durations.is_slow(job.operation, now - since, times=times)
            for job, since in state.running.items()
        )

    # Who does what

    def assign(self, now: float) -> list[Assignment]:
        """Return the jobs to send now, and to whom."""
        # The steps have the order of the rules above: each takes workers that later ones lack.
        self._take_changes()
        assignments: list[Assignment] = []
        self._assign_reductions(assignments, now)
        if self.pool.any_free and not self._closing:
            self._assign_cached_tiles(assignments, now)
            self._assign_other_tiles(assignments, now)
            self._assign_side_tasks(assignments, now)
        self.waiting = sum(front.n_ready for front in self.wavefronts) + len(self._side_tasks)
        return assignments

    def _take_changes(self) -> None:
        """Bring what waits up to date with the wavefronts."""
        for trajectory, wavefront in enumerate(self.wavefronts):
            for task in wavefront.take_changes():
                job = Job(trajectory, task)
                is_ready = wavefront.is_ready(task)
                if job.operation == "reduce":
                    if is_ready:
                        self._reductions.add(job)
                    else:
                        self._reductions.discard(job)
                elif is_ready != (job in self._waiting):
                    order = wavefront.order_of(task.tile)
                    if is_ready:
                        inputs = self._inputs_of(job)
                        self._waiting.add(job, inputs, order=order)
                        self._looked_for |= self._waiting.holders(inputs)
                    else:
                        self._waiting.remove(job, order=order)

    def _assign_reductions(self, assignments: list[Assignment], now: float) -> None:
        """Send every reduction to who holds its sums."""
        for job in sorted(self._reductions, key=self._place_in_line):
            holder = self._sums_holder[job.trajectory, job.task.tile, job.task.step]
            self._start(holder, job, assignments, now)
        self._reductions.clear()

    def _place_in_line(self, job: Job) -> tuple[int, int, int]:
        order = self.wavefronts[job.trajectory].order_of(job.task.tile)
        return job.task.step, job.trajectory, order

    def _assign_cached_tiles(self, assignments: list[Assignment], now: float) -> None:
        """Give free workers the earliest prediction whose inputs they have cached.

        Nothing changed for the others since they were looked at last.
        """
        for worker in sorted(filter(self.pool.is_free, self._looked_for)):
            earliest: Job | None = None
            for inputs in self.pool.states[worker].cached:
                waiting = self._waiting.of(inputs)
                if waiting and (earliest is None or waiting[0].step < earliest.task.step):
                    earliest = waiting[0].job
            if earliest is not None:
                self._start(worker, earliest, assignments, now)
        self._looked_for.clear()

    def _assign_other_tiles(self, assignments: list[Assignment], now: float) -> None:
        """Give the workers that are still free tiles whose inputs they have to read."""
        while self.pool.any_free and (job := self._waiting.first_not_cached()) is not None:
            [worker] = self.pool.first_free(1)
            self._start(worker, job, assignments, now)

        free = self.pool.first_free(LOOKED_AT)
        jobs: list[Job] = []
        for job in islice(self._waiting.cached_elsewhere(), LOOKED_AT):
            if len(jobs) == len(free):
                break
            if not self._begins_soon_where_cached(job, now):
                jobs.append(job)
        for worker in free:
            if not jobs:
                return
            if not self._has_work_soon(worker, now):
                self._start(worker, jobs.pop(0), assignments, now)

    def _assign_side_tasks(self, assignments: list[Assignment], now: float) -> None:
        while self.pool.any_free and self._side_tasks:
            side_task = self._side_tasks.popleft()
            # It may have been given back to be done again, and then been done the first time.
            if side_task in self._unfinished_side_tasks:
                [worker] = self.pool.first_free(1)
                self._start(worker, side_task, assignments, now)

    def _start(
        self, worker: int, job: Job | SideTask, assignments: list[Assignment], now: float
    ) -> None:
        """Give a job to a worker."""
        inputs = None
        if isinstance(job, Job):
            wavefront = self.wavefronts[job.trajectory]
            wavefront.start(job.task)
            if job.operation == "predict":
                inputs = self._inputs_of(job)
                self._waiting.remove(job, order=wavefront.order_of(job.task.tile))
                self._waiting.cache(inputs, worker)
                self._predicting[job.trajectory, job.task.tile, job.task.step] = worker
        dropped = self.pool.start(worker, job, now, inputs=inputs)
        if dropped is not None:
            self._waiting.drop(dropped, worker)
        assignments.append((worker, job))

    def _inputs_of(self, job: Job) -> InputsKey:
        return self._input_groups[job.trajectory], job.task.tile

    def _begins_soon_where_cached(self, job: Job, now: float) -> bool:
        """Return whether a holder of its inputs comes to a job before another one has read them.

        A worker goes through its cached tiles by year. It comes to one after what it is doing and
        after its earlier tiles; another worker could begin after reading the inputs.
        """
        seconds_reading = self._seconds_reading
        if seconds_reading is None:
            return False
        for holder in self._waiting.holders(self._inputs_of(job)):
            state = self.pool.states[holder]
            if not state.is_stuck and self._seconds_until(holder, job, now) < seconds_reading:
                return True
        return False

    def _seconds_until(self, worker: int, job: Job, now: float) -> float:
        """Return the seconds until a worker comes to a job whose inputs it has cached."""
        state = self.pool.states[worker]
        seconds = state.cached_seconds or self._durations.usual(CACHED) or 0.0
        began = [t for running, t in state.running.items() if running.operation != "reduce"]
        until_free = max((t + seconds - now for t in began), default=0.0)
        n_before = 0
        for inputs in state.cached:
            waiting = self._waiting.of(inputs)
            if waiting and waiting[0].step < job.task.step:
                n_before += len(waiting)
        return until_free + seconds * n_before

    @property
    def _seconds_reading(self) -> float | None:
        """How many seconds reading its inputs adds to a prediction, None before it is known."""
        reading = self._durations.usual(READING)
        cached = self._durations.usual(CACHED)
        return None if reading is None or cached is None else reading - cached

    def _has_work_soon(self, worker: int, now: float) -> bool:
        """Return whether a tile that a worker has cached will be ready before long."""
        seconds_reading = self._seconds_reading
        if seconds_reading is None:
            return False
        patience = PATIENCE * seconds_reading
        for group, tile in self.pool.states[worker].cached:
            for trajectory, wavefront in enumerate(self.wavefronts):
                if self._input_groups[trajectory] != group:
                    continue
                step = wavefront.next_step(tile)
                if step == wavefront.end_step:
                    continue
                if all(
                    self._seconds_left(trajectory, near, in_step, now) < patience
                    for near, in_step in wavefront.missing_for(tile, step)
                ):
                    return True
        return False

    def _seconds_left(self, trajectory: int, tile: Tile, step: int, now: float) -> float:
        """Return the seconds that a prediction will still take; infinity where none has begun."""
        worker = self._predicting.get((trajectory, tile, step))
        state = self.pool.states.get(worker) if worker is not None else None
        if state is None:
            return inf
        began = state.running.get(Job(trajectory, Task("predict", tile, step)))
        usual = self._durations.usual(READING if state.reads_inputs else CACHED)
        if began is None or usual is None:
            return inf
        return began + (state.cached_seconds or usual) - now

    # What became of it

    def finish(self, worker: int, job: Job | SideTask, now: float) -> bool:
        """Record that a worker has done a job.

        Returns False where the job came to nothing: another worker was first, or the worker has
        left meanwhile, and its sums with it.
        """
        state = self.pool.states.get(worker)
        if state:
            self._remember_duration(state, job, self.pool.finish(worker, job, now))
            self._looked_for.add(worker)
        elif job.operation == "predict":
            return False
        if isinstance(job, SideTask):
            is_first = job in self._unfinished_side_tasks
            self._unfinished_side_tasks.discard(job)
            return is_first
        return self._finish_task(worker, job)

    def _remember_duration(self, state: WorkerState, job: Job | SideTask, seconds: float) -> None:
        self._durations.add(job.operation, seconds)
        if job.operation != "predict":
            return
        if state.reads_inputs:
            self._durations.add(READING, seconds)
        else:
            self._durations.add(CACHED, seconds)
            state.cached_seconds = seconds

    def _finish_task(self, worker: int, job: Job) -> bool:
        wavefront = self.wavefronts[job.trajectory]
        # Where two workers have done the same task, the first one counts. The sums are those of
        # the first, too: a reduction goes to the worker that holds them.
        operation, tile, step = job.task
        sums = job.trajectory, tile, step
        if operation == "reduce":
            is_first = not wavefront.is_reduced(tile, step)
            self._sums_holder.pop(sums, None)
        else:
            is_first = not wavefront.is_predicted(tile, step)
            self._predicting.pop(sums, None)
            if is_first and not wavefront.is_reduced(tile, step):
                self._sums_holder[sums] = worker
        if is_first:
            wavefront.finish(job.task)
        return is_first

    def fail(
        self, worker: int, job: Job | SideTask, now: float, *, lost: Iterable[SumsKey] = ()
    ) -> None:
        """Record that a job has to be done again, and which sums are lost as well."""
        if worker in self.pool.states:
            self.pool.finish(worker, job, now)
            self._looked_for.add(worker)
        self._forget(lost)
        self._give_back(job)

    def _take_back(self, worker: int, state: WorkerState) -> None:
        """Let others do everything that rests on a worker, the predictions of its sums included."""
        self._forget([sums for sums, holder in self._sums_holder.items() if holder == worker])
        for job in state.running:
            self._give_back(job, but=worker)

    def _give_back(self, job: Job | SideTask, *, but: int | None = None) -> None:
        """Let a job wait again, unless another worker has it, too."""
        for worker, state in self.pool.states.items():
            if worker != but and not state.is_stuck and job in state.running:
                return
        if isinstance(job, Job):
            self.wavefronts[job.trajectory].release(job.task)
        else:
            self._side_tasks.appendleft(job)

    def _forget(self, keys: Iterable[SumsKey]) -> None:
        for trajectory, tile, step in keys:
            self._sums_holder.pop((trajectory, tile, step), None)
            self.wavefronts[trajectory].forget([(tile, step)])
