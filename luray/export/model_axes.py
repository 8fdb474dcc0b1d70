"""The order in which CTSM and FATES store cells: from the south, and eastward from Greenwich.

Shapes: Y X coarse cells.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.types import F64


@dataclass(frozen=True)
class ModelOrder:
    """Cells of a grid from south to north.

    Columns begin at the first one east of Greenwich where the grid spans the globe; elsewhere they
    keep their order, which goes from west to east.

    Examples
    --------
    >>> order = ModelOrder(Grid(90, -180, 90, 2, 4))
    >>> order.lon.tolist()
    [45.0, 135.0, 225.0, 315.0]
    >>> order.of(np.array([[0, 1, 2, 3], [4, 5, 6, 7]])).tolist()
    [[6, 7, 4, 5], [2, 3, 0, 1]]
    """

    grid: Grid

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of shape (..., Y, X) in this order."""
        return np.roll(values[..., ::-1, :], -self._first_column, axis=-1)

    @property
    def lat(self) -> F64:
        """Latitudes, ascending."""
        return self.grid.lat[::-1]

    @property
    def lon(self) -> F64:
        """Longitudes in 0 to 360 degrees east."""
        return np.asarray(np.roll(self.grid.lon % 360, -self._first_column)).round(9)

    @property
    def longitudes(self) -> F64:
        """Longitude of every cell, shape (Y, X)."""
        return np.repeat(self.lon[None, :], self.grid.n_lat, axis=0)

    @property
    def latitudes(self) -> F64:
        """Latitude of every cell, shape (Y, X)."""
        return np.repeat(self.lat[:, None], self.grid.n_lon, axis=1)

    @property
    def _first_column(self) -> int:
        """Column of the smallest longitude from 0 on."""
        return int(np.argmin(self.grid.lon % 360)) if self.grid.periodic else 0
