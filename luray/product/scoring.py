"""Scoring a tile of a product against the maps of the cube."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from luray.core.tiling import Tile
from luray.core.types import F64
from luray.cube.cube import Cube
from luray.evaluation.aggregation import Tally, merge, merge_flicker
from luray.evaluation.block_sums import block_side
from luray.evaluation.deflicker import deflicker
from luray.evaluation.demand_agreement import DemandedChange
from luray.evaluation.flicker import Flicker, FlickerByYear, FlickerSeries
from luray.evaluation.statistics import (
    Statistics,
    TwoYears,
    Zones,
    cross_tabulate,
    statistics_of_year,
)
from luray.product.store import Product

NO_DEMANDS: Mapping[int, DemandedChange] = {}


class RolloutTallies(NamedTuple):
    """Sums by which a rollout is scored."""

    as_published: Tally
    """Tally of the predictions against the maps as published."""
    deflickered: Tally
    """Tally of the same predictions against the maps without their flicker."""
    flicker: FlickerByYear
    """Flicker of the predicted maps."""
    last_change: F64 | None
    """Area in m2 by class (K, K), from the year before the start to the start, see
    `metrics.last_change`; None where there is no map of that year.
    """


def tally_tile(
    cube: Cube,
    product: Product,
    tile: Tile,
    *,
    years: tuple[int, ...],
    scored: Collection[int],
    travelled: Sequence[int],
    year_before: int | None,
    zones: str = "",
    demands: Mapping[int, DemandedChange] = NO_DEMANDS,
) -> RolloutTallies:
    """Tally a tile of a finished rollout.

    Parameters
    ----------
    cube : Cube
        Has the true maps.
    product : Product
        Has the predicted maps; of several scenarios and members the first is scored.
    tile : Tile
        A tile with land.
    years : tuple of int
        Years with a true map, in the direction of travel; the rollout starts from the first.
    scored : collection of int
        Those of them that are tallied; the year before each is among `years`, too. The others are
        read because flicker is removed from the whole series.
    travelled : sequence of int
        Every year of the rollout, in the direction of travel.
    year_before : int, optional
        Year before the start in the direction of travel, None where it has no map.
    zones : str, optional
        Categorical variable of the cube by whose categories, in the first year, scores are given.
    demands : mapping, optional
        What the coarse scenario asks of the tile, by scored year.
    """
    box = product.tiling.tile_box(tile)
    # Pairs of neighbouring cells reach into the tiles to the south and to the east.
    with_border = box._replace(height=box.height + 1, width=box.width + 1)
    cell_area = cube.grid.cell_area[box.row : box.row + box.height]
    legend = cube.legend
    water = None if legend.water is None else legend.index(legend.water)
    side = block_side(cube.grid.shape, coarse=_coarsest_side(cube))

    zones_of_tile = None
    if zones:
        variable, code_HW = cube.categories(zones, years[0], box)
        zones_of_tile = Zones(code_HW, variable.categories)

    # The same predictions are scored twice: against the maps as published, and de-flickered.
    maps = np.stack([cube.state(year, with_border) for year in years])
    truths = (maps, deflicker(maps))
    tallied: tuple[dict[int, Statistics], ...] = ({}, {})
    flicker = FlickerSeries(cell_area)

    # The rollout starts from the observed map of the first year.
    predicted_before = maps[0]
    for year in travelled:
        predicted = product.read(year, with_border)
        flicker.add(year, predicted[:-1, :-1])
        if year in scored:
            number = years.index(year)
            confidence = product.confidence(year, tile)
            for truth, statistics in zip(truths, tallied, strict=True):
                statistics[year] = statistics_of_year(
                    maps[0],
                    TwoYears(truth[number - 1], truth[number]),
                    TwoYears(predicted_before, predicted),
                    cell_area=cell_area,
                    n_classes=len(legend),
                    water=water,
                    confidence=confidence,
                    corner=(box.row, box.col),
                    side=side,
                    zones=zones_of_tile,
                    demanded=demands.get(year),
                )
        predicted_before = predicted

    changed_KK = None
    if year_before is not None:
        map_before = cube.state(year_before, box)
        map_of_start = maps[0, :-1, :-1]  # without the border
        # A table of three maps, of which the last two are the same: summed over the third.
        table_KKK = cross_tabulate(
            map_before, map_of_start, map_of_start, cell_area=cell_area, n_classes=len(legend)
        )
        changed_KK = table_KKK.sum(axis=2)

    as_published, deflickered = map(Tally, tallied)
    return RolloutTallies(as_published, deflickered, flicker.by_year, changed_KK)


def merge_tiles(tiles: Iterable[RolloutTallies]) -> RolloutTallies:
    """Return the tallies of all tiles together; their order does not matter."""
    tallies = list(tiles)
    return RolloutTallies(
        as_published=merge(tile.as_published for tile in tallies),
        deflickered=merge(tile.deflickered for tile in tallies),
        flicker=merge_flicker(tile.flicker for tile in tallies),
        last_change=_sum([tile.last_change for tile in tallies]),
    )


def _sum(tables: Sequence[F64 | None]) -> F64 | None:
    """Return the sum of tables, None where any is missing."""
    present = [table for table in tables if table is not None]
    if len(present) < len(tables):
        return None
    total: F64 = np.sum(present, axis=0)
    return total


class MapsFlicker(NamedTuple):
    """Flicker of the observed maps, and of the predicted maps of a product."""

    observed: FlickerByYear
    predicted: FlickerByYear


def flicker_of_tile(
    cube: Cube,
    product: Product,
    tile: Tile,
    *,
    observed: Iterable[int],
    chains: Iterable[Sequence[int]],
) -> MapsFlicker:
    """Return the flicker of one tile of observed maps, and of a finished product.

    Parameters
    ----------
    cube : Cube
        Has the observed maps.
    product : Product
        Has the predicted maps; of several scenarios and members the first counts.
    tile : Tile
        A tile with land.
    observed : iterable of int
        Years of the observed maps, ascending.
    chains : iterable of sequence of int
        Years of the predicted maps, see `Span.chains`.
    """
    box = product.tiling.tile_box(tile)
    cell_area = cube.grid.cell_area[box.row : box.row + box.height]

    of_observed = FlickerSeries(cell_area)
    for year in observed:
        of_observed.add(year, cube.state(year, box))

    of_predicted: dict[int, Flicker] = {}
    for chain in chains:
        series = FlickerSeries(cell_area)
        for year in chain:
            series.add(year, product.read(year, box))
        of_predicted |= series.by_year
    return MapsFlicker(of_observed.by_year, of_predicted)


def merge_flicker_of_tiles(tiles: Iterable[MapsFlicker]) -> MapsFlicker:
    """Return the flicker of all tiles together; their order does not matter."""
    parts = list(tiles)
    return MapsFlicker(
        observed=merge_flicker(tile.observed for tile in parts),
        predicted=merge_flicker(tile.predicted for tile in parts),
    )


def _coarsest_side(cube: Cube) -> int:
    """Cells along a side of the coarsest forcing's cell, at least 1."""
    sides = [round(layer.grid.step / cube.grid.step) for layer in cube.forcing]
    return max([1, *sides])
