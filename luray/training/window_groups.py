"""Windows in the order in which they are read, in numbered groups.

A group number travels, and its windows are worked out where they are read. So a dataset of
millions of windows is a range of numbers, and any worker can make any part of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from luray.core.tiling import Tiling
from luray.cube.cube import Cube
from luray.training.rollout import Sample
from luray.training.sample_plan import SamplePlan
from luray.training.sample_window import SampleWindow


class WindowGroups(Protocol):
    """Groups of windows: what `distributed.data.read_windows` reads.

    An implementation is small and can be pickled, as every reading task gets it.
    """

    @property
    def groups(self) -> range:
        """Numbers of the groups, in the order in which they are read."""
        ...

    @property
    def length(self) -> int:
        """Years of a window, the same for all."""
        ...

    @property
    def n_older(self) -> int:
        """Maps that a window remembers beside that of its first year, the same for all."""
        ...

    def sample_windows(self, group: int) -> Iterator[SampleWindow]:
        """Yield the windows of a group, the same at every call."""
        ...


@dataclass(frozen=True)
class LatticeWindows:
    """Every window of the lattice with land, in every run of `length` consecutive `years`.

    A group is a tile.
    """

    cube: Cube
    tiling: Tiling
    years: tuple[int, ...]
    """In the direction of travel."""
    length: int
    n_older: int = 0

    @property
    def groups(self) -> range:
        """One for each tile, row by row."""
        return range(len(list(self.tiling.tiles())))

    def sample_windows(self, group: int) -> Iterator[SampleWindow]:
        """Yield the windows of a tile, year after year.

        The land mask of the tile is read here, so nobody holds that of the globe.
        """
        tile = list(self.tiling.tiles())[group]
        box = self.tiling.tile_box(tile)
        cores = self.tiling.active_cores(box, self.cube.land(box))
        n_runs = len(self.years) - self.length + 1
        for first in range(n_runs):
            years = self.years[first : first + self.length]
            for core in cores:
                yield SampleWindow(self.tiling.window_box(core), years)


@dataclass(frozen=True)
class WorkerShare:
    """One worker's samples of a training, step after step.

    A group is a step, from `done` to `steps`. Step s has the samples s * batch .. (s + 1) * batch -
    1 of the plan, in micro-batches of which every worker takes each `world`-th, beginning with
    number `rank`. So one worker or many, and a resumed training, read the same batches.

    Parameters
    ----------
    plan : SamplePlan
        Which window and years a sample is.
    batch, micro_batch : int
        Samples of a step, and of each of its micro-batches.
    steps : int
        Steps of the training.
    done : int
        Steps that need not be read.
    rank, world : int
        Number of the worker, and of all workers.
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
    def n_older(self) -> int:
        """Maps that are remembered beside the prior."""
        return self.plan.history - 1

    @property
    def micro_batches(self) -> range:
        """Numbers of this worker's micro-batches in an effective batch."""
        return range(self.rank, self.batch // self.micro_batch, self.world)

    @property
    def n_windows(self) -> int:
        """Windows of a step that this worker reads."""
        return len(self.micro_batches) * self.micro_batch

    def sample_windows(self, group: int) -> Iterator[SampleWindow]:
        """Yield this worker's windows of a step, micro-batch after micro-batch."""
        for micro_batch in self.micro_batches:
            first = group * self.batch + micro_batch * self.micro_batch
            for k in range(first, first + self.micro_batch):
                yield self.plan[k]

    def split(self, fields: Mapping[str, Tensor]) -> dict[int, Sample]:
        """Cut the windows of a step into samples by the number of their micro-batch.

        Parameters
        ----------
        fields : mapping
            The fields of a `Sample` by name, each with the `n_windows` windows of a step in order.
        """
        parts = [torch.split(fields[name], self.micro_batch) for name in Sample._fields]
        samples = [Sample(*one) for one in zip(*parts, strict=True)]
        return dict(zip(self.micro_batches, samples, strict=True))
