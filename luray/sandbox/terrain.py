"""The unchanging side of the simulated world: coast, relief, lakes, soils, climate and towns.

All fields are on the fine grid, shape (lat, lon), north first. Large features scale with the world,
so that a small world has a coast, mountains and towns as a large one has; fine detail ends at the
cell.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from luray.core.grid import Grid
from luray.core.types import F32, I32, Bool

F64 = NDArray[np.float64]

SEA_SHARE = 0.3
"""Share of the world under the sea before islands rise and ponds are drained."""

LAKE_SHARE = 0.012
"""Share of the land that is hollow and wet enough for lakes; about half of it becomes one."""


@dataclass(frozen=True)
class Town:
    """A town: its centre as fine row and column, and the radius it reaches in the end, in cells."""

    row: int
    col: int
    radius: float
    boom: int
    """Year of its fastest growth."""


@dataclass(frozen=True)
class Terrain:
    """What does not change in the 251 years; all arrays of shape (lat, lon)."""

    grid: Grid
    land: Bool
    """Land and inland water, what HILDA+ does not code as ocean."""
    lake: Bool
    elevation: F32
    """Metres; negative in the sea."""
    slope: F32
    """Degrees."""
    coast: F32
    """Distance from the sea in cells, 0 at sea."""
    temperature: F32
    """Annual mean in the middle of the 20th century, degrees Celsius."""
    rain: F32
    """Annual precipitation in mm."""
    sand: F32
    """Per cent of the soil's mass."""
    clay: F32
    """Per cent of the soil's mass."""
    towns: tuple[Town, ...]

    @property
    def soil(self) -> Bool:
        """Cells whose land use can change: land that is no lake."""
        return self.land & ~self.lake


def make_terrain(grid: Grid, rng: np.random.Generator) -> Terrain:
    """A coast, mountains, lakes, soils, climate and towns on `grid`, which must be at least 50 x 50
    cells.
    """
    land = _coastline(grid.shape, rng)
    coast = ndimage.distance_transform_edt(land).astype(np.float32)
    elevation = _relief(land, coast, rng)
    lake = _lakes(elevation, coast, rng)
    elevation = _flood(elevation, lake)
    slope = slope_and_aspect(elevation, cell=grid.step)[0]
    temperature, rain = _climate(grid, elevation, coast, rng)
    sand, clay = _soil(slope, rain, rng)
    towns = _towns(land & ~lake, elevation, slope, coast, lake, rng)
    return Terrain(grid, land, lake, elevation, slope, coast, temperature, rain, sand, clay, towns)


def fractal(
    shape: tuple[int, int], rng: np.random.Generator, *, roughness: float, scale: float
) -> F32:
    """Noise with a power-law spectrum, zero mean and unit spread, shape `shape`.

    `scale` is the longest wavelength as a share of the world's longer side; power falls with
    frequency to the power of `roughness` (2 is rugged, 4 is smooth). The noise is cut from a larger
    torus, so that opposite edges differ.
    """
    side = fft.next_fast_len(int(1.3 * max(shape)), real=True)
    frequency = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None]) * max(shape) * scale
    power = (1 + frequency**2) ** (-roughness / 2)
    power[0, 0] = 0
    white = fft.rfft2(rng.standard_normal((side, side), np.float32))
    noise = fft.irfft2(white * np.sqrt(power).astype(np.float32), s=(side, side))[
        : shape[0], : shape[1]
    ]
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def slope_and_aspect(elevation: F32, *, cell: float) -> tuple[F32, F32]:
    """Slope in degrees and aspect (degrees clockwise from north, downhill) of a height field in
    metres.

    `cell` is the cell size in degrees; cells are taken as squares, good to 30 % at the sandbox's
    latitudes.
    """
    north, east = np.gradient(elevation, 111_195.0 * cell)
    slope = np.degrees(np.arctan(np.hypot(north, east)))
    aspect = np.degrees(np.arctan2(-east, north)) % 360
    return slope.astype(np.float32), aspect.astype(np.float32)


def _axes(shape: tuple[int, int]) -> tuple[F32, F32]:
    """Relative position of every cell: 0 north to 1 south, and 0 west to 1 east."""
    v = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) / shape[0]
    u = (np.arange(shape[1], dtype=np.float32)[None] + 0.5) / shape[1]
    return np.broadcast_to(v, shape), np.broadcast_to(u, shape)


