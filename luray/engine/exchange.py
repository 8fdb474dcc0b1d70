"""Bookkeeping of what tiles send to each other: strips of sums, and edges of finished maps.

The objects themselves are wherever the engine keeps them; here are only references to them, of any
kind.
"""

from typing import Any

from luray.core.tiling import Tile
from luray.engine.geometry import Geometry
from luray.engine.wavefront import TileStep, Wavefront


class ExchangedObjects:
    """References to the strips and edges of one trajectory that somebody may still ask for.

    Parameters
    ----------
    geometry : Geometry
        Who sends what to whom.
    wavefront : Wavefront
        What is done: what nobody will ask for any more.
    """

    def __init__(self, geometry: Geometry, wavefront: Wavefront) -> None:
        self._geometry = geometry
        self._wavefront = wavefront
        self._strips: dict[TileStep, list[Any]] = {}
        """Strips of each predicted tile-year, in the order of `Geometry.outbound`."""
        self._edges: dict[TileStep, Any] = {}
        """Edges of each reduced tile-year, all in one object."""

    def put_strips(self, tile: Tile, step: int, strips: list[Any]) -> None:
        """Keep the strips of a predicted tile-year."""
        self._strips[tile, step] = strips

    def put_edges(self, tile: Tile, step: int, edges: Any) -> None:
        """Keep the edges of a reduced tile-year."""
        self._edges[tile, step] = edges

    def strips_for(self, tile: Tile, step: int) -> list[Any]:
        """Return what the reduction of a tile-year needs, in the order of `Geometry.inbound`."""
        arrivals = self._geometry.inbound(tile)
        return [self._strips[arrival.source, step][arrival.index] for arrival in arrivals]

    def edges_for(self, tile: Tile, step: int) -> list[Any]:
        """Return what the prediction of a tile-year needs, in the order of `Geometry.around`.

        None stands for edges that are not there, and are read from the product.
        """
        return [self._edges.get((t, step - 1)) for t in self._geometry.around(tile)]

    def forget_edges_for(self, tile: Tile, step: int) -> None:
        """Drop what the prediction of a tile-year needs: one of these objects may be lost."""
        for near in (*self._geometry.around(tile), tile):
            self._edges.pop((near, step - 1), None)

    def drop_unneeded(self, tile: Tile, step: int) -> None:
        """Drop what nobody needs any more once a tile-year is reduced.

        These are strips whose receivers are all reduced, and the edges of the step before them.
        """
        for near in (*self._geometry.around(tile), tile):
            # What `near` has sent is for the tiles around it, and for itself where it wraps.
            receivers = (*self._geometry.around(near), near)
            if all(self._wavefront.is_reduced(receiver, step) for receiver in receivers):
                self._strips.pop((near, step), None)
                self._edges.pop((near, step - 1), None)
