"""How many objects and bytes an inference writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from luray.planning.ranges import Range
from luray.planning.workload import Workload

COMPRESSED: Mapping[str, Range] = {
    "land_use": Range(0.07, 0.20),
    "copied": Range(0.006, 0.04),
    "percent": Range(0.15, 0.42),
}
"""Compressed bytes a land cell, measured on the products of the globe, Brazil and the demo.

Of a map, of the confidence of an observed year, and of that of a predicted year or a probability.
"""


@dataclass(frozen=True)
class OutputSize:
    """What an inference writes; sizes are bytes."""

    workload: Workload
    n_classes: int

    @property
    def receipts(self) -> int:
        """Tile-years with a receipt."""
        product = self.workload.product
        return self.workload.tiles * len(product.span.years) * product.dims.receipts

    @cached_property
    def fields(self) -> dict[str, int]:
        """Fields of a tile over all years, by what is in them (see `COMPRESSED`).

        Each has as many cells as the tile, of one byte.
        """
        product = self.workload.product
        n_maps = len(product.member_indices)
        n_years = len(product.span.years)
        n_copied = len(product.span.copied)
        dims = product.dims
        # Of the members of a scenario: entropy, and the share of each class.
        n_summaries = n_maps // dims.members * n_years if dims.members else 0
        n_probabilities = n_maps * len(dims.probability_years) * self.n_classes
        return {
            "land_use": n_maps * n_years,
            "copied": n_maps * n_copied,
            "percent": n_maps * (n_years - n_copied)
            + n_summaries * (self.n_classes + 1)
            + n_probabilities,
        }

    @property
    def shards(self) -> int:
        """Shards: all classes of a probability are in one.

        An entropy of 0, in observed years, is not written.
        """
        product = self.workload.product
        n_maps = len(product.member_indices)
        n_years = len(product.span.years)
        dims = product.dims
        n_summaries = 0
        if dims.members:
            n_summaries = n_maps // dims.members * (2 * n_years - len(product.span.copied))
        of_a_tile = 2 * n_maps * n_years + n_summaries + n_maps * len(dims.probability_years)
        return self.workload.tiles * of_a_tile

    @property
    def objects(self) -> int:
        """Shards, receipts and metadata of the finished product."""
        dims = self.workload.product.dims
        has_members = bool(dims.members)
        has_probabilities = bool(dims.probability_years)
        n_arrays = 2 + 2 * has_members + has_probabilities
        n_coordinates = (
            4
            + has_members
            + has_probabilities
            + bool(dims.scenarios)
            + (has_members or has_probabilities)
        )
        # The group and each array have metadata; a coordinate has metadata and one chunk.
        n_metadata = 1 + n_arrays + 2 * n_coordinates
        return self.shards + self.receipts + n_metadata

    @property
    def n_bytes(self) -> int:
        """Size of the product before compression."""
        return sum(self.fields.values()) * self.workload.cells

    @property
    def compressed(self) -> Range:
        """Size of the product as it is stored."""
        land = self.workload.land
        parts = [COMPRESSED[name] * (n * land) for name, n in self.fields.items()]
        return sum(parts, Range(0, 0))
