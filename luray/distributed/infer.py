"""The engine: tile-years over Ray actors, equal to `serial.serial_rollout` to the bit.

However many workers there are, wherever they are, and whichever of them die. The driver here
carries messages between parts that know nothing of Ray:

- `engine.scheduler` decides what is done where and when,
- `engine.exchange` knows which strips and edges are where,
- `engine.side_work` knows which members can be summed up, and which overviews made,
- `engine.tile_year` computes, inside the actors of `distributed.worker`.

A worker that dies is replaced, its unreduced sums are computed again, and everything finished is
read from the product.
"""

import logging
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from luray.core.config import DeviceChoice, Workers
from luray.core.progress import Progress, no_progress
from luray.core.tiling import Tile
from luray.distributed.metrics import PrometheusMetrics
from luray.distributed.termination import termination
from luray.distributed.worker import WorkerActors
from luray.engine.demand import Shortfall
from luray.engine.exchange import ExchangedObjects
from luray.engine.jobs import Job, SideTask, SumsKey, in_words
from luray.engine.scheduler import Scheduler
from luray.engine.side_work import (
    CoarserOverviews,
    CopyYears,
    MakeOverviews,
    MemberSummaries,
    SummariseMembers,
    years_to_copy,
)
from luray.engine.spec import InferenceSpec
from luray.engine.tile_year import SumsLostError
from luray.engine.wavefront import Wavefront
from luray.product.dimensions import MemberIndex
from luray.product.trajectories import Done, Trajectory
from luray.storage.lease import Lease
from luray.storage.places import public

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""Times that a job is tried before the run gives up."""
PROBE = 2**26
"""Bytes that Ray's memory for objects must have room for, or the disk that it spills to."""
CLOCK_SECONDS = 1.0
"""Seconds after which stuck and idle workers are looked for, though no call has finished."""


def infer(
    spec: InferenceSpec,
    *,
    workers: Workers,
    device: DeviceChoice,
    years_in_flight: int,
    lease: Lease,
    progress: Progress = no_progress,
) -> Shortfall:
    """Compute every tile-year that has no receipt yet, then finish the product.

    Parameters
    ----------
    spec : InferenceSpec
        The inference, whose product exists.
    workers : Workers
        The fewest and the most workers.
    device : {"auto", "cpu", "gpu"}
        Where models run; "auto" is the GPUs of the cluster if it has any.
    years_in_flight : int
        See `Wavefront`.
    lease : Lease
        On the product, held by the caller.
    progress : callable
        Called with the tile-years done and in all.

    Returns
    -------
    Shortfall
        What the tile-years that were computed miss of the scenario's demand.

    Raises
    ------
    HeldError
        When another job takes over the product.
    ValueError
        With the worker's own message, when an input or the store is at fault.
    OutOfDiskError
        When workers die because Ray has no room for what they return; `cluster` explains it.
    RuntimeError
        When a job failed `ATTEMPTS` times because workers died.
    SystemExit
        After SIGTERM, once the tile-years in hand are finished.
    """
    has_gpus = ray.cluster_resources().get("GPU", 0) >= 1  # type: ignore[no-untyped-call]
    gpu = device == "gpu" or (device == "auto" and has_gpus)
    driver = Driver(
        spec, workers=workers, gpu=gpu, years_in_flight=years_in_flight, progress=progress
    )
    driver.run(lease)
    spec.product.finish()
    return driver.shortfall


@dataclass
class Call:
    """A remote call that is under way."""

    worker: int
    job: Job | SideTask | None = None
    """None while the worker itself is awaited."""
    results: Any = None
    """References to its strips or edges."""


