"""Which tile-year may run now: a graph of `predict` and `reduce` over (tile, step), and nothing
else.

`reduce(tile, step)` needs `predict` of the tile and of the neighbours whose windows reach it;
`predict(tile, step)` needs `reduce` of step - 1 of the tile and its neighbours. Step 0 rests on
maps that exist already.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Literal, NamedTuple

from luray.core.tiling import Tile

Key = tuple[Tile, int]
"""A tile-year of a chain: tile and step."""


class Task(NamedTuple):
    """One call: `predict` or `reduce` of a tile in a step (years from the start of the chain, in
    its direction).
    """

    kind: Literal["predict", "reduce"]
    tile: Tile
    step: int


class Wavefront:
    """The state of one chain of years: what is done, what is running, what may start.

    `neighbours(tile)` are the tiles that a tile's windows reach (a symmetric relation); tiles
    without land are left out. `done` are the (tile, step) reduced in an earlier run. Only the first
    unfinished step and the `in_flight` - 1 after it may run; with 1, every year waits for the whole
    year before it: a barrier. A task that was handed out comes back through `finish`, or through
    `release` if it failed.

    What may start is kept up to date: a call looks at the neighbours of one tile, not at all tiles.
    """

    def __init__(
        self,
        tiles: Iterable[Tile],
        neighbours: Callable[[Tile], Collection[Tile]],
        *,
        steps: int,
        done: Collection[Key] = (),
        in_flight: int = 4,
    ) -> None:
        self.tiles = tuple(tiles)
        self._order = {t: i for i, t in enumerate(self.tiles)}
        self._around = {
            t: tuple(sorted({*neighbours(t), t} & self._order.keys())) for t in self.tiles
        }
        self.steps, self._in_flight = steps, in_flight
        self._reduced = {(t, s) for t, s in done if t in self._order and s < steps}
        self._left = [len(self.tiles)] * steps
        for _, step in self._reduced:
            self._left[step] -= 1
        self.remaining = sum(self._left)
        """Tile-years still to be reduced."""
        self._predicted: set[Key] = set()
        self.running: set[Task] = set()
        """Tasks that were handed out."""
        self._ready: set[Task] = set()
        self._first = self._seen = 0
        self._advance()

    @property
    def finished(self) -> bool:
        """True when every tile of every step is reduced."""
        return self._first == self.steps

    @property
    def n_ready(self) -> int:
        """How many tasks may start now."""
        return len(self._ready)

    def ready(self) -> list[Task]:
        """Tasks that may start now, earliest step first; calling it twice returns the same tasks
        until `start`.
        """
        return sorted(self._ready, key=lambda t: (t.step, self._order[t.tile], t.kind))

    def start(self, task: Task) -> None:
        """Mark a ready task as running."""
        self.running.add(task)
        self._ready.discard(task)

    def finish(self, task: Task) -> None:
        """Mark a task as done; a second completion changes nothing."""
        self.running.discard(task)
        key = task.tile, task.step
        if task.kind == "predict":
            if task.step >= self._first:
                self._predicted.add(key)
            self._look(self._around[task.tile], task.step)
        elif key not in self._reduced:
            self._reduced.add(key)
            self._left[task.step] -= 1
            self.remaining -= 1
            self._look(self._around[task.tile], task.step)
            self._look(self._around[task.tile], task.step + 1)
            self._advance()

    def release(self, task: Task) -> None:
        """Give back a task that failed, so that it becomes ready again."""
        self.running.discard(task)
        self._look([task.tile], task.step)

    def forget(self, keys: Iterable[Key]) -> None:
        """These sums are lost: their predictions have to run again if anyone still needs them."""
        lost = self._predicted.intersection(keys)
        self._predicted -= lost
        for tile, step in lost:
            self._look(self._around[tile], step)

    def is_predicted(self, tile: Tile, step: int) -> bool:
        """True while the sums of an unfinished step are there."""
        return (tile, step) in self._predicted

    def is_reduced(self, tile: Tile, step: int) -> bool:
        """True when a tile-year is done."""
        return (tile, step) in self._reduced

    def _look(self, tiles: Iterable[Tile], step: int) -> None:
        """Bring what may start of some tiles in a step up to date."""
        if not self._first <= step < self._seen:
            return
        for tile in tiles:
            for kind, may in (("predict", self._may_predict), ("reduce", self._may_reduce)):
                task = Task(kind, tile, step)  # type: ignore[arg-type]
                if task not in self.running and may(tile, step):
                    self._ready.add(task)
                else:
                    self._ready.discard(task)

    def _may_predict(self, tile: Tile, step: int) -> bool:
        around = self._around[tile]
        if (tile, step) in self._predicted or all((t, step) in self._reduced for t in around):
            return False
        return step == 0 or all((t, step - 1) in self._reduced for t in around)

    def _may_reduce(self, tile: Tile, step: int) -> bool:
        return (tile, step) not in self._reduced and all(
            (t, step) in self._predicted for t in self._around[tile]
        )

    def _advance(self) -> None:
        """Leave finished steps behind and look at those that come into reach."""
        while self._first < self.steps and not self._left[self._first]:
            self._first += 1
        last = min(self.steps, self._first + self._in_flight)
        if last == self._seen and self._first < self.steps:
            return
        self._predicted = {(t, s) for t, s in self._predicted if s >= self._first}
        self._ready = {task for task in self._ready if task.step >= self._first}
        seen, self._seen = self._seen, last
        for step in range(max(seen, self._first), last):
            self._look(self.tiles, step)
