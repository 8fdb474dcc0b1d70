"""Scoring rollouts with Ray: a task for each tile, merged in any order."""

from collections.abc import Collection, Sequence
from typing import Any

import ray

from luray.core.progress import Progress, no_progress
from luray.core.tiling import Box, Tile
from luray.core.types import I64
from luray.distributed.cluster import collect
from luray.engine.coarse_demand import demanded_since
from luray.engine.spec import InferenceSpec
from luray.evaluation.aggregation import Tally
from luray.evaluation.climatology import ClassClimatology
from luray.evaluation.value_sums import ValueTally, merge_values
from luray.product.comparison import Comparison, merge_bands
from luray.product.scoring import (
    MapsFlicker,
    RolloutTallies,
    flicker_of_tile,
    merge_flicker_of_tiles,
    merge_tiles,
    tally_tile,
)
from luray.product.value_scoring import (
    ValueMaps,
    class_climatology,
    class_sums_of_tile,
    tally_values_of_tile,
)


@ray.remote(max_retries=3)
def _tally(
    spec: InferenceSpec,
    tile: Tile,
    years: tuple[int, ...],
    scored: Collection[int],
    travelled: Sequence[int],
    year_before: int | None,
    zones: str,
) -> RolloutTallies:
    tiling = spec.product.tiling
    demands = demanded_since(
        spec.cube, tiling.tile_box(tile), tile=tiling.tile, start=years[0], years=scored
    )
    return tally_tile(
        spec.cube,
        spec.product,
        tile,
        demands=demands,
        years=years,
        scored=scored,
        travelled=travelled,
        year_before=year_before,
        zones=zones,
    )


def evaluate(
    spec: InferenceSpec,
    years: tuple[int, ...],
    *,
    scored: Collection[int],
    travelled: Sequence[int],
    year_before: int | None,
    zones: str = "",
    progress: Progress = no_progress,
) -> RolloutTallies:
    """Tally a finished rollout over all its tiles.

    Parameters
    ----------
    spec : InferenceSpec
        The rollout.
    years : tuple of int
        Years with a true map, in the direction of travel; the rollout starts from the first.
    scored : collection of int
        Those of them that are tallied.
    travelled : sequence of int
        Every year of the rollout, in the direction of travel.
    year_before : int, optional
        Year before the start in the direction of travel, None where it has no map.
    zones : str, optional
        Categorical variable of the cube by whose categories scores are given.
    progress : callable, optional
        Called with the tiles done and in all.

    Raises
    ------
    Exception
        What the tally of a tile raised.
    """
    shared = ray.put(spec)
    tasks: list[Any] = [
        _tally.remote(shared, tile, years, scored, travelled, year_before, zones)
        for tile in spec.geometry.tiles
    ]
    return merge_tiles(collect(tasks, progress=progress))


@ray.remote(max_retries=3)
def _class_sums(maps: ValueMaps, tile: Tile) -> I64:
    return class_sums_of_tile(maps, tile)


@ray.remote(max_retries=3)
def _tally_values(maps: ValueMaps, tile: Tile, by_class: ClassClimatology) -> ValueTally:
    return tally_values_of_tile(maps, tile, by_class)


def evaluate_values(
    maps: ValueMaps, tiles: Sequence[Tile], *, progress: Progress = no_progress
) -> ValueTally:
    """Score a finished rollout of values over all its tiles.

    Parameters
    ----------
    maps : ValueMaps
        What is scored, and what it is compared with.
    tiles : sequence of Tile
        All tiles with land.
    progress : callable, optional
        Called with the tiles done and in all: first for the climatology, then for the scores.

    Raises
    ------
    Exception
        What a tile raised.
    ValueError
        If the maps that a climatology is made of have no value.
    """
    shared = ray.put(maps)
    sums: list[Any] = [_class_sums.remote(shared, tile) for tile in tiles]
    by_class = class_climatology(maps, collect(sums, progress=progress))

    climatology = ray.put(by_class)
    tallies: list[Any] = [_tally_values.remote(shared, tile, climatology) for tile in tiles]
    return merge_values(collect(tallies, progress=progress))


@ray.remote(max_retries=3)
def _compare(comparison: Comparison, band: Box) -> tuple[Tally, Tally]:
    return comparison.tally(band)


def compare(comparison: Comparison, *, progress: Progress = no_progress) -> tuple[Tally, Tally]:
    """Tally a comparison over all its bands, against raw and against de-flickered maps.

    Parameters
    ----------
    comparison : Comparison
        What is compared.
    progress : callable, optional
        Called with the bands done and in all.

    Raises
    ------
    Exception
        What the tally of a band raised.
    """
    shared = ray.put(comparison)
    tasks: list[Any] = [_compare.remote(shared, band) for band in comparison.bands]
    return merge_bands(collect(tasks, progress=progress))


@ray.remote(max_retries=3)
def _flicker(
    spec: InferenceSpec,
    tile: Tile,
    observed: tuple[int, ...],
    chains: Sequence[tuple[int, ...]],
) -> MapsFlicker:
    return flicker_of_tile(spec.cube, spec.product, tile, observed=observed, chains=chains)


def flicker_of_maps(
    spec: InferenceSpec,
    *,
    observed: tuple[int, ...],
    chains: Sequence[tuple[int, ...]],
    progress: Progress = no_progress,
) -> MapsFlicker:
    """Return the flicker of observed maps, and of a finished product, over all tiles.

    Parameters
    ----------
    spec : InferenceSpec
        Of the product.
    observed : tuple of int
        Years of the observed maps, ascending.
    chains : sequence of tuple of int
        Years of the product's predicted maps, chain by chain; none where it is not finished.
    progress : callable, optional
        Called with the tiles done and in all.

    Raises
    ------
    Exception
        What a tile raised.
    """
    shared = ray.put(spec)
    tasks: list[Any] = [
        _flicker.remote(shared, tile, observed, chains) for tile in spec.geometry.tiles
    ]
    return merge_flicker_of_tiles(collect(tasks, progress=progress))
