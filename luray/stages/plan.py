"""What `luray plan` counts with: the land of a run, the inputs it will have, a rate, and prices.
Nothing is written.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.core.regrid import grid_map
from luray.core.tiling import Box
from luray.core.types import Bool
from luray.cube.cube import Cube
from luray.cube.land import tiles_with_land
from luray.model.checkpoint import ModelCard, save_model
from luray.model.features import Features
from luray.planning.expected_cube import expected_cube
from luray.planning.inference import InferencePlan
from luray.planning.land_mask import MASK, land_mask
from luray.planning.measure import forward_cost, trunk_flops
from luray.planning.prices import PRICES, PriceTable
from luray.planning.ranges import Range
from luray.planning.rate import Rate
from luray.planning.workload import TileLoad, tile_loads
from luray.product.dimensions import ProductDims
from luray.product.store import Product
from luray.sandbox.random_model import random_model
from luray.stages.config import RunConfig
from luray.stages.run_file import ConfigError, read_toml
from luray.storage.places import PlaceError, local_place

SECONDS = 10.0
"""For which forward passes are measured."""


def plan_of(
    run: RunConfig,
    *,
    workers: int | None = None,
    device: str = "cpu",
    rate: float | None = None,
    prices: Path | str = PRICES,
) -> InferencePlan:
    """The plan of a run's inference; without a `rate`, windows a second of one worker, a CPU is
    measured now.

    Needs neither inputs nor a cube. Raises ValueError for an unknown device, a wrong price table, a
    cube of another grid, and where there is neither a cube nor the package of the land mask.
    """
    table = read_prices(prices)
    if device not in table.devices:
        raise ValueError(
            f"--device {device}: {prices} has {', '.join(table.devices)}; name one of them, or add "
            "it to "
            "a copy of that file and give it with --prices"
        )
    if workers is not None and workers < 1:
        raise ValueError(
            f"--workers {workers}: expected 1 or more; leave it out for those of the run file"
        )
    if rate is not None and rate <= 0:
        raise ValueError(
            f"--rate {rate}: expected windows a second, more than 0; leave it out to have it "
            "measured"
        )
    cube, found, seen = _inputs(run)
    if not found:
        raise ValueError(f"no land in the grid of {run.name}, {seen}; correct [grid]")
    dims = ProductDims(run.scenarios or (), run.inference.members or 0, run.inference.probabilities)
    product = Product(
        run.product, run.inference.span, run.inference_tiles, "", run.scenario_names[0], dims
    )
    chosen = table.devices[device]
    if rate is not None:
        speed = Rate(Range(1 / rate, 1 / rate), "as given with --rate")
    elif chosen.tflops:
        flops = trunk_flops(run.model, classes=len(HILDA), window=product.tiling.window)
        speed = Rate.of_gpu(chosen, flops, product.tiling, run.model.width)
    else:
        speed = measured_rate(run, cube.features, seconds=SECONDS)
    return InferencePlan(
        run.title or run.name,
        product,
        cube,
        found,
        seen,
        run.model,
        speed,
        workers or run.inference.workers.max,
        not chosen.tflops,
        run.inference.threads,
        run.inference.batch,
        chosen,
        table.storage,
        table.as_of,
    )


def read_prices(place: Path | str) -> PriceTable:
    """A price table. Raises ConfigError naming what is wrong with it."""
    try:
        path = Path(local_place(str(place), what="a price table"))
        tree = read_toml(path, missing=f"no such file; {PRICES} is one to copy")
        return PriceTable.model_validate_json(json.dumps(tree, default=str))
    except (ConfigError, PlaceError) as error:
        raise ConfigError(f"--prices {error}") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, f['loc']))}: {f['msg'].lower()}" for f in error.errors()
        )
        raise ConfigError(
            f"--prices {place}: {faults}; correct it, {PRICES} is one to copy"
        ) from None


def measured_rate(run: RunConfig, features: Features, *, seconds: float) -> Rate:
    """Trunks of a model of random weights on every core of this machine, in workers of the run's
    threads.

    Processor time counts, as other work on this machine is none of the plan's.
    """
    tiling, threads, cores = run.inference_tiles, run.inference.threads, os.cpu_count() or 1
    processes = max(1, cores // threads)
    with tempfile.TemporaryDirectory() as folder:
        codes = tuple(int(code) for code in HILDA.codes)
        save_model(
            random_model(features, run.model),
            ModelCard("forward", HILDA.name, codes, features.names, run.model, {}, "plan", {}),
            folder,
        )
        cost = forward_cost(
            folder,
            batch=max(2, run.inference.batch),
            window=tiling.window,
            processes=processes,
            threads=threads,
            seconds=seconds,
            whole=False,
        )
    each = cost.cpu_seconds / threads
    return Rate.of_cpu(
        each,
        tiling,
        run.model.width,
        (
            f"measured now: a trunk (all but the first layer) is {1000 * each:.0f} ms of {threads} "
            "threads, "
            f"{1000 * processes * cost.seconds:.0f} by the clock, {processes} at once on {cores} "
            "cores"
        ),
    )


def _inputs(run: RunConfig) -> tuple[Cube, tuple[TileLoad, ...], str]:
    """Inputs as they are built or will be, tiles with land, and where that is known from."""
    grid, tiling = run.grid.grid, run.inference_tiles
    dims = run.scenario_names if len(run.scenario_names) > 1 else ()
    first, last = run.inference.observed
    cube = expected_cube(
        run.cube,
        grid=grid,
        sources=run.sources,
        years=run.years,
        observed=range(first, last + 1),
        scenarios=dims,
    )
    try:
        built = Cube.open(run.cube)
    except FileNotFoundError:
        seen = "land of global-land-mask with Antarctica, as no cube is built"
        return (
            cube,
            tile_loads(
                cube, tiling, tiling.tiles(), _masked(run), window=run.tiling.window * grid.step
            ),
            seen,
        )
    if built.grid != grid:
        raise ValueError(
            f"{run.cube} was built on {built.grid}, the run file has {grid}; run `luray build`, or "
            "plan "
            "with another output"
        )
    if tuple(built.scenarios) == dims:
        cube = built
    return (
        cube,
        tile_loads(
            cube,
            tiling,
            tiles_with_land(built, tiling),
            built.land,
            window=run.tiling.window * grid.step,
        ),
        "land of the cube",
    )


def _masked(run: RunConfig) -> Callable[[Box], Bool]:
    """Land of a box of the run grid, nearest cells of the mask of the globe."""
    try:
        packed = land_mask()
    except ValueError as error:
        raise ValueError(
            f"{run.cube} is not built, and {error}; or run `luray build` first"
        ) from None
    grid: Grid = run.grid.grid

    def land(box: Box) -> Bool:
        rows, cols = (axis.low for axis in grid_map(MASK, grid, "nearest").take(box))
        first = int(cols.min()) // 8
        band = np.unpackbits(
            packed[rows.min() : rows.max() + 1, first : int(cols.max()) // 8 + 1], axis=1
        )
        found: Bool = band[np.ix_(rows - rows.min(), cols - 8 * first)] == 1
        return found

    return land
