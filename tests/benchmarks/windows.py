"""Windows read from a cube on native grids, against a plain Zarr loop over a stack upsampled to 1
km beforehand.

Both give the same arrays, to the bit: state codes, forcing and static channels as the model sees
them. The stack holds them ready in float32, so that its loop only reads, in chunks of a window's
size with Zarr's default codec. The walk does more: it ends with the first layer of a model of width
16, its convolution included.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy.ndimage import gaussian_filter

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.tiling import Box, Tiling
from luray.core.types import Bool
from luray.core.variable import Variable
from luray.cube.cube import Cube, Layer
from luray.cube.region import Region
from luray.cube.schema import create_native, create_state, native_layout
from luray.engine.inputs import TileInputs
from luray.engine.stem import Stem
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.sandbox.random_model import random_model
from luray.sources.base import STATE
from luray.sources.gebco import ELEVATION
from luray.sources.isimip import POPULATION
from luray.sources.koppen import CLIMATE
from luray.sources.luh2 import OPTIONAL, STATES
from luray.sources.pnnl import SOIL_VARIABLES, TOPO_VARIABLES
from luray.storage.arrays import consolidate
from luray.training.sample_reader import read_samples
from luray.training.sample_window import SampleWindow
from tests.benchmarks.ratio import Ratio, in_turn

SIDE = 2200
GRID = Grid(60, 0, 0.01, SIDE, SIDE)
YEARS = tuple(range(2000, 2012))
TILING = Tiling(SIDE, SIDE, window=256, stride=200, tile=2000)
LUH2 = tuple(Variable(s, "forcing", "1", s) for s in STATES if s not in OPTIONAL)
SOURCES: dict[str, tuple[float, tuple[Variable, ...]]] = {
    "luh2": (0.25, LUH2),
    "isimip": (0.5, (POPULATION,)),
    "koppen": (0.01, (CLIMATE,)),
    "gebco": (1 / 240, (ELEVATION,)),
    "pnnl_topo": (1 / 120, TOPO_VARIABLES),
    "pnnl_soil": (1 / 120, SOIL_VARIABLES),
}
"""Cell size in degrees and variables of the six inputs (LUH2 .. PNNL) under the run grid."""
N_SAMPLES = 24


def measure() -> Iterator[Ratio]:
    """Speed of a walk over a tile's years, of training samples, and bytes stored."""
    with tempfile.TemporaryDirectory() as folder:
        cube = write_cube(f"{folder}/cube.zarr")
        stack = write_stack(cube, f"{folder}/stack.zarr")
        for name, ours, plain, n, goal in (
            ("walk", walk, plain_walk, len(YEARS) * 100, 3),
            ("samples", samples, plain_samples, N_SAMPLES * 3, 2),
        ):
            _require_equal(ours(cube, check=True), plain(stack, check=True))
            fast, slow = in_turn(lambda f=ours: f(Cube.open(cube.url)), lambda f=plain: f(stack))  # type: ignore[misc]
            yield Ratio(
                f"window reads, {name}",
                slow / fast,
                goal,
                f"{n / fast:.0f} windows/s from the cube, {n / slow:.0f} from the stack",
            )
        native, fine = (
            _bytes(Path(folder) / path) for path in ("cube.zarr/forcing", "stack.zarr/forcing")
        )
        decoded = sum(zarr.open_array(f"{cube.url}/{layer.path}").nbytes for layer in cube.forcing)
        yield Ratio(
            "bytes of forcing, stored",
            fine / native,
            100,
            f"{native / 1e6:.1f} MB native, {fine / 1e6:.1f} MB at 1 km, as compressed on disk",
        )
        yield Ratio(
            "bytes of forcing, decoded",
            stack["forcing"].nbytes / decoded,
            100,
            f"{decoded / 1e6:.1f} MB native, {stack['forcing'].nbytes / 1e6:.1f} MB at 1 km",
        )


def walk(cube: Cube, *, check: bool = False) -> list[np.ndarray[Any, Any]]:
    """Give the first layer of a model every window of a tile in every year, as inference does.

    To `check`, give back the channels that go into it.
    """
    box = TILING.tile_box(next(TILING.tiles()))
    padded, seen = TILING.padded(box), []
    stem = Stem.of(frozen(random_model(cube.features, UNetConfig())), cube.features)
    windows = {core: TILING.window_box(core) for core in TILING.cores(box)}
    tile_inputs, region = TileInputs.of(cube, list(windows.values()), stem), Region(cube, padded)
    first_HWO = np.empty((TILING.window, TILING.window, len(stem.bias_O)), np.float32)
    for year in YEARS:
        codes = cube.state(year, padded)
        for core, window in windows.items():
            prior = np.ascontiguousarray(codes[window.slices(origin=padded)])
            tile_inputs.write_first_layer(
                first_HWO, [prior], window, year=year, prior_year=max(year - 1, YEARS[0])
            )
            if check and core.row == core.col:
                seen += prior, region.forcing(year, window), region.static(window)
    return seen


