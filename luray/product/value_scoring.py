"""Scoring a finished rollout of values, tile by tile.

It takes two passes over the tiles. The first sums up the observed maps of the years of training by
class; the climatology of a class is a mean over all tiles. The second scores the model and all null
models, for which it reads the maps of training again: the climatology of a cell is needed in its
own tile alone, and for one step of the year at a time.

Shapes: H W cells of a tile; R rows, the model and the null models; Z classes; K steps of a year.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from luray.core.tiling import Box, Tile
from luray.core.types import I16, I64, U8
from luray.cube.cube import Cube
from luray.evaluation.block_sums import block_side
from luray.evaluation.climatology import (
    CLASS_AREA,
    CLASS_SUMS,
    CellMean,
    ClassClimatology,
    filled,
    sums_by_class,
)
from luray.evaluation.null_models import NullMaps
from luray.evaluation.statistics import Zones
from luray.evaluation.value_sums import NONE, ValueSums, ValueTally, in_parts, value_sums
from luray.product.store import Product


@dataclass(frozen=True)
class ValueMaps:
    """Maps of one test: what is scored, and what it is compared with."""

    cube: Cube
    product: Product
    scored: tuple[int, ...]
    """Time steps with an observed map that are scored."""
    nulls: NullMaps
    zones: str = ""
    """Categorical variable of the cube whose categories are the classes; "" for none."""

    @property
    def n_zones(self) -> int:
        """Number of classes."""
        if not self.zones:
            return 0
        variable, _ = self.cube.categories(self.zones, self.scored[0], Box(0, 0, 1, 1))
        return len(variable.categories)

    def classes_at(self, step: int, box: Box) -> U8:
        """Return the number of the class that each cell has at a step, Z where it has none."""
        if not self.zones:
            return np.zeros(box.shape, np.uint8)
        variable, code_HW = self.cube.categories(self.zones, step, box)
        return Zones(code_HW, variable.categories).number_HW

    def tile_box(self, tile: Tile) -> Box:
        """Return the box of a tile."""
        return self.product.tiling.tile_box(tile)


def class_sums_of_tile(maps: ValueMaps, tile: Tile) -> I64:
    """Return the sums of a tile for the climatology of classes.

    A cell counts for the class that it has at the time of each map.

    Returns
    -------
    array of int64, shape (K, Z + 1, 2)
        See `climatology.sums_by_class`. Zeros in steps of the year that are not scored.
    """
    box = maps.tile_box(tile)
    cell_area = maps.cube.grid.cell_area[box.row : box.row + box.height]
    n_zones = maps.n_zones
    sums_KZ2 = np.zeros((maps.nulls.time.per_year, n_zones + 1, CLASS_SUMS), np.int64)
    for k, steps in maps.nulls.training.items():
        for step in steps:
            sums_KZ2[k] += sums_by_class(
                maps.cube.state(step, box),
                maps.classes_at(step, box),
                n_zones=n_zones,
                cell_area=cell_area,
            )
    return sums_KZ2


def class_climatology(maps: ValueMaps, sums_of_tiles: Iterable[I64]) -> ClassClimatology:
    """Return the climatology of classes from the sums of all tiles, whose order does not matter.

    Raises
    ------
    ValueError
        If the maps of a scored step of the year have no value on any land.
    """
    sums_KZ2 = sum(sums_of_tiles, np.zeros((), np.int64))
    for k, steps in maps.nulls.training.items():
        if not sums_KZ2[k, :, CLASS_AREA].any():
            label = maps.nulls.time.label
            raise ValueError(
                f"the {len(steps)} observed maps of the years of training from "
                f"{label(steps[0])} to {label(steps[-1])} have no value on land, expected some for "
                "the climatology that scores are compared with; widen training.years"
            )
    return ClassClimatology.of(sums_KZ2)


def tally_values_of_tile(maps: ValueMaps, tile: Tile, by_class: ClassClimatology) -> ValueTally:
    """Score a tile of a finished rollout of values.

    A cell whose climatology has no value has that of its class, or of all land. A cell without a
    value in the map of persistence has its climatology of that step of the year.

    Parameters
    ----------
    maps : ValueMaps
        Of several scenarios of the product the first is scored.
    tile : Tile
        A tile with land.
    by_class : ClassClimatology
        From all tiles, see `class_climatology`.
    """
    cube = maps.cube
    box = maps.tile_box(tile)
    cell_area = cube.grid.cell_area[box.row : box.row + box.height]
    side = _block_side(cube)
    n_zones = maps.n_zones
    start_HW = _start(maps, box, by_class)

    tally: dict[int, ValueSums] = {}
    # One step of the year at a time: its climatology is needed for it alone.
    for k, training in maps.nulls.training.items():
        mean_HW = _cell_mean(cube, training, box)
        seasonal_HW = None
        if k in maps.nulls.seasonal:
            seasonal_HW = in_parts(cube.state(maps.nulls.seasonal[k], box))
        for step in _steps_like(maps, k):
            zone_HW = maps.classes_at(step, box)
            class_HW = by_class.map_of(k, zone_HW)
            climatology_HW = filled(mean_HW, class_HW)
            rows = [in_parts(maps.product.read(step, box)), start_HW]
            if maps.nulls.is_seasonal:
                no_map_HW = np.full(box.shape, NONE, np.int16)
                rows.append(
                    filled(no_map_HW if seasonal_HW is None else seasonal_HW, climatology_HW)
                )
            rows += [climatology_HW, class_HW]
            tally[step] = value_sums(
                in_parts(cube.state(step, box)),
                np.stack(rows),
                climatology_HW,
                spread_HW=maps.product.confidence(step, tile),
                zone_HW=zone_HW,
                n_zones=n_zones,
                cell_area=cell_area,
                corner=(box.row, box.col),
                side=side,
            )
    return tally


def _block_side(cube: Cube) -> int:
    """Cells along a side of the blocks from which intervals are drawn.

    A block is whole cells of the coarsest forcing, see `block_side`. But a forcing whose cells are
    as large as the map, such as the season, tells no places apart.
    """
    sides = [round(layer.grid.step / cube.grid.step) for layer in cube.forcing]
    smaller_than_map = [side for side in sides if side < min(cube.grid.shape)]
    return block_side(cube.grid.shape, coarse=max([1, *smaller_than_map]))


def _start(maps: ValueMaps, box: Box, by_class: ClassClimatology) -> I16:
    """The map of persistence: the observed one of the start, its gaps filled."""
    start = maps.nulls.start
    start_HW = in_parts(maps.cube.state(start, box))
    k = maps.nulls.time.in_year(start)
    mean_HW = _cell_mean(maps.cube, maps.nulls.training[k], box)
    return filled(start_HW, mean_HW, by_class.map_of(k, maps.classes_at(start, box)))


def _cell_mean(cube: Cube, steps: Iterable[int], box: Box) -> I16:
    """The climatology of each cell from the maps of some steps, `NONE` where it has none."""
    mean = CellMean(box.shape)
    for step in steps:
        mean.add(cube.state(step, box))
    return mean.parts_HW


def _steps_like(maps: ValueMaps, k: int) -> Iterator[int]:
    """Scored steps that are step k of their year."""
    return (step for step in maps.scored if maps.nulls.time.in_year(step) == k)
