"""Which worker does what: several wavefronts, workers that come and go, and a clock, with no engine
in sight.

The engine asks what to send, where, whom to hire and whom to let go, and tells what happened. All
that is decided here follows from what it was told, so that a simulation can run the same rules with
a clock of its own.

- A worker has one prediction or errand at a time: what waits is bound to nobody, so nobody is idle while there is work.
- A worker predicts the tiles that it has predicted lately, whose inputs it keeps, the earliest year first: a tile's
  scenarios and members one after the other. Without such work it takes a tile that no worker keeps,
  or else one that it can read before any worker that keeps it will come to it. So those that join a
  run are used at once.
- A reduction goes at once to the worker that holds the sums of its prediction, which does it beside its other job:
  it is short, and neighbours wait for it.
- Errands (copies of observed years, say) may go anywhere, and wait for tile-years.
- A worker that is much slower than others are for the same is *stuck* while somebody is idle: its job is given to
  another as well, and whoever is first counts. One that is slower still is *lost*, and let go.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from statistics import median
from typing import NamedTuple

from luray.core.config import Workers
from luray.core.tiling import Tile
from luray.engine.wavefront import Task, Wavefront

IDLE = 60.0
"""Seconds without work after which a worker is given back."""
SLOW = 3.0
"""Times the usual duration after which a job is done by another worker as well, if one is idle."""
LOST = 30.0
"""Times the usual duration after which the worker is let go."""
GRACE = 5.0
"""Seconds that are added to both."""
KNOWN = 5
"""Jobs of a kind that must be done before one of them can be called slow."""
CACHED_TILES = 4
"""Tiles whose inputs a worker keeps, for one direction each."""
REMEMBERED = 100
"""Durations of each kind that the usual one is taken of."""


class Job(NamedTuple):
    """A task of the wavefront of one chain."""

    chain: int
    task: Task

    @property
    def kind(self) -> str:
        """What is done."""
        return self.task.kind


Inputs = tuple[Hashable, Tile]
"""What is read once for the tile in all chains of the same kind, see `Scheduler`."""


@dataclass(frozen=True)
class SideTask:
    """Something that depends on no tile-year which is still to be computed, `what` being the
    engine's own.
    """

    what: Hashable

    @property
    def kind(self) -> str:
        """What is done."""
        return type(self.what).__name__


@dataclass
class WorkerState:
    """What is known of a worker."""

    since: float
    """When it was last given something, or finished it."""
    jobs: dict[Job | SideTask, float] = field(default_factory=dict)
    """What it is doing, and since when."""
    stuck: bool = False
    kept: dict[Inputs, None] = field(default_factory=dict)
    """Inputs of the tiles that it has predicted, the latest last."""
    reads: bool = False
    """Whether it has to read the inputs of its prediction."""
    pace: float | None = None
    """Seconds of its last prediction whose inputs it had."""

    @property
    def free(self) -> bool:
        """True when it can take a prediction or an errand."""
        return not self.stuck and all(job.kind == "reduce" for job in self.jobs)

    def begin(self, job: Job | SideTask, now: float, *, needs: Inputs | None = None) -> None:
        """It is given a job, which may need some inputs."""
        self.jobs[job] = self.since = now
        if needs:
            self.reads = needs not in self.kept
            self.kept.pop(needs, None)
            self.kept[needs] = None
            if len(self.kept) > CACHED_TILES:
                self.kept.pop(next(iter(self.kept)))

    def end(self, job: Job | SideTask, now: float) -> float:
        """It has done a job, or failed; returns the seconds it took."""
        self.since, self.stuck = now, False
        return now - self.jobs.pop(job, now)


class Scheduler:
    """The state of a run. Times are seconds of any clock that the caller keeps to.

    `kinds` has one entry for each chain: those of the same kind need the same inputs of a tile.
    Left out, all do.
    """

    def __init__(
        self,
        fronts: Sequence[Wavefront],
        side_tasks: Iterable[SideTask] = (),
        *,
        workers: Workers,
        kinds: Sequence[Hashable] = (),
    ) -> None:
        self.fronts, self._errands, self._kinds = (
            fronts,
            deque(side_tasks),
            kinds or [None] * len(fronts),
        )
        self._open = set(self._errands)
        """Errands that are not done, waiting or not."""
        self.worker_states: dict[int, WorkerState] = {}
        self.pending: dict[int, float] = {}
        """Workers that were hired and are not there yet, and since when they could be done without.
        """
        self._workers, self._hired = workers, 0
        self._holder: dict[tuple[int, Tile, int], int] = {}
        self._took: dict[str, deque[float]] = {}
        self.waiting = 0
        """Jobs that could be done at the last assignment, had there been workers for them."""
        self._closing = False

    @property
    def finished(self) -> bool:
        """True when nothing is left to do, or nothing that was begun."""
        if self._closing:
            return not any(h.jobs for h in self.worker_states.values()) and not any(
                task.kind == "reduce" for front in self.fronts for task in front.ready()
            )
        return not self._open and all(f.finished for f in self.fronts)

    def close(self) -> None:
        """Begin nothing more: what is in hand is done, and reduced as far as no prediction is
        missing.
        """
        self._closing = True

    def add(self, side_task: SideTask) -> None:
        """One more errand."""
        self._errands.append(side_task)
        self._open.add(side_task)

    def request_workers(self, now: float) -> list[int]:
        """Numbers of new workers that the engine should ask for: one for each job that waits, up to
        the most.
        """
        if self._closing:
            return []
        there = sum(not h.stuck for h in self.worker_states.values()) + len(self.pending)
        n = max(0, min(self._workers.max - there, self.waiting - len(self.pending)))
        new = range(self._hired, self._hired + n)
        self._hired += n
        self.pending.update(dict.fromkeys(new, now))
        return list(new)

    def join(self, worker: int, now: float) -> None:
        """A hired worker is there."""
        self.pending.pop(worker)
        self.worker_states[worker] = WorkerState(now)

    def leave(self, worker: int) -> None:
        """A worker is gone: what it had is to be done by others, and its sums are lost."""
        self.pending.pop(worker, None)
        worker_state = self.worker_states.pop(worker, None)
        if worker_state:
            self._take_back(worker, worker_state)

    def release_workers(self, now: float) -> list[int]:
        """Workers to be stopped: the lost ones, and beyond the fewest those that have had nothing
        to do for a while.
        """
        if self.waiting:
            self.pending.update(dict.fromkeys(self.pending, now))
        needed = set(self._holder.values())
        idle = [w for w, since in self.pending.items() if now - since > IDLE]
        idle += [
            w
            for w, h in self.worker_states.items()
            if not h.jobs and w not in needed and now - h.since > IDLE
        ]
        lost = [w for w, h in self.worker_states.items() if self._is_slow(h, now, times=LOST)]
        return (
            lost
            + idle[
                : max(
                    0, len(self.worker_states) + len(self.pending) - len(lost) - self._workers.min
                )
            ]
        )

    def assign(self, now: float) -> list[tuple[int, Job | SideTask]]:
        """Jobs to send now, and to whom: the earliest years first, then errands."""
        sent: list[tuple[int, Job | SideTask]] = []
        free = {w for w, h in self.worker_states.items() if h.free and not self._closing}

        def needs(job: Job) -> Inputs:
            return self._kinds[job.chain], job.task.tile

        def give(worker: int, job: Job | SideTask) -> None:
            predicts = isinstance(job, Job) and job.kind == "predict"
            inputs = needs(job) if predicts else None  # type: ignore[arg-type]
            self.worker_states[worker].begin(job, now, needs=inputs)
            if job.kind != "reduce":
                free.discard(worker)
            if isinstance(job, Job):
                self.fronts[job.chain].start(job.task)
            sent.append((worker, job))

        queues = [[Job(i, task) for task in front.ready()] for i, front in enumerate(self.fronts)]
        waiting: dict[Inputs, list[Job]] = {}
        for job in merge(*queues, key=lambda job: job.task.step):
            if job.kind == "reduce":
                give(self._holder[job.chain, job.task.tile, job.task.step], job)
            else:
                waiting.setdefault(needs(job), []).append(job)
        for worker in sorted(free):
            kept = [inputs for inputs in self.worker_states[worker].kept if waiting.get(inputs)]
            if kept:
                give(
                    worker,
                    waiting[min(kept, key=lambda inputs: waiting[inputs][0].task.step)].pop(0),
                )
        if free:
            taken, soon = (
                {
                    inputs
                    for worker_state in self.worker_states.values()
                    for inputs in worker_state.kept
                },
                self._soon(waiting, now),
            )
            rest = sorted(
                (job for inputs, jobs in waiting.items() if inputs not in soon for job in jobs),
                key=lambda job: (needs(job) in taken, job.task.step),
            )
            for job in rest[: len(free)]:
                give(min(free, key=lambda w: (len(self.worker_states[w].kept), w)), job)
        while free and self._errands:
            side_task = self._errands.popleft()
            if (
                side_task in self._open
            ):  # it may have been given to be done again, and then done the first time
                give(min(free), side_task)
        self.waiting = sum(f.n_ready for f in self.fronts) + len(self._errands)
        return sent

    def _soon(self, waiting: Mapping[Inputs, Sequence[Job]], now: float) -> set[Inputs]:
        """Those that a worker which keeps them will come to before another one could have read
        them.
        """
        reading, kept = self._took.get("reading prediction"), self._took.get("kept prediction")
        if not reading or not kept:
            return set()
        usual, soon = median(kept), set[Inputs]()
        for worker_state in self.worker_states.values():
            if worker_state.stuck:
                continue
            pace, busy = (
                worker_state.pace or usual,
                [since for job, since in worker_state.jobs.items() if job.kind != "reduce"],
            )
            left = max((since + pace - now for since in busy), default=0.0)
            for inputs in sorted(
                (i for i in worker_state.kept if waiting.get(i)),
                key=lambda i: waiting[i][0].task.step,
            ):
                if left < median(reading) - usual:
                    soon.add(inputs)
                left += pace * len(waiting[inputs])
        return soon

    def done(self, worker: int, job: Job | SideTask, now: float) -> bool:
        """A worker has done a job; False where another one was first, or the worker has left with
        what came of it.
        """
        worker_state = self.worker_states.get(worker)
        if worker_state:
            took = worker_state.end(job, now)
            self._remember(job.kind, took)
            if job.kind == "predict":
                self._remember(
                    "reading prediction" if worker_state.reads else "kept prediction", took
                )
                worker_state.pace = worker_state.pace if worker_state.reads else took
        elif job.kind == "predict":
            return False
        if isinstance(job, SideTask):
            first = job in self._open
            self._open.discard(job)
            return first
        front, (kind, tile, step) = self.fronts[job.chain], job.task
        first = not (
            front.is_predicted(tile, step) if kind == "predict" else front.is_reduced(tile, step)
        )
        if kind == "reduce":
            self._holder.pop((job.chain, tile, step), None)
        elif first and not front.is_reduced(tile, step):
            self._holder[job.chain, tile, step] = worker
        if first:
            front.finish(job.task)
        return first

    def failed(
        self,
        worker: int,
        job: Job | SideTask,
        now: float,
        *,
        lost: Iterable[tuple[int, Tile, int]] = (),
    ) -> None:
        """A job has to be done again, and the sums (chain, tile, step) that are lost as well."""
        if worker in self.worker_states:
            self.worker_states[worker].end(job, now)
        self._forget(lost)
        self._give_back(job)

    def stuck(self, now: float) -> list[int]:
        """Workers found stuck just now; what they have is given to others as well."""
        if not any(h.free for h in self.worker_states.values()):
            return []
        found = [
            w
            for w, h in self.worker_states.items()
            if not h.stuck and self._is_slow(h, now, times=SLOW)
        ]
        for worker in found:
            worker_state = self.worker_states[worker]
            worker_state.stuck = True
            self._take_back(worker, worker_state)
        return found

    def _remember(self, kind: str, took: float) -> None:
        self._took.setdefault(kind, deque(maxlen=REMEMBERED)).append(took)

    def _is_slow(self, worker_state: WorkerState, now: float, *, times: float) -> bool:
        return any(
            len(took := self._took.get(job.kind, ())) >= KNOWN
            and now - since > times * median(took) + GRACE
            for job, since in worker_state.jobs.items()
        )

    def _take_back(self, worker: int, worker_state: WorkerState) -> None:
        """Everything that rests on a worker is to be done by others."""
        self._forget([key for key, holder in self._holder.items() if holder == worker])
        for job in worker_state.jobs:
            self._give_back(job, but=worker)

    def _give_back(self, job: Job | SideTask, *, but: int | None = None) -> None:
        """A job waits again, unless another worker has it, too."""
        if any(job in h.jobs for w, h in self.worker_states.items() if w != but and not h.stuck):
            return
        if isinstance(job, Job):
            self.fronts[job.chain].release(job.task)
        else:
            self._errands.appendleft(job)

    def _forget(self, keys: Iterable[tuple[int, Tile, int]]) -> None:
        for chain, tile, step in keys:
            self._holder.pop((chain, tile, step), None)
            self.fronts[chain].forget([(tile, step)])
