"""Small products written as an engine writes them, and the maps that were put into them."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from luray.core.legend import OUTSIDE
from luray.product.coarse_cells import CoarseCells
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.product.overviews import NO_OVERVIEWS, Overviews
from luray.product.store import Product
from luray.product.trajectories import Span, TileYear

YEARS = Span(2001, 2003, (2001, 2003))
WALK = Span(2000, 2003, (2001, 2002))
NAMES = ("ssp126", "ssp585")
ALL = ProductDims(NAMES, 3, (2003,))
OVERVIEWS = Overviews(levels=3, of_tiles=2)
"""Levels of tiles of 4 and 2 cells, and one of the whole grid."""
DIMS = [ONE_MAP, ProductDims(NAMES), ProductDims((), 2), ProductDims((), 0, (2000, 2003)), ALL]


class WrittenMap(NamedTuple):
    """What `fill` wrote of one tile-year; without probabilities where the product has none."""

    classes: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None


def created(cube, url, *, span=YEARS, dims=ONE_MAP, tiles=4, overviews=NO_OVERVIEWS):
    """An empty product of a cube, of its legend, with coarse cells of two by two cells."""
    tiling = cube.tiling(window=8, stride=4, tile=8)
    product = Product(
        str(url),
        span,
        tiling,
        "f" * 64,
        "ssp245",
        dims,
        5,
        legend=cube.legend,
        coarse=CoarseCells.of(cube.grid, 2 * cube.grid.step, tile=8),
        overviews=overviews,
    )
    product.create(cube, title="t", models={}, tiles=tiles)
    return product


def random_map(shape, seed, *, n_classes=7):
    """Class indices with cells outside land, and confidence in percent."""
    random = np.random.default_rng(seed)
    classes = random.choice(np.array([*range(n_classes), OUTSIDE], np.uint8), shape)
    confidence = np.where(classes == OUTSIDE, 0, random.integers(15, 101, shape))
    return classes, confidence.astype(np.uint8)


def fill(product):
    """Write a product as an engine does; return its maps by tile-year.

    Each sequence has maps of its own in predicted years.
    """
    n_classes = len(product.legend)
    maps = {}
    for tile in product.tiling.tiles():
        shape = product.tiling.tile_box(tile).shape
        land = random_map(shape, [9, *tile], n_classes=n_classes)[0] != OUTSIDE

        def put(year, member_indices, seed, prior=None, tile=tile, shape=shape, land=land):
            classes, confidence = random_map(shape, seed, n_classes=n_classes)
            classes = np.where(land, classes % n_classes, OUTSIDE).astype(np.uint8)
            confidence = np.where(land, confidence, 0).astype(np.uint8)
            probabilities = None
            if year in product.dims.probability_years:
                random = np.random.default_rng(seed)
                probabilities = random.integers(0, 101, (n_classes, *shape)).astype(np.uint8)
            product.write(
                year,
                tile,
                classes,
                confidence,
                member_indices,
                prior=None
                if prior is None
                else maps[TileYear(prior, tile, member_indices[0])].classes,
                probabilities=probabilities,
            )
            written = WrittenMap(classes, confidence, probabilities)
            maps.update({TileYear(year, tile, index): written for index in member_indices})

        first_copied = product.span.copied[0]
        for year in product.span.copied:
            prior = year - 1 if year > first_copied else None
            put(year, product.member_indices, [year, *tile], prior)
        for n, trajectory in enumerate(product.trajectories):
            for prior, year in pairwise(trajectory.years):
                put(year, trajectory.member_indices, [n, year, *tile], prior)
        if product.members:
            for year in product.span.years:
                for scenarios in product.scenario_groups(year):
                    product.summarise(year, tile, scenarios)

    for year in product.span.years if product.overviews.coarser_levels else ():
        for member_indices in product.map_groups(year):
            product.write_coarser_overviews(year, member_indices)
    return maps
