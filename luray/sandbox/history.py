"""Where land use changes: the fine maps that follow from the coarse trajectory, year after year.

Every year the cells that each coarse cell converts from one class to another are those that suit
the new class best: by terrain, by the classes of the 5 x 5 neighbourhood, and by a small chance.
Cells with no neighbour of the new class convert rarely. Areas follow the demand exactly but for the
rounding to whole cells, which is carried to the next year. Maps hold class indices of HILDA+ and
`OUTSIDE`. N counts the cells whose land use can change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from luray.core.legend import HILDA, OUTSIDE
from luray.core.types import F32, U8
from luray.sandbox.terrain import Terrain, fractal
from luray.sandbox.trajectory import (
    CROP,
    FLOWS,
    FOREST,
    GRASS,
    N_CLASSES,
    PASTURE,
    SPARSE,
    URBAN,
    YEARS,
    Setting,
    Trajectory,
    town_radius,
)

F64 = NDArray[np.float64]

NEIGHBOURHOOD = 5
PULL = 1.8
"""Weight of the neighbourhood against the suitability, whose spread is about 1."""
CHANCE = 0.2
"""Spread of the yearly chance."""
PIONEERS = 0.01
"""Share of the cells that may turn to a class of which they have no neighbour."""
START = {URBAN: 0.0, CROP: 0.20, PASTURE: 0.20, FOREST: 0.40, GRASS: 0.15, SPARSE: 0.05}
"""Shares of the classes in 1850, before the towns."""
WATER = HILDA.index(77)


def suitability(terrain: Terrain, rng: np.random.Generator) -> F32:
    """How well every cell suits each class, shape (K, lat, lon), spread about 1; part of it is
    chance that stays.
    """
    shape = terrain.land.shape
    flat = np.exp(-terrain.slope / 4)
    warm = 1 / (1 + np.exp(-(terrain.temperature - 6.0) / 1.2))
    wet = ((terrain.rain - 650) / 350).clip(-1.2, 1.5)
    frost = 1 / (1 + np.exp((terrain.temperature - 1.8) / 0.7))
    rock = 1 / (1 + np.exp((terrain.temperature + 0.2) / 0.7))
    loam = np.exp(-(((terrain.clay - 25) / 14) ** 2) - (((terrain.sand - 42) / 25) ** 2))
    near = _town_draw(terrain)
    above = terrain.elevation - ndimage.gaussian_filter(terrain.elevation, 4)
    ridge = (above / (8 + np.sqrt(ndimage.gaussian_filter(above**2, 12)))).clip(-2, 2)
    fit = np.empty((N_CLASSES, *shape), np.float32)
    fit[URBAN] = 4.0 * near - 0.08 * terrain.slope
    fit[CROP] = (
        -3.6
        + 2.8 * flat
        + 2.0 * warm
        + 1.0 * loam
        + 1.0 * near
        - 0.5 * np.abs(wet)
        - 0.5 * ridge
        - 3 * frost
    )
    fit[PASTURE] = (
        -0.6
        + 0.8 * flat
        + 0.6 * wet
        + 0.6 * warm
        + 0.3 * near
        - 0.3 * ridge
        - 1.5 * frost
        - 1.5 * rock
    )
    fit[FOREST] = (
        0.3
        + 0.5 * wet
        + 0.10 * terrain.slope.clip(0, 12)
        - 0.9 * near
        + 0.4 * ridge
        - 3.0 * frost
        - 2 * rock
    )
    fit[GRASS] = 0.1 - 0.5 * wet + 0.9 * frost - 1.6 * rock
    fit[SPARSE] = (
        -2.4 + 0.04 * terrain.slope + 1.4 * frost + 4.0 * rock + 1.6 * np.exp(-terrain.coast / 1.5)
    )
    for k, spread in enumerate((0.3, 0.3, 0.32, 0.32, 0.36, 0.22)):
        fit[k] += spread * fractal(shape, rng, roughness=2.0, scale=0.10)
        fit[k] += 0.6 * spread * fractal(shape, rng, roughness=3.0, scale=0.4)
    return fit


def _town_draw(terrain: Terrain) -> F32:
    """Nearness of towns, 0-1.5, shape (lat, lon): falls to a third within about three radii."""
    rows, cols = np.indices(terrain.land.shape, np.float32)
    draw = np.zeros(terrain.land.shape, np.float32)
    for town in terrain.towns:
        draw += np.exp(
            -np.hypot(rows - town.row, cols - town.col) / (2.5 * town.radius + 3)
        ).astype(np.float32)
    return draw.clip(0, 1.5)


def neighbours(classes: U8) -> U8:
    """Cells of each class in the 5 x 5 neighbourhood of every cell, itself included, shape (K, lat,
    lon).
    """
    reach = NEIGHBOURHOOD // 2
    height, width = classes.shape
    member = np.zeros((N_CLASSES, height + 2 * reach, width + 2 * reach), np.uint8)
    for k in range(N_CLASSES):
        np.equal(classes, k, out=member[k, reach:-reach, reach:-reach].view(np.bool_))
    rows = sum((member[:, d : d + height] for d in range(1, NEIGHBOURHOOD)), member[:, :height])
    return np.asarray(
        sum((rows[:, :, d : d + width] for d in range(1, NEIGHBOURHOOD)), rows[:, :, :width])
    )


def first_map(terrain: Terrain, setting: Setting, fit: F32, *, ssp: int) -> U8:
    """The map of 1850, shape (lat, lon): shares of `START` placed by suitability and neighbourhood,
    and the towns.
    """
    soil = terrain.soil
    share = np.array([START[k] for k in range(N_CLASSES)])
    classes = np.where(terrain.land, WATER, OUTSIDE).astype(np.uint8)
    score: F32 = fit[:, soil].copy()
    score[URBAN] = -np.inf
    for _ in range(6):
        classes[soil] = _with_shares(score, share)
        around = np.stack(
            [ndimage.uniform_filter((classes == k).astype(np.float32), 5) for k in range(N_CLASSES)]
        )
        score = np.asarray(fit[:, soil] + 0.6 * PULL * around[:, soil], np.float32)
        score[URBAN] = -np.inf
    radius = town_radius(terrain, ssp=ssp)[0]
    for number, town in enumerate(terrain.towns):
        classes[soil & (setting.reach[number] <= radius[number] / town.radius)] = URBAN
    return classes


def _with_shares(score: F32, share: F64) -> NDArray[np.int64]:
    """Class of every cell, shape (N,): the highest score, shape (K, N), shifted by class until the
    shares are met.
    """
    shift = np.zeros((len(score), 1), np.float32)
    for step in 0.75 ** np.arange(40) * 3:
        got = np.bincount((score + shift).argmax(0), minlength=len(score)) / score.shape[1]
        shift += np.float32(step) * np.tanh(8 * (share - got))[:, None].astype(np.float32)
    return np.asarray((score + shift).argmax(0))


@dataclass
class Allocator:
    """Places the flows of one year after another; holds the fine map and what rounding has left
    over.
    """

    classes: U8
    """The present map, shape (lat, lon)."""
    owed: F64
    """Cells demanded and not yet converted, shape (Z, P)."""
    where: NDArray[np.int64]
    """Flat index of the cells that can change, shape (N,)."""
    zone: NDArray[np.int32]
    """Coarse cell of each, shape (N,)."""
    fit: F32
    """Suitability, shape (K, N)."""
    cells: F64
    """Changeable cells of each coarse cell, shape (Z,)."""

    @classmethod
    def start(cls, terrain: Terrain, setting: Setting, fit: F32, classes: U8) -> "Allocator":
        """An allocator at the map `classes`, with nothing owed."""
        where = np.flatnonzero(terrain.soil)
        owed = np.full((len(setting.cells), len(FLOWS)), 0.5)
        flat = np.ascontiguousarray(fit.reshape(len(fit), -1)[:, where])
        return cls(classes.copy(), owed, where, setting.zone.ravel()[where], flat, setting.cells)

    def fork(self) -> "Allocator":
        """An independent allocator in the same state."""
        return Allocator(
            self.classes.copy(), self.owed.copy(), self.where, self.zone, self.fit, self.cells
        )

    def step(self, flow: F64, rng: np.random.Generator) -> U8:
        """Convert what `flow`, shape (Z, P) as shares, asks for, and return the new map, shape
        (lat, lon).
        """
        self.owed += flow * self.cells[:, None]
        around = neighbours(self.classes).reshape(N_CLASSES, -1)
        before = self.classes.ravel()[self.where]
        after = before.copy()
        members = [np.flatnonzero(before == k) for k in range(N_CLASSES)]
        for p, (i, k) in enumerate(FLOWS):
            want = np.floor(self.owed[:, p]).clip(0).astype(np.int64)
            cells = members[i][want[self.zone[members[i]]] > 0]
            cells = cells[after[cells] == i]
            cells = cells[
                (around[k, self.where[cells]] > 0) | (rng.random(len(cells), np.float32) < PIONEERS)
            ]
            taken = cells[self._best(cells, i, k, want, around, rng)]
            after[taken] = k
            self.owed[:, p] -= np.bincount(self.zone[taken], minlength=len(want))
        self.classes = self.classes.copy()
        self.classes.ravel()[self.where] = after
        return self.classes

    def _best(
        self,
        cells: NDArray[np.int64],
        i: int,
        k: int,
        want: NDArray[np.int64],
        around: U8,
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Positions in `cells` of the `want` best of every coarse cell for turning from class i to
        k.
        """
        here = self.where[cells]
        score = self.fit[k, cells] - self.fit[i, cells]
        pull = around[k, here].astype(np.float32) - around[i, here].astype(np.float32)
        score += PULL / NEIGHBOURHOOD**2 * pull
        score += CHANCE * rng.standard_normal(len(cells), np.float32)
        order = np.lexsort((-score, self.zone[cells]))
        zone = self.zone[cells[order]]
        begin = np.searchsorted(zone, zone)
        return order[np.arange(len(order)) - begin < want[zone]]


def walk(allocator: Allocator, trajectory: Trajectory, years: range, seed: int) -> U8:
    """Maps of `years`, shape (year, lat, lon); the allocator must be at the year before and ends at
    the last.
    """
    maps = np.empty((len(years), *allocator.classes.shape), np.uint8)
    for n, year in enumerate(years):
        maps[n] = allocator.step(
            trajectory.flows[YEARS.index(year)], np.random.default_rng([seed, year])
        )
    return maps
