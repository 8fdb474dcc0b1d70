"""A made-up globe on the real land mask, in the file formats of the real data sets: what `luray
bench globe` reads.

The map follows simple rules from the climate group, the elevation, the latitude and smooth noise;
the coarse sources are aggregated from it. Everything is written band by band. Shapes: K classes, b
fine cells a side of a coarse one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from luray.core.grid import Grid
from luray.core.regrid import gather, grid_map
from luray.core.tiling import Box
from luray.core.types import F32, U8, Bool
from luray.planning.land_mask import MASK, land_mask
from luray.sandbox.products import MISSING
from luray.sandbox.writers import LUH2_NAMES, NOTICE, netcdf, replacing
from luray.sources.base import Source

SEED = 11
ROUGH = Grid(90, -180, 0.1, 1800, 3600)
"""Grid of the noise that is wider than a few cells."""
LUH2 = Grid(90, -180, 0.25, 720, 1440)
ISIMIP = Grid(90, -180, 0.5, 360, 720)
BAND = 4.0
"""Degrees of latitude that are in memory at once."""
BLOCK = 400
"""Side of a block of the GeoTIFF; a tile of 2000 cells is a whole number of them."""
GRAIN = 1000
"""Side of the square of fine noise that repeats."""

CODES = (11, 22, 33, 44, 55, 66)
"""Classes from the most to the least used; a cell with much noise, high up or near a pole is
further down the list.
"""
SHARES = np.array(
    [
        (0.010, 0.220, 0.180, 0.380, 0.190, 0.020),  # land without a climate group
        (0.006, 0.120, 0.200, 0.550, 0.120, 0.004),  # tropical
        (0.002, 0.050, 0.300, 0.020, 0.250, 0.378),  # arid
        (0.020, 0.300, 0.200, 0.300, 0.170, 0.010),  # temperate
        (0.004, 0.100, 0.060, 0.580, 0.220, 0.036),  # cold
        (0.000, 0.000, 0.020, 0.020, 0.360, 0.600),  # polar
    ]
)
"""Shares of the classes in each climate group, before elevation and latitude."""
POLAR = 5
ANTARCTICA = -60
"""Latitude south of which nearly all is ice."""
WATER = 77
LAKES = 0.012
"""Share of water."""
LEVELS = 40.0
"""Steps of a unit of noise in which a class is looked up; 256 of them reach from -3.2 to 3.2."""

STATES = {
    "primf": (44, 0.5),
    "secdf": (44, 0.5),
    "primn": (5566, 0.6),
    "secdn": (5566, 0.4),
    "pastr": (33, 0.4),
    "range": (33, 0.6),
    "urban": (11, 1.0),
    "c3ann": (22, 0.5),
    "c3per": (22, 0.1),
    "c4ann": (22, 0.25),
    "c4per": (22, 0.05),
    "c3nfx": (22, 0.1),
}
"""Which share of which class each state of LUH2 is; 5566 stands for classes 55 and 66 together."""
CLEARED = 0.03
"""Share of the secondary forest that becomes cropland in the second year."""
DENSITY = {11: 3000.0, 22: 60.0}
"""People per km2 of a class."""


def write_globe(
    directory: Path,
    *,
    grid: Grid,
    year: int,
    relief: Source,
    climate: Source,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> bool:
    """Write HILDA+ of `year` on `grid`, and LUH2 and ISIMIP of it and the next; False where all of
    them are there.

    `relief` is an elevation in m and `climate` a main group of Koeppen-Geiger, 1-5. Raises
    ValueError unless the grid spans the globe in cells that fit into 0.25 degrees, and without the
    package of the land mask.
    """
    per_coarse = round(LUH2.step / grid.step)
    if (
        not grid.periodic
        or grid.n_lat != per_coarse * LUH2.n_lat
        or grid.n_lon != per_coarse * LUH2.n_lon
    ):
        raise ValueError(
            f"grid of {grid.n_lat} x {grid.n_lon} cells of {grid.step} degrees, expected the globe "
            "in "
            "cells that fit into 0.25 degrees; set grid.step = 0.01 and grid.shape = [18000, 36000]"
        )
    hilda = directory / f"hilda/hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif"
    luh2, icwtr = directory / "luh2/states.nc", directory / "luh2/staticData_quarterdeg.nc"
    people = directory / f"isimip/population_histsoc_0p5deg_annual_{year}-{year + 1}.nc4"
    if not _is_on(grid, hilda):
        for derived in (luh2, icwtr, people):
            derived.unlink(missing_ok=True)
        write_map(hilda, Rules.of(grid, relief, climate), progress=progress)
    if all(path.exists() for path in (luh2, icwtr, people)):
        return False
    shares_KYX = coarse_shares(hilda, per_coarse)
    _write_luh2(luh2, icwtr, shares_KYX, year)
    _write_population(people, shares_KYX, year)
    return True


@dataclass(frozen=True)
class Rules:
    """What the class of a cell follows from."""

    grid: Grid
    climate: Source
    mask: U8
    """See `land_mask`."""
    rough: F32
    """Noise, elevation and latitude on `ROUGH`, shape (1, lat, lon): the higher, the less used."""
    grain: F32
    """Fine noise of a repeating square."""
    lakes: Bool
    """Water of the same square."""
    codes: U8
    """HILDA+ code by climate group and level of noise, shape (6, 256)."""

    @classmethod
    def of(cls, grid: Grid, relief: Source, climate: Source) -> "Rules":
        """Rules of a grid, the noise drawn from a fixed seed."""
        random = np.random.default_rng(SEED)
        wide = sum(
            weight * _noise(random, ROUGH.shape, scale, periodic=True)
            for weight, scale in ((0.75, 30), (0.45, 6), (0.25, 2))
        )
        everything = Box(0, 0, *ROUGH.shape)
        height = relief.read(None, Box(0, 0, *relief.grid.shape)).astype(np.float32)
        up = gather(
            height, *grid_map(relief.grid, ROUGH, "bilinear").take(everything), method="bilinear"
        )
        away = (
            np.maximum(np.abs(ROUGH.lat) - 45, 0)[:, None] / 40
            + np.where(ROUGH.lat < ANTARCTICA, 3, 0)[:, None]
        )
        lakes = _noise(random, (GRAIN, GRAIN), 4)
        return cls(
            grid,
            climate,
            land_mask(),
            (wide + up.clip(0) / 2500 + away).astype(np.float32),
            0.4 * _noise(random, (GRAIN, GRAIN), 2),
            lakes > np.quantile(lakes, 1 - LAKES),
            _codes(),
        )

    def band(self, row: int, height: int) -> U8:
        """HILDA+ codes of whole rows, shape (height, n_lon); 0 at sea."""
        box = Box(row, 0, height, self.grid.n_lon)
        land = self._nearest(MASK, box, lambda rows: np.unpackbits(self.mask[rows], axis=1))
        group = self._nearest(
            self.climate.grid,
            box,
            lambda rows: self.climate.read(
                None, Box(rows.start, 0, rows.stop - rows.start, self.climate.grid.n_lon)
            )[0],
        )
        rows, cols = grid_map(ROUGH, self.grid, "bilinear").take(box)
        used = gather(self.rough, rows, cols, method="bilinear")[0]
        within = np.ix_(np.arange(row, row + height) % GRAIN, np.arange(self.grid.n_lon) % GRAIN)
        used += self.grain[within]
        level = (used * LEVELS + 128).clip(0, 255).astype(np.uint8)
        unknown = np.where(np.abs(self.grid.lat[row : row + height]) > 60, POLAR, 0)[:, None]
        codes: U8 = self.codes[np.where(group < len(SHARES), group, unknown), level]
        codes[self.lakes[within]] = WATER
        codes[land == 0] = 0
        return codes

    def _nearest(self, native: Grid, box: Box, read: Callable[[slice], U8]) -> U8:
        """Native cells nearest to those of a box of whole rows; `read` gives native rows."""
        rows, cols = grid_map(native, self.grid, "nearest").take(box)
        pieces = [slice(int(rows.low.min()), int(rows.low.max()) + 1)]
        values: U8 = read(pieces[0]).take(cols.low, axis=1).take(rows.within(pieces).low, axis=0)
        return values


def write_map(path: Path, rules: Rules, *, progress: Callable[[int, int], None]) -> None:
    """A GeoTIFF of HILDA+ codes in blocks of `BLOCK` x `BLOCK` cells."""
    grid, rows = rules.grid, round(BAND / rules.grid.step)
    transform = rasterio.Affine(grid.step, 0, grid.west, 0, -grid.step, grid.north)
    with (
        replacing(path) as partial,
        rasterio.open(
            partial,
            "w",
            driver="GTiff",
            dtype="uint8",
            count=1,
            height=grid.n_lat,
            width=grid.n_lon,
            crs="EPSG:4326",
            transform=transform,
            compress="deflate",
            zlevel=1,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
        ) as out,
    ):
        out.update_tags(comment=NOTICE)
        for row in range(0, grid.n_lat, rows):
            progress(row, grid.n_lat)
            height = min(rows, grid.n_lat - row)
            out.write(rules.band(row, height), 1, window=Window(0, row, grid.n_lon, height))
    progress(grid.n_lat, grid.n_lat)


def coarse_shares(path: Path, per_coarse: int) -> F32:
    """Share of each of `CODES` in the cells of `LUH2`, shape (K, lat, lon), from a map of b x b
    times as many cells.
    """
    shares_KYX = np.empty((len(CODES), *LUH2.shape), np.float32)
    rows = round(BAND / LUH2.step)
    with rasterio.open(path) as raster:
        for row in range(0, LUH2.n_lat, rows):
            codes = raster.read(
                1, window=Window(0, row * per_coarse, raster.width, rows * per_coarse)
            )
            for k, code in enumerate(CODES):
                along = (
                    (codes == code)
                    .reshape(rows, per_coarse, raster.width)
                    .sum(axis=1, dtype=np.uint8)
                )
                count = along.reshape(rows, LUH2.n_lon, per_coarse).sum(axis=2, dtype=np.int32)
                shares_KYX[k, row : row + rows] = count / per_coarse**2
    return shares_KYX


def _is_on(grid: Grid, path: Path) -> bool:
    """True where there is a map of this many cells."""
    if not path.exists():
        return False
    with rasterio.open(path) as raster:
        return bool(raster.shape == grid.shape)


def _noise(
    random: np.random.Generator, shape: tuple[int, int], scale: float, *, periodic: bool = False
) -> F32:
    """Normal noise of unit variance that varies over `scale` cells and has no seam; `periodic`
    wraps columns only.
    """
    mode = ("reflect", "wrap") if periodic else "wrap"
    field = gaussian_filter(random.standard_normal(shape, np.float32), scale, mode=mode)
    unit: F32 = field / field.std()
    return unit


def _codes() -> U8:
    """Code of each climate group and level: each class gets its share of a normal distribution."""
    spread = np.sqrt(0.75**2 + 0.45**2 + 0.25**2 + 0.4**2)
    level = (np.arange(256) - 128) / LEVELS / spread
    edges = ndtri(np.cumsum(SHARES, axis=1)[:, :-1].clip(0, 1))
    return np.array([np.array(CODES)[np.searchsorted(edge, level)] for edge in edges], np.uint8)


def _write_luh2(path: Path, static: Path, shares_KYX: F32, year: int) -> None:
    """LUH2 v2h of two years and its static data; in the second year some secondary forest is
    cleared for crops.
    """
    by_code = dict(zip(CODES, shares_KYX, strict=True))
    by_code[5566] = by_code[55] + by_code[66]
    land = shares_KYX.sum(axis=0)
    states = {name: np.stack([part * by_code[code]] * 2) for name, (code, part) in STATES.items()}
    cleared = CLEARED * states["secdf"][1]
    states["secdf"][1] -= cleared
    states["c3ann"][1] += cleared
    with netcdf(path, LUH2, title="LUH2 v2h") as out:
        out.axis(
            "time",
            np.array([year - 850.0, year - 849.0]),
            units="years since 850-01-01 0:0:0",
            calendar="noleap",
            long_name="time",
            standard_name="time",
            axis="T",
        )
        for name, values in states.items():
            out.variable(
                name,
                ("time", "lat", "lon"),
                np.where(land > 0, values, MISSING).astype(np.float32),
                {
                    "missing_value": MISSING,
                    "_fillValue": MISSING,
                    "long_name": LUH2_NAMES[name],
                    "standard_name": "area_fraction",
                    "units": "1",
                },
            )
    with netcdf(static, LUH2, title="LUH2 static data") as out:
        out.variable(
            "icwtr",
            ("lat", "lon"),
            1 - land,
            {"long_name": "ice/water fraction", "units": "1", "missing_value": MISSING},
        )


def _write_population(path: Path, shares_KYX: F32, year: int) -> None:
    """ISIMIP 2b: people per cell of two years, a hundredth more in the second."""
    halves = shares_KYX.reshape(len(CODES), ISIMIP.n_lat, 2, ISIMIP.n_lon, 2).mean((2, 4))
    density = sum(people * halves[CODES.index(code)] for code, people in DENSITY.items())
    counts = np.asarray(density) * (ISIMIP.cell_area / 1e6)[:, None]
    both = np.where(halves.sum(axis=0) > 0, np.stack([counts, 1.01 * counts]), MISSING).astype(
        np.float32
    )
    with netcdf(path, ISIMIP, title="ISIMIP2b population histsoc") as out:
        out.axis(
            "time",
            np.array([year - 1860.0, year - 1859.0]),
            units="years since 1860-1-1 12:00:00",
            calendar="proleptic_gregorian",
            standard_name="time",
            axis="T",
        )
        out.variable(
            "number_of_people",
            ("time", "lat", "lon"),
            both,
            {"long_name": "number of people", "units": "1", "missing_value": MISSING},
            fill=MISSING,
        )
