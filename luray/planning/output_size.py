"""Number of objects and bytes that an inference writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from luray.planning.ranges import Range
from luray.planning.workload import Workload
from luray.product.layout import receipts_of_year
from luray.product.store import Product

COMPRESSED: Mapping[str, Range] = {
    "maps": Range(0.07, 0.20),
    "copied": Range(0.006, 0.04),
    "percent": Range(0.15, 0.42),
    "coarse": Range(0.015, 0.15),
    "overviews": Range(0.2, 0.7),
}
"""Compressed bytes a land cell, measured on the products of the globe, Brazil and the demo.

Of a map, of the confidence of an observed year, and of that of a predicted year or a probability.
Fractions and transitions: of each byte before compression. Overviews: of each land cell of theirs,
map and confidence together. Both were measured on Brazil and Crete.
"""

N_COORDINATES = 8
"""Arrays in one chunk at each level: year, time, latitude and longitude with their bounds, and the
areas of cells. The coordinate system is one number, 0, which needs no chunk.
"""
N_COARSE_COORDINATES = 7
"""Coordinates of coarse cells: two classes, latitude and longitude with bounds, and areas."""


@dataclass(frozen=True)
class OutputSize:
    """Objects and bytes that an inference writes."""

    workload: Workload
    n_classes: int

    @property
    def _product(self) -> Product:
        return self.workload.product

    @property
    def _n_maps(self) -> int:
        """Maps of all years, scenarios and members."""
        return len(self._product.member_indices) * len(self._product.span.years)

    @property
    def _n_transitions(self) -> int:
        """Transitions: each two consecutive years have one."""
        if self._product.coarse is None:
            return 0
        return len(self._product.member_indices) * (len(self._product.span.years) - 1)

    @property
    def tile_years(self) -> int:
        """Tile-years, of every scenario and member, and those across members."""
        product = self._product
        return self.workload.tiles * len(product.span.years) * product.dims.receipts

    @property
    def receipts(self) -> int:
        """Receipts, of tile-years and of coarser overviews."""
        product = self._product
        of_year = receipts_of_year(self.workload.tiles, product.dims, product.overviews)
        return len(product.span.years) * of_year

    @cached_property
    def fields(self) -> dict[str, int]:
        """Fields of a tile over all years, by what is in them (see `COMPRESSED`).

        Each has as many cells as the tile, of one byte.
        """
        product = self._product
        n_maps = len(product.member_indices)
        n_years = len(product.span.years)
        n_copied = len(product.span.copied)
        dims = product.dims
        # Of the members of a scenario: entropy, and the share of each class.
        n_summaries = n_maps // dims.members * n_years if dims.members else 0
        n_probabilities = n_maps * len(dims.probability_years) * self.n_classes
        return {
            "maps": n_maps * n_years,
            "copied": n_maps * n_copied,
            "percent": n_maps * (n_years - n_copied)
            + n_summaries * (self.n_classes + 1)
            + n_probabilities,
        }

    @cached_property
    def coarse_bytes(self) -> int:
        """Fractions and transitions before compression."""
        coarse = self._product.coarse
        if coarse is None:
            return 0
        numbers_a_cell = self._n_maps * self.n_classes + self._n_transitions * self.n_classes**2
        return 4 * numbers_a_cell * self._cells_in_blocks(coarse.block)

    @cached_property
    def overview_cells(self) -> int:
        """Cells of the overviews of one map."""
        overviews = self._product.overviews
        n_cells = sum(self._cells_in_blocks(2**level) for level in overviews.tile_levels)
        everything = self.workload.tiling.everything
        for level in overviews.coarser_levels:
            height, width = everything.coarsened(2**level).shape
            n_cells += height * width
        return n_cells

    def _cells_in_blocks(self, block: int) -> int:
        """Count the coarse cells of the tiles with land."""
        n_cells = 0
        for load in self.workload.loads:
            height, width = self.workload.tiling.tile_box(load.tile).coarsened(block).shape
            n_cells += height * width
        return n_cells

    @property
    def shards(self) -> int:
        """Shards: all classes of a probability are in one.

        An entropy of 0, in observed years, is not written.
        """
        product = self._product
        n_maps = len(product.member_indices)
        n_years = len(product.span.years)
        dims = product.dims
        n_summaries = 0
        if dims.members:
            n_summaries = n_maps // dims.members * (2 * n_years - len(product.span.copied))
        n_levels = len(product.overviews.tile_levels)
        n_fractions = self._n_maps if product.coarse else 0
        of_a_tile = (
            2 * self._n_maps * (1 + n_levels)
            + n_fractions
            + self._n_transitions
            + n_summaries
            + n_maps * len(dims.probability_years)
        )
        of_the_grid = 2 * self._n_maps * len(product.overviews.coarser_levels)
        return self.workload.tiles * of_a_tile + of_the_grid

    @property
    def objects(self) -> int:
        """Shards, receipts and the metadata of the finished product, about."""
        return self.shards + self.receipts + self._metadata_objects

    @property
    def _metadata_objects(self) -> int:
        """Metadata of the groups, of each array, and the chunk of each coordinate."""
        product = self._product
        dims = product.dims
        has_members = bool(dims.members)
        has_probabilities = bool(dims.probability_years)
        has_fractions = product.coarse is not None
        n_arrays = 2 + 2 * has_members + has_probabilities + 2 * has_fractions
        n_coordinates = (
            N_COORDINATES
            + 1  # where the map of a year comes from
            + has_members
            + has_probabilities
            + bool(dims.scenarios)
            + (has_members or has_probabilities or has_fractions)
            + N_COARSE_COORDINATES * has_fractions
        )
        # The group and each array have metadata, a coordinate its chunk as well.
        of_the_maps = 1 + n_arrays + 2 * n_coordinates + 1 + has_fractions
        of_an_overview = 1 + 2 + 1 + 2 * (N_COORDINATES + has_members + bool(dims.scenarios))
        return of_the_maps + product.overviews.levels * of_an_overview

    @property
    def n_bytes(self) -> int:
        """Size of the product before compression."""
        maps = sum(self.fields.values()) * self.workload.cells
        return maps + self.coarse_bytes + 2 * self._n_maps * self.overview_cells

    @property
    def compressed(self) -> Range:
        """Size of the product as it is stored."""
        land = self.workload.land
        share_of_land = land / self.workload.cells
        parts = [COMPRESSED[name] * (n * land) for name, n in self.fields.items()]
        parts.append(COMPRESSED["coarse"] * self.coarse_bytes)
        overview_land = self._n_maps * self.overview_cells * share_of_land
        parts.append(COMPRESSED["overviews"] * overview_land)
        return sum(parts, Range(0, 0))
