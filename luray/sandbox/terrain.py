"""The unchanging side of the simulated world: coast, relief, lakes, soils, climate and towns.

All fields are on the fine grid, shape (lat, lon), north first. Large features scale with the world,
so that a small world has a coast, mountains and towns as a large one has; fine detail ends at the
cell. The order of the random draws is part of the sandbox's format: another order gives another
world.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from luray.core.grid import Grid
from luray.core.types import F32, Bool
from luray.sandbox.noise import fractal

METRES_PER_DEGREE = 111_195.0
"""Of latitude, and here of longitude, too."""

SEA_SHARE = 0.3
"""Share of the world under the sea before islands rise and ponds are drained."""

LAKE_SHARE = 0.012
"""Share of the land that is hollow and wet enough for lakes; about half of it becomes one."""

N_ISLANDS = 3
"""Islands off the coast, at most: fewer where there is no room."""

CELLS_A_TOWN = 6000
"""Cells of land for each town."""


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
    """Fields that do not change in the 251 years; all arrays have shape (lat, lon)."""

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
    """Make a coast, mountains, lakes, soils, climate and towns.

    Parameters
    ----------
    grid : Grid
        The fine grid, at least 50 x 50 cells.
    rng : numpy.random.Generator
        The same state gives the same terrain, bit for bit.
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


def slope_and_aspect(elevation: F32, *, cell: float) -> tuple[F32, F32]:
    """Return slope and aspect of a height field.

    Parameters
    ----------
    elevation : array of float32, shape (lat, lon)
        Metres, north first.
    cell : float
        Cell size in degrees. Cells are taken as squares, good to 30 % at the sandbox's latitudes.

    Returns
    -------
    slope : array of float32, shape (lat, lon)
        Degrees.
    aspect : array of float32, shape (lat, lon)
        Degrees clockwise from north, downhill.
    """
    # rows run to the south: a height that grows with the row falls towards the north
    southward, eastward = np.gradient(elevation, METRES_PER_DEGREE * cell)
    slope = np.degrees(np.arctan(np.hypot(southward, eastward)))
    aspect = np.degrees(np.arctan2(-eastward, southward)) % 360
    return slope.astype(np.float32), aspect.astype(np.float32)


def _axes(shape: tuple[int, int]) -> tuple[F32, F32]:
    """Relative position of every cell: 0 north to 1 south, and 0 west to 1 east."""
    southward = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) / shape[0]
    eastward = (np.arange(shape[1], dtype=np.float32)[None] + 0.5) / shape[1]
    return np.broadcast_to(southward, shape), np.broadcast_to(eastward, shape)


def _coastline(shape: tuple[int, int], rng: np.random.Generator) -> Bool:
    """A continent in the north-east with bays, and up to three islands off its coast."""
    south, east = _axes(shape)
    height = 3.0 * east - 1.8 * south + fractal(shape, rng, roughness=3.2, scale=0.45)
    land = height > np.quantile(height, SEA_SHARE)
    land = _without_ponds(_without_specks(land))

    # relative to the longer side, as the radii of the islands are
    offshore = ndimage.distance_transform_edt(~land) / max(shape)
    from_the_edge = np.minimum(np.minimum(south, 1 - south), np.minimum(east, 1 - east))
    ragged = fractal(shape, rng, roughness=2.6, scale=0.15)

    for _ in range(N_ISLANDS):
        berth = (offshore > 0.07) & (offshore < 0.2) & (from_the_edge > 0.08)
        if not berth.any():
            break
        row, col = np.argwhere(berth)[rng.integers(berth.sum())]
        radius = rng.uniform(0.025, 0.05)
        down = (south - south[row, col]) * shape[0] / max(shape)
        across = (east - east[row, col]) * shape[1] / max(shape)
        distance = np.hypot(down, across)
        land |= distance < radius * (1 + 0.45 * ragged).clip(0, 1.6)
        # the next island keeps away from this one, half as far as from the continent
        offshore = np.minimum(offshore, distance / 2)

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
    """Metres above the sea: plains at the coast, hills and a mountain arc."""
    shape = land.shape
    south, east = _axes(shape)
    wander = fractal(shape, rng, roughness=3.0, scale=0.5)
    inland = 1 - np.exp(-coast / (0.06 * max(shape)))

    # The arc is a parabola from west to east that wanders; the range is high where it is near, and
    # rises from the west.
    parabola = 0.55 * (east - 0.45) ** 2
    from_the_arc = np.abs(south - 0.28 - parabola + 0.10 * wander - 0.15 * (east - 0.5))
    rise = 0.5 + 0.5 * np.tanh(3 * (east - 0.2) + wander)
    mountain_range = np.exp(-((from_the_arc / 0.16) ** 2)) * rise

    # the zero crossings of smooth noise are winding lines: the crests
    ridges = 1 - np.abs(fractal(shape, rng, roughness=4.0, scale=0.14))
    spurs = 1 - np.abs(fractal(shape, rng, roughness=3.6, scale=0.05))
    crags = fractal(shape, rng, roughness=2.4, scale=0.05)
    peaks = mountain_range * (1000 + 750 * ridges + 350 * spurs + 60 * crags)

    hilly = fractal(shape, rng, roughness=2.7, scale=0.25) + 0.8
    hills = 90 * hilly.clip(0, None) ** 1.5
    uneven = fractal(shape, rng, roughness=2.0, scale=0.05) + 1.5
    rolling = 12 * uneven.clip(0, None)

    height = 2 + inland * (40 + 60 * inland + hills + rolling + peaks.clip(0, None))
    offshore = ndimage.distance_transform_edt(~land)
    sea = -4 - 3.0 * offshore - 0.12 * offshore**2
    return np.asarray(np.where(land, height, sea), np.float32)


