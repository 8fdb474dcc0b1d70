"""The cube that a run file asks for, before anything is built.

Layers, grids and years are those that the sources publish, as far as their configurations know.
"""

from collections.abc import Hashable, Iterable, Sequence

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.core.time_steps import YEARLY, TimeSteps
from luray.cube.cube import Cube, Layer
from luray.sources import SourceConfig
from luray.sources.coverage import cut


def expected_cube(
    url: str,
    *,
    grid: Grid,
    sources: Iterable[SourceConfig],
    years: range,
    observed: Sequence[int],
    scenarios: Sequence[str] = (),
    legend: Legend = HILDA,
    time: TimeSteps = YEARLY,
) -> Cube:
    """Return a cube of metadata alone, to count with: nothing can be read from it.

    Parameters
    ----------
    url : str
        Where the cube would be built.
    grid : Grid
        The run grid.
    sources : iterable of SourceConfig
        All sources of the run.
    years : range
        Years of the forcing.
    observed : sequence of int
        Time steps with maps.
    scenarios : sequence of str
        Names of the scenarios where there are several; the first one's forcing is the cube's.
    legend : Legend
        That of the run's target.
    time : TimeSteps
        Its time steps.
    """
    configs = sorted(sources, key=lambda config: config.label)  # the order of a built cube
    forcing_configs = [config for config in configs if config.declared[0].role == "forcing"]
    static_configs = [config for config in configs if config.declared[0].role == "static"]

    # Scenarios share what they read in common: a place that one of them has read is stored once,
    # so the index of a source's places goes on from scenario to scenario.
    index_of_place: dict[str, dict[Hashable, int]] = {config.label: {} for config in configs}

    views: dict[str, tuple[Layer, ...]] = {}
    for scenario in scenarios or ("",):
        layers = []
        for config in forcing_configs:
            steps = index_of_place[config.label]
            layers.append(_layer(config, grid, years, scenario, steps, legend, time))
        views[scenario] = tuple(layers)
    first_view = next(iter(views.values()))

    static = tuple(
        _layer(config, grid, range(0), "", {}, legend, YEARLY) for config in static_configs
    )
    return Cube(
        url,
        grid,
        legend,
        years=tuple(observed),
        forcing=first_view,
        static=static,
        fingerprint="",
        sources=(),
        scenarios=views if scenarios else {},
        time=time,
    )


def _layer(
    config: SourceConfig,
    grid: Grid,
    years: range,
    scenario: str,
    index_of_place: dict[Hashable, int],
    legend: Legend,
    time: TimeSteps,
) -> Layer:
    """A source as a scenario sees it; places that no earlier scenario has read are added."""
    per_year = config.values_a_year(time)
    steps = {}
    for year in years:
        place_of_year = config.place_of(year, scenario)
        for k in range(per_year):
            place = (place_of_year, k)
            steps[year * per_year + k] = index_of_place.setdefault(place, len(index_of_place))

    native, _ = cut(config.native_grid(grid), grid)
    variables = config.declared_for(legend)
    path = f"{variables[0].role}/{config.label}/values"
    return Layer(path, native, variables, steps, per_year=per_year, time=time)
