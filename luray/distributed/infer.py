"""The engine: tile-years over Ray actors, equal to `inference.serial_rollout` to the bit, however many and wherever.

`scheduling.Scheduler` decides what is done where and when, `cube.tileyear` knows what a tile-year is; the driver here
carries messages between them. A worker that dies is replaced, its unreduced sums are computed again, and everything
finished is read from the product.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from luray.cube.lease import Lease
from luray.cube.ledger import tile_year_of
from luray.cube.tileyear import Chain, Run, SumsLost, TileYears
from luray.demand import Shortfall
from luray.distributed import Report, silent
from luray.scheduling import Errand, Job, Scheduler
from luray.schema import Device, Workers
from luray.wavefront import Wavefront
from luray.windows import Tile

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""Times that a job is tried before the run gives up."""
COPIED_AT_ONCE = 8
"""Observed years of a tile that one errand copies."""
LOOKED_EVERY = 1.0
"""Seconds after which the clock is looked at, for stragglers and workers without work, though nothing happens."""


@ray.remote(concurrency_groups={"main": 1, "reduce": 1})  # type: ignore[call-overload]
class Worker:
    """An actor around `TileYears`, whose reductions run beside its predictions."""

    def __init__(self, run: Run, *, device: str) -> None:
        self._tiles = TileYears(run, device=device)

    @ray.method(concurrency_group="main")
    def ready(self) -> None:
        """Returns once the worker is there."""

    @ray.method(concurrency_group="main")
    def copy(self, *args: Any) -> None:
        """See `TileYears.copy`."""
        self._tiles.copy(*args)

    @ray.method(concurrency_group="main")
    def predict(self, *args: Any) -> Any:
        """See `TileYears.predict`; returns a marker, which the driver waits for, and the strips."""
        strips = self._tiles.predict(*args)
        return (None, *strips) if strips else None

    @ray.method(concurrency_group="reduce")
    def reduce(self, *args: Any) -> Any:
        """See `TileYears.reduce`; returns the shortfall, which is the marker, and the edges."""
        edges, shortfall = self._tiles.reduce(*args)
        return shortfall, edges


class Copy(NamedTuple):
    """Observed years of a tile that go into the product as they are."""

    tile: Tile
    years: tuple[int, ...]


@dataclass
class Travelling:
    """Objects of a chain that neighbours still ask for."""

    strips: dict[tuple[Tile, int], list[Any]] = field(default_factory=dict)
    edges: dict[tuple[Tile, int], Any] = field(default_factory=dict)


@dataclass
class Flight:
    """A call that is under way: to whom, for which job (None while a worker is awaited), and what it brings besides."""

    worker: int
    job: Job | Errand | None = None
    brings: Any = None


def infer(run: Run, *, workers: Workers, device: Device, years_in_flight: int, lease: Lease,
          report: Report = silent) -> Shortfall:
    """Compute every tile-year of a run that has no receipt yet, then finish the product; returns what it misses of the
    scenario's demand in the tile-years that were computed.

    `report` gets the number of tile-years done and in all. Raises HeldError when another job takes over, ValueError
    with the worker's own message when an input or the store is at fault, RuntimeError when a tile-year failed
    `ATTEMPTS` times because workers died.
    """
    gpu = device == "gpu" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)  # type: ignore[no-untyped-call]
    driver = Driver(run, workers=workers, gpu=gpu, years_in_flight=years_in_flight, report=report)
    driver.go(lease)
    run.product.finish()
    return driver.shortfall


