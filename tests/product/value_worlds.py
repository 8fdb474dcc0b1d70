"""A small predictor cube of monthly leaf area index with gaps, and a product of a rollout in it."""

from dataclasses import asdict

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import NO_VALUE, OUTSIDE
from luray.core.legend_files import read_legend
from luray.core.time_steps import TimeSteps
from luray.core.variable import Variable
from luray.cube.cube import Cube
from luray.cube.schema import create_native, create_state, state_path
from luray.product.dimensions import ONE_MAP
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.storage.arrays import consolidate
from tests.cube.cubes import LAYOUT, describe

LAI = read_legend("lai")
MONTHS = TimeSteps("month")
GRID = Grid(52, 4, 0.5, 13, 17)
NATIVE = Grid(53, 4, 0.75, 10, 12)
ZONES = (Variable("zone", "forcing", "1", "zone", dtype="uint8", categories=(1, 2, 3)),)


def value_cube(url, *, years=(2001, 2004), seed=0, gaps=0.2, time=MONTHS, absent=()):
    """A cube of `years`, with a third of it sea, clouds over a share of each map, and three zones.

    One cell of land is cloudy whenever there is a map but in the last year, and some are in no
    zone. The maps of the steps in `absent` are not in the cube.
    """
    random = np.random.default_rng(seed)
    steps = [step for step in time.of_years(*years) if step not in absent]
    land = random.random(GRID.shape) < 0.7
    season = np.array([np.sin(2 * np.pi * time.in_year(s) / time.per_year) for s in steps])
    mean = random.uniform(20, 100, GRID.shape)
    noise = random.normal(0, 8, (len(steps), *GRID.shape))
    values = mean + 15 * season[:, None, None] + noise
    codes = np.clip(np.rint(values), 0, len(LAI) - 1).astype(np.uint8)
    codes[random.random(codes.shape) < gaps] = NO_VALUE
    row, col = np.argwhere(land)[3]
    before_last_year = [n for n, step in enumerate(steps) if time.year(step) < years[1]]
    codes[before_last_year, row, col] = NO_VALUE
    codes[:, ~land] = NO_VALUE

    root = zarr.open_group(str(url), mode="w", zarr_format=3)
    create_state(root, grid=GRID, years=steps, tile=8, legend=LAI, time=time)
    root[state_path(LAI)][:] = codes
    root["state/land"][:] = land
    state = (Variable(LAI.variable, "state", "1", LAI.long_name, dtype="uint8"),)
    root["state"].attrs.update(describe("state", GRID, state, steps))
    state_attributes = root["state"].attrs
    state_attributes["luray"] = {**state_attributes["luray"], "per_year": time.per_year}
    all_years = range(years[0], years[1] + 1)
    create_native(
        root,
        "koppen",
        role="forcing",
        grid=NATIVE,
        variables=ZONES,
        years=all_years,
        layout=LAYOUT,
    )
    zones = random.integers(0, 4, (len(all_years), 1, *NATIVE.shape)).astype(np.uint8)
    root["forcing/koppen/values"][:] = zones
    root["forcing/koppen"].attrs.update(describe("forcing", NATIVE, ZONES, list(all_years)))
    root.attrs["luray"] = {
        "grid": asdict(GRID),
        "legend": LAI.to_attributes(),
        "fingerprint": "f" * 64,
        "groups": {"lai": "state", "koppen": "forcing/koppen"},
        "time_step": time.interval,
    }
    consolidate(str(url))
    return Cube.open(str(url))


def value_product(cube, url, start, stop, *, tile=8, seed=1):
    """A rollout of values near the truth, the same whatever the tiles, with a spread."""
    first, last = sorted((start, stop))
    product = Product(
        str(url),
        Span(first, last, (start, start)),
        cube.tiling(window=8, stride=4, tile=tile),
        "f" * 64,
        "ssp245",
        ONE_MAP,
        legend=cube.legend,
        time=cube.time,
    )
    product.create(cube, title="t", models={}, tiles=len(list(product.tiling.tiles())))
    everything = product.tiling.everything
    land = cube.land(everything)
    random = np.random.default_rng(seed)
    for step in range(first, last + 1):
        truth = cube.state(step, everything).astype(int)
        near = np.where(truth < len(LAI), truth, 60) + random.integers(-9, 10, land.shape)
        levels = np.where(land, np.clip(near, 0, len(LAI) - 1), OUTSIDE).astype(np.uint8)
        spread = np.where(land, random.integers(0, 12, land.shape), OUTSIDE).astype(np.uint8)
        for each in product.tiling.tiles():
            cells = product.tiling.tile_box(each).slices(origin=everything)
            product.write(step, each, levels[cells], spread[cells], product.member_indices)
    return product
