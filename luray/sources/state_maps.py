"""Maps of the state source on the run grid, for sources that are derived from them.

Shapes: H W box.
"""

import numpy as np

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.tiling import Box
from luray.core.types import U8
from luray.sources.base import Source


def classes_on_run_grid(state: Source, run_grid: Grid, year: int, box: Box) -> U8:
    """Return the class indices of a year in a box of the run grid, shape (H, W).

    `OUTSIDE` beyond the run grid, and beyond the raster of the state.
    """
    classes = np.full(box.shape, OUTSIDE, np.uint8)
    on_run_grid = box.clip(run_grid.shape)
    if on_run_grid is None:
        return classes

    # The raster of the state in cells of the run grid, and what the box has of it.
    row, col = run_grid.offset_of(state.grid)
    state_box = Box(row, col, *state.grid.shape)
    common = on_run_grid.intersection(state_box)
    if common is None:
        return classes

    in_state = common._replace(row=common.row - row, col=common.col - col)
    [codes] = state.read(year, in_state)
    classes[common.slices(origin=box)] = state.legend.encode(codes)
    return classes
