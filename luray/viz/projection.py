"""Where the cells of a grid lie on a picture: projections, pixels and coastlines.

All projections are equal-area: a class that covers a tenth of the land covers a tenth of the
picture. They are those of the sphere on which the areas of cells are computed.

Shapes: H W pixels of a picture, north first; N points of a line, P of an edge of the grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import cartopy.crs as ccrs
import numpy as np
import shapely
from PIL import ImageDraw

from luray.core.grid import EARTH_RADIUS_M, Grid
from luray.core.types import F64, I64, U8, Bool
from luray.viz.coastlines import coastlines

SPHERE = ccrs.Globe(ellipse=None, semimajor_axis=EARTH_RADIUS_M, semiminor_axis=EARTH_RADIUS_M)

DEGREES = ccrs.PlateCarree(globe=SPHERE)
"""Longitudes and latitudes."""

WORLD_DEGREES = 120
"""Degrees of longitude or latitude from which a map is one of the world."""

EDGE_POINTS = 181
"""Points along an edge of the grid by which its extent on a picture is found."""

ROUNDING = 1e-6
"""Share of a picture's width within which a pixel and its place on the globe must agree."""


class Raster(NamedTuple):
    """The cell of the grid that each pixel of a picture shows."""

    row_HW: I64
    col_HW: I64
    inside_HW: Bool
    """False off the grid, where row and column are 0."""

    def paint(self, values: U8, *, factor: int, background: int | Sequence[int]) -> U8:
        """Return the picture of a map.

        Parameters
        ----------
        values : array, shape (rows, columns) or (rows, columns, channels)
            A value or a colour for each block of `factor` x `factor` cells of the grid. Cells that
            fill no whole block, at the far edges, may be left out: they are then off the grid.
        factor : int
            Cells along a side of a block.
        background : int or sequence of int
            Value or colour of a pixel off the grid.

        Returns
        -------
        array, shape (H, W) or (H, W, channels)
        """
        block_row_HW = self.row_HW // factor
        block_col_HW = self.col_HW // factor
        has_value_HW = self.inside_HW & (block_row_HW < values.shape[0])
        has_value_HW &= block_col_HW < values.shape[1]

        # A pixel without a value looks up the first one, and is painted over.
        block_row_HW = np.where(has_value_HW, block_row_HW, 0)
        block_col_HW = np.where(has_value_HW, block_col_HW, 0)
        painted: U8 = values[block_row_HW, block_col_HW]
        painted[~has_value_HW] = background
        return painted


