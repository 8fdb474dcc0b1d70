"""The stages `build` and `build --check`: from source files to the predictor cube."""

from collections.abc import Sequence

from luray.catalog.read import find_assets
from luray.core.progress import Progress, no_progress
from luray.core.types import Role
from luray.cube.cube import Cube
from luray.cube.plan import BuildPlan, plan_build
from luray.sources import SourceConfig, open_source
from luray.sources.base import Source
from luray.sources.check import REFUSALS, CheckReport, Opened
from luray.stages.config import RunConfig
from luray.storage.objects import exists


def plan_cube(run: RunConfig) -> BuildPlan:
    """Open every source of a run, which checks its files and years, and plan the cube.

    Raises ValueError naming the file or key at fault, OSError when inputs or output are out of
    reach.
    """
    exists(run.cube)  # where nothing can be written, no input is read
    sources: list[Source] = []
    parts: list[Source] = []
    for config in _derived_last(run):
        sources.append(_open(run, config, sources))
        for name in _other_scenarios(run, config):
            part = _open(run, config, sources, scenario=name).part(name, first=sources[-1])
            parts += [part] if part else []
    return plan_build(
        run.cube,
        grid=run.grid.grid,
        tiling=run.tiles,
        sources=[*sources, *parts],
        scenarios=several_scenarios(run),
    )


def opened_sources(run: RunConfig) -> list[Opened]:
    """Every source of a run, open or with the reason why it was refused; that does not keep others
    from opening.

    After each come its parts of the run's other scenarios, where they have any.
    """
    opened: list[Opened] = []
    for config in _derived_last(run):
        earlier = [one.source for one in opened if one.source is not None]
        first = None
        try:
            first = _open(run, config, earlier)
        except REFUSALS as error:
            opened.append(Opened(config, fault=str(error)))
        else:
            opened.append(Opened(config, first))
        for name in _other_scenarios(run, config):
            try:
                part = _open(run, config, earlier, scenario=name).part(name, first=first)
            except REFUSALS as error:
                opened.append(Opened(config, fault=str(error), scenario=name))
            else:
                opened += [Opened(config, part, scenario=name)] if part else []
    return opened


def _other_scenarios(run: RunConfig, config: SourceConfig) -> tuple[str, ...]:
    """Scenarios beside the first for which a source is opened again."""
    return run.scenario_names[1:] if config.by_scenario else ()


def several_scenarios(run: RunConfig) -> tuple[str, ...]:
    """Scenarios of a run where there are several: the cube of one is the same with and without the
    dimension.
    """
    return run.scenario_names if len(run.scenario_names) > 1 else ()


def _derived_last(run: RunConfig) -> list[SourceConfig]:
    """Sources in the order in which they are opened: those that are derived from the state after
    it.
    """
    return sorted(run.sources, key=lambda c: c.kind == "aggregated")


def _open(
    run: RunConfig, config: SourceConfig, earlier: Sequence[Source], *, scenario: str = ""
) -> Source:
    """A source as a scenario has it, the run's first unless one is named."""
    if config.kind != "aggregated" and config.collection and run.catalog:
        years = None if config.holds else run.years
        assets = find_assets(run.catalog, config.collection, years=years)
        config = config.model_copy(update={"assets": assets})
    state = next((s for s in earlier if s.role == "state"), None)
    return open_source(
        config,
        run_years=run.years,
        scenario=scenario or run.scenario_names[0],
        state=state,
        grid=run.grid.grid,
    )


def check(run: RunConfig, *, progress: Progress = no_progress) -> CheckReport:
    """Read every value of every source once and judge each variable; nothing is written.

    Raises ValueError where the run has not exactly one state source.
    """
    states = [c.kind for c in run.sources if c.declared[0].role == "state"]
    if len(states) != 1:
        raise ValueError(
            f"a run needs exactly one state source, found {states or 'none'}; correct [[sources]]"
        )
    first, last = run.training.years
    maps = {
        *run.inference.span.copied,
        *range(first, last + 1),
        *(test.start for test in run.evaluation.tests),
    }
    wanted: dict[Role, set[int]] = {"state": maps, "forcing": set(run.years), "static": set()}
    from luray.distributed.check import check as check_with_ray  # Ray takes seconds to import

    checked = check_with_ray(
        opened_sources(run), grid=run.grid.grid, wanted=wanted, progress=progress
    )
    return CheckReport(run.name, checked)


def build(plan: BuildPlan, *, progress: Progress = no_progress) -> None:
    """Build the predictor cube of `plan_cube`, or what is missing of it."""
    from luray.distributed.build import build as build_with_ray  # Ray takes seconds to import

    build_with_ray(plan, progress=progress)


def cube_of_run(run: RunConfig) -> Cube:
    """The finished cube of a run, in the view of its first scenario, whose inputs of the past are
    those of all.

    Raises ValueError when it was built on another grid or for other scenarios, or lacks years of
    forcing.
    """
    cube = Cube.open(run.cube)
    if cube.grid != run.grid.grid:
        raise ValueError(
            f"{run.cube} was built on {cube.grid}, the run file has {run.grid.grid}; run `luray "
            "build`"
        )
    if tuple(cube.scenarios) != several_scenarios(run):
        raise ValueError(
            f"{run.cube} was built for scenarios "
            f"{list(cube.scenarios) or 'of which there is one'}, the "
            f"run file has {list(run.scenario_names)}; run `luray build`"
        )
    for layer in cube.forcing:
        lacking = sorted(set(run.years) - set(layer.steps))
        if lacking:
            raise ValueError(
                f"{run.cube}: {layer.path} has no values for {lacking[0]}-{lacking[-1]}, which the "
                "run "
                "needs; run `luray build`"
            )
    return cube
