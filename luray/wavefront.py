"""Which tile-year may run now: a graph of `predict` and `reduce` over (tile, step), and nothing else.

`reduce(tile, step)` needs `predict` of the tile and of the neighbours whose windows reach it; `predict(tile, step)`
needs `reduce` of step - 1 of the tile and its neighbours. Step 0 rests on maps that exist already.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Literal, NamedTuple

from luray.windows import Tile


class Task(NamedTuple):
    """One call: `predict` or `reduce` of a tile in a step (years from the start of the chain, in its direction)."""

    kind: Literal["predict", "reduce"]
    tile: Tile
    step: int


class Wavefront:
    """The state of one chain of years: what is done, what is running, what may start.

    `neighbours(tile)` are the tiles that a tile's windows reach (a symmetric relation); tiles without land are left
    out. `done` are the (tile, step) reduced in an earlier run. Only the first unfinished step and the `in_flight` - 1
    after it may run. A task that was handed out comes back through `finish`, or through `release` if it failed.
    """

    def __init__(self, tiles: Iterable[Tile], neighbours: Callable[[Tile], Collection[Tile]], *, steps: int,
                 done: Collection[tuple[Tile, int]] = (), in_flight: int = 4) -> None:
        self.tiles = tuple(tiles)
        land = set(self.tiles)
        self._around = {t: tuple(sorted({*neighbours(t), t} & land)) for t in self.tiles}
        self.steps, self._in_flight = steps, in_flight
        self._reduced = {(t, s) for t, s in done if t in land and s < steps}
        self._left = [len(self.tiles)] * steps
        for _, step in self._reduced:
            self._left[step] -= 1
        self._predicted: set[tuple[Tile, int]] = set()
        self._running: set[Task] = set()
        self._first = 0
        self._advance()

    @property
    def finished(self) -> bool:
        """True when every tile of every step is reduced."""
        return self._first == self.steps

    @property
    def remaining(self) -> int:
        """Tile-years still to be reduced."""
        return sum(self._left)

    def ready(self) -> list[Task]:
        """Tasks that may start now, earliest step first; calling it twice returns the same tasks until `start`."""
        last = min(self.steps, self._first + self._in_flight)
        return [task for step in range(self._first, last) for tile in self.tiles
                for task in self._of(tile, step) if task not in self._running]

    def start(self, task: Task) -> None:
        """Mark a ready task as running."""
        self._running.add(task)

    def finish(self, task: Task) -> None:
        """Mark a task as done; a second completion changes nothing."""
        self._running.discard(task)
        key = task.tile, task.step
        if task.kind == "predict":
            self._predicted.add(key)
        elif key not in self._reduced:
            self._reduced.add(key)
            self._left[task.step] -= 1
            self._advance()

    def release(self, task: Task) -> None:
        """Give back a task that failed, so that it becomes ready again."""
        self._running.discard(task)

    def forget(self, tiles: Collection[Tile]) -> None:
        """The sums of these tiles are lost: their predictions have to run again if anyone still needs them."""
        self._predicted = {(t, s) for t, s in self._predicted if t not in tiles}

    def is_reduced(self, tile: Tile, step: int) -> bool:
        """True when a tile-year is done."""
        return (tile, step) in self._reduced

    def _of(self, tile: Tile, step: int) -> Iterable[Task]:
        around, key = self._around[tile], (tile, step)
        if key not in self._predicted:
            needed = any((t, step) not in self._reduced for t in around)
            if needed and (step == 0 or all((t, step - 1) in self._reduced for t in around)):
                yield Task("predict", tile, step)
        if key not in self._reduced and all((t, step) in self._predicted for t in around):
            yield Task("reduce", tile, step)

    def _advance(self) -> None:
        while self._first < self.steps and not self._left[self._first]:
            self._predicted = {(t, s) for t, s in self._predicted if s > self._first}
            self._first += 1
