"""The cube that a run file asks for, before anything is built: layers, grids and years as the
sources publish them.
"""

from collections.abc import Iterable, Mapping, Sequence

from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.cube.cube import Cube, Layer
from luray.sources import SourceConfig
from luray.sources.coverage import cut
from luray.sources.isimip import STEP as ISIMIP_STEP
from luray.sources.koppen import FIRST_FUTURE, period_of
from luray.sources.luh2 import JOIN
from luray.sources.luh2 import STEP as LUH2_STEP

NATIVE: Mapping[str, float] = {
    "luh2": LUH2_STEP,
    "isimip": ISIMIP_STEP,
    "koppen": 0.01,
    "gebco": 1 / 240,
    "pnnl_topo": 1 / 120,
    "pnnl_soil": 1 / 120,
}
"""Cell size of each kind of source in degrees; others are taken to be as fine as the run grid."""

ISIMIP_YEARS = (1861, 2006)
"""First year of round 2b, and of its scenarios."""


def expected_cube(
    url: str,
    *,
    grid: Grid,
    sources: Iterable[SourceConfig],
    years: range,
    observed: Sequence[int],
    scenarios: Sequence[str] = (),
) -> Cube:
    """A cube of metadata alone, to count with: it is nowhere, so nothing can be read from it.

    `years` are those of the forcing, `observed` those with maps, `scenarios` the names where there
    are several.
    """
    layers = [
        (config, _native(config, grid)) for config in sorted(sources, key=_name)
    ]  # the order of a built cube
    stored: dict[str, dict[object, int]] = {}

    def seen(scenario: str) -> tuple[Layer, ...]:
        return tuple(
            _layer(config, native, years, scenario, stored.setdefault(config.kind, {}))
            for config, native in layers
            if config.declared[0].role == "forcing"
        )

    views = {name: seen(name) for name in scenarios}
    static = tuple(
        _layer(config, native, range(0), "", {})
        for config, native in layers
        if config.declared[0].role == "static"
    )
    forcing = views[scenarios[0]] if scenarios else seen("")
    return Cube(url, grid, HILDA, tuple(observed), forcing, static, "", (), views)


def _layer(
    config: SourceConfig, native: Grid, years: range, scenario: str, stored: dict[object, int]
) -> Layer:
    """A source as a scenario sees it; what it reads that no earlier one has read is added to
    `stored`.
    """
    variables = config.declared
    steps = {
        year: stored.setdefault(_place(config.kind, year, scenario), len(stored)) for year in years
    }
    return Layer(f"{variables[0].role}/{_name(config)}/values", native, variables, steps)


def _name(config: SourceConfig) -> str:
    return config.name if config.kind == "categorical" else config.kind


def _native(config: SourceConfig, grid: Grid) -> Grid:
    if config.kind == "aggregated":
        return Grid(
            grid.north,
            grid.west,
            grid.step * config.block,
            -(-grid.n_lat // config.block),
            -(-grid.n_lon // config.block),
        )
    step = NATIVE.get(config.kind, grid.step)
    return cut(Grid(90, -180, step, round(180 / step), round(360 / step)), grid)[0]


def _place(kind: str, year: int, scenario: str) -> object:
    """What a source reads in a year: the same for years and scenarios that share it."""
    if kind == "luh2":
        return year, scenario if year >= JOIN else ""
    if kind == "isimip":
        first, future = ISIMIP_YEARS
        return max(year, first), scenario if year >= future else ""
    if kind == "koppen":
        period = period_of(year)
        return period, scenario if period[0] >= FIRST_FUTURE else ""
    return year, ""
