"""What follows from the maps of a product, in time and bytes beside inference and the maps.

A year of the 4,000 x 6,000 cells of the benchmark `engine` is inferred in this process, then its
maps are written with and without fractions, transitions and overviews. Time is that of the
processor, which other work on the machine changes little. The random model changes most cells, and
its confidence is noise: maps of a trained model take fewer bytes, in every array.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from luray.core.tiling import Tile
from luray.core.types import U8
from luray.engine.tile_year import TileYears
from luray.model.unet_config import UNetConfig
from luray.product.coarse_cells import DEFAULT_STEP, CoarseCells
from luray.product.overviews import Overviews
from luray.product.store import Product
from luray.sandbox.random_model import save_random_model
from tests.benchmarks.engine import REGION, spec_of
from tests.benchmarks.ratio import Ratio, alone
from tests.benchmarks.windows import YEARS, write_cube

START, YEAR = YEARS[:2]
TIME_GOAL = 0.03
"""Most time of what follows from the maps, of that of inference without it."""
BYTES_GOAL = 0.15
"""Most bytes of it, of those of the maps and their confidence."""
ROUNDS = 3


class TileMap(NamedTuple):
    """What was inferred of a tile."""

    prior: U8
    classes: U8
    confidence: U8


class Measured(NamedTuple):
    """Processor seconds, and bytes by array."""

    inference: float
    """Of the year, without what follows from its maps."""
    companions: float
    n_bytes: dict[str, int]


def measure() -> Iterator[Ratio]:
    """Time and bytes of fractions, transitions and overviews."""
    measured = alone(inferred)
    share = measured.companions / measured.inference
    yield Ratio(
        "time allowed for what follows from the maps",
        TIME_GOAL / share,
        1,
        f"{share:.1%} of inference: {measured.companions:.2f} of {measured.inference:.1f} s of a "
        f"core, {TIME_GOAL:.0%} allowed",
    )

    of_maps = measured.n_bytes.pop("land_use") + measured.n_bytes.pop("confidence")
    shares = {array: n / of_maps for array, n in measured.n_bytes.items()}
    listed = ", ".join(f"{array} {share:.1%}" for array, share in shares.items())
    total = sum(shares.values())
    yield Ratio(
        "bytes allowed for it",
        BYTES_GOAL / total,
        1,
        f"{total:.1%} of {of_maps / 1e6:.1f} MB of maps ({listed}), {BYTES_GOAL:.0%} allowed",
    )


def inferred() -> Measured:
    """Infer a year, and write it with and without what follows from it."""
    with tempfile.TemporaryDirectory() as folder:
        cube = write_cube(f"{folder}/cube.zarr", grid=REGION)
        save_random_model(cube, "forward", UNetConfig(width=16, depth=3), f"{folder}/model")
        bare = spec_of(cube, f"{folder}/model", f"{folder}/bare.zarr", last=YEARS[2])
        tiling = bare.product.tiling
        whole = replace(
            bare.product,
            url=f"{folder}/product.zarr",
            coarse=CoarseCells.of(cube.grid, DEFAULT_STEP, tile=tiling.tile),
            overviews=Overviews.over(tiling),
        )
        tiles = bare.geometry.tiles
        whole.create(cube, title="benchmark", models=bare.models, tiles=len(tiles))

        # The first year compiles the kernels and reads static inputs: only the second one counts.
        tile_years = TileYears(bare)
        infer_year(tile_years, step=0)
        seconds = -time.process_time()
        infer_year(tile_years, step=1)
        seconds += time.process_time()

        maps = {tile: map_of(bare.product, tile) for tile in tiles}
        rounds = [
            [seconds_to_write(product, maps) for product in (bare.product, whole)]
            for _ in range(ROUNDS + 1)
        ]
        without, with_companions = (min(column) for column in zip(*rounds[1:], strict=True))
        n_bytes = {}
        for array in whole.layout.arrays(next(iter(whole.units(tiles, [YEARS[2]])))):
            n_bytes[array] = bytes_below(Path(whole.url, array, "c"))
    return Measured(seconds, with_companions - without, n_bytes)


def infer_year(tile_years: TileYears, *, step: int) -> None:
    """Predict and reduce every tile, as the engine does on one worker."""
    geometry = tile_years.geometry
    strips = {}
    for tile in geometry.tiles:
        nothing = [None] * len(geometry.around(tile))
        _, strips[tile] = tile_years.predict(tile, 0, step, *nothing)
    for tile in geometry.tiles:
        arrivals = geometry.inbound(tile)
        tile_years.reduce(tile, 0, step, *(strips[a.source][a.index] for a in arrivals))


def map_of(product: Product, tile: Tile) -> TileMap:
    """What was inferred of a tile in the second year."""
    box = product.tiling.tile_box(tile)
    last = YEARS[2]
    return TileMap(product.read(YEAR, box), product.read(last, box), product.confidence(last, tile))


def seconds_to_write(product: Product, maps: dict[Tile, TileMap]) -> float:
    """Processor seconds to write the second year."""
    started = time.process_time()
    for tile, (prior, classes, confidence) in maps.items():
        product.write(YEARS[2], tile, classes, confidence, prior=prior)
    return time.process_time() - started


def bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
