"""Coastlines of Natural Earth, from files of this package: nothing is loaded from the internet.

The files are TopoJSON: lines of whole numbers, each point as the difference to the one before.
"""

import gzip
import json
from functools import cache
from importlib.resources import files

import numpy as np
import shapely

from luray.core.grid import Grid
from luray.core.types import F64, Bool

SCALES = {"10m": 20.0, "50m": 100.0, "110m": 360.0}
"""Scales of the coastlines, and the degrees of a map up to which each of them is fine enough."""

EDGE = 0.01
"""Degrees from the edge of the world map within which a line is that edge and no coast."""


def coastlines(grid: Grid) -> shapely.MultiLineString:
    """Return the coastlines in the box of a grid, in degrees, longitudes from -180 to 180."""
    extent = max(grid.north - grid.south, grid.east - grid.west)
    scale = next(name for name, degrees in SCALES.items() if extent <= degrees + grid.step)
    lines = []
    # A grid may reach past 180 degrees, where the coastlines go on at -180.
    for shift in (-360, 0, 360):
        box = (grid.west + shift, grid.south, grid.east + shift, grid.north)
        clipped = shapely.clip_by_rect(coastlines_of_scale(scale), *box)
        parts = shapely.get_parts(clipped)
        lines.extend(parts[shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING])
    return shapely.MultiLineString(lines)


@cache
def coastlines_of_scale(scale: str) -> shapely.MultiLineString:
    """Return all coastlines of one of `SCALES`, in degrees."""
    file = files("luray.viz") / "natural_earth" / f"land-{scale}.json.gz"
    topology = json.loads(gzip.decompress(file.read_bytes()))
    degrees_per_step = np.array(topology["transform"]["scale"])
    origin = np.array(topology["transform"]["translate"])
    lines = []
    for arc in topology["arcs"]:
        steps_N2 = np.cumsum(arc, axis=0)  # each point is stored as the step from the one before
        points_N2 = steps_N2 * degrees_per_step + origin
        lines.extend(_coasts(points_N2))
    return shapely.MultiLineString(lines)


def _coasts(points_N2: F64) -> list[F64]:
    """The parts of a line that are coast: not those along the edge of the map, or across it."""
    # Pieces lead from each point to the next: one fewer than there are points.
    on_edge_N = _on_edge(points_N2)
    along_edge = on_edge_N[:-1] & on_edge_N[1:]
    across_map = np.abs(np.diff(points_N2[:, 0])) > 180
    is_no_coast = along_edge | across_map

    # The line is cut at the pieces that are no coast. What is left of a point alone is no line.
    cuts = np.flatnonzero(is_no_coast) + 1
    parts = np.split(points_N2, cuts)
    return [part for part in parts if len(part) > 1]


def _on_edge(points_N2: F64) -> Bool:
    """Whether each point lies at 180 degrees of longitude, or at the south pole."""
    lon_N, lat_N = points_N2.T
    on_edge: Bool = (np.abs(lon_N) > 180 - EDGE) | (lat_N < -90 + EDGE)
    return on_edge
