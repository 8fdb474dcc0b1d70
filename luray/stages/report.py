"""The stage `report`: what a run is worth, on one page that can be sent."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

import luray
from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.progress import NamedProgress, no_named_progress
from luray.core.tiling import Box
from luray.core.types import F64
from luray.cube.cube import Cube
from luray.engine.coarse_demand import CoarseDemand
from luray.product.coarse_cells import CoarseCells
from luray.product.store import Product
from luray.stages.config import RolloutTest, RunConfig
from luray.stages.evaluate import finished_product, is_evaluated, rollout_of
from luray.storage.objects import read_json, write_atomically

if TYPE_CHECKING:  # matplotlib takes a second to import
    from luray.viz.page.maps import TestMaps
    from luray.viz.page.page import AreaSeries, Flows


def report(run: RunConfig, *, progress: NamedProgress = no_named_progress) -> str:
    """Write the report of a run.

    Parameters
    ----------
    run : RunConfig
        A run that is evaluated. What its product shows is left out while that is not finished.
    progress : callable, optional
        Called with the parts done, the parts in all and the name of the next.

    Returns
    -------
    str
        Place of report.html.

    Raises
    ------
    ValueError
        If the run is not evaluated, or its models have changed since.
    """
    if not is_evaluated(run):
        raise ValueError(
            f"{run.path('report', 'metrics.json')} does not score every test of this run as its "
            "models are now; run `luray evaluate` first"
        )
    metrics = read_json(run.path("report", "metrics.json"))
    if run.target.kind == "continuous":
        page = _page_of_values(run, metrics, progress=progress)
    else:
        page = _page_of_classes(run, metrics, progress=progress)
    place = run.path("report", "report.html")
    write_atomically(place, page.encode())
    return place


def _page_of_classes(run: RunConfig, metrics: Any, *, progress: NamedProgress) -> str:
    """Return the page of a run of classes."""
    from luray.viz.page.page import PageData, render

    tests = run.tests
    n_parts = len(tests) + 2
    test_maps = {}
    years_of_test = {entry["name"]: entry["by_lead_year"] for entry in metrics["tests"]}
    for number, test in enumerate(tests):
        progress(number, n_parts, f"maps of {test.name}")
        last_scored = years_of_test[test.name][-1]["year"]
        test_maps[test.name] = _maps_of_test(run, test, year=last_scored)

    progress(len(tests), n_parts, "areas over the years")
    spec = finished_product(run)
    cube = Cube.open(run.cube)
    areas = None
    flows: dict[str, Flows] = {}
    if spec is not None:
        areas, flows = _areas_and_flows(run, spec.product, cube)

    progress(len(tests) + 1, n_parts, "page")
    point_of_run = run.inference.operating_point
    page = render(
        PageData(
            title=run.title or run.name,
            metrics=metrics,
            legend=cube.legend,
            grid=cube.grid,
            points={test.name: test.operating_point or point_of_run for test in tests},
            areas=areas,
            flows=flows,
            maps=test_maps,
            validations=_validations(run),
            made=_made(),
        )
    )
    progress(n_parts, n_parts, "")
    return page


def _page_of_values(run: RunConfig, metrics: Any, *, progress: NamedProgress) -> str:
    """Return the page of a run of values."""
    from luray.viz.page.maps import ValueTestMaps, thinned
    from luray.viz.page.value_page import ValuePageData, render_values

    tests = run.tests
    n_parts = len(tests) + 1
    last_steps = {entry["name"]: entry["last_with_values"] for entry in metrics["tests"]}
    test_maps = {}
    for number, test in enumerate(tests):
        progress(number, n_parts, f"maps of {test.name}")
        spec = rollout_of(run, test)
        step = last_steps[test.name]
        test_maps[test.name] = ValueTestMaps(
            run.time.label(step),
            thinned(partial(spec.cube.state, step), spec.cube.grid),
            thinned(partial(spec.product.read, step), spec.cube.grid),
        )

    progress(len(tests), n_parts, "page")
    cube = Cube.open(run.cube)
    page = render_values(
        ValuePageData(
            title=run.title or run.name,
            metrics=metrics,
            legend=cube.legend,
            grid=cube.grid,
            maps=test_maps,
            validations=_validations(run),
            point=run.inference.operating_point,
            made=_made(),
        )
    )
    progress(n_parts, n_parts, "")
    return page


def _validations(run: RunConfig) -> dict[str, Any]:
    """Return the validation of each model that has one, by direction."""
    validations: dict[str, Any] = {}
    for direction in run.directions:
        validation = read_json(f"{run.model_folder(direction)}/validation.json")
        if validation is not None:
            validations[direction] = validation
    return validations


def _made() -> str:
    """Say by which version a page was made, and when."""
    return f"Made by luray {luray.__version__} on {datetime.now(UTC):%Y-%m-%d}."


def _maps_of_test(run: RunConfig, test: RolloutTest, *, year: int) -> "TestMaps":
    """Return the maps of a year of a test, thinned for the page."""
    from luray.viz.page.maps import TestMaps, thinned

    spec = rollout_of(run, test)
    grid = spec.cube.grid
    return TestMaps(
        year,
        thinned(partial(spec.cube.state, test.start), grid),
        thinned(partial(spec.cube.state, year), grid),
        thinned(partial(spec.product.read, year), grid),
    )


def _areas_and_flows(
    run: RunConfig, product: Product, cube: Cube
) -> "tuple[AreaSeries, dict[str, Flows]]":
    """Return the areas of each scenario over the years, and what became of the land in each."""
    import xarray as xr

    from luray.viz.page.page import AreaSeries, Demand, Flows
    from luray.viz.view import View

    dataset = xr.open_zarr(run.product)
    views = {name: View.of(dataset.sel(scenario=name)) for name in product.scenarios}
    views = views or {"": View.of(dataset)}
    view = next(iter(views.values()))
    years = view.chart_years()
    flow_years = tuple(sorted({years[0], *(view.observed or ()), years[-1]}))

    areas = {}
    demands = {}
    flows = {}
    for name, view in views.items():
        areas[name] = view.areas(years)
        demand_years, change_of_group = _demands(run, cube.of_scenario(name), years)
        if demand_years:
            demands[name] = Demand(demand_years, change_of_group)
        area_KK = tuple(view.flow(earlier, later) for earlier, later in pairwise(flow_years))
        if area_KK:
            flows[name] = Flows(flow_years, area_KK)
    return AreaSeries(years, areas, view.observed, demands), flows


def _demands(
    run: RunConfig, cube: Cube, years: Sequence[int]
) -> tuple[tuple[int, ...], dict[tuple[int, ...], F64]]:
    """Return how the coarse forcing changes the area of each group of classes, in km2.

    Changes are counted from the last observed year, so that a forcing which disagrees with the maps
    about how much there is can be compared with them. Nothing where the cube has no such forcing,
    or one whose cells do not nest.
    """
    try:
        demand = CoarseDemand.of(cube, tile=run.inference_tiles.tile)
    except ValueError:
        return (), {}
    anchor = run.inference.observed[1]
    with_values = [year for year in years if year in demand.layer.steps]
    if anchor not in demand.layer.steps:
        return (), {}

    box = Box(0, 0, *cube.grid.shape)
    area_YX = _area_of_shares(cube, demand)
    anchor_GYX = demand.shares(anchor, box)
    change_of_year = []
    for year in with_values:
        change_GYX = demand.shares(year, box) - anchor_GYX
        change_of_year.append(np.nansum(change_GYX * area_YX, axis=(1, 2)))
    change_GY = np.array(change_of_year).T
    return tuple(with_values), dict(zip(demand.groups_of_codes, change_GY, strict=True))


def _area_of_shares(cube: Cube, demand: CoarseDemand) -> F64:
    """Return what a share of 1 stands for in each coarse cell, km2; 0 where there is no land."""
    grid = cube.grid
    block = demand.block
    shape = (ceil_div(grid.n_lat, block), ceil_div(grid.n_lon, block))
    coarse = CoarseCells(grid, Grid(grid.north, grid.west, grid.step * block, *shape))
    land_YX = np.zeros(shape)
    for y in range(shape[0]):
        height = min(block, grid.n_lat - y * block)
        box = Box(y * block, 0, height, grid.n_lon)
        classes_HW = np.where(cube.land(box), np.uint8(0), np.uint8(OUTSIDE))
        land_YX[y] = coarse.fractions(classes_HW, box=box, n_classes=1)[0, 0]

    share_of_cell_YX = (land_YX > 0) if demand.is_share_of_cell else land_YX
    area_YX: F64 = share_of_cell_YX * coarse.grid.cell_area[:, None] / 1e6
    return area_YX
