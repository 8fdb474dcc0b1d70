"""Evaluation of 15 years of 4,000 x 6,000 cells beside a plain NumPy pass over the same maps.

Both read the same stores and score the same years against the maps as they are and without their
flicker. The plain pass holds whole maps in memory and makes one thing of them: the area by initial,
true and predicted class, from which the four scores follow. The evaluation makes all of its sums,
band by band. Time is that of the processor, which other work on the machine changes little.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.core.types import F64, U8
from luray.evaluation.deflicker import deflicker
from luray.product.comparison import Comparison, merge_bands
from luray.stages.compare import open_maps
from luray.storage.arrays import consolidate
from tests.benchmarks.ratio import Ratio, alone
from tests.viz.pictures import write_product

GRID = Grid(60, 0, 0.01, 4000, 6000)
YEARS = range(2000, 2016)
CHANGE = 0.01
"""Share of the land that changes in a year, observed or predicted."""

TIME_GOAL = 1.5
"""Most time, of that of the plain pass."""

MEMORY_GOAL = 5
"""Most memory, of the bytes of one band's maps of all years."""


class Measured(NamedTuple):
    """What a pass took, and the area by class of the last year against the maps as they are."""

    seconds: float
    peak_bytes: int
    table_KKK: F64


def measure() -> Iterator[Ratio]:
    """Time beside the plain pass, and memory beside the maps of a band."""
    with tempfile.TemporaryDirectory() as folder:
        reference = f"{folder}/reference.zarr"
        product = f"{folder}/product.zarr"
        alone(write_maps, reference, seed=1)
        alone(write_maps, product, seed=2)
        plain = alone(plain_pass, product, reference)
        evaluated = alone(evaluation, product, reference)

    assert np.array_equal(plain.table_KKK, evaluated.table_KKK), "both score the same cells"
    times = evaluated.seconds / plain.seconds
    yield Ratio(
        "time allowed for an evaluation",
        TIME_GOAL / times,
        1,
        f"{evaluated.seconds:.1f} s of a core, {times:.2f} times the {plain.seconds:.1f} s of a "
        f"plain NumPy pass, {TIME_GOAL} allowed",
    )
    n_rows, n_cols = band_shape(GRID.shape)
    band_bytes = len(YEARS) * n_rows * n_cols
    yield Ratio(
        "memory allowed for it",
        MEMORY_GOAL * band_bytes / evaluated.peak_bytes,
        1,
        f"{evaluated.peak_bytes / 1e6:.0f} MB beyond the program itself, {MEMORY_GOAL} times the "
        f"{band_bytes / 1e6:.0f} MB of a band's maps allowed; {plain.peak_bytes / 1e6:.0f} MB by the "
        "plain pass",
    )


def band_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a band of a grid, as `Comparison.bands` cuts it."""
    return min(500, shape[0]), shape[1]


def write_maps(url: str, *, seed: int) -> None:
    """Write patches of 20 x 20 cells, of which a few cells change every year; a part is sea."""
    n_lat, n_lon = GRID.shape
    patches = np.random.default_rng(0).integers(0, len(HILDA.codes), (n_lat // 20, n_lon // 20))
    patches[:, : n_lon // 100] = OUTSIDE
    classes = patches.astype(np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    land = classes != OUTSIDE

    random = np.random.default_rng(seed)
    codes = np.empty((len(YEARS), *GRID.shape), np.uint8)
    for number in range(len(YEARS)):
        codes[number] = HILDA.decode(classes)
        changes = land & (random.random(GRID.shape, np.float32) < CHANGE)
        classes = classes.copy()
        classes[changes] = random.integers(0, len(HILDA.codes), np.count_nonzero(changes))
    write_product(
        url, codes, grid=GRID, years=YEARS, origins=[0] * len(YEARS), confidence=0, tile=2000
    )
    root = zarr.open_group(url, mode="r+")
    about = {"finished": True, "fingerprint": "f" * 64, "tiles": 2 * 3}
    root.attrs.update({"grid": asdict(GRID), "luray": about})
    consolidate(url)


def plain_pass(product: str, reference: str) -> Measured:
    """Read whole maps and count, as one would without this package."""
    start = time.process_time()
    before = peak_bytes()
    truth = zarr.open_group(reference, mode="r")["land_use"]
    predicted = zarr.open_group(product, mode="r")["land_use"]
    maps = np.stack([HILDA.encode(truth[number]) for number in range(len(YEARS))])  # type: ignore[index,arg-type]
    calm = deflicker(maps)
    area_HW = np.repeat(np.rint(GRID.cell_area)[:, None], GRID.n_lon, axis=1)
    table_KKK = np.zeros(0)
    for number in range(1, len(YEARS)):
        forecast: U8 = HILDA.encode(predicted[number])  # type: ignore[index,arg-type]
        for target in (calm[number], maps[number]):
            table_KKK = plain_table(maps[0], target, forecast, area_HW)
    return Measured(time.process_time() - start, peak_bytes() - before, table_KKK)


def plain_table(initial: U8, truth: U8, predicted: U8, area_HW: F64) -> F64:
    """Area by initial, true and predicted class."""
    n_classes = len(HILDA)
    known = (initial != OUTSIDE) & (truth != OUTSIDE) & (predicted != OUTSIDE)
    bin_N = (initial[known].astype(np.int64) * n_classes + truth[known]) * n_classes
    bin_N += predicted[known]
    sums = np.bincount(bin_N, weights=area_HW[known], minlength=n_classes**3)
    table_KKK: F64 = sums.reshape((n_classes,) * 3).astype(np.float64)
    return table_KKK


def evaluation(product: str, reference: str) -> Measured:
    """Score all years band by band, as `luray evaluate --product --reference` does in its workers."""
    small = Comparison.of(open_maps(product), open_maps(reference), start=YEARS[0])
    small.tally(Box(0, 0, 25, 25))  # compiles, or reads what is compiled
    start = time.process_time()
    before = peak_bytes()
    comparison = Comparison.of(open_maps(product), open_maps(reference), start=YEARS[0])
    raw, _ = merge_bands(map(comparison.tally, comparison.bands))
    table_KKK = raw.years[YEARS[-1]].table
    return Measured(time.process_time() - start, peak_bytes() - before, table_KKK)


def peak_bytes() -> int:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
