"""Peak memory of `luray build` on a grid and on one of 16 times as many cells: bounded by the
shard, not by the grid.

Every piece is written in turn in a process of its own, as one worker would; what Ray adds is the
same for both.
"""

import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.tiling import Tiling
from luray.cube.build import create, write_piece
from luray.cube.finish import finish
from luray.cube.plan import BuildPlan, batches, plan_build
from luray.planning.build import worker_memory
from luray.sources.base import Request
from luray.sources.gebco import GebcoConfig
from luray.sources.hilda import HildaConfig
from luray.sources.koppen import KoppenConfig
from luray.sources.luh2 import OPTIONAL, STATES, Luh2Config
from luray.sources.pnnl import SOIL, TOPOGRAPHY, PnnlSoilConfig, PnnlTopoConfig
from tests.benchmarks.ratio import Ratio
from tests.sources.writers import axes, write_nc, write_tif

SIDE = 1600
"""Cells of the smaller grid along an axis; the larger has four times as many."""
YEARS = range(2000, 2003)
LAYERS = 10


def measure() -> Iterator[Ratio]:
    """Peak resident memory of the smaller build over that of the larger, and of the bound that the
    plan states.
    """
    peaks, bounds = [], []
    for times in (1, 4):
        with (
            tempfile.TemporaryDirectory() as folder,
            ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        ):
            grid = Grid(60, 0, 0.01, SIDE * times, SIDE * times)
            write_inputs(Path(folder), grid)
            peak, bound = pool.submit(peak_of_build, folder, grid).result()
            peaks.append(peak)
            bounds.append(bound)
    told = ", ".join(
        f"{peak / 2**20:.0f} MiB on {times}x (planned {bound / 2**20:.0f})"
        for times, peak, bound in zip((1, 16), peaks, bounds, strict=True)
    )
    yield Ratio("memory of build, 1x over 16x cells", peaks[0] / peaks[1], 0.85, told)
    yield Ratio("memory of build, planned over peak", bounds[1] / peaks[1], 1, told)


def peak_of_build(folder: str, grid: Grid) -> tuple[int, int]:
    """Build a cube in this process; its peak resident memory and the bound of the plan, in bytes."""
    plan = plan_of(folder, grid)
    create(plan)
    for phase in plan.pieces():
        for batch in batches(phase):
            for piece in batch:
                write_piece(plan, piece)
    finish(plan)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024, worker_memory(
        plan
    )  # ru_maxrss would be that of the parent


def plan_of(folder: str, grid: Grid) -> BuildPlan:
    """The plan of a cube of the files in a folder."""
    configs = (
        HildaConfig(kind="hilda", path=f"{folder}/hilda"),
        Luh2Config(kind="luh2", path=f"{folder}/luh2"),
        KoppenConfig(kind="koppen", path=f"{folder}/koppen"),
        GebcoConfig(kind="gebco", path=f"{folder}/gebco"),
        PnnlTopoConfig(kind="pnnl_topo", path=f"{folder}/topo"),
        PnnlSoilConfig(kind="pnnl_soil", path=f"{folder}/soil"),
    )
    sources = [config.open(Request(YEARS, "ssp245", grid=grid)) for config in configs]
    tiling = Tiling(*grid.shape, window=256, stride=200, tile=800)
    return plan_build(f"{folder}/cube.zarr", grid=grid, tiling=tiling, sources=sources)


def write_inputs(folder: Path, grid: Grid) -> None:
    """Files with the real names under a grid, at the real resolutions; LUH2 always of the whole
    globe.
    """
    random = np.random.default_rng(0)

    def field(native: Grid, *lead: int, dtype: str = "float32") -> np.ndarray:
        coarse = random.random((*lead, *(-(-n // 8) for n in native.shape))) * 90
        return np.kron(coarse, np.ones((8, 8)))[..., : native.n_lat, : native.n_lon].astype(dtype)

    for year in YEARS:
        codes = HILDA.codes[field(grid, dtype="uint8") % len(HILDA)]
        write_tif(
            folder / f"hilda/hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif",
            codes,
            north=grid.north,
            west=grid.west,
            step=grid.step,
        )
    write_tif(
        folder / "koppen/1991_2020/koppen_geiger_0p01.tif",
        field(grid, dtype="uint8") % 30 + 1,
        north=grid.north,
        west=grid.west,
        step=grid.step,
    )
    globe = Grid(90, -180, 0.25, 720, 1440)
    share = np.full((3, *globe.shape), 1 / 12, np.float32)
    time = (("time",), np.arange(1150.0, 1153.0), {"units": "years since 850-01-01 0:0:0"})
    write_nc(
        folder / "luh2/states.nc",
        {"time": time, **axes(globe)}
        | {
            name: (("time", "lat", "lon"), share, {"units": "1"})
            for name in STATES
            if name not in OPTIONAL
        },
    )
    write_nc(
        folder / "luh2/staticData_quarterdeg.nc",
        {
            **axes(globe),
            "icwtr": (("lat", "lon"), np.zeros(globe.shape, np.float32), {"units": "1"}),
        },
    )
    fine = Grid(grid.north, grid.west, 1 / 240, *(round(n * 2.4) for n in grid.shape))
    write_nc(
        folder / "gebco/GEBCO_2023.nc",
        {
            **axes(fine, ascending=True),
            "elevation": (("lat", "lon"), field(fine, dtype="int16"), {"units": "m"}),
        },
    )
    pnnl = Grid(grid.north, grid.west, 1 / 120, *(round(n * 1.2) for n in grid.shape))
    units = {"ELEVATION": "m", "STDEV_ELEV": "m", "SLOPE": "degrees", "ASPECT": "degrees"}
    write_nc(
        folder / "topo/topography.nc",
        {**axes(pnnl)}
        | {
            name: (("lat", "lon"), field(pnnl) / 90, {"units": units.get(name, "1")})
            for name in TOPOGRAPHY
        },
    )
    write_nc(
        folder / "soil/soil.nc",
        {**axes(pnnl)}
        | {
            name: (
                ("layer", "lat", "lon"),
                field(pnnl, LAYERS),
                {"units": "kg/m3" if name == "ORGANIC" else "%"},
            )
            for name in SOIL
        },
    )
