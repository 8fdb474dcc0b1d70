"""Observed years that go into the product as they are.

The cube holds the published codes of a map in shards of the product's format, where its tiles are
the product's. They differ only where a cell is off the land mask, which is one for all years, and
yet has a class in some of them. So the shard of the cube is moved as it is wherever the codes to be
written are the ones in it, and encoded again elsewhere. What follows from a map needs its cells:
each map is decoded once, also for the transition to the next one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luray.core.legend import NO_DATA, NO_VALUE, OUTSIDE
from luray.core.tiling import Box, Tile
from luray.core.types import U8
from luray.cube.chunks import StoredShard
from luray.cube.cube import Cube
from luray.engine.spec import InferenceSpec
from luray.storage.shards import LatestShards


def copy_years(spec: InferenceSpec, tile: Tile, years: Sequence[int]) -> None:
    """Copy observed years of a tile into the product, for every scenario and member.

    Parameters
    ----------
    spec : InferenceSpec
        The inference.
    tile : Tile
        With land.
    years : sequence of int
        Observed years; where they follow each other, each map is read once.
    """
    product = spec.product
    cube = spec.cube
    box = spec.geometry.tiling.tile_box(tile)
    maps = ObservedMaps(cube, box)
    no_data_HW = cube.no_data(box) if cube.tells_no_data else np.zeros(box.shape, np.bool_)
    latest = LatestShards()

    for year in years:
        pair = product.layout.transition_of(year)
        prior = None if pair is None else maps.of(pair[0]).classes_HW
        observed = maps.of(year)
        stored = observed.stored
        if stored is not None and stored.format == product.shard_format(cube.legend.variable):
            latest.put(cube.legend.variable, stored.values, stored.data)

        classes_HW = observed.classes_HW
        quality_HW = (classes_HW != OUTSIDE) * np.uint8(100)
        if cube.legend.scale is not None:
            quality_HW = np.full(box.shape, NO_VALUE, np.uint8)  # the spread is a prediction's
        if no_data_HW.any():
            classes_HW = np.where(no_data_HW, np.uint8(NO_DATA), classes_HW)
        product.write(
            year,
            tile,
            classes_HW,
            quality_HW,
            product.member_indices,
            prior=prior,
            latest=latest,
        )


class ObservedMap(NamedTuple):
    """The map of a year over a tile."""

    classes_HW: U8
    """See `Cube.state`."""
    stored: StoredShard | None
    """The shard of the cube that holds its codes, None where the cube has other tiles."""


class ObservedMaps:
    """Observed maps of a box, of which the two that were read last are kept.

    Parameters
    ----------
    cube : Cube
        Where they are read from.
    box : Box
        Inside the grid.
    """

    def __init__(self, cube: Cube, box: Box) -> None:
        self._cube = cube
        self._box = box
        self._land_HW = cube.land(box)
        self._latest: dict[int, ObservedMap] = {}

    def of(self, year: int) -> ObservedMap:
        """Return the map of a year. Raises ValueError as `Cube.state` does."""
        if year not in self._latest:
            if len(self._latest) == 2:
                self._latest.pop(next(iter(self._latest)))
            self._latest[year] = self._read(year)
        return self._latest[year]

    def _read(self, year: int) -> ObservedMap:
        stored = self._cube.stored_state(year, self._box)
        if stored is None:
            return ObservedMap(self._cube.state(year, self._box), None)
        return ObservedMap(self._cube.classes_of(stored.values, self._land_HW, year=year), stored)
