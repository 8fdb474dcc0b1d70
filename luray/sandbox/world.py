"""The simulated world: its terrain, its coarse land use and its fine maps of 1850 to 2100.

Z counts coarse cells, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from luray.core.arithmetic import ceil_div
from luray.core.config import Config
from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.types import F32, F64, U8
from luray.sandbox.history import Allocator, first_map, suitability, walk
from luray.sandbox.setting import Setting, coarse_cells, make_setting
from luray.sandbox.share_pathway import SharePathway, make_share_pathway, urban_fraction
from luray.sandbox.storyline import (
    BRANCH_YEAR,
    CROP,
    FIRST_YEAR,
    FOREST,
    GRASS,
    N_CLASSES,
    PASTURE,
    SPARSE,
    URBAN,
    YEARS,
    pathway_number,
)
from luray.sandbox.terrain import Terrain, make_terrain

Scenario = Literal["ssp119", "ssp126", "ssp245", "ssp370", "ssp434", "ssp460", "ssp534", "ssp585"]

NORTH = 48.0
WEST = 0.0
"""North-west corner in degrees: on the lattices of 0.25 and 0.5 degrees."""
STEP = 0.01
"""Cell size in degrees."""

COARSE = 25
"""Fine cells along a side of a cell of LUH2; one of ISIMIP has twice as many."""

FIRST_HILDA = 1899
LAST_HILDA = 2019
"""Years that HILDA+ v1 covers."""

# Seeds of the independent random streams of a world: [seed, TERRAIN], [seed, HISTORY] and so on.
# Those of the yearly changes are [seed, year].
TERRAIN_STREAM = 0
HISTORY_STREAM = 1
FLICKER_STREAM = 2

CONFUSED = {
    URBAN: CROP,
    CROP: PASTURE,
    PASTURE: GRASS,
    FOREST: GRASS,
    GRASS: PASTURE,
    SPARSE: GRASS,
}
"""The class for which a mapper is most likely to take another."""


class SandboxConfig(Config):
    """A world of `height` x `width` cells of 0.01 degrees, both multiples of 50."""

    height: int = Field(400, ge=50)
    width: int = Field(600, ge=50)
    seed: int = Field(0, ge=0)
    first_map: int = Field(FIRST_HILDA, ge=FIRST_HILDA, le=LAST_HILDA)
    """First year of the published fine maps; the simulation always runs from 1850 to 2100."""
    last_map: int = Field(LAST_HILDA, ge=FIRST_HILDA, le=LAST_HILDA)
    scenario: Annotated[tuple[Scenario, ...], Field(strict=False, min_length=1)] = ("ssp245",)
    """Scenarios after 2015; the published maps and truth.zarr follow the first."""
    flicker: float = Field(0.001, ge=0, le=0.1)
    """Share of the cells that a published map gets wrong for one year."""
    land_cover: tuple[int, int] | None = None
    """First and last year of the maps of land cover, as ESA CCI and C3S publish them; none unless
    it is given.
    """

    leaf_area: tuple[int, int] | None = None
    """First and last year of leaf area index by dekads, as C3S publishes it, and of the monthly
    climate that it follows; none unless it is given.
    """

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.height % 50 or self.width % 50:
            height = ceil_div(self.height, 50) * 50
            width = ceil_div(self.width, 50) * 50
            raise ValueError(
                f"height {self.height} and width {self.width} must be multiples of 50 cells, "
                f"0.5 degrees; set height = {height}, width = {width}"
            )
        if self.first_map > self.last_map:
            raise ValueError(
                f"first_map {self.first_map} is after last_map {self.last_map}; exchange them"
            )
        if self.land_cover and not 1992 <= self.land_cover[0] <= self.land_cover[1] <= 2022:
            raise ValueError(
                f"land_cover is {self.land_cover}, expected a first and a last year of 1992-2022, "
                "those that are published"
            )
        if self.leaf_area and not 1981 <= self.leaf_area[0] <= self.leaf_area[1] <= 2024:
            raise ValueError(
                f"leaf_area is {self.leaf_area}, expected a first and a last year of 1981-2024, "
                "those that are published"
            )
        if len(set(self.scenario)) < len(self.scenario):
            raise ValueError(f"scenario {list(self.scenario)} names one twice; name each once")
        return self

    @property
    def grid(self) -> Grid:
        """The fine grid."""
        return Grid(NORTH, WEST, STEP, self.height, self.width)

    def coarse_grid(self, cells: int) -> Grid:
        """Return a grid of the same extent whose cells are `cells` fine cells wide.

        25 gives LUH2's grid, 50 ISIMIP's.
        """
        return Grid(NORTH, WEST, STEP * cells, self.height // cells, self.width // cells)

    @property
    def maps(self) -> range:
        """Years of the published fine maps."""
        return range(self.first_map, self.last_map + 1)

    @property
    def land_cover_maps(self) -> range:
        """Years of the maps of land cover."""
        if self.land_cover is None:
            return range(0)
        first, last = self.land_cover
        return range(first, last + 1)

    @property
    def leaf_area_maps(self) -> range:
        """Years of the maps of leaf area index."""
        if self.leaf_area is None:
            return range(0)
        first, last = self.leaf_area
        return range(first, last + 1)


@dataclass(frozen=True)
class World:
    """Everything that the files say of the world, without noise."""

    config: SandboxConfig
    terrain: Terrain
    setting: Setting
    shares: Mapping[str, SharePathway]
    """Coarse land use of each scenario."""
    truth: Mapping[str, U8]
    """Fine maps of each scenario as codes of HILDA+, shape (251, lat, lon); equal up to 2015."""

    def published(self, year: int) -> U8:
        """Return the map of a year as HILDA+ would publish it, shape (lat, lon).

        Some cells that do not change flicker: the class before and after is A, in this year B.
        """
        maps = self.truth[self.config.scenario[0]]
        n = year - FIRST_YEAR
        codes = maps[n].copy()
        steady = self.terrain.soil & (maps[n - 1] == codes) & (maps[n + 1] == codes)

        rng = np.random.default_rng([self.config.seed, FLICKER_STREAM, year])
        wrong = rng.random(codes.shape) < self.config.flicker
        mistaken = np.arange(256, dtype=np.uint8)
        for right, taken in CONFUSED.items():
            mistaken[HILDA.codes[right]] = HILDA.codes[taken]
        return np.asarray(np.where(steady & wrong, mistaken[codes], codes))


def simulate(config: SandboxConfig) -> World:
    """Make the world of a configuration; the same one gives the same arrays, bit for bit."""
    terrain = make_terrain(config.grid, np.random.default_rng([config.seed, TERRAIN_STREAM]))

    rng = np.random.default_rng([config.seed, HISTORY_STREAM])
    fit = suitability(terrain, rng)
    coarse_cell = coarse_cells(config.grid.shape, size=COARSE)
    setting = make_setting(terrain, fit, coarse_cell, config.coarse_grid(COARSE), rng)

    # before 2015 all pathways are the same: any of them gives the map of 1850
    opening = first_map(terrain, setting, fit, ssp=pathway_number(config.scenario[0]))
    start = _shares(opening, terrain, setting)
    shares: dict[str, SharePathway] = {}
    for scenario in config.scenario:
        ssp = pathway_number(scenario)
        urban = urban_fraction(terrain, setting, ssp=ssp)
        shares[scenario] = make_share_pathway(setting, urban, start, ssp=ssp)

    truth = _histories(config, terrain, setting, fit, opening, shares)
    return World(config, terrain, setting, shares, truth)


def _shares(classes: U8, terrain: Terrain, setting: Setting) -> F64:
    """Share of each class in the changeable land of every coarse cell, shape (Z, K)."""
    soil = terrain.soil
    n_coarse = len(setting.soil_cells)
    cell_and_class = setting.coarse_cell[soil] * N_CLASSES + classes[soil]
    counts = np.bincount(cell_and_class, minlength=n_coarse * N_CLASSES).reshape(-1, N_CLASSES)
    return np.asarray(counts / setting.soil_cells.clip(1)[:, None])


def _histories(
    config: SandboxConfig,
    terrain: Terrain,
    setting: Setting,
    fit: F32,
    opening: U8,
    shares: Mapping[str, SharePathway],
) -> dict[str, U8]:
    """Fine maps of every scenario as codes; they share the years up to 2015."""
    past = range(FIRST_YEAR + 1, BRANCH_YEAR + 1)
    future = range(BRANCH_YEAR + 1, YEARS.stop)
    allocator = Allocator.start(terrain, setting, fit, opening)
    past_maps = walk(allocator, shares[config.scenario[0]], past, config.seed)

    histories = {}
    for scenario, pathway in shares.items():
        future_maps = walk(allocator.fork(), pathway, future, config.seed)
        classes = np.concatenate([opening[None], past_maps, future_maps])
        histories[scenario] = HILDA.decode(classes)
    return histories
