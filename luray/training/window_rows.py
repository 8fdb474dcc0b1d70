"""Windows as rows of a table, and their arrays: what travels between processes, without Ray.

A row is a window by name: columns `group`, `row` and `col` (int64, first cell of the window, which
may lie past the grid), `years` (int64, (length,)) and `symmetry` (int64). Rows of windows that
remember older maps also have `older_years` (int64, newest first, `NO_MAP` where there is none), and
rows that were read ahead `packed` (bytes, see `luray.training.packing`).

Shapes: B rows of a batch, N older maps, L level channels of the forcing, S static channels, H W
window.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.tiling import Box, Tiling
from luray.core.types import Bool
from luray.cube.cube import Cube
from luray.training.packing import pack, unpack
from luray.training.rollout import Sample
from luray.training.sample_reader import everywhere, read_samples
from luray.training.sample_window import SampleWindow
from luray.training.window_groups import WindowGroups

NO_MAP = -1
"""Stands in `older_years` for a map that does not exist."""

Rows = Mapping[str, NDArray[Any]]
"""Columns of a table by name."""


def rows_of_groups(windows: WindowGroups, groups: Iterable[int]) -> dict[str, NDArray[Any]]:
    """Return a row for each window of some groups, in order."""
    group_column = []
    sample_windows = []
    for group in groups:
        for window in windows.sample_windows(group):
            group_column.append(group)
            sample_windows.append(window)

    years = np.array([window.years for window in sample_windows], np.int64)
    rows = {
        "group": np.array(group_column, np.int64),
        "row": np.array([window.box.row for window in sample_windows], np.int64),
        "col": np.array([window.box.col for window in sample_windows], np.int64),
        "years": years.reshape(-1, windows.length),  # also where there is no window
        "symmetry": np.array([window.symmetry for window in sample_windows], np.int64),
    }
    # A column without numbers is no column of an Arrow table.
    if windows.n_older:
        older_years = [
            [NO_MAP if year is None else year for year in window.older_years]
            for window in sample_windows
        ]
        rows["older_years"] = np.array(older_years, np.int64).reshape(-1, windows.n_older)
    return rows


def windows_of_rows(rows: Rows, *, size: int) -> list[SampleWindow]:
    """Return the windows that rows name, each of `size` x `size` cells."""
    n_rows = len(rows["row"])
    older_years: list[list[int]] = [[]] * n_rows
    if "older_years" in rows:
        older_years = np.stack(list(rows["older_years"])).tolist()
    columns = (
        rows["row"].tolist(),
        rows["col"].tolist(),
        np.stack(list(rows["years"])).tolist(),
        rows["symmetry"].tolist(),
        older_years,
    )

    sample_windows = []
    for row, col, years, symmetry, older in zip(*columns, strict=True):
        known_or_none = tuple(None if year == NO_MAP else year for year in older)
        box = Box(row, col, size, size)
        sample_windows.append(SampleWindow(box, tuple(years), symmetry, known_or_none))
    return sample_windows


def pack_rows(cube: Cube, rows: Rows, *, size: int) -> dict[str, Any]:
    """Return the rows with a column `packed`: their arrays as the cube stores them."""
    packed = np.empty(len(rows["row"]), object)
    packed[:] = [pack(cube, window) for window in windows_of_rows(rows, size=size)]
    return {**rows, "packed": packed}


@dataclass(frozen=True)
class WindowReader:
    """Turns rows of windows into arrays.

    Called with rows it is what `Dataset.map_batches` takes; see `luray.distributed.data.Collate`
    for tensors.

    Parameters
    ----------
    cube : Cube
        Where the arrays of rows are read that were not read ahead.
    tiling : Tiling
        Its `window` is the size of a window.
    counted : callable
        Which cells of a box count in a loss; by default all.
    """

    cube: Cube
    tiling: Tiling
    counted: Callable[[Box], Bool] = everywhere

    def __call__(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Return the rows with their arrays.

        Returns
        -------
        dict
            The columns but `packed`; `maps` (uint8, (B, years, H, W), 255 outside land),
            `older_maps` (uint8, (B, N, H, W)) where there are any, `forcing` (float32,
            (B, years, L, H, W)) and `static` (float32, (B, S, H, W)) as the model sees them,
            `area` (float32, (B, H, W)) and `counted` (bool, (B, H, W)).
        """
        columns = {name: column for name, column in rows.items() if name != "packed"}
        for field, tensor in self.sample(rows)._asdict().items():
            name = field.rpartition("_")[0]  # without the shape
            if name != "older_maps" or "older_years" in rows:
                columns[name] = tensor.numpy()
        return columns

    def sample(self, rows: Rows) -> Sample:
        """Return the rows as a batch of samples."""
        sample_windows = windows_of_rows(rows, size=self.tiling.window)
        native_values = []
        if "packed" in rows:
            native_values = [
                unpack(self.cube, window, data)
                for window, data in zip(sample_windows, rows["packed"], strict=True)
            ]
        return read_samples(
            self.cube, sample_windows, counted=self.counted, native_values=native_values
        )
