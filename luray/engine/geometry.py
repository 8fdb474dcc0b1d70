"""The tiles with land, and the strips and edges that travel between them."""

from dataclasses import dataclass
from functools import cached_property

from luray.core.tiling import Exchange, Tile, Tiling
from luray.cube.cube import Cube
from luray.cube.land import tiles_with_land


@dataclass(frozen=True)
class Arrival:
    """A strip that arrives at a tile."""

    source: Tile
    """The neighbour whose windows it comes from."""
    index: int
    """Its number among the source's `Geometry.outbound` exchanges."""
    own: tuple[slice, slice]
    """Where it lies in the tile that it arrives at."""


@dataclass(frozen=True)
class Geometry:
    """The tiles with land, and what they exchange.

    Sums travel as strips from `outbound` of one tile to `inbound` of another; the cells of the
    finished map travel back over the same rectangles, as edges.
    """

    tiling: Tiling
    tiles: tuple[Tile, ...]
    """Tiles with land, row by row."""

    @classmethod
    def of(cls, cube: Cube, tiling: Tiling) -> "Geometry":
        """Return the geometry of a cube."""
        return cls(tiling, tiles_with_land(cube, tiling))

    @cached_property
    def _with_land(self) -> frozenset[Tile]:
        return frozenset(self.tiles)

    def outbound(self, tile: Tile) -> list[Exchange]:
        """Return the exchanges of a tile with neighbours that have land."""
        exchanges = self.tiling.exchanges(tile)
        return [exchange for exchange in exchanges if exchange.neighbour in self._with_land]

    def around(self, tile: Tile) -> list[Tile]:
        """Return the neighbours with land, sorted.

        The tile itself is one of them only where it wraps onto itself.
        """
        return sorted({exchange.neighbour for exchange in self.outbound(tile)})

    def inbound(self, tile: Tile) -> list[Arrival]:
        """Return the strips that arrive at a tile, in a fixed order."""
        # The order is that of `ExchangedObjects`, which knows a strip by its source and index.
        arrivals = []
        for source in self.around(tile):
            for index, exchange in enumerate(self.outbound(source)):
                if exchange.neighbour == tile:
                    arrivals.append(Arrival(source, index, exchange.own))
        return arrivals