def _lakes(elevation: F32, coast: F32, rng: np.random.Generator) -> Bool:
    """Lakes in the hollows of a part of the land, away from the sea."""
    reach = 0.012 * max(elevation.shape)
    broad = ndimage.gaussian_filter(elevation, 2 * reach)
    smooth = ndimage.gaussian_filter(elevation, reach / 2)
    hollow = (broad - smooth) / (30 + 0.1 * broad.clip(0))
    steep = np.hypot(*np.gradient(smooth))

    wet = hollow + 0.9 * fractal(elevation.shape, rng, roughness=3.0, scale=0.12) - steep / 60
    possible = (coast > 3) & (elevation < 1000)
    wet = np.where(possible, wet, -np.inf)

    # closing and opening take some of the area away: more of the land until enough is left
    land = coast > 0
    lake = np.zeros_like(coast, bool)
    for share in LAKE_SHARE * np.array([1, 1.5, 2, 3, 4, 6, 8]):
        under = wet > np.quantile(wet[land], 1 - share)
        rounded = ndimage.binary_opening(ndimage.binary_closing(under))
        lake = _without_specks(rounded & (coast > 3), least=5)
        if lake.sum() >= LAKE_SHARE / 2 * land.sum():
            break
    return lake


def _flood(elevation: F32, lake: Bool) -> F32:
    """The relief with every lake level, at the height of its lowest cell."""
    labels, count = ndimage.label(lake)
    if not count:
        return elevation
    lowest = ndimage.minimum(elevation, labels, np.arange(1, count + 1))
    level = np.concatenate([[0], lowest])
    return np.where(lake, level[labels], elevation).astype(np.float32)


def _climate(grid: Grid, elevation: F32, coast: F32, rng: np.random.Generator) -> tuple[F32, F32]:
    """Annual mean temperature in degrees Celsius and rain in mm.

    It is warmer to the south and wetter near the coast, in the mountains and on western slopes.
    """
    south, _ = _axes(grid.shape)
    height = elevation.clip(0)
    # 6.2 K colder for each kilometre up
    temperature = 9.5 + 6.5 * south - 0.0062 * height
    temperature = temperature + 0.3 * fractal(grid.shape, rng, roughness=3.5, scale=0.4)

    smooth = ndimage.gaussian_filter(height, 0.012 * max(grid.shape))
    windward = np.gradient(smooth, axis=1)
    windward = windward / (windward.std() + 1e-9)
    maritime = np.exp(-coast / (0.5 * max(grid.shape)))
    rain = 430 + 330 * maritime - 170 * south + 0.22 * height + 60 * windward.clip(-2, 3)
    rain = rain + 90 * fractal(grid.shape, rng, roughness=3.0, scale=0.4)
    return temperature.astype(np.float32), rain.clip(180, 2600).astype(np.float32)


def _soil(slope: F32, rain: F32, rng: np.random.Generator) -> tuple[F32, F32]:
    """Sand and clay in per cent: coarse on slopes, fine in wet plains; together at most 95."""
    steep = slope.clip(0, 20)
    sandy = fractal(slope.shape, rng, roughness=2.6, scale=0.2)
    clayey = fractal(slope.shape, rng, roughness=2.6, scale=0.2)
    sand = 42 + 10 * sandy + 0.9 * steep
    clay = 24 + 7 * clayey - 0.5 * steep + (rain - 700) / 200

    sand = sand.clip(5, 88)
    clay = np.minimum(clay.clip(3, 60), 95 - sand)
    return sand.astype(np.float32), clay.astype(np.float32)


def _towns(
    soil: Bool, elevation: F32, slope: F32, coast: F32, lake: Bool, rng: np.random.Generator
) -> tuple[Town, ...]:
    """Towns on low, flat land by the water, the first the largest; one for 6,000 cells of land."""
    from_a_lake = ndimage.distance_transform_edt(~lake) if lake.any() else np.full(lake.shape, 1e3)
    by_the_water = 1.2 * np.exp(-coast / 5) + 0.8 * np.exp(-from_a_lake / 4)
    appeal = by_the_water - slope / 2.5 - elevation.clip(0) / 400
    appeal = appeal + 0.8 * fractal(lake.shape, rng, roughness=1.5, scale=0.2)
    appeal = np.where(soil & (coast > 2), appeal, -np.inf)

    longer_side = max(lake.shape)
    rows, cols = np.indices(lake.shape)
    towns = []
    for rank in range(max(3, int(soil.sum()) // CELLS_A_TOWN)):
        row, col = np.unravel_index(int(appeal.argmax()), lake.shape)
        if not np.isfinite(appeal[row, col]):
            break  # no place is left

        size = 1.5 + 0.022 * longer_side / (1 + rank) ** 0.6
        radius = size * rng.uniform(0.85, 1.15)
        boom = int(rng.integers(1935, 1995))
        towns.append(Town(int(row), int(col), float(radius), boom))

        # the larger a town, the farther away is the next
        distance = np.hypot(rows - row, cols - col)
        shadow = np.exp(-((distance / (3.5 * radius + 0.03 * longer_side)) ** 2))
        appeal = appeal - 3.0 * shadow
        appeal[distance < 2.5 * radius] = -np.inf
    return tuple(towns)
