"""Opening the sources of a run, as each of its scenarios sees them."""

from collections.abc import Sequence

from luray.catalog.read import find_assets
from luray.sources import SourceConfig, open_source
from luray.sources.base import Source, require_target
from luray.sources.check import REFUSALS, OpenedSource
from luray.stages.config import RunConfig


def open_all(run: RunConfig) -> list[Source]:
    """Open every source of a run.

    Returns
    -------
    list of Source
        The sources as the first scenario sees them, then the parts in which the other scenarios
        differ.

    Raises
    ------
    ValueError
        Naming the file or key at fault.
    OSError
        If inputs are out of reach.
    """
    sources: list[Source] = []
    parts: list[Source] = []
    for config in _in_opening_order(run):
        first = _open(run, config, sources, scenario=run.scenario_names[0])
        sources.append(first)
        for name in _other_scenarios(run, config):
            part = _open(run, config, sources, scenario=name).part(name, first=first)
            if part is not None:
                parts.append(part)
    return [*sources, *parts]


def open_or_refuse(run: RunConfig) -> list[OpenedSource]:
    """Open every source of a run; one that is refused does not keep the others from opening.

    Returns
    -------
    list of OpenedSource
        Each source, open or with the reason why it is refused. Its parts of the run's other
        scenarios follow it.
    """
    opened: list[OpenedSource] = []
    for config in _in_opening_order(run):
        earlier = [o.source for o in opened if o.source is not None]
        first = None
        try:
            first = _open(run, config, earlier, scenario=run.scenario_names[0])
        except REFUSALS as error:
            opened.append(OpenedSource(config, fault=str(error)))
        else:
            opened.append(OpenedSource(config, first))

        for name in _other_scenarios(run, config):
            try:
                part = _open(run, config, earlier, scenario=name).part(name, first=first)
            except REFUSALS as error:
                opened.append(OpenedSource(config, fault=str(error), scenario=name))
            else:
                if part is not None:
                    opened.append(OpenedSource(config, part, scenario=name))
    return opened


def scenario_dimension(run: RunConfig) -> tuple[str, ...]:
    """Return the scenarios that a cube is built for, empty for one scenario.

    The cube of one scenario is the same, whether its product has the dimension or not.
    """
    return run.scenario_names if len(run.scenario_names) > 1 else ()


def _in_opening_order(run: RunConfig) -> list[SourceConfig]:
    """Return the sources with those last that are derived from the state."""
    return sorted(run.sources, key=lambda config: config.is_derived)


def _other_scenarios(run: RunConfig, config: SourceConfig) -> tuple[str, ...]:
    """Return the scenarios beside the first for which a source has to be opened again."""
    return run.scenario_names[1:] if config.by_scenario else ()


def _open(
    run: RunConfig, config: SourceConfig, earlier: Sequence[Source], *, scenario: str
) -> Source:
    """Open a source as a scenario sees it; `earlier` are those that are open already."""
    if config.collection and run.catalog:
        years = None if config.reads_other_years else run.years
        assets = find_assets(run.catalog, config.collection, years=years)
        config = config.model_copy(update={"assets": assets})

    states = [source for source in earlier if source.role == "state"]
    source = open_source(
        config,
        run_years=run.years,
        scenario=scenario,
        state=states[0] if states else None,
        grid=run.grid.grid,
        legend=run.target.classes,
        time=run.time,
    )
    if source.role == "state":
        require_target(source.legend, run.target.classes, source=source.name)
    return source
