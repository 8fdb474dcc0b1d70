"""Regular longitude-latitude grids, north first.

A grid is four numbers and a shape; cell (0, 0) is the north-west corner. Whether a grid spans the
globe, the areas of its cells and where their centres lie is decided here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from luray.core.types import F64

EARTH_RADIUS_M = 6371007.181
"""Radius of the sphere with the Earth's surface area (authalic), in metres."""

ALIGNMENT = 0.02
"""Largest offset between two lattices that counts as rounding, in cells."""


@dataclass(frozen=True)
class Grid:
    """A regular grid of square cells in degrees.

    Parameters
    ----------
    north, west : float
        Outer edges, in degrees.
    step : float
        Size of a cell, in degrees.
    n_lat, n_lon : int
        Numbers of rows and columns.

    Raises
    ------
    ValueError
        For a grid without cells, or one that reaches past the poles or around the globe.

    Examples
    --------
    >>> luh2 = Grid(north=90, west=-180, step=0.25, n_lat=720, n_lon=1440)
    >>> luh2.periodic
    True
    >>> luh2.lat[:2].tolist()
    [89.875, 89.625]
    """

    north: float
    west: float
    step: float
    n_lat: int
    n_lon: int

    def __post_init__(self) -> None:
        if self.step <= 0 or self.n_lat < 1 or self.n_lon < 1:
            raise ValueError(
                f"grid step {self.step} and shape {self.n_lat} x {self.n_lon} must be positive"
            )

        # files store edges in few digits: a small part of a cell too much is rounding
        tolerance = self.step * ALIGNMENT
        if self.north > 90 + tolerance or self.south < -90 - tolerance:
            raise ValueError(
                f"grid spans latitudes {self.south:.4f}..{self.north:.4f}, expected within "
                "-90..90; give the outer edges, not cell centres"
            )
        if self.n_lon * self.step > 360 + tolerance:
            raise ValueError(
                f"grid spans {self.n_lon * self.step:.4f} degrees of longitude, expected at most "
                "360"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_lat, n_lon)."""
        return self.n_lat, self.n_lon

    @property
    def south(self) -> float:
        """Southern edge in degrees."""
        return self.north - self.n_lat * self.step

    @property
    def east(self) -> float:
        """Eastern edge in degrees."""
        return self.west + self.n_lon * self.step

    @property
    def periodic(self) -> bool:
        """True when the grid spans all longitudes: its first and last columns are neighbours."""
        return abs(self.n_lon * self.step - 360) < self.step * ALIGNMENT

    @cached_property
    def lat(self) -> F64:
        """Latitude of the cell centres in degrees, descending, shape (n_lat,)."""
        return self.north - (np.arange(self.n_lat, dtype=np.float64) + 0.5) * self.step

    @cached_property
    def lon(self) -> F64:
        """Longitude of the cell centres in degrees, ascending, shape (n_lon,)."""
        return self.west + (np.arange(self.n_lon, dtype=np.float64) + 0.5) * self.step

    @cached_property
    def cell_area(self) -> F64:
        """Area of a cell in each row in m2, shape (n_lat,).

        Times n_lon it sums to the Earth's surface on a global grid.
        """
        edges = np.clip(self.north - np.arange(self.n_lat + 1) * self.step, -90, 90)
        return row_areas(edges, self.step)

    def offset_of(self, other: "Grid") -> tuple[int, int]:
        """Locate another grid on the lattice of this one.

        Parameters
        ----------
        other : Grid
            A grid with the same cells, of another extent.

        Returns
        -------
        tuple of int
            Row and column in this grid of the north-west cell of `other`; they may be negative.

        Raises
        ------
        ValueError
            For another cell size, or a shift that is no whole number of cells, such as half a cell.

        Examples
        --------
        >>> run = Grid(north=40, west=20, step=0.5, n_lat=20, n_lon=20)
        >>> run.offset_of(Grid(north=39, west=22, step=0.5, n_lat=4, n_lon=4))
        (2, 4)
        """
        # a difference in size adds up along an axis: what counts is the offset of the last cell
        if abs(other.step - self.step) * max(other.shape) > ALIGNMENT * self.step:
            raise ValueError(
                f"cell size {other.step:.8f} differs from the run grid's {self.step:.8f}; "
                "set grid.step to the file's or resample the file"
            )

        row = (self.north - other.north) / self.step
        col = (other.west - self.west) / self.step
        shift = max(abs(row - round(row)), abs(col - round(col)))
        if shift > ALIGNMENT:
            raise ValueError(
                f"cells are shifted by {shift:.3f} of a cell against the run grid (expected 0): "
                f"north-west corner {other.north:.5f}, {other.west:.5f} against {self.north:.5f}, "
                f"{self.west:.5f}; correct the georeference or the [grid] of the run file"
            )
        return round(row), round(col)


def row_areas(edges: F64, step: float) -> F64:
    """Return the area of a cell in each row in m2.

    Exact on the sphere: R^2 * dlon * (sin(north edge) - sin(south edge)).

    Parameters
    ----------
    edges : array, shape (rows + 1,)
        Latitudes between the rows in degrees, from north to south.
    step : float
        Width of a cell in degrees.
    """
    sines = np.sin(np.radians(edges))
    area: F64 = EARTH_RADIUS_M**2 * np.radians(step) * -np.diff(sines)
    return area
