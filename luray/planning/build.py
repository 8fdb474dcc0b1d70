"""Bytes and objects that a build will read, write and hold, counted from its plan."""

from typing import NamedTuple

import numpy as np

from luray.core.grid import Grid
from luray.cube.plan import BuildPlan, group_of, stored_years
from luray.sources.base import Source
from luray.sources.coverage import cut

WORKER_BYTES = 400 * 2**20
"""Resident memory of a worker that has written nothing yet.

Python, Ray, the libraries and GDAL's cache.
"""
COPIES_OF_A_PIECE = 6
"""Copies of its largest piece that a worker holds at most, measured in `tests/benchmarks`.

As read, checked in double precision, encoded, compressed.
"""


class SourceCost(NamedTuple):
    """Cost of one source of a build, as upper bounds.

    Bytes to write are before compression, bytes to read are whole files.
    """

    group: str
    grid: Grid
    """The part of the native grid that is stored."""
    variables: int
    years: int
    """Years stored; 0 for a static source."""
    files: int
    read_bytes: int
    write_bytes: int
    shards: int
    piece_bytes: int
    """Largest piece."""


def costs(plan: BuildPlan) -> tuple[SourceCost, ...]:
    """Return what each source takes, the state first, its land mask included."""
    return tuple(_cost(plan, source) for source in plan.sources)


def objects(plan: BuildPlan) -> int:
    """Count the objects that the build writes: a shard and a receipt for every piece.

    Metadata is a few dozen more.
    """
    return 2 * sum(len(phase) for phase in plan.pieces())


def worker_memory(plan: BuildPlan) -> int:
    """Return the bytes that one worker needs: bounded by the largest shard, whatever the grid."""
    largest_piece = max(cost.piece_bytes for cost in costs(plan))
    return WORKER_BYTES + COPIES_OF_A_PIECE * largest_piece


def _cost(plan: BuildPlan, source: Source) -> SourceCost:
    pieces = list(plan.values(source))
    grid = cut(source.grid, plan.grid)[0]
    if source is plan.state:
        pieces += plan.land()
        grid = plan.grid
    cell_bytes = sum(np.dtype(v.dtype).itemsize for v in source.variables)
    sizes = [piece.box.height * piece.box.width * cell_bytes for piece in pieces]
    files = plan.files[source.name].values()
    return SourceCost(
        group_of(source),
        grid,
        variables=len(source.variables),
        years=len(stored_years(source)),
        files=len(files),
        read_bytes=sum(file.size for file in files),
        write_bytes=sum(sizes),
        shards=len(pieces),
        piece_bytes=max(sizes),
    )
