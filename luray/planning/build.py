"""What a build will read, write and hold, counted from its plan before anything starts."""

from typing import NamedTuple

import numpy as np

from luray.core.grid import Grid
from luray.cube.plan import BuildPlan, group_of, stored_years
from luray.sources.base import Source
from luray.sources.coverage import cut

WORKER_BYTES = 400 * 2**20
"""Resident memory of a worker that has written nothing yet: Python, Ray, the libraries and GDAL's
cache.
"""
HELD = 6
"""Copies of its largest piece that a worker holds at most: as read, checked in double precision,
encoded, compressed; measured in `tests/benchmarks`.
"""


class Cost(NamedTuple):
    """One source of a build. Upper bounds: bytes to write are before compression, bytes to read are
    whole files.
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


def costs(plan: BuildPlan) -> tuple[Cost, ...]:
    """The cost of each source, the state first, its land mask included."""
    return tuple(_cost(plan, source) for source in plan.sources)


def objects(plan: BuildPlan) -> int:
    """Objects that the build writes: a shard and a receipt for every piece (metadata is a few dozen
    more).
    """
    return 2 * sum(len(phase) for phase in plan.pieces())


def worker_memory(plan: BuildPlan) -> int:
    """Bytes that one worker needs: bounded by the largest shard, whatever the grid."""
    return WORKER_BYTES + HELD * max(cost.piece_bytes for cost in costs(plan))


def _cost(plan: BuildPlan, source: Source) -> Cost:
    pieces = [*plan.values(source), *(plan.land() if source is plan.state else ())]
    cell = sum(np.dtype(v.dtype).itemsize for v in source.variables)
    sizes = [p.box.height * p.box.width * cell for p in pieces]
    native = plan.grid if source is plan.state else cut(source.grid, plan.grid)[0]
    files = plan.files[source.name].values()
    return Cost(
        group_of(source),
        native,
        len(source.variables),
        len(stored_years(source)),
        len(files),
        sum(file.size for file in files),
        sum(sizes),
        len(pieces),
        max(sizes),
    )
