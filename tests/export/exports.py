"""Small finished products with their cube, to be exported, and what was put into them."""

from dataclasses import dataclass

import numpy as np
import zarr

from luray.catalog.finished import read_finished
from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.variable import Variable
from luray.cube.cube import Cube
from luray.cube.schema import NativeLayout, create_native, create_state
from luray.export.folder import ExportFolder
from luray.export.job import ExportJob
from luray.export.selection import region_of
from luray.product.dimensions import ONE_MAP
from luray.product.trajectories import Span
from luray.sources.koppen import CLIMATE
from luray.sources.luh2 import STATES
from luray.stages.config import RunConfig
from luray.stages.export import product_maps
from luray.stages.run_file import load_run
from luray.storage.arrays import consolidate
from tests.cube.cubes import describe
from tests.product.products import created, fill

SPAN = Span(2000, 2003, (2001, 2002))
FINE = Grid(36, 23, 0.05, 20, 30)
"""4 x 6 coarse cells of 5 x 5 fine ones."""
BLOCK = 5
TWELVE = tuple(state for state in STATES if state != "pltns")
RUN = """
name = "small"
title = "A small world"
output = "{output}"
[grid]
north = 36.0
west = 23.0
step = 0.05
shape = [20, 30]
[[sources]]
kind = "hilda"
path = "nowhere"
[tiling]
window = 8
stride = 4
tile = 8
[model]
width = 4
depth = 2
[training]
years = [2001, 2002]
[inference]
years = [2000, 2003]
observed = [2001, 2002]
"""


@dataclass
class SmallWorld:
    """A run whose product is finished, and what its forcing has."""

    run: RunConfig
    codes: np.ndarray
    """Of the product, (..., year, lat, lon)."""
    weights: np.ndarray
    """Of the states, (year, state, lat, lon) on the coarse cells."""
    states: tuple[str, ...]
    zones: np.ndarray
    """Climate groups of the fine cells."""


def small_world(folder, *, states=TWELVE, dims=ONE_MAP, legend=HILDA, climate=True, finish=True):
    """A product of random maps. `states` are those of its forcing, none for no forcing."""
    random = np.random.default_rng(5)
    (folder / "run.toml").write_text(RUN.format(output=folder / "out"))
    run = load_run(folder / "run.toml")
    native = Grid(FINE.north, FINE.west, 0.25, 4, 6)
    weights = random.random((len(SPAN.years), len(states), *native.shape)).astype(np.float32)
    if states:
        # the forcing has no forest in one cell, no crops anywhere in the last year, and a gap
        forest = [i for i, state in enumerate(states) if STATES[state].codes == (44,)]
        crops = [i for i, state in enumerate(states) if STATES[state].codes == (22,)]
        weights[:, forest, 1, 2] = 0
        weights[-1, crops] = 0
        weights[:, :, 2, 3] = np.nan
    zones = random.integers(0, 6, FINE.shape).astype(np.uint8)
    cube = _cube(run.cube, weights, states, native, zones, legend=legend, climate=climate)

    product = created(cube, run.product, span=SPAN, dims=dims, tiles=12)
    fill(product)
    if finish:
        product.finish()
    codes = zarr.open_group(run.product, mode="r")[legend.variable][:]
    return SmallWorld(run, codes, weights, states, zones)


def _cube(url, weights, states, native, zones, *, legend, climate):
    years = tuple(SPAN.years)
    root = zarr.open_group(url, mode="w", zarr_format=3)
    create_state(root, grid=FINE, years=years, tile=8, legend=legend)
    root[f"state/{legend.variable}"][:] = legend.codes[0]
    root["state/land"][:] = 1
    state = (Variable(legend.variable, "state", "1", legend.long_name, dtype="uint8"),)
    root["state"].attrs.update(describe("state", FINE, state, years))
    groups = {"hilda": "state"}
    layout = NativeLayout((4, 6), (4, 6))
    if states:
        variables = [Variable(s, "forcing", "1", s, classes=STATES[s].codes) for s in states]
        create_native(
            root,
            "luh2",
            role="forcing",
            grid=native,
            variables=variables,
            years=years,
            layout=layout,
        )
        root["forcing/luh2/values"][:] = weights
        root["forcing/luh2"].attrs.update(describe("forcing", native, variables, years))
        groups["luh2"] = "forcing/luh2"
    if climate:
        layout = NativeLayout((20, 30), (20, 30))
        create_native(
            root,
            "koppen",
            role="forcing",
            grid=FINE,
            variables=[CLIMATE],
            years=years,
            layout=layout,
        )
        root["forcing/koppen/values"][:] = np.broadcast_to(zones, (len(years), 1, *zones.shape))
        root["forcing/koppen"].attrs.update(describe("forcing", FINE, [CLIMATE], years))
        groups["koppen"] = "forcing/koppen"
    root.attrs["luray"] = {
        "grid": {
            "north": FINE.north,
            "west": FINE.west,
            "step": FINE.step,
            "n_lat": 20,
            "n_lon": 30,
        },
        "legend": legend.to_attributes(),
        "fingerprint": "f" * 64,
        "groups": groups,
    }
    consolidate(url)
    return Cube.open(url)


def naive_fraction(codes, wanted):
    """Share of the coarse cells that has one of some codes, by area, (4, 6)."""
    shares = np.zeros((4, 6))
    for y in range(4):
        for x in range(6):
            area = 0.0
            for row in range(y * BLOCK, (y + 1) * BLOCK):
                for col in range(x * BLOCK, (x + 1) * BLOCK):
                    cell = FINE.cell_area[row]
                    area += cell
                    shares[y, x] += cell * (codes[row, col] in wanted)
            shares[y, x] /= area
    return shares


def naive_transition(before, after, origins, targets):
    """Share of the coarse cells that goes from some codes to others, (4, 6)."""
    moved = np.isin(before, origins) & np.isin(after, targets)
    return naive_fraction(moved.astype(np.uint8), [1])


def job_of(world, place, *, form="luh2", years=SPAN.years, bounds=None, step=0.25, split="auto"):
    """What a writer is given, without the stage around it."""
    cube = Cube.open(world.run.cube)
    maps = product_maps(read_finished(world.run.product), cube).series()
    region = region_of(FINE, step=step, bounds=bounds)
    folder = ExportFolder(str(place), {"form": form, "years": list(years), "bounds": bounds})
    return ExportJob(form, maps, region, tuple(years), folder, cube, split)
