"""The stage `build --check`: every value of every input is read once, and nothing is written."""

from luray.core.progress import Progress, no_progress
from luray.core.types import Role
from luray.sources.verdict import CheckReport
from luray.stages.config import RunConfig
from luray.stages.inputs import open_or_refuse


def check(run: RunConfig, *, progress: Progress = no_progress) -> CheckReport:
    """Read every value of every source of a run, and judge each variable.

    Parameters
    ----------
    run : RunConfig
        Any run; neither cube nor models have to be there.
    progress : callable, optional
        Called with the years and sources read and in all.

    Returns
    -------
    CheckReport
        What was found, expected and corrected in each variable, and which are refused.

    Raises
    ------
    ValueError
        If the run has not exactly one state source.
    """
    states = [config.kind for config in run.sources if config.declared[0].role == "state"]
    if len(states) != 1:
        raise ValueError(
            f"a run needs exactly one state source, found {states or 'none'}; correct [[sources]]"
        )
    from luray.distributed.check import check as check_with_ray  # Ray takes seconds to import

    opened = open_or_refuse(run)
    checked = check_with_ray(
        opened, grid=run.grid.grid, wanted=_wanted(run), time=run.time, progress=progress
    )
    return CheckReport(run.name, checked)


def _wanted(run: RunConfig) -> dict[Role, set[int]]:
    """Return the time steps that sources of each role must have."""
    maps = {*run.span.copied, *run.time.of_years(*run.training.years)}
    maps.update(test.start for test in run.tests)
    return {"state": maps, "forcing": set(run.steps), "static": set()}