def plain_walk(stack: zarr.Group, *, check: bool = False) -> list[np.ndarray[Any, Any]]:
    """The same windows from the stack, one after the other."""
    seen = []
    for year in YEARS:
        for core in TILING.cores(TILING.tile_box(next(TILING.tiles()))):
            arrays = plain_window(stack, year, TILING.window_box(core))
            seen += arrays if check and core.row == core.col else []
    return seen


def samples(cube: Cube, *, check: bool = False) -> list[np.ndarray[Any, Any]]:
    """Read training samples: a window somewhere, three years of it."""
    seen = []
    for window in sample_windows():
        sample = read_samples(cube, [window])
        seen += [
            sample.maps_BTHW.numpy()[0],
            sample.forcing_BTLHW.numpy()[0],
            sample.static_BSHW.numpy()[0],
        ]
    return seen if check else []


def plain_samples(stack: zarr.Group, *, check: bool = False) -> list[np.ndarray[Any, Any]]:
    """The same samples from the stack."""
    seen = []
    for box, years, *_ in sample_windows():
        first, (rows, cols) = YEARS.index(years[0]), box.slices(origin=Box(0, 0, 0, 0))
        span = slice(first, first + len(years))
        seen += [
            stack["state"][span, rows, cols],
            stack["forcing"][span, :, rows, cols],  # type: ignore[index]
            stack["static"][:, rows, cols],
        ]  # type: ignore[index]
    return seen if check else []


def plain_window(stack: zarr.Group, year: int, window: Box) -> tuple[np.ndarray[Any, Any], ...]:
    """One window of the stack, the part inside the grid."""
    rows = slice(max(window.row, 0), window.row + window.height)
    cols = slice(max(window.col, 0), window.col + window.width)
    step = YEARS.index(year)
    return (
        stack["state"][step, rows, cols],
        stack["forcing"][step, :, rows, cols],
        stack["static"][:, rows, cols],
    )  # type: ignore[index,return-value]


def sample_windows() -> list[SampleWindow]:
    """Windows at random places and years, the same every time."""
    random = np.random.default_rng(1)
    corner = random.integers(0, SIDE - 256, (N_SAMPLES, 2)).tolist()
    first = random.choice(YEARS[:-2], N_SAMPLES).tolist()
    return [
        SampleWindow(Box(r, c, 256, 256), (y, y + 1, y + 2))
        for (r, c), y in zip(corner, first, strict=True)
    ]


def _require_equal(ours: list[np.ndarray[Any, Any]], plain: list[np.ndarray[Any, Any]]) -> None:
    assert len(ours) == len(plain) > 0
    for a, b in zip(
        ours, plain, strict=True
    ):  # the stack ends at the grid's edge, where the cube pads
        height, width = b.shape[-2:]
        assert np.array_equal(a[..., a.shape[-2] - height :, a.shape[-1] - width :], b)


def smooth(
    random: np.random.Generator, n: int, shape: tuple[int, int], scale: float
) -> np.ndarray[Any, Any]:
    """Fields (n, lat, lon) of unit variance that vary over `scale` cells."""
    fields = np.stack(
        [gaussian_filter(random.normal(size=shape), scale, mode="wrap") for _ in range(n)]
    )
    return fields / fields.std()


def write_cube(url: str, *, grid: Grid = GRID, land: Bool | None = None) -> Cube:
    """A cube with the six inputs: smooth, noisy at the scale of a cell, coarse states that sum to 1
    and drift.

    On a larger grid than `GRID` the fields repeat; without a mask all is `land`.
    """
    random = np.random.default_rng(0)
    root, groups = zarr.open_group(url, mode="w", zarr_format=3), {"hilda": "state"}
    land = np.ones(grid.shape, np.bool_) if land is None else land
    create_state(root, grid=grid, years=YEARS, tile=TILING.tile, legend=HILDA)
    relief = smooth(random, 1, GRID.shape, 12)[0]
    for step in range(len(YEARS)):
        codes = HILDA.codes[np.digitize(relief + 0.05 * step, (-1.5, -0.8, -0.2, 0.3, 1.0, 1.6))]
        root["state/land_use"][step : step + 1] = np.where(
            land, repeated(codes, grid.shape), HILDA.ocean
        )[None]  # type: ignore[index]
    root["state/land"][:] = land.astype(np.uint8)  # type: ignore[index]
    root["state"].attrs.update(describe((STATE,), grid, YEARS, {}))
    for name, (step_deg, variables) in SOURCES.items():
        n_lat, n_lon, n = (round(side * GRID.step / step_deg) for side in (*grid.shape, SIDE))
        native, role = Grid(grid.north, grid.west, step_deg, n_lat, n_lon), variables[0].role
        held = {year: YEARS[0] for year in YEARS[1:]} if name == "koppen" else {}
        years = [y for y in YEARS if y not in held] if role == "forcing" else None
        create_native(
            root,
            name,
            role=role,
            grid=native,
            variables=variables,
            years=years,
            layout=native_layout(native, variables, window=TILING.window * GRID.step),
        )
        groups[name] = path = f"{role}/{name}"
        values = _values(name, random, Grid(grid.north, grid.west, step_deg, n, n), variables)
        for step in range(len(years or (0,))):
            at, field = (
                (slice(step, step + 1),) if years else (),
                repeated(values(step), native.shape),
            )
            root[f"{path}/values"][(*at, ...)] = field[None] if years else field  # type: ignore[index]
        root[path].attrs.update(describe(variables, native, YEARS if years else (), held))
    root.attrs["luray"] = {
        "grid": asdict(grid),
        "legend": HILDA.name,
        "fingerprint": "benchmark",
        "groups": groups,
    }
    consolidate(url)
    return Cube.open(url)