def _coastline(shape: tuple[int, int], rng: np.random.Generator) -> Bool:
    """A continent in the north-east with bays, and up to three islands off its coast."""
    v, u = _axes(shape)
    height = 3.0 * u - 1.8 * v + fractal(shape, rng, roughness=3.2, scale=0.45)
    land = height > np.quantile(height, SEA_SHARE)
    land = _without_ponds(_without_specks(land))
    offshore = ndimage.distance_transform_edt(~land) / max(shape)
    inside = np.minimum(np.minimum(v, 1 - v), np.minimum(u, 1 - u))
    ragged = fractal(shape, rng, roughness=2.6, scale=0.15)
    for _ in range(3):
        berth = (offshore > 0.07) & (offshore < 0.2) & (inside > 0.08)
        if not berth.any():
            break
        row, col = np.argwhere(berth)[rng.integers(berth.sum())]
        radius = rng.uniform(0.025, 0.05)
        away = np.hypot(
            (v - v[row, col]) * shape[0] / max(shape), (u - u[row, col]) * shape[1] / max(shape)
        )
        land |= away < radius * (1 + 0.45 * ragged).clip(0, 1.6)
        offshore = np.minimum(offshore, away / 2)
    return _without_ponds(_without_specks(land))


def _without_specks(land: Bool, *, least: int = 12) -> Bool:
    """Land without islets, or lakes without ponds, of less than `least` cells."""
    labels, count = ndimage.label(land)
    size = np.bincount(labels.ravel(), minlength=count + 1)
    return np.asarray(land & (size[labels] >= least))


def _without_ponds(land: Bool) -> Bool:
    """Land with every sea that does not touch the world's edge filled in."""
    labels, _ = ndimage.label(~land)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.asarray(land | ~np.isin(labels, np.unique(edge)))


def _relief(land: Bool, coast: F32, rng: np.random.Generator) -> F32:
    """Metres above the sea: plains at the coast, hills, and a mountain arc with ridges and valleys."""
    shape = land.shape
    v, u = _axes(shape)
    wander = fractal(shape, rng, roughness=3.0, scale=0.5)
    inland = 1 - np.exp(-coast / (0.06 * max(shape)))
    arc = np.abs(v - 0.28 - 0.55 * (u - 0.45) ** 2 + 0.10 * wander - 0.15 * (u - 0.5))
    range_ = np.exp(-((arc / 0.16) ** 2)) * (0.5 + 0.5 * np.tanh(3 * (u - 0.2) + wander))
    ridges = 1 - np.abs(fractal(shape, rng, roughness=4.0, scale=0.14))
    spurs = 1 - np.abs(fractal(shape, rng, roughness=3.6, scale=0.05))
    peaks = range_ * (
        1000 + 750 * ridges + 350 * spurs + 60 * fractal(shape, rng, roughness=2.4, scale=0.05)
    )
    hills = 90 * (fractal(shape, rng, roughness=2.7, scale=0.25) + 0.8).clip(0, None) ** 1.5
    rolling = 12 * (fractal(shape, rng, roughness=2.0, scale=0.05) + 1.5).clip(0, None)
    height = 2 + inland * (40 + 60 * inland + hills + rolling + peaks.clip(0, None))
    depth = ndimage.distance_transform_edt(~land)
    sea = -4 - 3.0 * depth - 0.12 * depth**2
    return np.asarray(np.where(land, height, sea), np.float32)


def _lakes(elevation: F32, coast: F32, rng: np.random.Generator) -> Bool:
    """Lakes in the hollows of a part of the land, away from the sea."""
    reach = 0.012 * max(elevation.shape)
    broad = ndimage.gaussian_filter(elevation, 2 * reach)
    hollow = (broad - ndimage.gaussian_filter(elevation, reach / 2)) / (30 + 0.1 * broad.clip(0))
    steep = np.hypot(*np.gradient(ndimage.gaussian_filter(elevation, reach / 2)))
    wet = hollow + 0.9 * fractal(elevation.shape, rng, roughness=3.0, scale=0.12) - steep / 60
    wet = np.where((coast > 3) & (elevation < 1000), wet, -np.inf)
    lake = np.zeros_like(coast, bool)
    for share in LAKE_SHARE * np.array([1, 1.5, 2, 3, 4, 6, 8]):
        under = wet > np.quantile(wet[coast > 0], 1 - share)
        lake = _without_specks(
            ndimage.binary_opening(ndimage.binary_closing(under)) & (coast > 3), least=5
        )
        if lake.sum() >= LAKE_SHARE / 2 * (coast > 0).sum():
            break
    return lake


def _flood(elevation: F32, lake: Bool) -> F32:
    """The relief with every lake level, at the height of its lowest cell."""
    labels, count = ndimage.label(lake)
    if not count:
        return elevation
    level = np.concatenate([[0], ndimage.minimum(elevation, labels, np.arange(1, count + 1))])
    return np.where(lake, level[labels], elevation).astype(np.float32)