class Driver:
    """Sends jobs to workers until the scheduler has none left."""

    def __init__(self, run: Run, *, workers: Workers, gpu: bool, years_in_flight: int, report: Report) -> None:
        self.run, self.report, self._geometry, self._gpu = run, report, run.geometry, gpu
        done = {tile_year_of(key) for key in run.product.ledger.done()}
        self.fronts = [self._front(chain, done, years_in_flight) for chain in run.chains]
        copies = list(self._copies(done))
        self.scheduler = Scheduler(self.fronts, map(Errand, copies), workers=workers)
        self._total = len(self._geometry.tiles) * len(run.product.span.years)
        self._uncopied = sum(len(copy.years) for copy in copies)
        self._run_ref = ray.put(run)
        self._hired = Worker.options(num_cpus=run.threads, num_gpus=int(gpu))  # type: ignore[attr-defined]
        self._actors: dict[int, Any] = {}
        self._flights: dict[Any, Flight] = {}
        self._travelling = [Travelling() for _ in run.chains]
        self._failures: Counter[Job | Errand | None] = Counter()
        self.shortfall = Shortfall()
        self.seconds = 0.0
        """Time of this process that the run took, without waiting."""

    def go(self, lease: Lease) -> None:
        """Run to the end, or until another job has the product."""
        self._report()
        try:
            while not self.scheduler.finished:
                started = time.thread_time()
                self._direct(time.monotonic())
                finished, _ = ray.wait(list(self._flights), timeout=LOOKED_EVERY, fetch_local=False)
                lease.require()
                for marker in finished:
                    self._land(marker)
                self._report()
                self.seconds += time.thread_time() - started
        finally:
            for actor in self._actors.values():
                ray.kill(actor)

    def _report(self) -> None:
        self.report(self._total - self._uncopied - sum(front.remaining for front in self.fronts), self._total)

    def _front(self, chain: Chain, done: set[tuple[int, Tile]], in_flight: int) -> Wavefront:
        step_of = {year: step for step, year in enumerate(chain.years[1:])}
        reduced = [(tile, step_of[year]) for year, tile in done if year in step_of]
        return Wavefront(self._geometry.tiles, self._geometry.around, steps=len(chain.years) - 1, done=reduced,
                         in_flight=in_flight)

    def _copies(self, done: set[tuple[int, Tile]]) -> Iterator[Copy]:
        for tile in self._geometry.tiles:
            years = iter([y for y in self.run.product.span.copied if (y, tile) not in done])
            while some := tuple(islice(years, COPIED_AT_ONCE)):
                yield Copy(tile, some)

    def _direct(self, now: float) -> None:
        """Do what the scheduler wants done."""
        for worker in self.scheduler.let_go(now):
            log.info("worker %d is let go", worker)
            ray.kill(self._actors.pop(worker))
            self.scheduler.leave(worker)
        for worker in self.scheduler.stuck(now):
            log.warning("worker %d is much slower than the others: another one does the same", worker)
        for worker, job in self.scheduler.assign(now):
            self._send(worker, job)
        for worker in self.scheduler.hire(now):
            self._actors[worker] = actor = self._hired.remote(self._run_ref, device="cuda" if self._gpu else "cpu")
            self._flights[actor.ready.remote()] = Flight(worker)

    def _send(self, worker: int, job: Job | Errand) -> None:
        actor = self._actors[worker]
        if isinstance(job, Errand):
            self._flights[actor.copy.remote(*job.what)] = Flight(worker, job)  # type: ignore[misc]
            return
        (kind, tile, step), travelling = job.task, self._travelling[job.chain]
        if kind == "predict":
            edges = [travelling.edges.get((t, step - 1)) for t in self._geometry.around(tile)]
            n = 1 + len(self._geometry.outbound(tile))
            refs = actor.predict.options(num_returns=n).remote(tile, job.chain, step, *edges)
            marker, *brings = refs if n > 1 else [refs]
        else:
            strips = [travelling.strips[a.source, step][a.index] for a in self._geometry.inbound(tile)]
            marker, brings = actor.reduce.options(num_returns=2).remote(tile, job.chain, step, *strips)
        self._flights[marker] = Flight(worker, job, brings)

    def _land(self, marker: Any) -> None:
        """Take note of a finished call, or recover from its failure."""
        flight = self._flights.pop(marker)
        now = time.monotonic()
        try:
            told = ray.get(marker)
        except (RayActorError, ObjectLostError, SumsLost) as error:
            self._recover(flight, error, now)
            return
        except RayTaskError as error:
            raise error.cause from None
        if flight.job is None:
            self._failures.pop(None, None)
            self.scheduler.join(flight.worker, now)
        elif not self.scheduler.done(flight.worker, flight.job, now):
            return
        elif isinstance(flight.job, Errand):
            self._uncopied -= len(flight.job.what.years)  # type: ignore[attr-defined]
        else:
            chain, (kind, tile, step) = flight.job
            if kind == "predict":
                self._travelling[chain].strips[tile, step] = flight.brings
            else:
                self.shortfall += told
                self._travelling[chain].edges[tile, step] = flight.brings
                self._forget_old(chain, tile, step)

    def _recover(self, flight: Flight, error: Exception, now: float) -> None:
        """Let others do what a dead worker had; with a lost object goes everything that rested on it."""
        if flight.worker not in self._actors:  # it was let go
            return
        self._failures[flight.job] += 1
        log.warning("worker %d: %s failed (%s), attempt %d", flight.worker, flight.job or "starting",
                    type(error).__name__, self._failures[flight.job])
        if self._failures[flight.job] == ATTEMPTS:
            raise RuntimeError(f"{flight.job or 'starting a worker'} failed {ATTEMPTS} times because workers died, "
                               f"last: {error}; what is finished is kept, run `luray infer` again; if memory is short, "
                               "lower tiling.tile") from error
        lost: list[tuple[int, Tile, int]] = []
        if isinstance(flight.job, Job):
            chain, (kind, tile, step) = flight.job
            around = (*self._geometry.around(tile), tile)
            if kind == "reduce":
                lost = [(chain, t, step) for t in around]
            for t in around:
                self._travelling[chain].edges.pop((t, step - 1), None)
        if isinstance(error, RayActorError):
            ray.kill(self._actors.pop(flight.worker))
            self.scheduler.leave(flight.worker)
        if flight.job:
            self.scheduler.failed(flight.worker, flight.job, now, lost=lost)

    def _forget_old(self, chain: int, tile: Tile, step: int) -> None:
        """Drop references nobody will ask for: strips whose receivers are reduced, edges two steps back."""
        front, travelling = self.fronts[chain], self._travelling[chain]
        for near in (*self._geometry.around(tile), tile):
            receivers = (*self._geometry.around(near), near)
            if all(front.is_reduced(t, step) for t in receivers):
                travelling.strips.pop((near, step), None)
                travelling.edges.pop((near, step - 1), None)
