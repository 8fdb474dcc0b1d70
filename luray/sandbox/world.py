"""The simulated world: its terrain, its coarse storyline and its fine maps of 1850 to 2100."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from luray.core.config import Config
from luray.core.grid import Grid
from luray.core.legend import HILDA
from luray.core.types import F32, U8
from luray.sandbox.history import Allocator, first_map, suitability, walk
from luray.sandbox.terrain import Terrain, make_terrain, zones
from luray.sandbox.trajectory import (
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
    Setting,
    Trajectory,
    make_setting,
    make_trajectory,
    pathway,
    urban_fraction,
)

F64 = NDArray[np.float64]

Scenario = Literal["ssp119", "ssp126", "ssp245", "ssp370", "ssp434", "ssp460", "ssp534", "ssp585"]

NORTH, WEST, STEP = 48.0, 0.0, 0.01
"""North-west corner and cell size in degrees: on the lattices of 0.25 and 0.5 degrees."""

COARSE = 25
"""Fine cells along a cell of LUH2."""

FIRST_HILDA, LAST_HILDA = 1899, 2019
"""Years that HILDA+ v1 covers."""

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
    """First year of the published fine maps; the simulation itself always runs from 1850 to 2100.
    """
    last_map: int = Field(LAST_HILDA, ge=FIRST_HILDA, le=LAST_HILDA)
    scenario: Annotated[tuple[Scenario, ...], Field(strict=False, min_length=1)] = ("ssp245",)
    """Scenarios after 2015; the published maps and truth.zarr follow the first."""
    flicker: float = Field(0.001, ge=0, le=0.1)
    """Share of the cells that a published map gets wrong for one year."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.height % 50 or self.width % 50:
            raise ValueError(
                f"height {self.height} and width {self.width} must be multiples of 50 cells, 0.5 "
                "degrees; "
                f"set height = {-(-self.height // 50) * 50}, width = {-(-self.width // 50) * 50}"
            )
        if self.first_map > self.last_map:
            raise ValueError(
                f"first_map {self.first_map} is after last_map {self.last_map}; exchange them"
            )
        if len(set(self.scenario)) < len(self.scenario):
            raise ValueError(f"scenario {list(self.scenario)} names one twice; name each once")
        return self

    @property
    def grid(self) -> Grid:
        """The fine grid."""
        return Grid(NORTH, WEST, STEP, self.height, self.width)

    def coarse_grid(self, cells: int) -> Grid:
        """A grid of the same extent whose cells are `cells` fine cells wide; 25 is LUH2's, 50
        ISIMIP's.
        """
        return Grid(NORTH, WEST, STEP * cells, self.height // cells, self.width // cells)

    @property
    def maps(self) -> range:
        """Years of the published fine maps."""
        return range(self.first_map, self.last_map + 1)


@dataclass(frozen=True)
class World:
    """Everything that the files tell of, without noise."""

    config: SandboxConfig
    terrain: Terrain
    setting: Setting
    trajectories: Mapping[str, Trajectory]
    """Coarse land use of each scenario."""
    truth: Mapping[str, U8]
    """Fine maps of each scenario as codes of HILDA+, shape (251, lat, lon); equal up to 2015."""

    def published(self, year: int) -> U8:
        """The map of `year` as HILDA+ would publish it, shape (lat, lon): some cells flicker, A ->
        B -> A.
        """
        maps = self.truth[self.config.scenario[0]]
        n = year - FIRST_YEAR
        codes = maps[n].copy()
        steady = self.terrain.soil & (maps[n - 1] == codes) & (maps[n + 1] == codes)
        wrong = (
            np.random.default_rng([self.config.seed, 2, year]).random(codes.shape)
            < self.config.flicker
        )
        mistaken = np.arange(256, dtype=np.uint8)
        for right, taken in CONFUSED.items():
            mistaken[HILDA.codes[right]] = HILDA.codes[taken]
        return np.asarray(np.where(steady & wrong, mistaken[codes], codes))


def simulate(config: SandboxConfig) -> World:
    """The world of a configuration; the same configuration gives the same arrays, bit for bit."""
    terrain = make_terrain(config.grid, np.random.default_rng([config.seed, 0]))
    rng = np.random.default_rng([config.seed, 1])
    fit = suitability(terrain, rng)
    zone = zones(config.grid.shape, size=COARSE)
    setting = make_setting(terrain, fit, zone, config.coarse_grid(COARSE), rng)
    opening = first_map(terrain, setting, fit, ssp=pathway(config.scenario[0]))
    start = _shares(opening, terrain, setting)
    trajectories: dict[str, Trajectory] = {}
    for scenario in config.scenario:
        ssp = pathway(scenario)
        trajectories[scenario] = make_trajectory(
            setting, urban_fraction(terrain, setting, ssp=ssp), start, ssp=ssp
        )
    truth = _histories(config, terrain, setting, fit, opening, trajectories)
    return World(config, terrain, setting, trajectories, truth)


def _shares(classes: U8, terrain: Terrain, setting: Setting) -> F64:
    """Share of each class in the changeable land of every coarse cell, shape (Z, K)."""
    soil = terrain.soil
    pair = setting.zone[soil] * N_CLASSES + classes[soil]
    counts = np.bincount(pair, minlength=len(setting.cells) * N_CLASSES).reshape(-1, N_CLASSES)
    return np.asarray(counts / setting.cells.clip(1)[:, None])


def _histories(
    config: SandboxConfig,
    terrain: Terrain,
    setting: Setting,
    fit: F32,
    opening: U8,
    trajectories: Mapping[str, Trajectory],
) -> dict[str, U8]:
    """Fine maps of every scenario as codes; they share the years up to 2015."""
    past, future = range(FIRST_YEAR + 1, BRANCH_YEAR + 1), range(BRANCH_YEAR + 1, YEARS.stop)
    allocator = Allocator.start(terrain, setting, fit, opening)
    known = walk(allocator, trajectories[config.scenario[0]], past, config.seed)
    histories = {}
    for scenario, trajectory in trajectories.items():
        coming = walk(allocator.fork(), trajectory, future, config.seed)
        histories[scenario] = HILDA.decode(np.concatenate([opening[None], known, coming]))
    return histories
