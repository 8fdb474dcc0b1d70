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
  will come to it. So workers that join a run are used at once.
- A reduction goes at once to the worker that holds the sums of its prediction, which does it beside
  its other job: it is short, and neighbours wait for it.
- Side tasks may go anywhere, and wait for tile-years.
- A worker that is much slower than others are for the same is *stuck* while somebody is idle: its
  jobs are given to others as well, and whoever is first counts. Any job may be done twice, because
  doing it again gives the same bytes. One that is slower still is *lost*, and released.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from heapq import merge

from luray.core.config import Workers
from luray.engine.job_durations import LOST, SLOW, JobDurations
from luray.engine.jobs import InputsKey, Job, SideTask, SumsKey
from luray.engine.wavefront import Wavefront
from luray.engine.worker_pool import WorkerPool, WorkerState

Assignment = tuple[int, Job | SideTask]
"""A worker and what it is to do."""

READING = "predict, inputs to be read"
CACHED = "predict, inputs cached"


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
        self._durations = JobDurations()
        self._closing = False

    @property
    def finished(self) -> bool:
        """True when nothing is left to do; after `close`, when nothing is left that was begun."""
        if self._closing:
            running = any(state.running for state in self.pool.states.values())
            return not running and not self._reductions_ready()
        return not self._unfinished_side_tasks and all(f.finished for f in self.wavefronts)

    def _reductions_ready(self) -> bool:
        for wavefront in self.wavefronts:
            if any(task.operation == "reduce" for task in wavefront.ready()):
                return True
        return False

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

    def leave(self, worker: int) -> None:
        """Record that a worker is gone: others do what it had, and its sums are lost."""
        state = self.pool.leave(worker)
        if state:
            self._take_back(worker, state)

    def release_workers(self, now: float) -> list[int]:
        """Return the workers to be stopped: the lost ones, and beyond the fewest the idle ones.

        A worker that holds sums is not idle, whatever it does.
        """
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
        if not self.pool.free():
            return []
        stuck = []
        for worker, state in self.pool.states.items():
            if not state.is_stuck and self._is_slow(state, now, times=SLOW):
                stuck.append(worker)
        for worker in stuck:
            state = self.pool.states[worker]
            state.is_stuck = True
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
        # The order is the order of the rules above. Each step takes workers out of `free`.
        free = set() if self._closing else self.pool.free()
        assignments: list[Assignment] = []
        waiting = self._assign_reductions(assignments, now)
        self._assign_cached_tiles(waiting, free, assignments, now)
        self._assign_other_tiles(waiting, free, assignments, now)
        self._assign_side_tasks(free, assignments, now)
        self.waiting = sum(front.n_ready for front in self.wavefronts) + len(self._side_tasks)
        return assignments

    def _assign_reductions(
        self, assignments: list[Assignment], now: float
    ) -> dict[InputsKey, list[Job]]:
        """Send every reduction to who holds its sums; return the predictions by their inputs."""
        queues = []
        for trajectory, wavefront in enumerate(self.wavefronts):
            queues.append([Job(trajectory, task) for task in wavefront.ready()])

        # Each queue is sorted by step, so that a merge gives the earliest steps of all first.
        predictions: dict[InputsKey, list[Job]] = {}
        for job in merge(*queues, key=lambda job: job.task.step):
            if job.operation == "reduce":
                holder = self._sums_holder[job.trajectory, job.task.tile, job.task.step]
                self._start(holder, job, assignments, now)
            else:
                predictions.setdefault(self._inputs_of(job), []).append(job)
        return predictions

    def _assign_cached_tiles(
        self,
        waiting: Mapping[InputsKey, list[Job]],
        free: set[int],
        assignments: list[Assignment],
        now: float,
    ) -> None:
        """Give each free worker the earliest prediction whose inputs it has cached."""
        for worker in sorted(free):
            cached = [inputs for inputs in self.pool.states[worker].cached if waiting.get(inputs)]
            if cached:
                earliest = min(cached, key=lambda inputs: waiting[inputs][0].task.step)
                self._start(worker, waiting[earliest].pop(0), assignments, now)
                free.discard(worker)

    def _assign_other_tiles(
        self,
        waiting: Mapping[InputsKey, list[Job]],
        free: set[int],
        assignments: list[Assignment],
        now: float,
    ) -> None:
        """Give the workers that are still free tiles whose inputs they have to read."""
        if not free:
            return
        cached_somewhere: set[InputsKey] = set()
        for state in self.pool.states.values():
            cached_somewhere |= state.cached.keys()
        soon = self._begun_soon_where_cached(waiting, now)
        candidates: list[Job] = []
        for inputs, jobs in waiting.items():
            if inputs not in soon:
                candidates += jobs
        # False sorts before True: tiles that no worker has cached come first, then early years.
        candidates.sort(key=lambda job: (self._inputs_of(job) in cached_somewhere, job.task.step))
        for job in candidates[: len(free)]:
            # Who has cached the fewest tiles loses the least by another one.
            worker = min(free, key=lambda worker: (len(self.pool.states[worker].cached), worker))
            self._start(worker, job, assignments, now)
            free.discard(worker)

    def _assign_side_tasks(self, free: set[int], assignments: list[Assignment], now: float) -> None:
        while free and self._side_tasks:
            side_task = self._side_tasks.popleft()
            # It may have been given back to be done again, and then been done the first time.
            if side_task in self._unfinished_side_tasks:
                worker = min(free)
                self._start(worker, side_task, assignments, now)
                free.discard(worker)

    def _start(
        self, worker: int, job: Job | SideTask, assignments: list[Assignment], now: float
    ) -> None:
        """Give a job to a worker."""
        inputs = None
        if isinstance(job, Job):
            self.wavefronts[job.trajectory].start(job.task)
            if job.operation == "predict":
                inputs = self._inputs_of(job)
        self.pool.states[worker].start(job, now, inputs=inputs)
        assignments.append((worker, job))

    def _inputs_of(self, job: Job) -> InputsKey:
        return self._input_groups[job.trajectory], job.task.tile

    def _begun_soon_where_cached(
        self, waiting: Mapping[InputsKey, Sequence[Job]], now: float
    ) -> set[InputsKey]:
        """Return the inputs whose holder will come to them before another worker has read them.

        A worker goes through its cached tiles by year. It comes to one after what it is doing and
        after its earlier tiles; another worker could begin after reading the inputs.
        """
        seconds_reading = self._durations.usual(READING)
        seconds_cached = self._durations.usual(CACHED)
        if seconds_reading is None or seconds_cached is None:
            return set()

        soon = set[InputsKey]()
        for state in self.pool.states.values():
            if state.is_stuck:
                continue
            # The pace of the worker's own last prediction, as workers differ.
            seconds = state.cached_seconds or seconds_cached
            began = [t for job, t in state.running.items() if job.operation != "reduce"]
            until_free = max((t + seconds - now for t in began), default=0.0)
            cached = [inputs for inputs in state.cached if waiting.get(inputs)]
            cached.sort(key=lambda inputs: waiting[inputs][0].task.step)
            for inputs in cached:
                if until_free < seconds_reading - seconds_cached:
                    soon.add(inputs)
                until_free += seconds * len(waiting[inputs])
        return soon

    # What became of it

    def finish(self, worker: int, job: Job | SideTask, now: float) -> bool:
        """Record that a worker has done a job.

        Returns False where the job came to nothing: another worker was first, or the worker has
        left meanwhile, and its sums with it.
        """
        state = self.pool.states.get(worker)
        if state:
            self._remember_duration(state, job, state.finish(job, now))
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
            self.pool.states[worker].finish(job, now)
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
