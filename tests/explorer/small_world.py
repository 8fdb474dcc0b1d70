"""A product of a few thousand cells with everything that the explorer shows, and its cube."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.cube.schema import NativeLayout, create_native
from luray.product.coarse_cells import CoarseCells
from luray.product.create import create_product
from luray.product.dimensions import ProductDims
from luray.product.overviews import NO_OVERVIEWS, Overviews, halve
from luray.storage.arrays import consolidate

GRID = Grid(49.0, 1.0, 0.05, 80, 120)
YEARS = tuple(range(1990, 2015))
OBSERVED = (1996, 2005)
SCENARIOS = ("ssp126", "ssp585")
MEMBERS = 2
TILE = 40
COARSE = CoarseCells.of(GRID, 0.25, tile=TILE)
LAND_TILES = {"rows": 2, "cols": 3, "land": [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]}
FINGERPRINT = "cd" * 32
SHARES = (
    Variable("crops", "forcing", "1", "crops", classes=(22,)),
    Variable("people", "forcing", "km-2", "people"),
    Variable("wood", "forcing", "1", "wood", classes=(44,)),
)


def class_maps() -> np.ndarray:
    """Class indices, shape (scenario, member, year, lat, lon).

    Scenarios part after the observed years, members differ where nothing is observed.
    """
    rows, cols = np.mgrid[: GRID.n_lat, : GRID.n_lon]
    terrain = np.sin(rows / 9) + np.cos(cols / 13 + rows / 21) + 0.4 * np.sin(cols / 4 - rows / 5)
    sea = (cols < 14 + 6 * np.sin(rows / 8)) | (terrain < -1.9)
    sea |= (rows >= TILE) & (cols >= 2 * TILE)  # a tile without land, which is not stored
    shape = (len(SCENARIOS), MEMBERS, len(YEARS), *GRID.shape)
    maps = np.empty(shape, np.uint8)
    for scenario, member, y in np.ndindex(shape[:3]):
        year = YEARS[y]
        shift = 0.02 * (year - YEARS[0])
        if year > OBSERVED[1]:
            shift += 0.08 * scenario * (year - OBSERVED[1])
        if not OBSERVED[0] <= year <= OBSERVED[1]:
            shift += 0.05 * member
        index = np.floor((terrain + shift + 2.4) * 1.6).astype(int) % 7
        maps[scenario, member, y] = np.where(sea, OUTSIDE, index)
    return maps


def confidence_of(maps: np.ndarray) -> np.ndarray:
    """Percent: 100 in observed years, 0 off land."""
    rows, cols = np.mgrid[: GRID.n_lat, : GRID.n_lon]
    percent = np.broadcast_to(40 + (rows * 7 + cols * 3) % 60, maps.shape).copy()
    for y, year in enumerate(YEARS):
        if OBSERVED[0] <= year <= OBSERVED[1]:
            percent[:, :, y] = 100
    percent[maps == OUTSIDE] = 0
    return percent.astype(np.uint8)


def write_product(
    place: Path, *, finished: bool = True, overviews: bool = True, members: int = MEMBERS
) -> None:
    """Write the product; one without members has the first of them alone."""
    create_empty(place, finished=finished, overviews=overviews, members=members)
    write_maps(place, overviews=overviews, members=members)
    if finished:
        consolidate_product(place, overviews=overviews)


def write_empty_product(place: Path, *, finished: bool = True, members: int = MEMBERS) -> None:
    """Write what the product says of itself, and none of its thousands of chunks."""
    create_empty(place, finished=finished, overviews=True, members=members)
    if finished:
        consolidate_product(place, overviews=True)


def create_empty(place: Path, *, finished: bool, overviews: bool, members: int) -> None:
    levels = Overviews(1, 1) if overviews else NO_OVERVIEWS
    origins = [1 if y < OBSERVED[0] else 2 if y > OBSERVED[1] else 0 for y in YEARS]
    create_product(
        str(place),
        grid=GRID,
        years=YEARS,
        origins=origins,
        tile=TILE,
        legend=HILDA,
        dims=ProductDims(SCENARIOS, members),
        coarse=COARSE,
        overviews=levels,
        attributes={
            "title": "A small world",
            "caveats": ["Its maps are sums of sines."],
            "luray": {
                "finished": finished,
                "fingerprint": "ab" * 32,
                "cube": FINGERPRINT,
                "scenarios": list(SCENARIOS),
                "members": members,
                "tile": TILE,
                "tiles": 6,
                "layout": 2,
                "overviews": asdict(levels),
            },
        },
    )


def write_maps(place: Path, *, overviews: bool, members: int) -> None:
    maps = class_maps()
    confidence = confidence_of(maps)
    if not members:
        maps, confidence = maps[:, 0], confidence[:, 0]
    root = zarr.open_group(str(place), mode="r+", use_consolidated=False)
    root["land_use"][:] = HILDA.decode(maps)
    root["confidence"][:] = confidence
    box = Box(0, 0, *GRID.shape)
    fractions = np.empty(root["fraction"].shape, np.float32)
    for position in np.ndindex(maps.shape[:-2]):
        fractions[position] = COARSE.fractions(maps[position], box=box, n_classes=len(HILDA))
        if overviews:
            halved, percent = halve(maps[position], confidence[position], len(HILDA))
            root["1/land_use"][position] = HILDA.decode(halved)
            root["1/confidence"][position] = percent
    root["fraction"][:] = fractions
    if members:
        shares = np.stack([(maps == k).mean(axis=1) for k in range(len(HILDA))], axis=2)
        root["class_probability"][:] = np.rint(100 * shares).astype(np.uint8)


def consolidate_product(place: Path, *, overviews: bool) -> None:
    if overviews:
        consolidate(str(place), path="1")
    consolidate(str(place))


def write_wide_product(place: Path) -> Grid:
    """Write one map of forest that has more chunks than are drawn at once, and no overviews."""
    grid = Grid(60.0, -20.0, 0.1, 9 * TILE, 9 * TILE)
    create_product(
        str(place),
        grid=grid,
        years=(2000,),
        origins=[0],
        tile=TILE,
        legend=HILDA,
        overviews=NO_OVERVIEWS,
        attributes={
            "title": "A wide world",
            "luray": {"finished": True, "fingerprint": "ef" * 32, "tile": TILE, "tiles": 81},
        },
    )
    root = zarr.open_group(str(place), mode="r+", use_consolidated=False)
    root["land_use"][:] = 44
    root["confidence"][:] = 100
    consolidate(str(place))
    return grid


def write_cube(place: Path) -> np.ndarray:
    """Write a cube with the scenario's shares alone; returns them, (scenario, year, variable, ...)."""
    native = Grid(GRID.north, GRID.west, 0.25, 16, 24)
    shape = (len(SCENARIOS), len(YEARS), len(SHARES), *native.shape)
    values = np.random.default_rng(3).random(shape).astype(np.float32)
    root = zarr.open_group(str(place), mode="w", zarr_format=3)
    parts = {}
    for scenario, of_scenario in zip(SCENARIOS, values, strict=True):
        path = f"forcing/luh2@{scenario}"
        create_native(
            root,
            f"luh2@{scenario}",
            role="forcing",
            grid=native,
            variables=SHARES,
            years=YEARS,
            layout=NativeLayout((16, 24), (16, 24)),
        )
        root[f"{path}/values"][:] = of_scenario
        root[path].attrs["title"] = "Shares"
        root[path].attrs["luray"] = {
            "role": "forcing",
            "years": list(YEARS),
            "held": [],
            "grid": asdict(native),
            "variables": [asdict(variable) for variable in SHARES],
        }
        parts[scenario] = [path]
    about = {"groups": {}, "parts": parts, "scenarios": list(SCENARIOS), "fingerprint": FINGERPRINT}
    root.attrs["luray"] = about
    consolidate(str(place))
    return values
