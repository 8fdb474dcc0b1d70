"""TO BE WRITTEN."""

from dataclasses import dataclass
from functools import cached_property

from luray.core.tiling import Exchange, Tile, Tiling
from luray.cube.cube import Cube
from luray.cube.land import tiles_with_land


@dataclass(frozen=True)
class Inbound:
    """A strip that arrives at a tile: whose windows it comes from, which of their exchanges, and
    where it goes.
    """

    source: Tile
    index: int
    own: tuple[slice, slice]


@dataclass(frozen=True)
class Geometry:
    """Which tiles have land and what they exchange."""

    tiling: Tiling
    tiles: tuple[Tile, ...]
    """Tiles with land, row by row."""

    @classmethod
    def of(cls, cube: Cube, tiling: Tiling) -> "Geometry":
        """Geometry of a cube."""
        return cls(tiling, tiles_with_land(cube, tiling))

    @cached_property
    def _land(self) -> frozenset[Tile]:
        return frozenset(self.tiles)

    def outbound(self, tile: Tile) -> list[Exchange]:
        """Exchanges of a tile with neighbours that have land."""
        return [e for e in self.tiling.exchanges(tile) if e.neighbour in self._land]

    def around(self, tile: Tile) -> list[Tile]:
        """Neighbours with land, sorted; the tile itself only where it wraps onto itself."""
        return sorted({e.neighbour for e in self.outbound(tile)})

    def inbound(self, tile: Tile) -> list[Inbound]:
        """Strips that arrive at a tile, in a fixed order."""
        return [
            Inbound(source, i, e.own)
            for source in self.around(tile)
            for i, e in enumerate(self.outbound(source))
            if e.neighbour == tile
        ]
