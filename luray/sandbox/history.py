"""Where land use changes: the fine maps that follow from the coarse shares, year after year.

Every year the cells that each coarse cell converts from one class to another are those that suit
the new class best: by terrain, by the classes of the 5 x 5 neighbourhood, and by a small chance.
Cells with no neighbour of the new class convert rarely. Areas follow the demand exactly but for the
rounding to whole cells, which is carried to the next year. Maps hold class indices of HILDA+ and
`OUTSIDE`. N counts the cells whose land use can change, Z coarse cells, K classes, P flows. The
order of the random draws is part of the sandbox's format.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from luray.core.legend import OUTSIDE
from luray.core.legend_files import HILDA
from luray.core.types import F32, F64, I32, I64, U8, Index
from luray.sandbox.noise import fractal
from luray.sandbox.setting import Setting, town_radius
from luray.sandbox.share_pathway import SharePathway
from luray.sandbox.storyline import (
    CROP,
    FLOWS,
    FOREST,
    GRASS,
    N_CLASSES,
    PASTURE,
    SPARSE,
    URBAN,
    YEARS,
)
from luray.sandbox.terrain import Terrain

NEIGHBOURHOOD = 5
PULL = 1.8
"""Weight of the neighbourhood against the suitability, whose spread is about 1."""
CHANCE = 0.2
"""Spread of the yearly chance."""
CHANCE_THAT_STAYS = (0.3, 0.3, 0.32, 0.32, 0.36, 0.22)
"""Spread of the chance in the suitability for each class."""
PIONEERS = 0.01
"""Share of the cells that may turn to a class of which they have no neighbour."""
START = {URBAN: 0.0, CROP: 0.20, PASTURE: 0.20, FOREST: 0.40, GRASS: 0.15, SPARSE: 0.05}
"""Shares of the classes in 1850, before the towns."""
WATER = HILDA.index(77)


def suitability(terrain: Terrain, rng: np.random.Generator) -> F32:
    """Return how well every cell suits each class; part of it is chance that stays.

    The weights are chosen so that classes lie where one expects them: crops on flat, warm, loamy
    land near towns, forest on wet slopes away from them, sparse cover above the tree line.

    Returns
    -------
    array of float32, shape (K, lat, lon)
        Without unit, spread about 1.
    """
    shape = terrain.land.shape

    # properties of the place, most of them 0-1
    flat = np.exp(-terrain.slope / 4)
    warm = 1 / (1 + np.exp(-(terrain.temperature - 6.0) / 1.2))
    wet = ((terrain.rain - 650) / 350).clip(-1.2, 1.5)
    frost = 1 / (1 + np.exp((terrain.temperature - 1.8) / 0.7))
    rock = 1 / (1 + np.exp((terrain.temperature + 0.2) / 0.7))
    loam = np.exp(-(((terrain.clay - 25) / 14) ** 2) - (((terrain.sand - 42) / 25) ** 2))
    near_town = _nearness_of_towns(terrain)

    # height above the surroundings, relative to how hilly they are: 2 on a crest, -2 in a valley
    above = terrain.elevation - ndimage.gaussian_filter(terrain.elevation, 4)
    hilliness = 8 + np.sqrt(ndimage.gaussian_filter(above**2, 12))
    ridge = (above / hilliness).clip(-2, 2)

    fit = np.empty((N_CLASSES, *shape), np.float32)
    fit[URBAN] = 4.0 * near_town - 0.08 * terrain.slope
    fit[CROP] = (
        -3.6
        + 2.8 * flat
        + 2.0 * warm
        + 1.0 * loam
        + 1.0 * near_town
        - 0.5 * np.abs(wet)
        - 0.5 * ridge
        - 3 * frost
    )
    fit[PASTURE] = (
        -0.6
        + 0.8 * flat
        + 0.6 * wet
        + 0.6 * warm
        + 0.3 * near_town
        - 0.3 * ridge
        - 1.5 * frost
        - 1.5 * rock
    )
    fit[FOREST] = (
        0.3
        + 0.5 * wet
        + 0.10 * terrain.slope.clip(0, 12)
        - 0.9 * near_town
        + 0.4 * ridge
        - 3.0 * frost
        - 2 * rock
    )
    fit[GRASS] = 0.1 - 0.5 * wet + 0.9 * frost - 1.6 * rock
    beach = np.exp(-terrain.coast / 1.5)
    fit[SPARSE] = -2.4 + 0.04 * terrain.slope + 1.4 * frost + 4.0 * rock + 1.6 * beach

    for k, spread in enumerate(CHANCE_THAT_STAYS):
        fit[k] += spread * fractal(shape, rng, roughness=2.0, scale=0.10)
        fit[k] += 0.6 * spread * fractal(shape, rng, roughness=3.0, scale=0.4)
    return fit


def _nearness_of_towns(terrain: Terrain) -> F32:
    """Nearness of towns, 0-1.5, shape (lat, lon): falls to a third within about three radii."""
    shape = terrain.land.shape
    rows, cols = np.indices(shape, np.float32)
    nearness = np.zeros(shape, np.float32)
    for town in terrain.towns:
        distance = np.hypot(rows - town.row, cols - town.col)
        nearness += np.exp(-distance / (2.5 * town.radius + 3)).astype(np.float32)
    return nearness.clip(0, 1.5)


def neighbours(classes: U8) -> U8:
    """Count the cells of each class in the 5 x 5 neighbourhood of every cell, itself included.

    Parameters
    ----------
    classes : array of uint8, shape (lat, lon)

    Returns
    -------
    array of uint8, shape (K, lat, lon)
    """
    reach = NEIGHBOURHOOD // 2
    height, width = classes.shape
    is_class = np.zeros((N_CLASSES, height + 2 * reach, width + 2 * reach), np.uint8)
    for k in range(N_CLASSES):
        inside = is_class[k, reach:-reach, reach:-reach]
        np.equal(classes, k, out=inside.view(np.bool_))

    # sums along columns, then of those along rows: 10 additions a cell for 25
    by_column = is_class[:, :height].copy()
    for offset in range(1, NEIGHBOURHOOD):
        by_column += is_class[:, offset : offset + height]
    counts = by_column[:, :, :width].copy()
    for offset in range(1, NEIGHBOURHOOD):
        counts += by_column[:, :, offset : offset + width]
    return np.asarray(counts)


def first_map(terrain: Terrain, setting: Setting, fit: F32, *, ssp: int) -> U8:
    """Make the map of 1850: shares of `START` placed by suitability, and the towns.

    Classes attract themselves: the map is made six times, each time with the neighbourhoods of the
    one before.

    Returns
    -------
    array of uint8, shape (lat, lon)
    """
    soil = terrain.soil
    shares = np.array([START[k] for k in range(N_CLASSES)])
    classes = np.where(terrain.land, WATER, OUTSIDE).astype(np.uint8)

    score: F32 = fit[:, soil].copy()
    score[URBAN] = -np.inf
    for _ in range(6):
        classes[soil] = _with_shares(score, shares)
        around = np.stack(
            [ndimage.uniform_filter((classes == k).astype(np.float32), 5) for k in range(N_CLASSES)]
        )
        score = np.asarray(fit[:, soil] + 0.6 * PULL * around[:, soil], np.float32)
        score[URBAN] = -np.inf

    radius_1850 = town_radius(terrain, ssp=ssp)[0]
    for number, town in enumerate(terrain.towns):
        relative_radius = radius_1850[number] / town.radius
        classes[soil & (setting.reach[number] <= relative_radius)] = URBAN
    return classes


def _with_shares(score: F32, shares: F64) -> I64:
    """Class of every cell, shape (N,): that of the highest score, shape (K, N), which is shifted
    class by class until the shares are met.
    """
    n_classes, n_cells = score.shape
    shift = np.zeros((n_classes, 1), np.float32)
    # Classes with too few cells are raised, those with too many lowered. Steps shrink, since cells
    # that change hands change the shares of others.
    for step in 3 * 0.75 ** np.arange(40):
        counts = np.bincount((score + shift).argmax(0), minlength=n_classes)
        missing = shares - counts / n_cells
        direction = np.tanh(8 * missing)[:, None].astype(np.float32)
        shift += np.float32(step) * direction
    return np.asarray((score + shift).argmax(0))


@dataclass
class Allocator:
    """Places the flows of one year after another on the fine map."""

    classes: U8
    """The present map, shape (lat, lon)."""
    owed: F64
    """Cells demanded and not yet converted, shape (Z, P): what rounding has left over."""
    position: Index
    """Flat index of the cells that can change, shape (N,)."""
    coarse_cell: I32
    """Coarse cell of each, shape (N,)."""
    fit: F32
    """Suitability, shape (K, N)."""
    soil_cells: F64
    """Changeable cells of each coarse cell, shape (Z,)."""

    @classmethod
    def start(cls, terrain: Terrain, setting: Setting, fit: F32, classes: U8) -> "Allocator":
        """Return an allocator at the map `classes`.

        Half a cell is owed for each flow, so that demands are rounded, not cut.
        """
        position = np.flatnonzero(terrain.soil)
        owed = np.full((len(setting.soil_cells), len(FLOWS)), 0.5)
        return cls(
            classes.copy(),
            owed,
            position,
            setting.coarse_cell.ravel()[position],
            np.ascontiguousarray(fit.reshape(len(fit), -1)[:, position]),
            setting.soil_cells,
        )

    def fork(self) -> "Allocator":
        """Return an independent allocator in the same state."""
        return Allocator(
            self.classes.copy(),
            self.owed.copy(),
            self.position,
            self.coarse_cell,
            self.fit,
            self.soil_cells,
        )

    def step(self, flow: F64, rng: np.random.Generator) -> U8:
        """Convert what a year asks for, and return the new map, shape (lat, lon).

        Parameters
        ----------
        flow : array of float64, shape (Z, P)
            Shares of the changeable land.
        rng : numpy.random.Generator
            Drawn from twice for each flow, in the order of `FLOWS`.
        """
        self.owed += flow * self.soil_cells[:, None]
        around = neighbours(self.classes).reshape(N_CLASSES, -1)
        before = self.classes.ravel()[self.position]
        after = before.copy()
        cells_of_class = [np.flatnonzero(before == k) for k in range(N_CLASSES)]

        for p, (from_class, to_class) in enumerate(FLOWS):
            wanted = np.floor(self.owed[:, p]).clip(0).astype(np.int64)
            cells = cells_of_class[from_class]
            cells = cells[wanted[self.coarse_cell[cells]] > 0]
            cells = cells[after[cells] == from_class]  # an earlier flow has not taken them

            has_neighbour = around[to_class, self.position[cells]] > 0
            is_pioneer = rng.random(len(cells), np.float32) < PIONEERS
            cells = cells[has_neighbour | is_pioneer]

            best = self._best(cells, from_class, to_class, wanted, around, rng)
            taken = cells[best]
            after[taken] = to_class
            self.owed[:, p] -= np.bincount(self.coarse_cell[taken], minlength=len(wanted))

        self.classes = self.classes.copy()
        self.classes.ravel()[self.position] = after
        return self.classes

    def _best(
        self,
        cells: Index,
        from_class: int,
        to_class: int,
        wanted: I64,
        around: U8,
        rng: np.random.Generator,
    ) -> Index:
        """Positions in `cells` of the best of every coarse cell for a conversion, as many as it
        wants.
        """
        position = self.position[cells]
        more_around = around[to_class, position].astype(np.float32)
        more_around = more_around - around[from_class, position].astype(np.float32)
        score = self.fit[to_class, cells] - self.fit[from_class, cells]
        score += PULL / NEIGHBOURHOOD**2 * more_around
        score += CHANCE * rng.standard_normal(len(cells), np.float32)

        # Sorted by coarse cell, the best first: the rank within its coarse cell is a cell's place
        # less the place of the first.
        order = np.lexsort((-score, self.coarse_cell[cells]))
        coarse_cell = self.coarse_cell[cells[order]]
        first_of_coarse_cell = np.searchsorted(coarse_cell, coarse_cell)
        rank = np.arange(len(order)) - first_of_coarse_cell
        return order[rank < wanted[coarse_cell]]


def walk(allocator: Allocator, shares: SharePathway, years: range, seed: int) -> U8:
    """Let an allocator go from one year to the next, and return the maps, shape (year, lat, lon).

    The allocator must be at the year before the first of `years`, and ends at the last.
    """
    maps = np.empty((len(years), *allocator.classes.shape), np.uint8)
    for n, year in enumerate(years):
        flow = shares.flows[YEARS.index(year)]
        # a year's chance depends on the year alone, so scenarios that share it share their maps
        maps[n] = allocator.step(flow, np.random.default_rng([seed, year]))
    return maps
