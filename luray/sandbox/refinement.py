"""Reading a field between its cell centres."""

import numpy as np

from luray.core.grid import Grid
from luray.core.types import F32, F64


def refined(field: F32, grid: Grid, target: Grid) -> F32:
    """Read a field between its cell centres (bilinear), held at the edges.

    Parameters
    ----------
    field : array of float32, shape (grid.n_lat, grid.n_lon)
    grid : Grid
        Of the field.
    target : Grid
        Whose cell centres are read.

    Returns
    -------
    array of float32, shape (target.n_lat, target.n_lon)
    """
    # latitudes descend, and np.interp wants them to ascend
    along_lat = _linear_weights(-grid.lat, -target.lat)
    along_lon = _linear_weights(grid.lon, target.lon)
    return np.asarray(along_lat @ field @ along_lon.T)


def _linear_weights(source: F64, target: F64) -> F32:
    """Matrix that interpolates from ascending coordinates to others, shape (target, source)."""
    position = np.interp(target, source, np.arange(len(source)))
    low = np.minimum(position.astype(int), len(source) - 2)
    fraction = position - low
    row = np.arange(len(target))

    matrix = np.zeros((len(target), len(source)), np.float32)
    matrix[row, low] = 1 - fraction
    matrix[row, low + 1] = fraction
    return matrix
