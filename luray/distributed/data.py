"""Windows of a cube as a Ray Data dataset: what training reads, and what other pipelines can read.

A row of the dataset names a window and its years, a few bytes. The arrays are read where they are
used, by a `WindowReader` that maps a batch or collates one; or ahead of that by CPU workers, and
then travel packed as the cube stores them, never as float stacks at the fine resolution. What rows
are and how they become arrays is in `luray.training.window_rows`.
"""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import DataContext, Dataset
from ray.data.collate_fn import NumpyBatchCollateFn
from torch import Tensor

from luray.core.tiling import Tiling
from luray.cube.cube import Cube
from luray.training.recipe import WindowsReadBy
from luray.training.rollout import Sample
from luray.training.window_groups import LatticeWindows, WindowGroups, WorkerShare
from luray.training.window_rows import Rows, WindowReader, pack_rows, rows_of_groups

PREFETCHED_BATCHES = 2
"""Batches that are read while one is used."""
WINDOWS_PER_CALL = 4
"""Windows that a reader reads ahead in one go."""
MOST_BLOCKS = 64
"""Blocks of a dataset: enough for the readers to share, few enough for Ray to plan quickly."""
IDENTITY = ("group", "row", "col")
"""Columns by which a batch of windows is known."""
GROUPS_PER_BLOCK = 8
"""Groups of windows in a block, where that makes fewer than `MOST_BLOCKS`."""


def read_windows(
    cube: Cube,
    tiling: Tiling,
    years: tuple[int, ...] | range,
    *,
    length: int = 1,
    windows: WindowGroups | None = None,
    read_by: WindowsReadBy = "consumer",
    readers: int = 2,
) -> Dataset:
    """Return the windows of a cube as a Ray Data dataset.

    Each row is a window of `tiling.window` cells around a core with land, and `length` consecutive
    entries of `years`. A `WindowReader` turns rows into arrays. Ray Data shards, shuffles and
    streams the rows, like those of any dataset.

    Parameters
    ----------
    cube : Cube
        On local disk, s3:// or gs://.
    tiling : Tiling
        The window lattice; a window may reach past the grid.
    years : sequence of int
        Observed years, descending for travel backward.
    length : int
        Years of a window.
    windows : WindowGroups, optional
        Windows that replace those of the whole lattice, as training does; `years` and `length` then
        do not count.
    read_by : {"consumer", "readers"}
        Whether a `WindowReader` reads the arrays, or CPU workers do ahead of it.
    readers : int
        CPU workers that read ahead, at most.

    Returns
    -------
    Dataset
        Columns `group`, `row`, `col`, `years` and `symmetry`, and `packed` where arrays are read
        ahead; see `luray.training.window_rows`.

    Raises
    ------
    ValueError
        If there are fewer years than `length`.

    Examples
    --------
    How many cells change in each window:

    >>> from luray.cube.cube import Cube
    >>> from luray.distributed.data import read_windows
    >>> from luray.training.window_rows import WindowReader
    >>> cube = Cube.open(url)
    >>> tiling = cube.tiling(window=64, stride=50, tile=50)
    >>> windows = read_windows(cube, tiling, range(2000, 2004), length=2).random_shuffle(seed=0)
    >>> def changed(batch):
    ...     before, after = batch["maps"][:, 0], batch["maps"][:, 1]
    ...     return {"year": batch["years"][:, 1], "changed": (before != after).sum(axis=(1, 2))}
    >>> reader = WindowReader(cube, tiling)
    >>> table = windows.map_batches(reader, batch_size=8).map_batches(changed)
    >>> sorted(table.unique("year"))
    [2001, 2002, 2003]

    For a PyTorch loop the same reader collates, in the background:

    >>> from luray.distributed.data import Collate
    >>> batches = windows.iter_torch_batches(batch_size=4, collate_fn=Collate(reader))
    >>> next(iter(batches))["maps_BTHW"].shape
    torch.Size([4, 2, 64, 64])
    """
    if windows is None:
        if not 1 <= length <= len(years):
            raise ValueError(
                f"windows of {length} years cannot be read from {len(years)} years; give more "
                "years or a smaller length"
            )
        windows = LatticeWindows(cube, tiling, tuple(years), length)

    # The dataset begins as bare numbers. Which windows they stand for is worked out where a block
    # is read.
    n_groups = len(windows.groups)
    n_blocks = max(1, min(MOST_BLOCKS, n_groups // GROUPS_PER_BLOCK))
    positions = ray.data.range(n_groups, override_num_blocks=n_blocks)
    rows = positions.map_batches(partial(_rows, windows=windows), batch_size=None)
    if read_by == "consumer":
        return rows
    return rows.map_batches(
        _Packer,
        fn_constructor_args=(cube, tiling.window),
        batch_size=WINDOWS_PER_CALL,
        concurrency=(1, readers),
        num_cpus=1,
    )


def in_order_and_silent() -> None:
    """Configure Ray Data to keep the order of rows, and to show no progress bars.

    luray reports its progress itself.
    """
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _rows(positions: Rows, *, windows: WindowGroups) -> dict[str, NDArray[Any]]:
    """A row for each window of the groups at some positions."""
    groups = [windows.groups[position] for position in positions["id"].tolist()]
    return rows_of_groups(windows, groups)


class _Packer:
    """A worker that reads windows ahead; its cube keeps the chunks that it has read."""

    def __init__(self, cube: Cube, window_size: int) -> None:
        self._cube = cube
        self._window_size = window_size

    def __call__(self, rows: dict[str, NDArray[Any]]) -> dict[str, Any]:
        return pack_rows(self._cube, rows, size=self._window_size)


class Collate(NumpyBatchCollateFn):
    """A collate function of `iter_torch_batches`: the fields of a `Sample` by name, and `IDENTITY`.

    Parameters
    ----------
    reader : WindowReader
        Turns the rows of a batch into arrays.
    """

    def __init__(self, reader: WindowReader) -> None:
        super().__init__()
        self._reader = reader

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, Tensor]:  # type: ignore[override]
        """Return a batch of rows as tensors."""
        tensors: dict[str, Tensor] = self._reader.sample(batch)._asdict()
        identity = {column: torch.from_numpy(np.array(batch[column])) for column in IDENTITY}
        return {**tensors, **identity}


def micro_batches(
    rows: Dataset, share: WorkerShare, reader: WindowReader, *, device: torch.device | str = "cpu"
) -> Iterator[dict[int, Sample]]:
    """Yield a worker's micro-batches of every step of its share, by their number.

    Parameters
    ----------
    rows : Dataset
        The windows of the share, in order.
    share : WorkerShare
        Which windows a step has.
    reader : WindowReader
        Reads them, in the background.
    device : torch.device or str
        Where the samples go.
    """
    # One batch holds a worker's windows of one step, as each has the same number of them.
    steps = iter(share.groups)
    batches = rows.iter_torch_batches(
        batch_size=share.n_windows,
        collate_fn=Collate(reader),
        prefetch_batches=PREFETCHED_BATCHES,
        device=device,
    )
    for tensors in batches:
        # Batches have to arrive in the order of the steps: else a training could not be repeated.
        # And each worker needs its own: two that train on the same ones differ from one in nothing
        # that anybody would see.
        step = next(steps)
        expected = rows_of_groups(share, [step])
        for column in IDENTITY:
            arrived = tensors.pop(column).tolist()
            assert arrived == expected[column].tolist(), (
                f"windows with {column} {arrived} came where those of step {step} belong, with "
                f"{expected[column].tolist()}"
            )
        yield share.split(tensors)
    assert next(steps, None) is None, "the windows ended before the training"
