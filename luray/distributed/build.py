"""Building the cube with Ray tasks, each of which writes whole shards."""

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayTaskError

from luray.core.progress import Progress, no_progress
from luray.cube.build import create, write_piece
from luray.cube.finish import finish
from luray.cube.plan import BuildPlan, Piece, batches, remaining
from luray.storage.lease import RequireLease


@ray.remote(max_retries=3)
def _write(plan: BuildPlan, pieces: Sequence[Piece], require_lease: RequireLease) -> int:
    for piece in pieces:
        # The driver may stand still while another job takes the cube: workers look themselves.
        write_piece(plan, piece, require_lease=require_lease)
    return len(pieces)


def build(
    plan: BuildPlan, *, require_lease: RequireLease, progress: Progress = no_progress
) -> None:
    """Write every piece of a cube that has no receipt yet, and finish the cube.

    Parameters
    ----------
    plan : BuildPlan
        What to write and from which sources.
    require_lease : callable
        Called by workers before each piece, and here before the cube is finished.
    progress : callable
        Called with the pieces done and in all.

    Raises
    ------
    HeldError
        When another job has taken the cube; it then writes no further piece.
    ValueError
        What a source raises, naming the file; finished pieces are kept for the next run.
    """
    create(plan)
    phases = plan.pieces()
    total = sum(len(pieces) for pieces in phases)
    missing = sum(len(remaining(plan, pieces)) for pieces in phases)
    done = total - missing

    plan_ref = ray.put(plan)  # sent once to each node, not once a task
    # The second phase, the land mask, reads the maps that the first one writes.
    for pieces in phases:
        tasks: list[Any] = [
            _write.remote(plan_ref, batch, require_lease)
            for batch in batches(remaining(plan, pieces))
        ]
        while tasks:
            progress(done, total)
            (finished,), tasks = ray.wait(tasks, num_returns=1)
            try:
                done += ray.get(finished)
            except RayTaskError as error:
                raise error.cause from None
    progress(total, total)
    require_lease()
    finish(plan)