def _climate(grid: Grid, elevation: F32, coast: F32, rng: np.random.Generator) -> tuple[F32, F32]:
    """Annual mean temperature (degrees Celsius) and rain (mm): warmer to the south, wetter on
    western slopes.
    """
    v, _ = _axes(grid.shape)
    high = elevation.clip(0)
    temperature = (
        9.5 + 6.5 * v - 0.0062 * high + 0.3 * fractal(grid.shape, rng, roughness=3.5, scale=0.4)
    )
    windward = np.gradient(ndimage.gaussian_filter(high, 0.012 * max(grid.shape)), axis=1)
    windward = windward / (windward.std() + 1e-9)
    interior = np.exp(-coast / (0.5 * max(grid.shape)))
    rain = 430 + 330 * interior - 170 * v + 0.22 * high + 60 * windward.clip(-2, 3)
    rain = rain + 90 * fractal(grid.shape, rng, roughness=3.0, scale=0.4)
    return temperature.astype(np.float32), rain.clip(180, 2600).astype(np.float32)


def _soil(slope: F32, rain: F32, rng: np.random.Generator) -> tuple[F32, F32]:
    """Sand and clay in per cent: coarse on slopes, fine in wet plains; together at most 95."""
    sand = 42 + 10 * fractal(slope.shape, rng, roughness=2.6, scale=0.2) + 0.9 * slope.clip(0, 20)
    clay = (
        24
        + 7 * fractal(slope.shape, rng, roughness=2.6, scale=0.2)
        - 0.5 * slope.clip(0, 20)
        + (rain - 700) / 200
    )
    sand = sand.clip(5, 88)
    return sand.astype(np.float32), np.minimum(clay.clip(3, 60), 95 - sand).astype(np.float32)


def _towns(
    soil: Bool, elevation: F32, slope: F32, coast: F32, lake: Bool, rng: np.random.Generator
) -> tuple[Town, ...]:
    """Towns on low, flat land by the water, the larger the farther apart; one for about 6,000 cells
    of land.
    """
    water = ndimage.distance_transform_edt(~lake) if lake.any() else np.full(lake.shape, 1e3)
    draw = (
        1.2 * np.exp(-coast / 5) + 0.8 * np.exp(-water / 4) - slope / 2.5 - elevation.clip(0) / 400
    )
    draw = draw + 0.8 * fractal(lake.shape, rng, roughness=1.5, scale=0.2)
    draw = np.where(soil & (coast > 2), draw, -np.inf)
    rows, cols = np.indices(lake.shape)
    towns = []
    for rank in range(max(3, int(soil.sum()) // 6000)):
        row, col = np.unravel_index(int(draw.argmax()), lake.shape)
        if not np.isfinite(draw[row, col]):
            break
        radius = (1.5 + 0.022 * max(lake.shape) / (1 + rank) ** 0.6) * rng.uniform(0.85, 1.15)
        towns.append(Town(int(row), int(col), float(radius), int(rng.integers(1935, 1995))))
        away = np.hypot(rows - row, cols - col)
        draw = draw - 3.0 * np.exp(-((away / (3.5 * radius + 0.03 * max(lake.shape))) ** 2))
        draw[away < 2.5 * radius] = -np.inf
    return tuple(towns)


def koeppen(terrain: Terrain, *, warming: float) -> NDArray[np.uint8]:
    """Koeppen-Geiger classes 1-30 of Beck et al. (2018) after `warming` K, shape (lat, lon); 0 at
    sea.

    A year is taken as a cosine whose range grows inland; summers are dry in the warm, dry part of
    the world.
    """
    mean = terrain.temperature + warming
    swing = 7.0 + 4.0 * (1 - np.exp(-terrain.coast / (0.4 * max(terrain.land.shape))))
    hot, cold = mean + swing, mean - swing
    dry_summer = (terrain.rain < 760) & (hot > 18)
    threshold = 20 * mean + np.where(dry_summer, 0, 140)
    month = np.arange(12) / 12 * 2 * np.pi
    warm_months = (mean[..., None] - swing[..., None] * np.cos(month) >= 10).sum(-1)
    summer = np.where(hot >= 22, 0, np.where(warm_months >= 4, 1, 2))
    temperate = np.where(dry_summer, 8, 14) + summer
    continental = np.where(dry_summer, 17, 25) + summer
    zone = np.where(cold > 0, temperate, continental)
    steppe = np.where(mean >= 18, 6, 7)
    zone = np.where(
        terrain.rain < threshold, np.where(terrain.rain < threshold / 2, steppe - 2, steppe), zone
    )
    zone = np.where(hot < 10, np.where(hot < 0, 30, 29), zone)
    return np.where(terrain.land, zone, 0).astype(np.uint8)


def zones(shape: tuple[int, int], *, size: int) -> I32:
    """Index of the coarse cell of every fine cell, row by row, shape (lat, lon); the edge cells may
    be cut.
    """
    rows = np.arange(shape[0], dtype=np.int32)[:, None] // size
    cols = np.arange(shape[1], dtype=np.int32)[None] // size
    return rows * -(-shape[1] // size) + cols
