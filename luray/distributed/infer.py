"""The engine: tile-years over Ray actors, equal to `inference.serial_rollout` to the bit, however
many and wherever.

`scheduling.Scheduler` decides what is done where and when, `cube.tileyear` knows what a tile-year
is; the driver here carries messages between them. A worker that dies is replaced, its unreduced
sums are computed again, and everything finished is read from the product.
"""

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from luray.core.config import DeviceChoice, Workers
from luray.core.progress import Progress, no_progress
from luray.core.tiling import Tile
from luray.distributed.metrics import PrometheusMetrics
from luray.engine.demand import Shortfall
from luray.engine.scheduler import Job, Scheduler, SideTask
from luray.engine.spec import InferenceSpec
from luray.engine.tile_year import SumsLostError, TileYears
from luray.engine.wavefront import Wavefront
from luray.product.dimensions import MemberIndex
from luray.product.trajectories import Done, Trajectory
from luray.storage.lease import Lease
from luray.storage.places import public

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""Times that a job is tried before the run gives up."""
COPIED_AT_ONCE = 8
"""Observed years of a tile that one errand copies."""
LOOKED_EVERY = 1.0
"""Seconds after which the clock is looked at, for stragglers and workers without work, though
nothing happens.
"""


@ray.remote(concurrency_groups={"main": 1, "reduce": 1})  # type: ignore[call-overload]
class Worker:
    """An actor around `TileYears`, whose reductions run beside its predictions."""

    def __init__(self, run: InferenceSpec, *, device: str) -> None:
        self._tiles = TileYears(run, device=device)

    @ray.method(concurrency_group="main")
    def ready(self) -> None:
        """Returns once the worker is there."""

    @ray.method(concurrency_group="main")
    def copy(self, *args: Any) -> None:
        """See `TileYears.copy`."""
        self._tiles.copy(*args)

    @ray.method(concurrency_group="main")
    def summarise(self, *args: Any) -> None:
        """See `TileYears.summarise`."""
        self._tiles.summarise(*args)

    @ray.method(concurrency_group="main")
    def predict(self, *args: Any) -> Any:
        """See `TileYears.predict`; returns how many windows it took, which the driver waits for,
        and the strips.
        """
        windows, strips = self._tiles.predict(*args)
        return (windows, *strips) if strips else windows

    @ray.method(concurrency_group="reduce")
    def reduce(self, *args: Any) -> Any:
        """See `TileYears.reduce`; returns the shortfall, which is the marker, and the edges."""
        edges, shortfall = self._tiles.reduce(*args)
        return shortfall, edges


class Copy(NamedTuple):
    """Observed years of a tile that go into the product as they are."""

    tile: Tile
    years: tuple[int, ...]

    def send(self, actor: Any) -> Any:
        """Ask an actor for it."""
        return actor.copy.remote(*self)


class Summary(NamedTuple):
    """Members of a tile-year to be summed up, in scenarios that have the same."""

    year: int
    tile: Tile
    scenarios: tuple[int, ...]

    def send(self, actor: Any) -> Any:
        """Ask an actor for it."""
        return actor.summarise.remote(*self)


@dataclass
class Travelling:
    """Objects of a course that neighbours still ask for."""

    strips: dict[tuple[Tile, int], list[Any]] = field(default_factory=dict)
    edges: dict[tuple[Tile, int], Any] = field(default_factory=dict)


@dataclass
class Flight:
    """A call that is under way: to whom, for which job (None while a worker is awaited), and what
    it brings besides.
    """

    worker: int
    job: Job | SideTask | None = None
    brings: Any = None


def infer(
    run: InferenceSpec,
    *,
    workers: Workers,
    device: DeviceChoice,
    years_in_flight: int,
    lease: Lease,
    report: Progress = no_progress,
) -> Shortfall:
    """Compute every tile-year of a run that has no receipt yet, then finish the product; returns
    what it misses of the scenario's demand in the tile-years that were computed.

    `report` gets the number of tile-years done and in all. Raises HeldError when another job takes
    over, ValueError with the worker's own message when an input or the store is at fault,
    RuntimeError when a tile-year failed `ATTEMPTS` times because workers died. After SIGTERM the
    tile-years in hand are finished, then SystemExit is raised.
    """
    gpu = device == "gpu" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)  # type: ignore[no-untyped-call]
    driver = Driver(run, workers=workers, gpu=gpu, years_in_flight=years_in_flight, report=report)
    driver.go(lease)
    run.product.finish()
    return driver.shortfall


class Driver:
    """Sends jobs to workers until the scheduler has none left."""

    def __init__(
        self,
        run: InferenceSpec,
        *,
        workers: Workers,
        gpu: bool,
        years_in_flight: int,
        report: Progress,
    ) -> None:
        self.run, self.report, self._geometry, self._gpu = run, report, run.geometry, gpu
        done, self._courses = run.product.done(), run.product.trajectories
        self.fronts = [
            self._front(trajectory, done, years_in_flight) for trajectory in self._courses
        ]
        copies = list(self._copies(done))
        self._missing = dict(self._unsummed(done))
        summaries = [summary for summary, missing in self._missing.items() if not missing]
        self.scheduler = Scheduler(
            self.fronts,
            map(SideTask, [*copies, *summaries]),
            workers=workers,
            kinds=[trajectory.direction for trajectory in self._courses],
        )
        self._total = sum(1 for _ in run.product.units(self._geometry.tiles))
        self._left = (
            sum(len(copy.years) for copy in copies) * len(run.product.member_indices)
            + sum(
                f.remaining * len(c.member_indices)
                for f, c in zip(self.fronts, self._courses, strict=True)
            )
            + sum(len(summary.scenarios) for summary in self._missing)
        )
        self._run_ref = ray.put(run)
        self._hired = Worker.options(num_cpus=run.threads, num_gpus=int(gpu))  # type: ignore[attr-defined]
        self._actors: dict[int, Any] = {}
        self._flights: dict[Any, Flight] = {}
        self._travelling = [Travelling() for _ in self._courses]
        self._failures: Counter[Job | SideTask | None] = Counter()
        self.shortfall = Shortfall()
        self._metrics = PrometheusMetrics(public(run.product.url))
        self.seconds = 0.0
        """Time of this process that the run took, without waiting."""

    def go(self, lease: Lease) -> None:
        """Run to the end, or until another job has the product."""
        self.report(self._total - self._left, self._total)
        with termination() as asked:
            self._work(lease, asked)
        if self._left:
            log.warning(
                "stopped with %d of %d tile-years done; run it again to go on",
                self._total - self._left,
                self._total,
            )
            raise SystemExit(128 + signal.SIGTERM)

    def _work(self, lease: Lease, asked: threading.Event) -> None:
        try:
            while not self.scheduler.finished:
                started = time.thread_time()
                if asked.is_set():
                    self.scheduler.close()
                self._direct(time.monotonic())
                finished, _ = ray.wait(list(self._flights), timeout=LOOKED_EVERY, fetch_local=False)
                lease.require()
                left = self._left
                for marker in finished:
                    self._land(marker)
                self._metrics.count("tile_years", left - self._left)
                self._metrics.show(
                    tile_years_left=self._left,
                    queue=self.scheduler.waiting,
                    workers=len(self.scheduler.worker_states),
                )
                self.report(self._total - self._left, self._total)
                self.seconds += time.thread_time() - started
        finally:
            for actor in self._actors.values():
                ray.kill(actor)

    def _front(self, trajectory: Trajectory, done: Done, in_flight: int) -> Wavefront:
        step_of = {year: step for step, year in enumerate(trajectory.years[1:])}
        reduced = [
            (tile, step_of[year])
            for year, tile in done.of(trajectory.member_indices)
            if year in step_of
        ]
        return Wavefront(
            self._geometry.tiles,
            self._geometry.around,
            steps=len(trajectory.years) - 1,
            done=reduced,
            in_flight=in_flight,
        )

    def _unsummed(self, done: Done) -> Iterator[tuple[Summary, int]]:
        """Tile-years whose members are not yet summed up, and how many maps of them are missing."""
        product = self.run.product
        for year in product.span.years if product.members else ():
            for scenarios in product.alike(year):
                summed = done.across(scenarios)
                there = [
                    done.of(
                        [
                            member_index
                            for member_index in product.member_indices
                            if member_index.scenario in scenarios and member_index.member == m
                        ]
                    )
                    for m in range(product.members)
                ]
                for tile in self._geometry.tiles:
                    missing = sum((year, tile) not in maps for maps in there)
                    if year in product.span.copied:  # for all members at once
                        missing = min(missing, 1)
                    if (year, tile) not in summed:
                        yield Summary(year, tile, scenarios), missing

    def _copies(self, done: Done) -> Iterator[Copy]:
        copied = done.of(self.run.product.member_indices)
        for tile in self._geometry.tiles:
            years = iter([y for y in self.run.product.span.copied if (y, tile) not in copied])
            while some := tuple(islice(years, COPIED_AT_ONCE)):
                yield Copy(tile, some)

    def _direct(self, now: float) -> None:
        """Do what the scheduler wants done."""
        for worker in self.scheduler.release_workers(now):
            log.info("worker %d is let go", worker)
            ray.kill(self._actors.pop(worker))
            self.scheduler.leave(worker)
        for worker in self.scheduler.stuck(now):
            log.warning(
                "worker %d is much slower than the others: another one does the same", worker
            )
            self._metrics.count("retries", 1)
        for worker, job in self.scheduler.assign(now):
            self._send(worker, job)
        for worker in self.scheduler.request_workers(now):
            self._actors[worker] = actor = self._hired.remote(
                self._run_ref, device="cuda" if self._gpu else "cpu"
            )
            self._flights[actor.ready.remote()] = Flight(worker)

    def _send(self, worker: int, job: Job | SideTask) -> None:
        actor = self._actors[worker]
        if isinstance(job, SideTask):
            self._flights[job.what.send(actor)] = Flight(worker, job)  # type: ignore[attr-defined]
            return
        (kind, tile, step), travelling = job.task, self._travelling[job.chain]
        if kind == "predict":
            edges = [travelling.edges.get((t, step - 1)) for t in self._geometry.around(tile)]
            n = 1 + len(self._geometry.outbound(tile))
            refs = actor.predict.options(num_returns=n).remote(tile, job.chain, step, *edges)
            marker, *brings = refs if n > 1 else [refs]
        else:
            strips = [
                travelling.strips[a.source, step][a.index] for a in self._geometry.inbound(tile)
            ]
            marker, brings = actor.reduce.options(num_returns=2).remote(
                tile, job.chain, step, *strips
            )
        self._flights[marker] = Flight(worker, job, brings)

    def _land(self, marker: Any) -> None:
        """Take note of a finished call, or recover from its failure."""
        flight = self._flights.pop(marker)
        now = time.monotonic()
        try:
            told = ray.get(marker)
        except (RayActorError, ObjectLostError, SumsLostError) as error:
            self._recover(flight, error, now)
            return
        except RayTaskError as error:
            raise error.cause from None
        if flight.job is None:
            self._failures.pop(None, None)
            self.scheduler.join(flight.worker, now)
        elif not self.scheduler.done(flight.worker, flight.job, now):
            return
        elif isinstance(flight.job, SideTask):
            self._errand_done(flight.job.what)
        else:
            trajectory, (kind, tile, step) = flight.job
            if kind == "predict":
                self._metrics.count("windows", told)
                self._travelling[trajectory].strips[tile, step] = flight.brings
            else:
                self.shortfall += told
                self._travelling[trajectory].edges[tile, step] = flight.brings
                self._forget_old(trajectory, tile, step)
                self._map_done(
                    self._courses[trajectory].years[step + 1],
                    tile,
                    self._courses[trajectory].member_indices,
                )

    def _errand_done(self, what: object) -> None:
        if isinstance(what, Copy):
            for year in what.years:
                self._map_done(year, what.tile, self.run.product.member_indices)
        elif isinstance(what, Summary):
            self._left -= len(what.scenarios)

    def _map_done(self, year: int, tile: Tile, member_indices: Sequence[MemberIndex]) -> None:
        """A map is written to some lanes: where it was the last of the members, they can be summed
        up.
        """
        self._left -= len(member_indices)
        for scenarios in self.run.product.alike(year):
            summary = Summary(year, tile, scenarios)
            if member_indices[0].scenario in scenarios and self._missing.get(summary):
                self._missing[summary] -= 1
                if not self._missing[summary]:
                    self.scheduler.add(SideTask(summary))

    def _recover(self, flight: Flight, error: Exception, now: float) -> None:
        """Let others do what a dead worker had; with a lost object goes everything that rested on
        it.
        """
        if flight.worker not in self._actors:  # it was let go
            return
        self._failures[flight.job] += 1
        self._metrics.count("retries", 1)
        log.warning(
            "worker %d: %s failed (%s), attempt %d",
            flight.worker,
            flight.job or "starting",
            type(error).__name__,
            self._failures[flight.job],
        )
        if self._failures[flight.job] == ATTEMPTS:
            raise RuntimeError(
                f"{flight.job or 'starting a worker'} failed {ATTEMPTS} times because workers "
                "died, "
                f"last: {error}; what is finished is kept, run `luray infer` again; if memory is "
                "short, "
                "lower tiling.tile"
            ) from error
        lost: list[tuple[int, Tile, int]] = []
        if isinstance(flight.job, Job):
            trajectory, (kind, tile, step) = flight.job
            around = (*self._geometry.around(tile), tile)
            if kind == "reduce" and not self.fronts[trajectory].is_reduced(tile, step):
                lost = [(trajectory, t, step) for t in around]
            for t in around:
                self._travelling[trajectory].edges.pop((t, step - 1), None)
        if isinstance(error, RayActorError):
            ray.kill(self._actors.pop(flight.worker))
            self.scheduler.leave(flight.worker)
        if flight.job:
            self.scheduler.failed(flight.worker, flight.job, now, lost=lost)

    def _forget_old(self, trajectory: int, tile: Tile, step: int) -> None:
        """Drop references nobody will ask for: strips whose receivers are reduced, edges two steps
        back.
        """
        front, travelling = self.fronts[trajectory], self._travelling[trajectory]
        for near in (*self._geometry.around(tile), tile):
            receivers = (*self._geometry.around(near), near)
            if all(front.is_reduced(t, step) for t in receivers):
                travelling.strips.pop((near, step), None)
                travelling.edges.pop((near, step - 1), None)


@contextmanager
def termination() -> Iterator[threading.Event]:
    """An event that SIGTERM sets instead of ending the process; a second SIGTERM ends it.

    Only the main thread can take a signal: in another one nothing changes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGTERM)

    def ask(number: int, frame: object) -> None:
        log.warning(
            "SIGTERM: the tile-years in hand are finished first; send it again to stop at once"
        )
        asked.set()
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
