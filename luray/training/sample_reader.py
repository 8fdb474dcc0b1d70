"""Reading the arrays of training samples from a predictor cube.

Shapes: B samples of a batch, T years, N older maps, L level channels of the forcing, S static
channels, H W window.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box
from luray.core.types import U8, Bool
from luray.cube.cube import Cube, NativeValues
from luray.cube.region import Region
from luray.training.rollout import Sample
from luray.training.sample_window import SampleWindow


def turned(field: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """Return a field (..., n, n) in one of the eight symmetries of a square.

    It is turned by `symmetry` % 4 quarters, then mirrored left to right if `symmetry` is 4 or more.
    The result is in C order, lest the order of sums over a batch follow the symmetries of its
    samples.

    Examples
    --------
    >>> turned(np.array([[1, 2], [3, 4]]), 1)
    array([[2, 4],
           [1, 3]])
    >>> turned(np.array([[1, 2], [3, 4]]), 4)
    array([[2, 1],
           [4, 3]])
    """
    quarters = np.rot90(field, symmetry % 4, axes=(-2, -1))
    return np.ascontiguousarray(quarters if symmetry < 4 else quarters[..., ::-1])


def everywhere(box: Box) -> Bool:
    """Return True for all cells of a box."""
    return np.ones(box.shape, np.bool_)


def read_samples(
    cube: Cube,
    sample_windows: Sequence[SampleWindow],
    *,
    counted: Callable[[Box], Bool] = everywhere,
    native_values: Sequence[NativeValues] = (),
) -> Sample:
    """Read a batch of training samples.

    Parameters
    ----------
    cube : Cube
        Where the arrays are read.
    sample_windows : sequence of SampleWindow
        Boxes of one shape, and as many years and older years each.
    counted : callable
        Which cells of a box count in the loss; by default all.
    native_values : sequence of NativeValues, optional
        What was read elsewhere for each window (see `luray.training.packing`); the store is then
        not asked.
    """
    if not native_values:
        native_values = [{}] * len(sample_windows)
    samples = [
        _read_sample(cube, window, counted(window.box), values)
        for window, values in zip(sample_windows, native_values, strict=True)
    ]
    fields = zip(*samples, strict=True)
    return Sample(*(torch.from_numpy(np.stack(field)) for field in fields))


def _read_sample(
    cube: Cube, window: SampleWindow, counted_HW: Bool, native_values: NativeValues
) -> tuple[NDArray[Any], ...]:
    """Fields of one `Sample`, without its first axis."""
    box, years, symmetry, older_years = window

    def map_of(year: int | None) -> U8:
        if year is None:
            return np.full(box.shape, OUTSIDE, np.uint8)
        return native_values["state", year] if native_values else cube.state(year, box)

    maps_THW = np.stack([map_of(year) for year in years])
    older_maps_NHW = np.empty((len(older_years), *box.shape), np.uint8)
    for n, year in enumerate(older_years):
        older_maps_NHW[n] = map_of(year)

    region = Region(cube, box, native_values)
    forcing = [region.forcing(year, box) for year in years]

    # A row beyond a pole has no area of its own and takes that of the nearest one; it is not land.
    rows = np.clip(np.arange(box.row, box.row + box.height), 0, cube.grid.n_lat - 1)
    area_H = (cube.grid.cell_area[rows] / cube.grid.cell_area.max()).astype(np.float32)

    fields = (
        maps_THW,
        older_maps_NHW,
        np.stack(forcing),
        region.static(box),
        np.broadcast_to(area_H[:, None], box.shape),
        counted_HW,
    )
    return tuple(turned(field, symmetry) for field in fields)