@dataclass(frozen=True)
class ProjectedGrid:
    """A grid as it lies on a map: Equal Earth for the world, else Lambert's azimuthal projection.

    Examples
    --------
    >>> globe = ProjectedGrid(Grid(north=90, west=-180, step=1, n_lat=180, n_lon=360))
    >>> type(globe.crs).__name__, round(globe.ratio, 2)
    ('EqualEarth', 0.49)
    """

    grid: Grid

    @cached_property
    def is_world(self) -> bool:
        """Whether the map is one of the world, whose scale varies from place to place."""
        grid = self.grid
        return max(grid.north - grid.south, grid.east - grid.west) > WORLD_DEGREES

    @cached_property
    def crs(self) -> ccrs.Projection:
        """The projection, with its centre in the middle of the grid."""
        middle_lon = (self.grid.west + self.grid.east) / 2
        if self.is_world:
            return ccrs.EqualEarth(central_longitude=middle_lon, globe=SPHERE)
        middle_lat = (self.grid.north + self.grid.south) / 2
        return ccrs.LambertAzimuthalEqualArea(middle_lon, middle_lat, globe=SPHERE)

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south and north edge in metres, as matplotlib orders them."""
        grid = self.grid
        # Just inside: the two sides of the antimeridian must not change places.
        inset = 1e-9 * grid.step
        lon_P = np.linspace(grid.west + inset, grid.east - inset, EDGE_POINTS)
        lat_P = np.clip(np.linspace(grid.south, grid.north, EDGE_POINTS), -90, 90)

        # On a map the edges are bent: the farthest point of one may be anywhere along it. So all
        # points of the western, eastern, southern and northern edge are projected.
        west_P = np.full_like(lat_P, lon_P[0])
        east_P = np.full_like(lat_P, lon_P[-1])
        south_P = np.full_like(lon_P, lat_P[0])
        north_P = np.full_like(lon_P, lat_P[-1])
        edge_lons = np.concatenate([west_P, east_P, lon_P, lon_P])
        edge_lats = np.concatenate([lat_P, lat_P, south_P, north_P])
        x, y = self.to_metres(edge_lons, edge_lats)
        return float(x.min()), float(x.max()), float(y.min()), float(y.max())

    @property
    def ratio(self) -> float:
        """Height over width of the map."""
        west, east, south, north = self.extent
        return (north - south) / (east - west)

    def size(self, longer_side: int) -> tuple[int, int]:
        """Return width and height in pixels of a picture by its longer side."""
        if self.ratio > 1:
            return max(1, round(longer_side / self.ratio)), longer_side
        return longer_side, max(1, round(longer_side * self.ratio))

    def to_metres(self, lon: F64, lat: F64) -> tuple[F64, F64]:
        """Return x and y of places on the map, in metres from its centre."""
        points_N3 = self.crs.transform_points(DEGREES, lon, lat)
        return points_N3[..., 0], points_N3[..., 1]

    def to_pixels(self, x: F64, y: F64, size: tuple[int, int]) -> tuple[F64, F64]:
        """Return columns and rows, in pixels from the upper left corner of a picture of a size."""
        west, east, south, north = self.extent
        width, height = size
        return (x - west) / (east - west) * width, (north - y) / (north - south) * height

    def raster(self, longer_side: int) -> Raster:
        """Return which cell each pixel of a picture shows, the one at its middle."""
        return _raster(self, longer_side)

    @cached_property
    def coastlines(self) -> list[F64]:
        """Coastlines in metres, shape (N, 2) each."""
        projected = self.crs.project_geometry(coastlines(self.grid), DEGREES)
        lines = shapely.get_parts(projected)
        return [shapely.get_coordinates(line) for line in lines]

    def draw_coastlines(
        self,
        draw: ImageDraw.ImageDraw,
        size: tuple[int, int],
        *,
        colour: str | int,
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        """Draw the coastlines into a picture of a size whose upper left corner lies at `corner`."""
        for line_N2 in self.coastlines:
            x, y = self.to_pixels(line_N2[:, 0], line_N2[:, 1], size)
            points = zip((corner[0] + x).tolist(), (corner[1] + y).tolist(), strict=True)
            draw.line(list(points), fill=colour, width=1)


@lru_cache(maxsize=8)
def projected_grid(grid: Grid) -> ProjectedGrid:
    """Return a grid as it lies on a map; its pictures share what takes long to project."""
    return ProjectedGrid(grid)


@lru_cache(maxsize=4)
def _raster(projected: ProjectedGrid, longer_side: int) -> Raster:
    """`ProjectedGrid.raster`, once for the pictures of a size."""
    # From the middle of each pixel back to its longitude and latitude.
    width, height = projected.size(longer_side)
    west, east, south, north = projected.extent
    x_W = west + (np.arange(width) + 0.5) / width * (east - west)
    y_H = north - (np.arange(height) + 0.5) / height * (north - south)
    x_HW, y_HW = np.meshgrid(x_W, y_H)
    places_HW3 = DEGREES.transform_points(projected.crs, x_HW, y_HW)
    lon_HW = places_HW3[..., 0]
    lat_HW = places_HW3[..., 1]

    # Beside the outline of the world there are places, too, but not those of the pixel.
    again_x_HW, again_y_HW = projected.to_metres(lon_HW, lat_HW)
    tolerance = ROUNDING * (east - west)
    agrees = np.abs(again_x_HW - x_HW) < tolerance
    agrees &= np.abs(again_y_HW - y_HW) < tolerance

    grid = projected.grid
    with np.errstate(invalid="ignore"):
        row_HW = np.floor((grid.north - lat_HW) / grid.step)
        col_HW = np.floor(np.mod(lon_HW - grid.west, 360) / grid.step)
        inside_HW = agrees & (row_HW >= 0) & (row_HW < grid.n_lat) & (col_HW < grid.n_lon)
    return Raster(
        np.where(inside_HW, row_HW, 0).astype(np.int64),
        np.where(inside_HW, col_HW, 0).astype(np.int64),
        inside_HW,
    )