def repeated(field: np.ndarray[Any, Any], shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """A field (..., lat, lon) over and over, cut to a shape."""
    times = (-(-n // m) for n, m in zip(shape, field.shape[-2:], strict=True))
    return np.tile(field, (*(1 for _ in field.shape[:-2]), *times))[..., : shape[0], : shape[1]]


def describe(
    variables: tuple[Variable, ...], grid: Grid, years: Sequence[int], held: dict[int, int]
) -> dict[str, Any]:
    """Attributes of a source in a cube, as a build writes them."""
    return {
        "title": "benchmark",
        "doi": "",
        "licence": "",
        "caveat": "",
        "rules": [],
        "luray": {
            "role": variables[0].role,
            "grid": asdict(grid),
            "years": list(years),
            "held": [list(pair) for pair in held.items()],
            "variables": [asdict(v) for v in variables],
        },
    }


def _values(
    name: str, random: np.random.Generator, grid: Grid, variables: tuple[Variable, ...]
) -> Callable[[int], np.ndarray[Any, Any]]:
    """Values (variable, lat, lon) of a source at a time step."""
    scale = {"luh2": 3, "isimip": 2, "koppen": 30, "gebco": 25}.get(name, 12)
    base, drift = (
        smooth(random, len(variables), grid.shape, scale),
        smooth(random, len(variables), grid.shape, scale),
    )
    noise = 0.05 * random.normal(size=base.shape)
    if name == "koppen":
        return lambda _: np.digitize(base, (-1, -0.3, 0.4, 1.2)).astype(np.uint8) + 1
    if name == "gebco":
        return lambda _: np.round(1000 * (base + noise)).astype(np.int16)
    if name == "isimip":
        return lambda step: np.exp(2 * base + 0.02 * step * drift + 3).astype(np.float32)
    if name == "luh2":

        def fractions(step: int) -> np.ndarray[Any, Any]:
            share = np.maximum(
                np.exp(2 * (base + 0.02 * step * drift)) - 0.5, 0
            )  # most cells lack most states
            return (share / share.sum(axis=0)).astype(np.float32)

        return fractions
    return lambda _: (base + noise).astype(np.float32)


def write_stack(cube: Cube, url: str) -> zarr.Group:
    """What the model sees of a cube, upsampled: state (year, lat, lon), forcing and static in
    float32.
    """
    root = zarr.open_group(url, mode="w", zarr_format=3)
    channels = _channels(cube.forcing), _channels(cube.static)
    years, square = len(YEARS), (SIDE, SIDE)
    state = root.create_array("state", shape=(years, *square), dtype="uint8", chunks=(1, 256, 256))
    forcing = root.create_array(
        "forcing",
        shape=(years, channels[0], *square),
        dtype="float32",
        chunks=(1, channels[0], 256, 256),
    )
    static = root.create_array(
        "static", shape=(channels[1], *square), dtype="float32", chunks=(channels[1], 256, 256)
    )
    for row in range(0, SIDE, 1024):
        for col in range(0, SIDE, 1024):
            box = Box(row, col, min(1024, SIDE - row), min(1024, SIDE - col))
            at, region = box.slices(origin=Box(0, 0, 0, 0)), Region(cube, box)
            static[(slice(None), *at)] = region.static(box)
            for step, year in enumerate(YEARS):
                forcing[(slice(step, step + 1), slice(None), *at)] = region.forcing(year, box)[None]
                state[(slice(step, step + 1), *at)] = cube.state(year, box)[None]
    return root


def _channels(layers: tuple[Layer, ...]) -> int:
    return sum(v.channels for layer in layers for v in layer.variables)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
