"""TO BE WRITTEN."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from luray.core.tiling import Tiling
from luray.cube.cube import Cube
from luray.training.samples import SamplePlan, SampleWindow


class Windows(Protocol):
    """Windows in the order in which they are read, in numbered groups that are worked out where
    they are read.
    """

    @property
    def groups(self) -> range:
        """Numbers of the groups."""
        ...

    @property
    def length(self) -> int:
        """Years of a window."""
        ...

    def draws(self, group: int) -> Iterator[SampleWindow]:
        """The windows of a group."""
        ...


@dataclass(frozen=True)
class Lattice:
    """Every window with land of the lattice, in every run of `length` of the `years`; a group is a
    tile.
    """

    cube: Cube
    tiling: Tiling
    years: tuple[int, ...]
    length: int

    @property
    def groups(self) -> range:
        """One for each tile, row by row."""
        return range(sum(1 for _ in self.tiling.tiles()))

    def draws(self, group: int) -> Iterator[SampleWindow]:
        """The windows of a tile, year after year; its land mask is read for it, so nobody holds
        that of the globe.
        """
        box = self.tiling.tile_box(next(islice(self.tiling.tiles(), group, None)))
        cores = self.tiling.active_cores(box, self.cube.land(box))
        for first in range(len(self.years) - self.length + 1):
            for core in cores:
                yield SampleWindow(
                    self.tiling.window_box(core), self.years[first : first + self.length]
                )


@dataclass(frozen=True)
class WorkerShare:
    """One worker's samples of a training, step after step: a group is a step, from `done` to
    `steps`.

    Step s has the samples s * batch .. (s + 1) * batch - 1 of the plan, in micro-batches of which
    every worker takes each `world`-th; so one worker or many, and a resumed training, read the same
    batches.
    """

    plan: SamplePlan
    batch: int
    micro_batch: int
    steps: int
    done: int = 0
    rank: int = 0
    world: int = 1

    @property
    def groups(self) -> range:
        """The steps that are left."""
        return range(self.done, self.steps)

    @property
    def length(self) -> int:
        """Maps of a sample: the prior of a rollout and its targets."""
        return self.plan.rollout_years + 1

    @property
    def pieces(self) -> range:
        """Numbers of this worker's micro-batches in an effective batch."""
        return range(self.rank, self.batch // self.micro_batch, self.world)

    @property
    def windows(self) -> int:
        """Windows of a step that this worker reads."""
        return len(self.pieces) * self.micro_batch

    def draws(self, group: int) -> Iterator[SampleWindow]:
        """This worker's windows of a step."""
        for piece in self.pieces:
            first = group * self.batch + piece * self.micro_batch
            yield from (self.plan[k] for k in range(first, first + self.micro_batch))
