"""Cubes and products of a continuous target with several maps a year, and what was put into them."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import NO_VALUE, OUTSIDE
from luray.core.legend_files import read_legend
from luray.core.time_steps import TimeSteps
from luray.core.variable import Variable
from luray.cube.cube import Cube
from luray.cube.schema import NativeLayout, create_native, create_state
from luray.engine.copying import copy_years
from luray.engine.geometry import Geometry
from luray.engine.spec import InferenceSpec
from luray.product.dimensions import ONE_MAP
from luray.product.overviews import NO_OVERVIEWS
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.storage.arrays import consolidate
from tests.cube.cubes import describe

LAI = read_legend("lai")
MONTHLY = TimeSteps("month")
GRID = Grid(52, 4, 0.5, 13, 17)
NATIVE = Grid(53, 3, 2, 5, 6)


def on_land(grid):
    """A sea in the north-west corner, and a bay."""
    rows, cols = np.mgrid[: grid.n_lat, : grid.n_lon]
    sea = rows + cols < (grid.n_lat + grid.n_lon) // 6
    bay = (rows > 0.7 * grid.n_lat) & (abs(cols - grid.n_lon // 2) < grid.n_lon // 10)
    return ~(sea | bay)


def levels_of(grid, time, step, *, gaps):
    """Levels of a step on the whole grid, `NO_VALUE` at sea and, where asked for, under clouds."""
    rows, cols = np.mgrid[: grid.n_lat, : grid.n_lon]
    season = np.sin(2 * np.pi * (time.in_year(step) + 0.5) / time.per_year - np.pi / 2)
    lush = 25 + 45 * rows / grid.n_lat + 10 * np.sin(cols)
    levels = np.rint(lush * (1 + 0.6 * season) + (time.year(step) - 2000)).astype(np.uint8)
    cloudy = (rows * 7 + cols * 5 + step) % 11 == 0
    known = on_land(grid) & ~(cloudy & gaps)
    return np.where(known, levels, NO_VALUE).astype(np.uint8)


def value_cube(url, *, time=MONTHLY, years=(2001, 2002), grid=GRID, legend=LAI, tile=8):
    """A cube of observed values with clouds, monthly climate and annual people beside them."""
    steps = time.of_years(*years)
    root = zarr.open_group(url, mode="w", zarr_format=3)
    create_state(root, grid=grid, years=steps, tile=tile, legend=legend, time=time)
    codes = np.stack([levels_of(grid, time, step, gaps=True) for step in steps])
    root[f"state/{legend.variable}"][:] = codes
    root["state/land"][:] = (codes != NO_VALUE).any(axis=0)

    months = TimeSteps("month").of_years(*years)
    rain = (Variable("pr", "forcing", "kg m-2 s-1", "precipitation"),)
    people = (Variable("people", "forcing", "km-2", "people"),)
    layout = NativeLayout((5, 6), (5, 6))
    groups = {"modis": "state", "climate": "forcing/climate", "isimip": "forcing/isimip"}
    described = {
        "state": describe("state", grid, (legend_variable(legend),), list(steps)),
        "forcing/climate": describe("forcing", NATIVE, rain, list(months)),
        "forcing/isimip": describe("forcing", NATIVE, people, list(range(years[0], years[1] + 1))),
    }
    described["state"]["luray"]["per_year"] = time.per_year
    described["forcing/climate"]["luray"]["per_year"] = 12
    for name, variables, series, per_year in (
        ("climate", rain, months, 12),
        ("isimip", people, range(years[0], years[1] + 1), 1),
    ):
        create_native(
            root,
            name,
            role="forcing",
            grid=NATIVE,
            variables=variables,
            years=series,
            layout=layout,
            per_year=per_year,
        )
        numbers = np.arange(len(series), dtype=np.float32)[:, None, None, None]
        root[f"forcing/{name}/values"][:] = np.broadcast_to(numbers, (len(series), 1, 5, 6))
    for path, attributes in described.items():
        root[path].attrs.update(attributes)
    root.attrs["luray"] = {
        "grid": asdict(grid),
        "legend": legend.to_attributes(),
        "fingerprint": "f" * 64,
        "groups": groups,
        **({} if time.per_year == 1 else {"time_step": time.interval}),
    }
    consolidate(url)
    return Cube.open(url)


def legend_variable(legend):
    return Variable(legend.variable, "state", "1", legend.long_name, dtype="uint8")


def value_product(
    cube, url, *, years=(2000, 2003), dims=ONE_MAP, overviews=NO_OVERVIEWS, tile=8, title="t"
):
    """An empty product of the years around those observed, without coarse cells."""
    time = cube.time
    steps = time.of_years(*years)
    product = Product(
        str(url),
        Span(steps[0], steps[-1], (cube.years[0], cube.years[-1])),
        cube.tiling(window=8, stride=4, tile=tile),
        "f" * 64,
        "ssp245",
        dims,
        5,
        legend=cube.legend,
        overviews=overviews,
        time=time,
    )
    tiles = len(Geometry.of(cube, product.tiling).tiles)
    product.create(cube, title=title, models={}, tiles=tiles)
    return product


def spread_of(levels, step):
    """Spread of predicted values: it grows with the value, `NO_VALUE` where there is none."""
    spread = np.minimum(250, 2 + levels.astype(int) // 8 + step % 3)
    return np.where(levels == NO_VALUE, NO_VALUE, spread).astype(np.uint8)


def fill_values(cube, product):
    """Write a product as the engine does: observed maps are copied, the others follow by formula."""
    grid = cube.grid
    spec = InferenceSpec(
        cube, product, Geometry.of(cube, product.tiling), {}, "linear", batch=2, threads=1
    )
    everything = product.tiling.everything
    land = cube.land(everything)
    for tile in spec.geometry.tiles:
        copy_years(spec, tile, product.span.copied)
        cells = product.tiling.tile_box(tile).slices(origin=everything)
        for trajectory in product.trajectories:
            for _, step in pairwise(trajectory.years):
                levels = levels_of(grid, cube.time, step, gaps=False)
                spread = spread_of(np.where(land, levels, NO_VALUE), step)
                levels = np.where(land, levels, OUTSIDE).astype(np.uint8)
                indices = trajectory.member_indices
                product.write(step, tile, levels[cells], spread[cells], indices)
    for step in product.span.years if product.overviews.coarser_levels else ():
        for member_indices in product.map_groups(step):
            product.write_coarser_overviews(step, member_indices)


def finished_value_product(folder, **options):
    """A cube `cube.zarr` and a finished product `product.zarr` of a folder."""
    of_cube = {name: options.pop(name) for name in ("time", "grid") if name in options}
    cube = value_cube(f"{folder}/cube.zarr", tile=options.get("tile", 8), **of_cube)
    product = value_product(cube, f"{folder}/product.zarr", **options)
    fill_values(cube, product)
    product.finish()
    return cube, product
