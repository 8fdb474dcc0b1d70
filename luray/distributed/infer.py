"""The engine: a wavefront of tile-years over Ray actors, equal to `inference.serial_rollout` to the bit.

The driver holds one `Wavefront` a direction and decides where and when; what a tile-year is, `cube.tileyear` knows.
A tile stays with the worker that holds its inputs and its sums. A worker that dies is replaced, its unreduced sums are
computed again, and everything finished is read from the product.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from luray.cube.lease import Lease
from luray.cube.ledger import tile_year_of
from luray.cube.tileyear import Run, SumsLost, TileYears
from luray.demand import Shortfall
from luray.distributed import Report, silent
from luray.schema import Direction
from luray.wavefront import Task, Wavefront
from luray.windows import Tile

log = logging.getLogger(__name__)

QUEUE = 2
"""Tasks that wait on or run in a worker: one to run, one ready when it ends."""
ATTEMPTS = 4
"""Times that a tile-year is tried before the run gives up."""
COPIED_AT_ONCE = 8
"""Observed years of a tile that one task copies."""


@ray.remote
class Worker:
    """An actor around `TileYears`."""

    def __init__(self, run: Run) -> None:
        self._tiles = TileYears(run)

    def copy(self, *args: Any) -> None:
        """See `TileYears.copy`."""
        self._tiles.copy(*args)

    def predict(self, *args: Any) -> Any:
        """See `TileYears.predict`; returns a marker, which the driver waits for, and the strips."""
        strips = self._tiles.predict(*args)
        return (None, *strips) if strips else None

    def reduce(self, *args: Any) -> Any:
        """See `TileYears.reduce`; returns the shortfall, which is the marker, and the edges."""
        edges, shortfall = self._tiles.reduce(*args)
        return shortfall, edges


@dataclass
class Chain:
    """One direction of a run: its years, its wavefront, and the objects that still travel."""

    direction: Direction
    years: tuple[int, ...]
    front: Wavefront
    strips: dict[tuple[Tile, int], list[Any]] = field(default_factory=dict)
    edges: dict[tuple[Tile, int], Any] = field(default_factory=dict)

    def year(self, task: Task) -> int:
        """Calendar year of a task."""
        return self.years[task.step + 1]


@dataclass
class Flight:
    """A call that is under way: where, and what it does."""

    worker: int
    actor: Any
    chain: Chain | None
    task: Task | None
    copied: tuple[Tile, tuple[int, ...]] | None = None


def infer(run: Run, *, workers: int, years_in_flight: int, lease: Lease, report: Report = silent) -> Shortfall:
    """Compute every tile-year of a run that has no receipt yet, then finish the product; returns what it misses of the
    scenario's demand in the tile-years that were computed.

    `report` gets the number of tile-years done and in all. Raises HeldError when another job takes over, ValueError
    with the worker's own message when an input or the store is at fault, RuntimeError when a tile-year failed
    `ATTEMPTS` times because workers died.
    """
    driver = Driver(run, workers=workers, years_in_flight=years_in_flight, report=report)
    driver.go(lease)
    run.product.finish()
    return driver.shortfall


class Driver:
    """Dispatches tasks to workers until every chain is finished."""

    def __init__(self, run: Run, *, workers: int, years_in_flight: int, report: Report) -> None:
        self.run, self.report, self._geometry = run, report, run.geometry
        done = {tile_year_of(key) for key in run.product.ledger.done()}
        self.chains = [self._chain(d, years, done, years_in_flight) for d, years in run.product.span.chains.items()]
        self._copies = deque(self._copy_tasks(done))
        self._total = len(self._geometry.tiles) * len(run.product.span.years)
        copies = sum(len(years) for _, years in self._copies)
        self._left = copies + sum(c.front.remaining for c in self.chains)
        self._run_ref = ray.put(run)
        n = max(1, min(workers, self._left))
        self._workers = [self._hire() for _ in range(n)] if self._left else []
        self._load = Counter({i: 0 for i in range(n)})
        self._home: dict[Tile, int] = {}
        self._flights: dict[Any, Flight] = {}
        self._failures: Counter[Any] = Counter()
        self.shortfall = Shortfall()

    def go(self, lease: Lease) -> None:
        """Run to the end, or until another job has the product."""
        self.report(self._total - self._left, self._total)
        while self._left:
            self._dispatch()
            assert self._flights, "nothing runs and something is left: the wavefront is stuck"
            finished, _ = ray.wait(list(self._flights), num_returns=1, fetch_local=False)
            lease.require()
            for marker in finished:
                self._land(marker)
            self.report(self._total - self._left, self._total)
        for worker in self._workers:
            ray.kill(worker)

    def _chain(self, direction: Direction, years: tuple[int, ...], done: set[tuple[int, Tile]],
               in_flight: int) -> Chain:
        step_of = {year: step for step, year in enumerate(years[1:])}
        reduced = [(tile, step_of[year]) for year, tile in done if year in step_of]
        front = Wavefront(self._geometry.tiles, self._geometry.around, steps=len(years) - 1, done=reduced,
                          in_flight=in_flight)
        return Chain(direction, years, front)

    def _copy_tasks(self, done: set[tuple[int, Tile]]) -> Iterator[tuple[Tile, tuple[int, ...]]]:
        for tile in self._geometry.tiles:
            years = iter([y for y in self.run.product.span.copied if (y, tile) not in done])
            while some := tuple(islice(years, COPIED_AT_ONCE)):
                yield tile, some

    def _hire(self) -> Any:
        return Worker.options(num_cpus=self.run.threads).remote(self._run_ref)  # type: ignore[attr-defined]

    def _dispatch(self) -> None:
        """Hand out ready tasks, the earliest years first, while their workers have room; copies fill the rest."""
        for chain in self.chains:
            for task in chain.front.ready():
                worker = self._worker_of(task.tile)
                if self._load[worker] < QUEUE:
                    chain.front.start(task)
                    self._send(worker, chain, task)
        for worker in self._load:
            while self._copies and self._load[worker] < QUEUE:
                copied = self._copies.popleft()
                actor = self._workers[worker]
                self._fly(actor.copy.remote(*copied), Flight(worker, actor, None, None, copied))

    def _worker_of(self, tile: Tile) -> int:
        """The worker that holds a tile, chosen by the fewest tiles when it is first asked for."""
        if tile not in self._home:
            held = Counter(self._home.values())
            self._home[tile] = min(self._load, key=lambda i: (held[i], i))
        return self._home[tile]

    def _send(self, worker: int, chain: Chain, task: Task) -> None:
        actor, year = self._workers[worker], chain.year(task)
        if task.kind == "predict":
            edges = [chain.edges.get((t, task.step - 1)) for t in self._geometry.around(task.tile)]
            n = 1 + len(self._geometry.outbound(task.tile))
            refs = actor.predict.options(num_returns=n).remote(
                task.tile, chain.direction, year, chain.years[task.step], *edges)
            marker, *strips = refs if n > 1 else [refs]
            chain.strips[task.tile, task.step] = strips
        else:
            strips = [chain.strips[a.source, task.step][a.index] for a in self._geometry.inbound(task.tile)]
            marker, edge = actor.reduce.options(num_returns=2).remote(task.tile, chain.direction, year, *strips)
            chain.edges[task.tile, task.step] = edge
        self._fly(marker, Flight(worker, actor, chain, task))

    def _fly(self, marker: Any, flight: Flight) -> None:
        self._load[flight.worker] += 1
        self._flights[marker] = flight

    def _land(self, marker: Any) -> None:
        """Take note of a finished call, or recover from its failure."""
        flight = self._flights.pop(marker)
        self._load[flight.worker] -= 1
        try:
            told = ray.get(marker)
        except (RayActorError, ObjectLostError, SumsLost) as error:
            self._recover(flight, error)
            return
        except RayTaskError as error:
            raise error.cause from None
        if flight.copied:
            self._left -= len(flight.copied[1])
        elif flight.chain and flight.task:
            self.shortfall += told or Shortfall()
            before = flight.chain.front.remaining
            flight.chain.front.finish(flight.task)
            self._left -= before - flight.chain.front.remaining
            self._forget_old(flight.chain, flight.task)

    def _recover(self, flight: Flight, error: Exception) -> None:
        """Replace a dead worker, and give back what failed together with everything that rested on what is lost."""
        what = (flight.task, flight.chain and flight.chain.direction, flight.copied)
        self._failures[what] += 1
        log.warning("worker %d: %s failed (%s), attempt %d", flight.worker, what, type(error).__name__,
                    self._failures[what])
        if self._failures[what] == ATTEMPTS:
            raise RuntimeError(f"{what} failed {ATTEMPTS} times because workers died, last: {error}; what is "
                               "finished is kept, run `luray infer` again; if memory is short, lower tiling.tile"
                               ) from error
        if isinstance(error, RayActorError) and self._workers[flight.worker] is flight.actor:
            self._workers[flight.worker] = self._hire()
            lost = [tile for tile, home in self._home.items() if home == flight.worker]
            for chain in self.chains:
                chain.front.forget(lost)
        if flight.copied:
            self._copies.appendleft(flight.copied)
        elif flight.chain and flight.task:
            around = (*self._geometry.around(flight.task.tile), flight.task.tile)
            if flight.task.kind == "reduce":
                flight.chain.front.forget(around)
            for tile in around:
                flight.chain.edges.pop((tile, flight.task.step - 1), None)
            flight.chain.front.release(flight.task)

    def _forget_old(self, chain: Chain, task: Task) -> None:
        """Drop references nobody will ask for: strips whose receivers are reduced, edges two steps back."""
        for tile in (*self._geometry.around(task.tile), task.tile):
            receivers = (*self._geometry.around(tile), tile)
            if all(chain.front.is_reduced(t, task.step) for t in receivers):
                chain.strips.pop((tile, task.step), None)
                chain.edges.pop((tile, task.step - 1), None)
