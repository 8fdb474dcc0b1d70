"""Building the cube with Ray tasks, each of which writes whole shards."""

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayTaskError

from luray.core.progress import Progress, no_progress
from luray.cube.build import create, write_piece
from luray.cube.finish import finish
from luray.cube.plan import BuildPlan, Piece, batches, remaining


@ray.remote(max_retries=3)
def _write(plan: BuildPlan, pieces: Sequence[Piece]) -> int:
    for piece in pieces:
        write_piece(plan, piece)
    return len(pieces)


def build(plan: BuildPlan, *, report: Progress = no_progress) -> None:
    """Write every piece of a cube that has no receipt yet, values first and then the land mask, and
    finish it.

    Raises what the source raises, naming the file; finished pieces are kept for the next run.
    """
    create(plan)
    phases = plan.pieces()
    total = sum(len(pieces) for pieces in phases)
    done = total - sum(len(remaining(plan, pieces)) for pieces in phases)
    shared = ray.put(plan)
    for pieces in phases:
        tasks: list[Any] = [
            _write.remote(shared, batch) for batch in batches(remaining(plan, pieces))
        ]
        while tasks:
            report(done, total)
            (finished,), tasks = ray.wait(tasks, num_returns=1)
            try:
                done += ray.get(finished)
            except RayTaskError as error:
                raise error.cause from None
    report(total, total)
    finish(plan)
