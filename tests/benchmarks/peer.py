"""MONAI's sliding_window_inference on the same region, everything in memory: what a user would take
instead.

The same folded model, the same inputs of a global run, probabilities averaged; each in processes of
its own. MONAI has random inputs that are there already; ours reads, writes and walks the years. The
best setting of MONAI is sought on a part of the region, one thing after the other.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from luray.core.grid import Grid
from luray.core.processes import MALLOC
from luray.core.types import U8, Bool
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.planning.land_mask import land_mask
from luray.sandbox.random_model import save_random_model
from tests.benchmarks.engine import CORES, REGION, STRIDE, WINDOW, Pace, paced
from tests.benchmarks.ratio import Ratio, alone
from tests.benchmarks.windows import YEARS, write_cube

PART = 2000, 3000
DEFAULT = {
    "roi": 256,
    "overlap": 64,
    "batch": 4,
    "mode": "constant",
    "layout": "channels_last",
    "threads": CORES,
    "malloc": "default",
}
"""Of MONAI, an overlap of a quarter; it has none for `roi` and `batch`: the window of training, and
a usual batch.
"""
OVERLAP = WINDOW - STRIDE
"""Of our windows, in cells."""
TRIED: dict[str, tuple[Any, ...]] = {
    "malloc": ("default", "kept"),
    "roi": (256, WINDOW),
    "batch": (1, 2, 4, 8),
    "threads": (1, CORES),
    "layout": ("channels_last", "channels_first"),
    "mode": ("constant", "gaussian"),
}
"""Settings of which the fastest is taken, each in turn, the others as they were found before; with
`malloc` kept, glibc keeps memory as in our workers.
"""


class Peer(NamedTuple):
    """Output cells a second and peak memory of MONAI."""

    cells: float
    peak_bytes: int


def measure() -> Iterator[Ratio]:
    """Cells a second on all land and on a region with as much land as the globe; memory, and how it
    grows.
    """
    with tempfile.TemporaryDirectory() as folder:
        cube = write_cube(f"{folder}/cube.zarr", grid=REGION)
        model, last = f"{folder}/model", YEARS[3]
        save_random_model(cube, "forward", UNetConfig(width=16, depth=3), model)
        best = best_setting(model)
        peer = monai(model, REGION.shape, best)
        ours = alone(paced, cube, model, f"{folder}/all.zarr", workers=CORES, last=last)
        cells = _cells(ours, REGION)
        yield Ratio(
            "cells/s over the best of MONAI, all land",
            cells / peer.cells,
            1.6,
            f"{cells / 1e6:.2f} ({_whole(ours, REGION) / 1e6:.2f} with start and static inputs) "
            f"and {peer.cells / 1e6:.2f} million/s; its "
            f"{', '.join(f'{k} {v}' for k, v in best.items())}",
        )
        yield Ratio(
            "peak memory of MONAI over ours",
            peer.peak_bytes / ours.peak_bytes,
            2,
            f"{peer.peak_bytes / 2**30:.1f} and {ours.peak_bytes / 2**30:.1f} GiB on 4,000 x 6,000 "
            "cells",
        )
        small = Grid(REGION.north, REGION.west, REGION.step, 4000, 4000)
        fewer = alone(
            paced,
            write_cube(f"{folder}/small.zarr", grid=small),
            model,
            f"{folder}/few.zarr",
            workers=CORES,
            last=last,
        )
        yield Ratio(
            "our peak memory, two thirds of the region over all",
            fewer.peak_bytes / ours.peak_bytes,
            0.9,
            f"{fewer.peak_bytes / 2**30:.1f} and {ours.peak_bytes / 2**30:.1f} GiB",
        )
        mask, where = typical_land()
        masked = write_cube(f"{folder}/masked.zarr", grid=REGION, land=mask)
        ours = alone(paced, masked, model, f"{folder}/land.zarr", workers=CORES, last=last)
        usual = monai(model, PART, DEFAULT)
        cells = _cells(ours, REGION)
        yield Ratio(
            "cells/s over the default of MONAI, real land mask",
            cells / usual.cells,
            4,
            f"{cells / 1e6:.2f} ({_whole(ours, REGION) / 1e6:.2f} with start and static inputs) "
            f"and {usual.cells / 1e6:.2f} million/s; {where}, {mask.mean():.0%} land",
        )


def best_setting(model: str) -> dict[str, Any]:
    """The fastest setting of MONAI on `PART`."""
    best = {**DEFAULT, "overlap": OVERLAP}
    for name, values in TRIED.items():
        cells = {value: monai(model, PART, {**best, name: value}).cells for value in values}
        best[name] = max(values, key=lambda value: cells[value])
    return best


def _cells(pace: Pace, grid: Grid) -> float:
    """Output cells a second, ocean included, once static inputs are kept."""
    return pace.warm / pace.windows_a_year * grid.n_lat * grid.n_lon


def _whole(pace: Pace, grid: Grid) -> float:
    """The same of the whole run."""
    return pace.windows / pace.seconds / pace.windows_a_year * grid.n_lat * grid.n_lon


def typical_land() -> tuple[Bool, str]:
    """Return the real land mask of a region whose share of land is nearest to that of the globe.

    Regions have 40 x 60 degrees. The mask is on the cells of `REGION`, and comes with the region's
    name.
    """
    land = np.unpackbits(land_mask(), axis=1)
    share_of_globe = _share(land)

    # 120 cells of the mask a degree
    regions = {}
    for row, col in product(range(4), range(6)):
        regions[row, col] = land[row * 4800 : (row + 1) * 4800, col * 7200 : (col + 1) * 7200]

    def difference(place: tuple[int, int]) -> float:
        return abs(_share(regions[place]) - share_of_globe)

    row, col = min(regions, key=difference)
    mask_rows = np.arange(REGION.n_lat) * 6 // 5
    mask_cols = np.arange(REGION.n_lon) * 6 // 5
    is_land: Bool = regions[row, col][np.ix_(mask_rows, mask_cols)] == 1

    north = 90 - row * 40
    west = col * 60 - 180
    return is_land, f"{north - 40} to {north} N, {west} to {west + 60} E"


def _share(land: U8) -> float:
    """Share of ones in every tenth row and column."""
    return float(land[::10, ::10].mean())


def monai(model: str, shape: tuple[int, int], setting: dict[str, Any]) -> Peer:
    """Run MONAI in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.peer", model, json.dumps([shape, setting])],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **(MALLOC if setting["malloc"] == "kept" else {})},
    )
    return Peer(*json.loads(done.stdout.splitlines()[-1]))


def main(folder: str, about: str) -> None:
    """Infer a region once with MONAI; prints cells a second and the peak memory of this process."""
    from monai.inferers import sliding_window_inference

    shape, setting = json.loads(about)
    torch.set_num_threads(setting["threads"])
    loaded, card = load_model(folder)
    model = frozen(loaded)
    channels = len(card.channels)
    inputs = (
        torch.rand(1, *shape, channels).permute(0, 3, 1, 2)
        if setting["layout"] == "channels_last"
        else torch.rand(1, channels, *shape)
    )
    with torch.inference_mode():
        model(inputs[..., : setting["roi"], : setting["roi"]])
        started = time.perf_counter()
        out = sliding_window_inference(
            inputs,
            (setting["roi"], setting["roi"]),
            setting["batch"],
            lambda x: model(x).softmax(dim=1),
            overlap=setting["overlap"] / setting["roi"],
            mode=setting["mode"],
        )
        seconds = time.perf_counter() - started
    assert tuple(out.shape[-2:]) == tuple(shape)  # type: ignore[union-attr]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([shape[0] * shape[1] / seconds, peak]))


if __name__ == "__main__":
    main(*sys.argv[1:3])
