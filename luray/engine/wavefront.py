"""The wavefront decides which tile-year may run now: a graph of `predict` and `reduce`.

The nodes of the graph are (tile, step).

- `reduce(tile, step)` needs `predict(step)` of the tile and of the neighbours whose windows reach
  it.
- `predict(tile, step)` needs `reduce(step - 1)` of the tile and of its neighbours: their maps are
  its prior. Step 0 rests on maps that exist already.

No task waits for the whole globe, so a fast region may be years ahead of a slow one.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal, NamedTuple

from luray.core.tiling import Tile

Operation = Literal["predict", "reduce"]

TileStep = tuple[Tile, int]
"""A tile-year of a trajectory: tile and step."""


class Task(NamedTuple):
    """One call: an operation on a tile in a step."""

    operation: Operation
    tile: Tile
    step: int
    """Years from the start of the trajectory, in its direction."""


class Wavefront:
    """The state of one trajectory: what is done, what is running, what may start.

    A task that was handed out comes back through `finish`, or through `release` if it failed. What
    may start is kept up to date as tasks finish: a call looks at the neighbours of one tile, not at
    all tiles.

    Parameters
    ----------
    tiles : iterable of Tile
        Tiles with land.
    neighbours : callable
        Tiles that a tile's windows reach, a symmetric relation; those without land are left out.
    steps : int
        Steps of the trajectory.
    done : collection of (tile, step)
        What an earlier run reduced.
    in_flight : int
        Only the first unfinished step and the `in_flight` - 1 after it may run. It bounds what
        waits in memory; with 1, every year waits for the whole year before it: a barrier.

    Examples
    --------
    >>> front = Wavefront([Tile(0, 0)], lambda tile: [], steps=1)
    >>> front.ready()
    [Task(operation='predict', tile=Tile(row=0, col=0), step=0)]
    >>> [task] = front.ready()
    >>> front.start(task)
    >>> front.finish(task)
    >>> front.ready()
    [Task(operation='reduce', tile=Tile(row=0, col=0), step=0)]
    """

    def __init__(
        self,
        tiles: Iterable[Tile],
        neighbours: Callable[[Tile], Collection[Tile]],
        *,
        steps: int,
        done: Collection[TileStep] = (),
        in_flight: int = 4,
    ) -> None:
        self.tiles = tuple(tiles)
        self.steps = steps
        self._in_flight = in_flight
        self._order = {tile: i for i, tile in enumerate(self.tiles)}
        self._neighbourhood: dict[Tile, tuple[Tile, ...]] = {}
        """Each tile together with its neighbours that have land."""
        for tile in self.tiles:
            with_land = {*neighbours(tile), tile} & self._order.keys()
            self._neighbourhood[tile] = tuple(sorted(with_land))

        self._reduced = {(t, s) for t, s in done if t in self._order and s < steps}
        self._unreduced = [len(self.tiles)] * steps
        """Tiles of each step that are still to be reduced."""
        for _, step in self._reduced:
            self._unreduced[step] -= 1
        self.remaining = sum(self._unreduced)
        """Tile-years still to be reduced."""

        self._predicted: set[TileStep] = set()
        self.running: set[Task] = set()
        """Tasks that were handed out."""
        self._ready: set[Task] = set()
        self._changed: set[Task] = set()
        """Tasks that became ready or ceased to be since the last `take_changes`."""
        self._first_step = 0
        """The first step that is not finished."""
        self._end_step = 0
        """The step after the last one that may run."""
        self._advance()

    @property
    def finished(self) -> bool:
        """True when every tile of every step is reduced."""
        return self._first_step == self.steps

    @property
    def n_ready(self) -> int:
        """Number of tasks that may start now."""
        return len(self._ready)

    def ready(self) -> list[Task]:
        """Return the tasks that may start now, the earliest step first; the same until `start`."""
        return sorted(self._ready, key=lambda t: (t.step, self._order[t.tile], t.operation))

    def is_ready(self, task: Task) -> bool:
        """Return whether a task may start now."""
        return task in self._ready

    def take_changes(self) -> set[Task]:
        """Return the tasks that became ready, or ceased to be, since the last call."""
        changed = self._changed
        self._changed = set()
        return changed

    def order_of(self, tile: Tile) -> int:
        """Return the place of a tile among all tiles."""
        return self._order[tile]

    def start(self, task: Task) -> None:
        """Mark a ready task as running."""
        self.running.add(task)
        self._set_ready(task, may_run=False)

    def finish(self, task: Task) -> None:
        """Mark a task as done; a second completion changes nothing."""
        self.running.discard(task)
        key = task.tile, task.step
        neighbourhood = self._neighbourhood[task.tile]
        if task.operation == "predict":
            # Late sums of a step that is finished are of no use to anybody.
            if task.step >= self._first_step:
                self._predicted.add(key)
            self._update_ready(neighbourhood, task.step)
        elif key not in self._reduced:
            self._reduced.add(key)
            self._unreduced[task.step] -= 1
            self.remaining -= 1
            # In its own step nobody has to predict for this tile any more; in the next one its
            # neighbours may have all that they wait for.
            self._update_ready(neighbourhood, task.step)
            self._update_ready(neighbourhood, task.step + 1)
            self._advance()

    def release(self, task: Task) -> None:
        """Give back a task that failed, so that it becomes ready again."""
        self.running.discard(task)
        self._update_ready([task.tile], task.step)

    def forget(self, keys: Iterable[TileStep]) -> None:
        """Predict again where sums are lost, if anyone still needs them."""
        lost = self._predicted.intersection(keys)
        self._predicted -= lost
        for tile, step in lost:
            self._update_ready(self._neighbourhood[tile], step)

    def is_predicted(self, tile: Tile, step: int) -> bool:
        """Return whether the sums of an unfinished step are there."""
        return (tile, step) in self._predicted

    def is_reduced(self, tile: Tile, step: int) -> bool:
        """Return whether a tile-year is done."""
        return (tile, step) in self._reduced

    def _update_ready(self, tiles: Iterable[Tile], step: int) -> None:
        """Bring the ready tasks of some tiles in a step up to date."""
        if not self._first_step <= step < self._end_step:
            return
        for tile in tiles:
            self._set_ready(Task("predict", tile, step), may_run=self._may_predict(tile, step))
            self._set_ready(Task("reduce", tile, step), may_run=self._may_reduce(tile, step))

    def _set_ready(self, task: Task, *, may_run: bool) -> None:
        is_ready = may_run and task not in self.running
        if is_ready != (task in self._ready):
            self._changed.add(task)
            if is_ready:
                self._ready.add(task)
            else:
                self._ready.discard(task)

    def _may_predict(self, tile: Tile, step: int) -> bool:
        # A tile that is reduced itself is predicted again where a neighbour still needs its strip,
        # as after a restart: sums are in no store.
        neighbourhood = self._neighbourhood[tile]
        if (tile, step) in self._predicted:
            return False
        if all((t, step) in self._reduced for t in neighbourhood):
            return False  # nobody needs its sums: an earlier run has reduced all of them
        return step == 0 or all((t, step - 1) in self._reduced for t in neighbourhood)

    def _may_reduce(self, tile: Tile, step: int) -> bool:
        if (tile, step) in self._reduced:
            return False
        return all((t, step) in self._predicted for t in self._neighbourhood[tile])

    def missing_for(self, tile: Tile, step: int) -> Iterator[TileStep]:
        """Yield the predictions that have to be done before one may start, some more than once.

        Those of the tile and its neighbours in the step before, and of the neighbours whose strips
        their reductions need.
        """
        for near in self._neighbourhood[tile] if step > 0 else ():
            if (near, step - 1) not in self._reduced:
                for source in self._neighbourhood[near]:
                    if (source, step - 1) not in self._predicted:
                        yield source, step - 1

    def next_step(self, tile: Tile) -> int:
        """Return the first step in which a tile is not predicted, or being predicted."""
        step = self._first_step
        while step < self._end_step and (
            (tile, step) in self._predicted
            or (tile, step) in self._reduced
            or Task("predict", tile, step) in self.running
        ):
            step += 1
        return step

    @property
    def end_step(self) -> int:
        """The step after the last one that may run now."""
        return self._end_step

    def _advance(self) -> None:
        """Leave finished steps behind, and open those that come within reach."""
        while self._first_step < self.steps and not self._unreduced[self._first_step]:
            self._first_step += 1
        end_step = min(self.steps, self._first_step + self._in_flight)
        if end_step == self._end_step and self._first_step < self.steps:
            return

        # Drop what is known of finished steps: memory is bounded by the steps in flight.
        self._predicted = {(t, s) for t, s in self._predicted if s >= self._first_step}
        for task in [task for task in self._ready if task.step < self._first_step]:
            self._set_ready(task, may_run=False)
        first_new = max(self._end_step, self._first_step)
        self._end_step = end_step
        for step in range(first_new, end_step):
            self._update_ready(self.tiles, step)
