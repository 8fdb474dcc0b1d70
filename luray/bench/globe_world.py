"""A made-up globe on the real land mask, in the file formats of the real data sets.

It is what `luray bench globe` reads. The map follows simple rules from the climate group, the
elevation, the latitude and smooth noise; the coarse sources are aggregated from it. Everything is
written band by band. Shapes: T years, K classes, Y rows and X columns of a coarse grid; b fine
cells along a coarse one.
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
from luray.sandbox.files import NOTICE, netcdf, replacing
from luray.sandbox.products import MISSING
from luray.sandbox.writers import LUH2_NAMES, write_population_file
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

WEIGHTS = (0.75, 0.45, 0.25, 0.4)
"""Of the noise over continents, regions, some cells of `ROUGH`, and fine cells."""

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
    """Write HILDA+ of a year, and LUH2 and ISIMIP of it and the next.

    Parameters
    ----------
    directory : Path
        Gets the folders hilda, luh2 and isimip.
    grid : Grid
        The globe, in cells that fit into 0.25 degrees.
    year : int
    relief : Source
        Elevation in m.
    climate : Source
        Main group of Koeppen-Geiger, 1-5.
    progress : callable, optional
        Called with the rows of the map done and in all.

    Returns
    -------
    bool
        False where all files were there.

    Raises
    ------
    ValueError
        For another grid, and without the package of the land mask.
    """
    per_coarse = round(LUH2.step / grid.step)
    fine_shape = (per_coarse * LUH2.n_lat, per_coarse * LUH2.n_lon)
    if not grid.periodic or grid.shape != fine_shape:
        raise ValueError(
            f"grid of {grid.n_lat} x {grid.n_lon} cells of {grid.step} degrees, expected the globe "
            "in cells that fit into 0.25 degrees; set grid.step = 0.01 and grid.shape = "
            "[18000, 36000]"
        )

    hilda = directory / f"hilda/hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif"
    luh2 = directory / "luh2/states.nc"
    icwtr = directory / "luh2/staticData_quarterdeg.nc"
    people = directory / f"isimip/population_histsoc_0p5deg_annual_{year}-{year + 1}.nc4"
    derived = (luh2, icwtr, people)

    # the coarse files are aggregated from the map: another map makes them stale
    if not _is_on(grid, hilda):
        for path in derived:
            path.unlink(missing_ok=True)
        write_map(hilda, Rules.of(grid, relief, climate), progress=progress)
    if all(path.exists() for path in derived):
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
        """Return the rules of a grid, the noise drawn from a fixed seed.

        A class is looked up by the sum of four things, each the larger, the less the land is used:
        noise over large and small distances, elevation, and latitude. The order of the draws is
        part of the result.
        """
        random = np.random.default_rng(SEED)
        continental = WEIGHTS[0] * _noise(random, ROUGH.shape, 30, periodic=True)
        regional = WEIGHTS[1] * _noise(random, ROUGH.shape, 6, periodic=True)
        local = WEIGHTS[2] * _noise(random, ROUGH.shape, 2, periodic=True)
        noise = continental + regional + local

        elevation = relief.read(None, Box(0, 0, *relief.grid.shape)).astype(np.float32)
        rough_box = Box(0, 0, *ROUGH.shape)
        rows, cols = grid_map(relief.grid, ROUGH, "bilinear").take(rough_box)
        height = gather(elevation, rows, cols, method="bilinear").clip(0) / 2500

        from_the_pole = np.maximum(np.abs(ROUGH.lat) - 45, 0)[:, None] / 40
        ice_sheet = np.where(ROUGH.lat < ANTARCTICA, 3, 0)[:, None]
        cold = from_the_pole + ice_sheet

        lakes = _noise(random, (GRAIN, GRAIN), 4)
        return cls(
            grid,
            climate,
            land_mask(),
            rough=(noise + height + cold).astype(np.float32),
            grain=WEIGHTS[3] * _noise(random, (GRAIN, GRAIN), 2),
            lakes=lakes > np.quantile(lakes, 1 - LAKES),
            codes=_codes(),
        )

    def band(self, row: int, height: int) -> U8:
        """Return the HILDA+ codes of whole rows, shape (height, n_lon); 0 at sea."""
        box = Box(row, 0, height, self.grid.n_lon)
        land = self._nearest(MASK, box, self._mask_rows)
        group = self._nearest(self.climate.grid, box, self._climate_rows)
        # land that the climate map leaves out is polar, or of the first row of SHARES
        is_polar = np.abs(self.grid.lat[row : row + height]) > 60
        assumed = np.where(is_polar, POLAR, 0)[:, None]
        group = np.where(group < len(SHARES), group, assumed)

        rows, cols = grid_map(ROUGH, self.grid, "bilinear").take(box)
        unused = gather(self.rough, rows, cols, method="bilinear")[0]
        grain_rows = np.arange(row, row + height) % GRAIN
        grain_cols = np.arange(self.grid.n_lon) % GRAIN
        grain = np.ix_(grain_rows, grain_cols)
        unused += self.grain[grain]

        level = (unused * LEVELS + 128).clip(0, 255).astype(np.uint8)
        codes: U8 = self.codes[group, level]
        codes[self.lakes[grain]] = WATER
        codes[land == 0] = 0
        return codes

    def _mask_rows(self, rows: slice) -> U8:
        """Rows of the land mask, 1 on land."""
        return np.unpackbits(self.mask[rows], axis=1)

    def _climate_rows(self, rows: slice) -> U8:
        """Rows of the climate map."""
        box = Box(rows.start, 0, rows.stop - rows.start, self.climate.grid.n_lon)
        values: U8 = self.climate.read(None, box)[0]
        return values

    def _nearest(self, native: Grid, box: Box, read: Callable[[slice], U8]) -> U8:
        """Native cells nearest to those of a box of whole rows; `read` gives native rows."""
        rows, cols = grid_map(native, self.grid, "nearest").take(box)
        needed = slice(int(rows.low.min()), int(rows.low.max()) + 1)
        by_column: U8 = read(needed).take(cols.low, axis=1)
        return by_column.take(rows.within([needed]).low, axis=0)


def write_map(path: Path, rules: Rules, *, progress: Callable[[int, int], None]) -> None:
    """Write a GeoTIFF of HILDA+ codes in blocks of `BLOCK` x `BLOCK` cells, band by band."""
    grid = rules.grid
    rows_at_once = round(BAND / grid.step)
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
        for row in range(0, grid.n_lat, rows_at_once):
            progress(row, grid.n_lat)
            height = min(rows_at_once, grid.n_lat - row)
            window = Window(0, row, grid.n_lon, height)
            out.write(rules.band(row, height), 1, window=window)
    progress(grid.n_lat, grid.n_lat)


def coarse_shares(path: Path, per_coarse: int) -> F32:
    """Return the share of each of `CODES` in the cells of `LUH2`.

    Parameters
    ----------
    path : Path
        A map of b x b times as many cells.
    per_coarse : int
        b.

    Returns
    -------
    array of float32, shape (K, lat, lon)
    """
    shares_KYX = np.empty((len(CODES), *LUH2.shape), np.float32)
    rows = round(BAND / LUH2.step)
    with rasterio.open(path) as raster:
        for row in range(0, LUH2.n_lat, rows):
            window = Window(0, row * per_coarse, raster.width, rows * per_coarse)
            codes = raster.read(1, window=window)
            for k, code in enumerate(CODES):
                # down the columns first, in bytes: b is at most 25
                is_code = (codes == code).reshape(rows, per_coarse, raster.width)
                by_column = is_code.sum(axis=1, dtype=np.uint8)
                coarse = by_column.reshape(rows, LUH2.n_lon, per_coarse)
                count = coarse.sum(axis=2, dtype=np.int32)
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
    """Normal noise of unit variance that varies over `scale` cells and has no seam.

    Columns wrap; rows do so, too, unless the field is `periodic` in longitude only.
    """
    mode = ("reflect", "wrap") if periodic else "wrap"
    field = gaussian_filter(random.standard_normal(shape, np.float32), scale, mode=mode)
    unit: F32 = field / field.std()
    return unit


def _codes() -> U8:
    """Code of each climate group and level of noise, shape (groups, 256).

    Each class gets its share of a normal distribution.
    """
    spread = np.sqrt(sum(weight**2 for weight in WEIGHTS))  # of a sum of independent noises
    unit_level = (np.arange(256) - 128) / LEVELS / spread
    cumulative = np.cumsum(SHARES, axis=1)[:, :-1].clip(0, 1)
    codes = np.array(CODES)
    by_group = [codes[np.searchsorted(edges, unit_level)] for edges in ndtri(cumulative)]
    return np.array(by_group, np.uint8)


def _write_luh2(path: Path, static: Path, shares_KYX: F32, year: int) -> None:
    """Write LUH2 v2h of two years and its static data.

    In the second year some secondary forest is cleared for crops.
    """
    land = shares_KYX.sum(axis=0)
    share_of_code = dict(zip(CODES, shares_KYX, strict=True))
    share_of_code[5566] = share_of_code[55] + share_of_code[66]
    states = {}
    for name, (code, part) in STATES.items():
        first_year = part * share_of_code[code]
        states[name] = np.stack([first_year, first_year])

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
    """Write ISIMIP 2b: people per cell of two years, a hundredth more in the second."""
    shares = shares_KYX.reshape(len(CODES), ISIMIP.n_lat, 2, ISIMIP.n_lon, 2).mean((2, 4))
    density = sum(people * shares[CODES.index(code)] for code, people in DENSITY.items())
    counts = np.asarray(density) * (ISIMIP.cell_area / 1e6)[:, None]
    has_land = shares.sum(axis=0) > 0
    both_years = np.stack([counts, 1.01 * counts])
    people_TYX = np.where(has_land, both_years, MISSING).astype(np.float32)
    years = range(year, year + 2)
    write_population_file(path, ISIMIP, people_TYX, soc="histsoc", years=years)
