"""The jobs of a worker: tasks of a wavefront, and side tasks."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from luray.core.tiling import Tile
from luray.engine.wavefront import Task


class Job(NamedTuple):
    """A task of the wavefront of one trajectory."""

    trajectory: int
    """Number of the trajectory that it belongs to."""
    task: Task

    @property
    def operation(self) -> str:
        """The operation, "predict" or "reduce"."""
        return self.task.operation


@dataclass(frozen=True)
class SideTask:
    """Work that depends on no tile-year which is still to be computed.

    Copies of observed years, say. The scheduler does not look into its payload.
    """

    payload: Hashable

    @property
    def operation(self) -> str:
        """The operation: the name of the payload's class."""
        return type(self.payload).__name__


def in_words(tile: Tile) -> str:
    """Return how users know a tile: as its receipts name it.

    Examples
    --------
    >>> in_words(Tile(0, 1))
    'tile 0.1'
    """
    return f"tile {tile.row}.{tile.col}"


SumsKey = tuple[int, Tile, int]
"""Trajectory, tile and step of a prediction whose sums wait in a worker."""

InputsKey = tuple[Hashable, Tile]
"""Key of static inputs: a tile, and a group of trajectories that need the same ones."""
