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
from luray.cube.region import Region, n_channels
from luray.training.rollout import Sample
from luray.training.sample_window import SampleWindow


def unturned(field: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """Return a view of a field (..., n, n): what is written to it lies in the field turned.

    It is turned by `symmetry` % 4 quarters, then mirrored left to right if `symmetry` is 4 or more:
    one of the eight symmetries of a square. The field stays in C order, lest the order of sums over
    a batch follow the symmetries of its samples.

    Examples
    --------
    >>> field = np.zeros((2, 2), int)
    >>> unturned(field, 1)[:] = [[1, 2], [3, 4]]
    >>> field
    array([[2, 4],
           [1, 3]])
    >>> unturned(field, 4)[:] = [[1, 2], [3, 4]]
    >>> field
    array([[2, 1],
           [4, 3]])
    """
    mirrored = field if symmetry < 4 else field[..., ::-1]
    return np.rot90(mirrored, -(symmetry % 4), axes=(-2, -1))


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
    fields = _empty_fields(cube, sample_windows)
    for i, (window, values) in enumerate(zip(sample_windows, native_values, strict=True)):
        # Each value is written once, where the batch has it and in the symmetry of its window.
        places = [unturned(field[i], window.symmetry) for field in fields]
        _read_sample(cube, window, counted(window.box), values, places)
    return Sample(*map(torch.from_numpy, fields))


def _empty_fields(cube: Cube, sample_windows: Sequence[SampleWindow]) -> list[NDArray[Any]]:
    """Return the arrays of a `Sample`, to be filled."""
    n_samples = len(sample_windows)
    box, years, _, older_years = sample_windows[0]
    n_levels = n_channels(cube.forcing)
    n_static = n_channels(cube.static)
    return [
        np.empty((n_samples, len(years), *box.shape), np.uint8),
        np.empty((n_samples, len(older_years), *box.shape), np.uint8),
        np.empty((n_samples, len(years), n_levels, *box.shape), np.float32),
        np.empty((n_samples, n_static, *box.shape), np.float32),
        np.empty((n_samples, *box.shape), np.float32),
        np.empty((n_samples, *box.shape), np.bool_),
    ]


def _read_sample(
    cube: Cube,
    window: SampleWindow,
    counted_HW: Bool,
    native_values: NativeValues,
    places: Sequence[NDArray[Any]],
) -> None:
    """Write the fields of one `Sample`, without its first axis, to their places."""
    box, years, _, older_years = window
    maps_THW, older_maps_NHW, forcing_TLHW, static_SHW, area_HW, counted_place_HW = places

    land_HW = None if native_values else cube.land(box)

    def map_of(year: int | None) -> U8:
        if year is None:
            return np.full(box.shape, OUTSIDE, np.uint8)
        if native_values:
            return native_values["state", year]
        return cube.state(year, box, land=land_HW)

    for t, year in enumerate(years):
        maps_THW[t] = map_of(year)
    for n, older_year in enumerate(older_years):
        older_maps_NHW[n] = map_of(older_year)

    region = Region(cube, box, native_values)
    for t, year in enumerate(years):
        region.forcing(year, box, out=forcing_TLHW[t])
    region.static(box, out=static_SHW)

    # A row beyond a pole has no area of its own and takes that of the nearest one; it is not land.
    rows = np.clip(np.arange(box.row, box.row + box.height), 0, cube.grid.n_lat - 1)
    area_H = (cube.grid.cell_area[rows] / cube.grid.cell_area.max()).astype(np.float32)
    area_HW[:] = area_H[:, None]
    counted_place_HW[:] = counted_HW
