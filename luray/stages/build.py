"""The stage `build`: from source files to the predictor cube."""

from luray.core.progress import Progress, no_progress
from luray.cube.cube import Cube
from luray.cube.plan import BuildPlan, plan_build
from luray.stages.config import RunConfig
from luray.stages.inputs import open_all, scenario_dimension
from luray.storage.lease import RequireLease, leased
from luray.storage.objects import exists


def plan_cube(run: RunConfig) -> BuildPlan:
    """Open every source of a run, which checks its files and years, and plan the cube.

    Raises
    ------
    ValueError
        Naming the file or key at fault.
    OSError
        If inputs or output are out of reach.
    """
    exists(run.cube)  # fail before any input is read where nothing can be written
    return plan_build(
        run.cube,
        grid=run.grid.grid,
        tiling=run.tiles,
        sources=open_all(run),
        scenarios=scenario_dimension(run),
        time=run.time,
    )


def build(plan: BuildPlan, *, progress: Progress = no_progress) -> None:
    """Build the cube of `plan_cube`, or what is missing of it.

    Parameters
    ----------
    plan : BuildPlan
        What is read and written.
    progress : callable, optional
        Called with the pieces written and in all.

    Raises
    ------
    HeldError
        While another job builds the cube, or when one has taken it over.
    ValueError
        Naming the file and what is wrong with it; finished pieces are kept for the next call.
    """
    with leased(plan.url) as lease:

        def after_piece(done: int, total: int) -> None:
            lease.require()
            progress(done, total)

        write_cube(plan, require_lease=lease.claim.require, progress=after_piece)


def write_cube(plan: BuildPlan, *, require_lease: RequireLease, progress: Progress) -> None:
    """Write every piece of a cube that has no receipt, with Ray's workers, and finish the cube."""
    from luray.distributed.build import build as build_with_ray  # Ray takes seconds to import

    build_with_ray(plan, require_lease=require_lease, progress=progress)


def cube_of_run(run: RunConfig) -> Cube:
    """Open the finished cube of a run, as its first scenario sees it.

    Raises
    ------
    FileNotFoundError
        If there is no finished cube.
    ValueError
        If it was built on another grid or for other scenarios, or lacks years of forcing.
    """
    cube = Cube.open(run.cube)
    if cube.grid != run.grid.grid:
        raise ValueError(
            f"{run.cube} was built on {cube.grid}, the run file has {run.grid.grid}; run "
            "`luray build`"
        )
    if cube.legend != run.target.classes:
        raise ValueError(
            f"{run.cube} was built for maps of {cube.legend.name}, the run's target has the "
            f"legend {run.target.classes.name}, or another version of it; run `luray build`"
        )
    if tuple(cube.scenarios) != scenario_dimension(run):
        built_for = list(cube.scenarios) or "of which there is one"
        raise ValueError(
            f"{run.cube} was built for scenarios {built_for}, the run file has "
            f"{list(run.scenario_names)}; run `luray build`"
        )
    if cube.time != run.time:
        raise ValueError(
            f"{run.cube} was built for time steps of a {cube.time.interval}, the run's target has "
            f"target.time_step = {run.time.interval!r}; run `luray build`"
        )
    for layer in cube.forcing:
        needed = {run.time.index(step, layer.per_year) for step in run.steps}
        lacking = sorted(needed - set(layer.steps))
        if lacking:
            years = f"{lacking[0] // layer.per_year}-{lacking[-1] // layer.per_year}"
            raise ValueError(
                f"{run.cube}: {layer.path} has no values for {years}, which the run needs; run "
                "`luray build`"
            )
    return cube