class Driver:
    """Sends jobs to workers until the scheduler has none left. Parameters as those of `infer`."""

    def __init__(
        self,
        spec: InferenceSpec,
        *,
        workers: Workers,
        gpu: bool,
        years_in_flight: int,
        progress: Progress,
    ) -> None:
        self.spec = spec
        self.shortfall = Shortfall()
        self.seconds = 0.0
        """Time that this process was busy, without waiting."""
        self._progress = progress
        self._geometry = spec.geometry
        self._trajectories = spec.product.trajectories
        done = spec.product.done()
        self._wavefronts = [
            self._wavefront(trajectory, done, years_in_flight) for trajectory in self._trajectories
        ]
        self._exchanged = [ExchangedObjects(spec.geometry, front) for front in self._wavefronts]
        copies = list(years_to_copy(spec.product, spec.geometry.tiles, done))
        self._summaries = MemberSummaries(spec.product, spec.geometry.tiles, done)
        self._overviews = CoarserOverviews(spec.product, spec.geometry.tiles, done)
        side_work = [*copies, *self._summaries.possible(), *self._overviews.possible()]
        self.scheduler = Scheduler(
            self._wavefronts,
            map(SideTask, side_work),
            workers=workers,
            input_groups=[trajectory.direction for trajectory in self._trajectories],
        )
        self._n_receipts = sum(1 for _ in spec.product.units(spec.geometry.tiles))
        self._n_missing = self._count_missing(copies)
        self._actors = WorkerActors(spec, gpu=gpu)
        self._calls: dict[Any, Call] = {}
        """Calls that are under way, by their markers."""
        self._failures: Counter[Job | SideTask | None] = Counter()
        self._metrics = PrometheusMetrics(public(spec.product.url))

    def run(self, lease: Lease) -> None:
        """Run to the end, or until another job has the product."""
        self._report_progress()
        with termination() as requested:
            try:
                while not self.scheduler.finished:
                    if requested.is_set():
                        self.scheduler.close()
                    self._run_once(lease)
            finally:
                self._actors.stop_all()
        if self._n_missing:
            log.warning(
                "stopped with %d of %d tile-years done; run it again to go on",
                self._n_receipts - self._n_missing,
                self._n_receipts,
            )
            raise SystemExit(128 + signal.SIGTERM)

    def _run_once(self, lease: Lease) -> None:
        """Send what can be sent, and take note of what is finished meanwhile."""
        started = time.thread_time()
        self._follow_scheduler(time.monotonic())
        finished = self._finished_calls()
        lease.require()
        missing_before = self._n_missing
        for marker in finished:
            self._finish_call(marker)

        self._metrics.count("tile_years", missing_before - self._n_missing)
        self._metrics.show(
            tile_years_left=self._n_missing,
            queue=self.scheduler.waiting,
            workers=len(self.scheduler.pool),
        )
        self._report_progress()
        self.seconds += time.thread_time() - started

    def _finished_calls(self) -> list[Any]:
        """Wait until a call is finished, or for a second; return all that are finished then.

        A look at the calls costs the more the more there are, so all of them are taken at once.
        """
        markers = list(self._calls)
        finished, _ = ray.wait(markers, timeout=CLOCK_SECONDS, fetch_local=False)
        if finished:
            finished, _ = ray.wait(markers, num_returns=len(markers), timeout=0, fetch_local=False)
        return finished

    def _report_progress(self) -> None:
        self._progress(self._n_receipts - self._n_missing, self._n_receipts)

    # What there is to do

    def _wavefront(self, trajectory: Trajectory, done: Done, in_flight: int) -> Wavefront:
        """Return the wavefront of a trajectory as an earlier run left it."""
        step_of_year = {year: step for step, year in enumerate(trajectory.years[1:])}
        written = done.of(trajectory.member_indices)
        reduced = [(tile, step_of_year[year]) for year, tile in written if year in step_of_year]
        return Wavefront(
            self._geometry.tiles,
            self._geometry.around,
            steps=len(trajectory.years) - 1,
            done=reduced,
            in_flight=in_flight,
        )

    def _count_missing(self, copies: Sequence[CopyYears]) -> int:
        """Count the receipts still to be written.

        There is one for each map of each member, each summary, and the coarser overviews of a map.
        """
        n_years = sum(len(copy.years) for copy in copies)
        n_missing = n_years * len(self.spec.product.member_indices)
        for wavefront, trajectory in zip(self._wavefronts, self._trajectories, strict=True):
            n_missing += wavefront.remaining * len(trajectory.member_indices)
        return n_missing + self._summaries.n_receipts + self._overviews.n_receipts

    # Sending

    def _follow_scheduler(self, now: float) -> None:
        """Do what the scheduler wants done."""
        # In this order: workers that leave or are stuck free their jobs for `assign`, and only for
        # what is still waiting then new workers are requested.
        for worker in self.scheduler.release_workers(now):
            log.info("worker %d is released", worker)
            self._actors.stop(worker)
            self.scheduler.leave(worker)
        for worker in self.scheduler.mark_stuck(now):
            log.warning(
                "worker %d is much slower than the others: another one does the same", worker
            )
            self._metrics.count("retries", 1)
        for worker, job in self.scheduler.assign(now):
            self._send(worker, job)
        for worker in self.scheduler.request_workers(now):
            self._calls[self._actors.start(worker)] = Call(worker)

    def _send(self, worker: int, job: Job | SideTask) -> None:
        results: Any = None
        if isinstance(job, SideTask):
            marker = self._send_side_task(worker, job)
        else:
            marker, results = self._send_task(worker, job)
        self._calls[marker] = Call(worker, job, results)

    def _send_side_task(self, worker: int, side_task: SideTask) -> Any:
        payload = side_task.payload
        if isinstance(payload, CopyYears):
            return self._actors.copy(worker, payload)
        if isinstance(payload, SummariseMembers):
            return self._actors.summarise(worker, payload)
        assert isinstance(payload, MakeOverviews)
        return self._actors.write_overviews(worker, payload)

    def _send_task(self, worker: int, job: Job) -> tuple[Any, Any]:
        """Send a prediction or a reduction; return its marker, and its strips or edges."""
        trajectory, (operation, tile, step) = job
        exchanged = self._exchanged[trajectory]
        if operation == "predict":
            return self._actors.predict(
                worker,
                tile,
                trajectory,
                step,
                edges=exchanged.edges_for(tile, step),
                n_strips=len(self._geometry.outbound(tile)),
            )
        strips = exchanged.strips_for(tile, step)
        return self._actors.reduce(worker, tile, trajectory, step, strips=strips)

    # Finished and failed calls

    def _finish_call(self, marker: Any) -> None:
        """Take note of a finished call, or recover from its failure."""
        call = self._calls.pop(marker)
        now = time.monotonic()
        try:
            value = ray.get(marker)
        except (RayActorError, ObjectLostError, SumsLostError) as error:
            self._recover(call, error, now)
            return
        except RayTaskError as error:
            raise error.cause from None

        if call.job is None:
            self._failures.pop(None, None)
            self.scheduler.join(call.worker, now)
        elif not self.scheduler.finish(call.worker, call.job, now):
            return  # another worker was first
        elif isinstance(call.job, SideTask):
            self._finish_side_task(call.job.payload)
        elif call.job.operation == "predict":
            self._finish_prediction(call.job, value, call.results)
        else:
            self._finish_reduction(call.job, value, call.results)

    def _finish_side_task(self, payload: object) -> None:
        if isinstance(payload, CopyYears):
            for year in payload.years:
                self._map_written(year, payload.tile, self.spec.product.member_indices)
        elif isinstance(payload, SummariseMembers):
            self._n_missing -= len(payload.scenarios)
        elif isinstance(payload, MakeOverviews):
            self._n_missing -= len(payload.member_indices)

    def _finish_prediction(self, job: Job, n_windows: int, strips: list[Any]) -> None:
        self._metrics.count("windows", n_windows)
        self._exchanged[job.trajectory].put_strips(job.task.tile, job.task.step, strips)

    def _finish_reduction(self, job: Job, shortfall: Shortfall, edges: Any) -> None:
        _, tile, step = job.task
        self.shortfall += shortfall
        exchanged = self._exchanged[job.trajectory]
        exchanged.put_edges(tile, step, edges)
        exchanged.drop_unneeded(tile, step)
        trajectory = self._trajectories[job.trajectory]
        self._map_written(trajectory.years[step + 1], tile, trajectory.member_indices)

    def _map_written(self, year: int, tile: Tile, member_indices: Sequence[MemberIndex]) -> None:
        """Count a map, and do what it was the last of: summary of members, coarser overviews."""
        self._n_missing -= len(member_indices)
        for summary in self._summaries.map_written(year, tile, member_indices):
            self.scheduler.add(SideTask(summary))
        for overviews in self._overviews.map_written(year, member_indices):
            self.scheduler.add(SideTask(overviews))

    def _recover(self, call: Call, error: Exception, now: float) -> None:
        """Let others do what a dead worker had."""
        if call.worker not in self._actors:
            return  # it was released, and what it had is with others already
        if isinstance(error, RayActorError):
            # Ray ends a worker whose results find no room, and says only that it is gone.
            ray.put(np.empty(PROBE, np.uint8))
        self._failures[call.job] += 1
        self._metrics.count("retries", 1)
        attempts = self._failures[call.job]
        doing = self._in_words(call.job)
        log.warning("%s", _loss_in_words(call.worker, doing, error, attempts))
        if attempts == ATTEMPTS:
            reason = str(error).strip().partition("\n")[0]
            raise RuntimeError(
                f"{doing} failed {ATTEMPTS} times because workers died, last: {reason}; what is "
                "finished is kept, run `luray infer` again; if memory is short, lower tiling.tile"
            ) from error

        lost = self._forget_inputs_of(call.job) if isinstance(call.job, Job) else []
        # The worker leaves first: what it was doing waits again then, this job included.
        if isinstance(error, RayActorError):
            self._actors.stop(call.worker)
            self.scheduler.leave(call.worker)
        if call.job:
            self.scheduler.fail(call.worker, call.job, now, lost=lost)

    def _in_words(self, job: Job | SideTask | None) -> str:
        """Say what a worker was doing as a user knows it."""
        if job is None:
            return "starting"
        if isinstance(job, SideTask):
            return str(job.payload)
        trajectory = self._trajectories[job.trajectory]
        year = trajectory.years[job.task.step + 1]
        verb = "predicting" if job.operation == "predict" else "writing"
        return f"{verb} {year} of {in_words(job.task.tile)}"

    def _forget_inputs_of(self, job: Job) -> list[SumsKey]:
        """Forget the objects that a failed job needed: any of them may be lost.

        Returns the predictions that have to run again. For a reduction these are its own and those
        of its neighbours, whose strips it needs; for a prediction none, as edges that are not there
        are read from the product.
        """
        trajectory, (operation, tile, step) = job
        self._exchanged[trajectory].forget_edges_for(tile, step)
        if operation == "predict" or self._wavefronts[trajectory].is_reduced(tile, step):
            return []
        neighbourhood = (*self._geometry.around(tile), tile)
        return [(trajectory, near, step) for near in neighbourhood]


def _loss_in_words(worker: int, doing: str, error: Exception, attempts: int) -> str:
    """Say what was lost, and that it is done again, unless that was the last attempt."""
    if isinstance(error, RayActorError):
        loss = f"worker {worker} lost while {doing}"
    else:
        loss = f"worker {worker} lacked what another one had sent it for {doing}"
    if attempts == ATTEMPTS:
        return loss
    if attempts == 1:
        return f"{loss}: done again"
    return f"{loss}: done again, attempt {attempts + 1} of {ATTEMPTS}"
