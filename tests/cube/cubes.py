"""Tiny predictor cubes on disk, of any legend, and the arrays that were put into them."""

from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import LandClass, Legend
from luray.core.legend_files import HILDA
from luray.core.variable import Variable
from luray.cube.cube import Cube
from luray.cube.schema import NativeLayout, create_native, create_state, state_path
from luray.storage.arrays import consolidate

YEARS = (2001, 2002, 2003)
HELD = ((2002, 2001),)
"""The climate of 2002 is that of 2001, stored once."""
LAYOUT = NativeLayout((7, 6), (14, 12))

COVER = Legend(
    name="three covers",
    classes=(
        LandClass(110, "trees", "#117733"),
        LandClass(210, "crops", "#ddcc77"),
        LandClass(5, "bare", "#bbbbbb"),
    ),
    aliases={111: 110},
    ocean=17,
    nodata=0,
)
"""A legend of another number of classes and other codes, in which 0 is no ocean."""

FORTY = Legend(
    name="forty covers",
    classes=tuple(
        LandClass(255 - 6 * k, f"cover_{k}", f"#{k:02x}{255 - k:02x}80") for k in range(40)
    ),
    ocean=0,
    nodata=1,
    water=255,
    variable="land_cover",
    long_name="land cover",
)
"""As many classes as any legend has that luray knows of, with codes up to 255."""

GLOBE = Grid(90, -180, 9, 20, 40)
REGION = Grid(52, 4, 0.5, 13, 17)

COARSE = (
    Variable("crops", "forcing", "1", "crops", classes=(22, 55, 210)),
    Variable("urban", "forcing", "1", "urban", resampling="bilinear", scale=0.5),
    Variable("people", "forcing", "km-2", "people", transform="log1p", scale=10.0),
    Variable("wood", "forcing", "1", "wood", classes=(44, 110)),
    Variable("young_wood", "forcing", "1", "young wood", classes=(44, 110)),
)
ZONES = (
    Variable("zone", "forcing", "1", "zone", dtype="uint8", categories=(1, 2, 3)),
    Variable("months", "forcing", "1", "dry months", dtype="uint8", scale=3.0),
)
RELIEF = (
    Variable("elevation", "static", "m", "elevation", dtype="int16", scale=1000.0),
    Variable(
        "slope", "static", "degree", "slope", dtype="int16", resampling="bilinear", scale=10.0
    ),
)

GROUND = (
    Variable("soil", "static", "1", "soil", dtype="int16", categories=(7, 3, 9)),
    Variable(
        "elevation",
        "static",
        "m",
        "elevation",
        dtype="int16",
        resampling="bilinear",
        transform="log1p",
    ),
    Variable(
        "slope", "static", "degree", "slope", dtype="int16", resampling="bilinear", scale=10.0
    ),
    Variable("rock", "static", "1", "rock", dtype="int16", categories=(1,)),
    Variable("wetness", "static", "1", "wetness", dtype="int16", scale=3.0),
)

NATIVE = {
    "globe": {
        "luh2": Grid(90, -180, 22.5, 8, 16),
        "koppen": Grid(90, -180, 10, 18, 36),
        "gebco": Grid(90, -180, 4, 45, 90),
    },
    "region": {
        "luh2": Grid(52.5, 3.75, 1.25, 7, 8),
        "koppen": Grid(53, 4, 0.75, 10, 12),
        "gebco": Grid(52.3, 3.9, 0.3, 24, 30),
    },
}
"""Native grids under each run grid; none is a whole multiple of it in every direction."""


@dataclass
class Made:
    """A cube, and what it was made of: codes (year, lat, lon), land, native values by source."""

    cube: Cube
    codes: np.ndarray
    land: np.ndarray
    values: dict[str, np.ndarray]
    native: dict[str, Grid]


def describe(role, grid, variables, years, *, caveat="", held=()):
    return {
        "title": "t",
        "doi": "",
        "licence": "",
        "rules": [],
        "caveat": caveat,
        "files": {},
        "luray": {
            "role": role,
            "years": years,
            "held": held,
            "grid": asdict(grid),
            "variables": [asdict(v) for v in variables],
        },
    }


def make_cube(url, kind, *, seed=0, tile=8, relief=RELIEF, legend=HILDA, coarse=None, gaps=False):
    """A cube on the `globe` or a `region`, with a forcing of two kinds and one static source.

    With `gaps` every other cell of the second map lacks a value, on land as well.
    """
    coarse = COARSE if coarse is None else coarse
    random = np.random.default_rng(seed)
    grid = GLOBE if kind == "globe" else REGION
    native = NATIVE[kind]

    known_codes = np.array([legend.ocean, *legend.codes], np.uint8)
    codes = random.choice(known_codes, (len(YEARS), *grid.shape))
    land = (codes != legend.ocean).all(axis=0)
    if gaps:
        codes[1, :, ::2] = legend.nodata
    values = {
        "luh2": random.random((len(YEARS), len(coarse), *native["luh2"].shape)).astype(np.float32),
        "koppen": random.integers(0, 4, (len(YEARS), 2, *native["koppen"].shape)).astype(np.uint8),
        "gebco": random.integers(-50, 4000, (len(relief), *native["gebco"].shape)).astype(np.int16),
    }
    for layer, variable in zip(values["gebco"], relief, strict=True):
        layer[:] = random.integers(0, 12, layer.shape) if variable.categories else layer
        layer[:] = np.abs(layer) if variable.transform == "log1p" else layer
    for year, stored_year in HELD:
        values["koppen"][YEARS.index(year)] = values["koppen"][YEARS.index(stored_year)]
    values["luh2"][random.random(values["luh2"].shape) < 0.1] = np.nan

    root = zarr.open_group(url, mode="w", zarr_format=3)
    create_state(root, grid=grid, years=YEARS, tile=tile, legend=legend)
    root[state_path(legend)][:] = codes
    root["state/land"][:] = land
    state = (Variable(legend.variable, "state", "1", legend.long_name, dtype="uint8"),)
    root["state"].attrs.update(describe("state", grid, state, YEARS))
    for name, variables, held in (
        ("luh2", coarse, ()),
        ("koppen", ZONES, HELD),
        ("gebco", relief, ()),
    ):
        role = variables[0].role
        stored = [y for y in YEARS if y not in dict(held)] if role == "forcing" else None
        create_native(
            root,
            name,
            role=role,
            grid=native[name],
            variables=variables,
            years=stored,
            layout=LAYOUT,
        )
        group = root[f"{role}/{name}"]
        group["values"][:] = (
            values[name] if stored is None else values[name][[YEARS.index(y) for y in stored]]
        )
        group.attrs.update(
            describe(
                role,
                native[name],
                variables,
                YEARS if stored else (),
                held=held,
                caveat="made up" if name == "luh2" else "",
            )
        )

    groups = {
        "hilda": "state",
        "luh2": "forcing/luh2",
        "koppen": "forcing/koppen",
        "gebco": "static/gebco",
    }
    root.attrs["luray"] = {
        "grid": asdict(grid),
        "legend": legend.to_attributes(),
        "fingerprint": "f" * 64,
        "groups": groups,
    }
    consolidate(url)
    return Made(Cube.open(url), codes, land, values, native)


def exact(grid):
    """A grid for `reference.resample`: (north, west, step, periodic, n_lat, n_lon) in fractions."""
    north, west, step = (Fraction(str(x)) for x in (grid.north, grid.west, grid.step))
    return north, west, step, step * grid.n_lon == 360, grid.n_lat, grid.n_lon
