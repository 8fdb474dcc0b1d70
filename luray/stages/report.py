"""The stage `report`: what a run is worth, on one page that can be sent."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import luray
from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.progress import NamedProgress, no_named_progress
from luray.core.tiling import Box
from luray.core.types import F64
from luray.cube.cube import Cube
from luray.engine.coarse_demand import CoarseDemand
from luray.product.fractions import as_fraction, class_sums, row_shares
from luray.product.store import Product
from luray.stages.config import RolloutTest, RunConfig
from luray.stages.evaluate import finished_product, is_evaluated, rollout_of
from luray.storage.objects import read_object, write_atomically


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
    # matplotlib takes a second to import
    from luray.viz.page.page import PageData, render

    if not is_evaluated(run):
        raise ValueError(
            f"{run.path('report', 'metrics.json')} does not score every test of this run as its "
            "models are now; run `luray evaluate` first"
        )
    metrics = _read_json(run.path("report", "metrics.json"))
    tests = run.evaluation.tests
    n_parts = len(tests) + 2
    test_maps = {}
    for number, test in enumerate(tests):
        progress(number, n_parts, f"maps of {test.name}")
        test_maps[test.name] = _maps_of_test(run, test)

    progress(len(tests), n_parts, "areas over the years")
    spec = finished_product(run)
    cube = Cube.open(run.cube)
    areas = flows = None
    if spec is not None:
        areas, flows = _areas_and_flows(run, spec.product, cube)

    progress(len(tests) + 1, n_parts, "page")
    point_of_run = run.inference.operating_point
    validations: dict[str, Any] = {}
    for direction in run.directions:
        validation = _read_json(f"{run.model_folder(direction)}/validation.json")
        if validation is not None:
            validations[direction] = validation
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
            validations=validations,
            made=f"Made by luray {luray.__version__} on {datetime.now(UTC):%Y-%m-%d}.",
        )
    )
    place = run.path("report", "report.html")
    write_atomically(place, page.encode())
    progress(n_parts, n_parts, "")
    return place


def _read_json(place: str) -> Any:
    """What a JSON file holds, None where there is none."""
    text = read_object(place)
    return None if text is None else json.loads(text)


def _maps_of_test(run: RunConfig, test: RolloutTest) -> Any:
    """Return the maps of the last year of a test that is scored, thinned for the page."""
    from luray.viz.page.maps import TestMaps, thinned

    spec = rollout_of(run, test)
    grid = spec.cube.grid
    years = [year for year in test.span.chains[test.direction][1:] if year in spec.cube.years]
    years = [year for year in years if year not in spec.cube.other_kind]
    year = years[-1]
    return TestMaps(
        year,
        thinned(partial(spec.cube.state, test.start), grid),
        thinned(partial(spec.cube.state, year), grid),
        thinned(partial(spec.product.read, year), grid),
    )


def _areas_and_flows(run: RunConfig, product: Product, cube: Cube) -> tuple[Any, Any]:
    """Return the areas of each scenario over the years, and the flows of the first scenario."""
    import xarray as xr

    from luray.viz.page.page import AreaSeries, Flows
    from luray.viz.view import View

    dataset = xr.open_zarr(run.product)
    area_of_scenario = {}
    scenarios = product.scenarios or ("",)
    for scenario in scenarios:
        of_scenario = dataset.sel(scenario=scenario) if product.scenarios else dataset
        view = View.of(of_scenario)
        years = view.chart_years()
        area_of_scenario[scenario] = view.areas(years)

    view = View.of(dataset)
    demand_years, demands = _demands(
        run, cube, years, product.scenarios[0] if product.scenarios else ""
    )
    areas = AreaSeries(years, area_of_scenario, view.observed, demand_years, demands)

    flow_years = sorted({years[0], *(view.observed or ()), years[-1]})
    flows = [_flow(view, before, after) for before, after in pairwise(flow_years)]
    return areas, Flows(tuple(flow_years), tuple(flows)) if flows else None


def _flow(view: Any, before: int, after: int) -> F64:
    """Return the area that went from each class to each other one, km2, (K, K)."""
    codes = view.palette.land_codes
    n = len(codes)
    class_of_code = np.full(256, n)
    class_of_code[list(codes)] = np.arange(n)
    before_HW, area_H = view.sample(before)
    after_HW, _ = view.sample(after)
    bin_HW = class_of_code[before_HW] * (n + 1) + class_of_code[after_HW]
    weights_HW = np.broadcast_to(area_H[:, None], bin_HW.shape)
    sums = np.bincount(bin_HW.ravel(), weights=weights_HW.ravel(), minlength=(n + 1) ** 2)
    flow_KK: F64 = sums.reshape(n + 1, n + 1)[:n, :n].astype(np.float64)
    return flow_KK


def _demands(
    run: RunConfig, cube: Cube, years: Sequence[int], scenario: str
) -> tuple[tuple[int, ...], dict[tuple[int, ...], F64]]:
    """Return how the coarse forcing changes the area of each group of classes, in km2.

    Changes are counted from the last observed year, so that a forcing which disagrees with the maps
    about how much there is can be compared with them. Nothing where the cube has no such forcing,
    or one whose cells do not nest.
    """
    seen = cube.of_scenario(scenario)
    try:
        demand = CoarseDemand.of(seen, tile=run.inference_tiles.tile)
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
    coarse = Grid(
        grid.north,
        grid.west,
        grid.step * demand.block,
        -(-grid.n_lat // demand.block),
        -(-grid.n_lon // demand.block),
    )
    share_H = row_shares(grid, coarse)
    land_YX = np.zeros(coarse.shape)
    for y in range(coarse.n_lat):
        top = y * demand.block
        height = min(demand.block, grid.n_lat - top)
        is_land_HW = cube.land(Box(top, 0, height, grid.n_lon))
        classes_HW = np.where(is_land_HW, np.uint8(0), np.uint8(OUTSIDE))
        sums_KYX = class_sums(classes_HW, share_H[top : top + height], demand.block, 1)
        land_YX[y] = as_fraction(sums_KYX[0, 0])

    share_of_cell_YX = (land_YX > 0) if demand.is_share_of_cell else land_YX
    area_YX: F64 = share_of_cell_YX * coarse.cell_area[:, None] / 1e6
    return area_YX
