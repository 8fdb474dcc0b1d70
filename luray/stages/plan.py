"""The verb `plan`: estimate cost, memory and time of an inference before any data exist."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from luray.core.tiling import Box, Tile
from luray.core.types import Bool
from luray.cube.cube import Cube
from luray.cube.land import tiles_with_land
from luray.model.card import ModelCard
from luray.model.checkpoint import save_model
from luray.planning.expected_cube import expected_cube
from luray.planning.inference import InferencePlan
from luray.planning.land_mask import land_on_grid
from luray.planning.measure import first_layer_flops, forward_cost, trunk_flops
from luray.planning.prices import PRICES, DevicePrice, PriceTable
from luray.planning.ranges import Range
from luray.planning.rate import Rate
from luray.planning.workload import tile_loads
from luray.product.store import Product
from luray.sandbox.random_model import random_model
from luray.stages.config import RunConfig
from luray.stages.infer import product_dims
from luray.stages.inputs import scenario_dimension
from luray.stages.run_file import ConfigError, read_toml
from luray.storage.places import PlaceError, local_place

SECONDS = 10.0
"""Time for which forward passes are measured."""


def plan_of(
    run: RunConfig,
    *,
    workers: int | None = None,
    device: str = "cpu",
    rate: float | None = None,
    prices: Path | str = PRICES,
) -> InferencePlan:
    """Plan the inference of a run. Neither inputs nor a cube have to be there.

    Parameters
    ----------
    run : RunConfig
        The run.
    workers : int, optional
        Number of workers, the largest of the run file unless given.
    device : str, optional
        A device of the price table.
    rate : float, optional
        Windows a second of one worker. Unless it is given, a CPU is measured now, and a GPU is
        estimated from its data sheet.
    prices : path, optional
        A price table.

    Raises
    ------
    ValueError
        If an argument or the price table is wrong, the cube has another grid, the grid has no
        land, or there is neither a cube nor the package of the land mask.
    """
    table = read_prices(prices)
    if device not in table.devices:
        raise ValueError(
            f"--device {device}: {prices} has {', '.join(table.devices)}; name one of them, or add "
            "it to a copy of that file and give it with --prices"
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

    inputs = _planned_inputs(run)
    tiling = run.inference_tiles
    loads = tile_loads(
        inputs.cube,
        tiling,
        inputs.tiles,
        inputs.land,
        window=run.tiling.window * run.grid.step,
    )
    if not loads:
        raise ValueError(f"no land in the grid of {run.name}, {inputs.land_source}; correct [grid]")

    first_scenario = run.scenario_names[0]
    product = Product(
        run.product,
        run.span,
        tiling,
        "",
        first_scenario,
        product_dims(run),
        legend=inputs.cube.legend,
        coarse=run.coarse_cells,
        overviews=run.overviews,
        time=run.time,
    )
    price = table.devices[device]
    return InferencePlan(
        run.title or run.name,
        product,
        inputs.cube,
        loads,
        inputs.land_source,
        run.unet,
        _rate_of(run, inputs.cube, price, rate),
        workers or run.inference.workers.max,
        not price.tflops,
        run.inference.threads,
        run.inference.batch,
        price,
        table.storage,
        table.as_of,
    )


def read_prices(place: Path | str) -> PriceTable:
    """Read a price table; raise ConfigError naming what is wrong with it."""
    try:
        path = Path(local_place(str(place), what="a price table"))
        tree = read_toml(path, missing=f"no such file; {PRICES} is one to copy")
        return PriceTable.model_validate_json(json.dumps(tree, default=str))
    except (ConfigError, PlaceError) as error:
        raise ConfigError(f"--prices {error}") from None
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            key = ".".join(map(str, fault["loc"]))
            faults.append(f"{key}: {fault['msg'].lower()}")
        raise ConfigError(
            f"--prices {place}: {'; '.join(faults)}; correct it, {PRICES} is one to copy"
        ) from None


def _rate_of(run: RunConfig, cube: Cube, price: DevicePrice, rate: float | None) -> Rate:
    """Return the rate of a worker: as given, estimated for a GPU, or measured on this CPU."""
    if rate is not None:
        return Rate(Range.exactly(1 / rate), "as given with --rate")
    if price.tflops:
        tiling = run.inference_tiles
        classes = cube.features.n_sums
        history = run.unet.history
        n_channels = cube.features.remembering(history).n_channels
        first_layer = first_layer_flops(n_channels, run.model.width, window=tiling.window)
        flops = first_layer + trunk_flops(run.model, classes=classes, window=tiling.window)
        return Rate.of_gpu(price, flops, tiling, classes=classes, history=history)
    return measured_rate(run, cube, seconds=SECONDS)


def measured_rate(run: RunConfig, cube: Cube, *, seconds: float) -> Rate:
    """Measure the trunk of a model of random weights on every core of this machine.

    Workers have the threads of the run. Processor time counts, since other work on this machine is
    none of the plan's.
    """
    tiling = run.inference_tiles
    threads = run.inference.threads
    cores = os.cpu_count() or 1
    processes = max(1, cores // threads)

    with tempfile.TemporaryDirectory() as folder:
        legend = cube.legend
        features = cube.features.remembering(run.unet.history)
        card = ModelCard(
            "forward", legend.name, features.codes, features.names, run.unet, {}, "plan", {}
        )
        save_model(random_model(features, run.unet), card, folder)
        cost = forward_cost(
            folder,
            batch=max(2, run.inference.batch),
            window=tiling.window,
            processes=processes,
            threads=threads,
            seconds=seconds,
            whole=False,
            precision=run.inference.precision,
        )

    trunk_seconds = cost.cpu_seconds / threads
    source = (
        f"measured now: a trunk (all but the first layer) is {1000 * trunk_seconds:.0f} ms of "
        f"{threads} threads, {1000 * processes * cost.seconds:.0f} by the clock, {processes} at "
        f"once on {cores} cores"
    )
    return Rate.of_cpu(trunk_seconds, tiling, run.model.width, source)


class _PlannedInputs(NamedTuple):
    """Metadata of a cube, built or expected, and where its land is."""

    cube: Cube
    tiles: Iterable[Tile]
    """Tiles that may have land."""
    land: Callable[[Box], Bool]
    land_source: str
    """Where the land is known from, in words."""


def _planned_inputs(run: RunConfig) -> _PlannedInputs:
    """Return the inputs of a run as they are built or, where no cube is, as they will be."""
    grid = run.grid.grid
    tiling = run.inference_tiles
    scenarios = scenario_dimension(run)
    first, last = run.inference.observed
    expected = expected_cube(
        run.cube,
        grid=grid,
        sources=run.sources,
        years=run.years,
        observed=run.time.of_years(first, last),
        scenarios=scenarios,
        legend=run.target.classes,
        time=run.time,
    )

    try:
        built = Cube.open(run.cube)
    except FileNotFoundError:
        try:
            land = land_on_grid(grid)
        except ValueError as error:
            raise ValueError(
                f"{run.cube} is not built, and {error}; or run `luray build` first"
            ) from None
        source = "land of global-land-mask with Antarctica, as no cube is built"
        return _PlannedInputs(expected, tiling.tiles(), land, source)

    if built.grid != grid:
        raise ValueError(
            f"{run.cube} was built on {built.grid}, the run file has {grid}; run `luray build`, or "
            "plan with another output"
        )
    # A cube of other scenarios still says where land is, but not what its forcing takes.
    cube = built if tuple(built.scenarios) == scenarios else expected
    return _PlannedInputs(cube, tiles_with_land(built, tiling), built.land, "land of the cube")
