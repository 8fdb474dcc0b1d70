"""Windows of a cube as a Ray Data dataset: what training reads, and what a pipeline of one's own
can read.

A row of the dataset names a window and its years, a few bytes. The arrays are read where they are
used, by a `WindowReader` that collates a batch or maps one; or ahead of that by CPU workers, and
then travel packed as the cube stores them (see `cube.packing`), never as float stacks at the fine
resolution.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import DataContext, Dataset
from ray.data.collate_fn import NumpyBatchCollateFn
from torch import Tensor

from luray.core.tiling import Box, Tiling
from luray.core.types import Bool
from luray.cube.cube import Cube
from luray.training.packing import pack, unpack
from luray.training.rollout import Sample
from luray.training.sample_reader import everywhere, read_samples
from luray.training.samples import SampleWindow
from luray.training.windows import Lattice, Windows, WorkerShare

Rows = Mapping[str, NDArray[Any]]
Arrays = Literal["late", "ahead"]
"""Where arrays are read: late, where they are used; ahead, by CPU workers."""

PREFETCHED = 2
"""Batches that are read while one is used."""
READ_AT_ONCE = 4
"""Windows that a worker reads ahead in one go."""
MOST_BLOCKS = 64


def read_windows(
    cube: Cube,
    tiling: Tiling,
    years: tuple[int, ...] | range,
    *,
    length: int = 1,
    windows: Windows | None = None,
    arrays: Arrays = "late",
    readers: int = 2,
) -> Dataset:
    """Overlapping windows of the global grid, for any cube on local disk, s3:// or gs://.

    Each row is a window of `tiling.window` cells around a core with land and `length` consecutive
    entries of `years`, which descend for travel backward: columns `group`, `row` and `col` (int64,
    first cell of the window, which may lie past the grid), `years` (int64, (length,)), `symmetry`
    (int64, see `model.samples.SampleWindow`) and, where `arrays` are read ahead by up to `readers`
    CPU workers, `packed` (bytes). A `WindowReader` turns rows into arrays. `windows` replaces those
    of the whole lattice, as training does. Ray Data shards, shuffles and streams the rows, like
    those of any dataset::

        >>> from luray.cube.cube import Cube
        >>> from luray.distributed.data import WindowReader, read_windows
        >>> cube = Cube.open(url)
        >>> tiling = cube.tiling(window=64, stride=50, tile=50)
        >>> windows = read_windows(cube, tiling, range(2000, 2004), length=2).random_shuffle(seed=0)
        >>> def changed(batch):
        ...     before, after = batch["maps"][:, 0], batch["maps"][:, 1]
        ...     return {"year": batch["years"][:, 1], "changed": (before != after).sum(axis=(1, 2))}
        >>> table = windows.map_batches(WindowReader(cube, tiling), batch_size=8).map_batches(changed)
        >>> sorted(table.unique("year"))
        [2001, 2002, 2003]

    For a PyTorch loop the same reader collates, in the background::

        >>> from luray.distributed.data import Collate
        >>> batches = windows.iter_torch_batches(batch_size=4, collate_fn=Collate(WindowReader(cube, tiling)))
        >>> next(iter(batches))["maps_BTHW"].shape
        torch.Size([4, 2, 64, 64])

    Raises ValueError for fewer years than `length`.
    """
    if windows is None:
        if not 1 <= length <= len(years):
            raise ValueError(
                f"windows of {length} years cannot be read from {len(years)} years; give more "
                "years or a "
                "smaller length"
            )
        windows = Lattice(cube, tiling, tuple(years), length)
    n = len(windows.groups)
    groups = ray.data.range(n, override_num_blocks=max(1, min(MOST_BLOCKS, n // 8)))
    rows = groups.map_batches(partial(_rows, windows=windows), batch_size=None)
    if arrays == "late":
        return rows
    return rows.map_batches(
        _Packer,
        fn_constructor_args=(cube, tiling),
        batch_size=READ_AT_ONCE,
        concurrency=(1, readers),
        num_cpus=1,
    )


def in_order_and_silent() -> None:
    """Have the datasets of this process keep the order of their rows, and say nothing: luray
    reports itself.
    """
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _rows(groups: Rows, *, windows: Windows) -> dict[str, NDArray[Any]]:
    """A row for each window of some groups."""
    found = [
        (group, draw)
        for i in groups["id"].tolist()
        for group in (windows.groups[i],)
        for draw in windows.draws(group)
    ]
    return {
        "group": np.array([group for group, _ in found], np.int64),
        "row": np.array([draw.box.row for _, draw in found], np.int64),
        "col": np.array([draw.box.col for _, draw in found], np.int64),
        "years": np.array([draw.years for _, draw in found], np.int64).reshape(-1, windows.length),
        "symmetry": np.array([draw.symmetry for _, draw in found], np.int64),
    }


def _draws(rows: Rows, tiling: Tiling) -> list[SampleWindow]:
    columns = (rows["row"], rows["col"], np.stack(list(rows["years"])), rows["symmetry"])
    return [
        SampleWindow(Box(row, col, tiling.window, tiling.window), tuple(years), symmetry)
        for row, col, years, symmetry in zip(*(column.tolist() for column in columns), strict=True)
    ]


class _Packer:
    """A worker that reads windows ahead, and keeps the chunks that it has read."""

    def __init__(self, cube: Cube, tiling: Tiling) -> None:
        self._cube, self._tiling = cube, tiling

    def __call__(self, rows: dict[str, NDArray[Any]]) -> dict[str, Any]:
        packed = np.empty(len(rows["row"]), object)
        packed[:] = [pack(self._cube, draw) for draw in _draws(rows, self._tiling)]
        return {**rows, "packed": packed}


@dataclass(frozen=True)
class WindowReader:
    """Turns rows of `read_windows` into arrays, in `map_batches`; see `Collate` for tensors."""

    cube: Cube
    tiling: Tiling
    counted: Callable[[Box], Bool] = everywhere
    """Cells of a box that count in a loss."""

    def __call__(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """The rows with arrays: `maps` (uint8, (B, years, H, W), 255 outside land), `forcing` and
        `static` as the model sees them (float32, (B, years, L, H, W) and (B, S, H, W)), `area`
        (float32, (B, H, W)), `counted`.
        """
        sample = {
            name.rpartition("_")[0]: t.numpy() for name, t in self.sample(rows)._asdict().items()
        }
        return {**{k: v for k, v in rows.items() if k != "packed"}, **sample}

    def sample(self, rows: Rows) -> Sample:
        """The rows as a batch of samples."""
        draws = _draws(rows, self.tiling)
        packed = [
            unpack(self.cube, draw, data)
            for draw, data in zip(draws, rows.get("packed", ()), strict=False)
        ]
        return read_samples(self.cube, draws, counted=self.counted, given=packed)


class Collate(NumpyBatchCollateFn):
    """A collate function of `iter_torch_batches`: the fields of a `Sample` by name, and `group`
    (int64, (B,)).
    """

    def __init__(self, reader: WindowReader) -> None:
        super().__init__()
        self._reader = reader

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, Tensor]:  # type: ignore[override]
        """A batch of rows."""
        return {
            **self._reader.sample(batch)._asdict(),
            "group": torch.from_numpy(np.array(batch["group"])),
        }


def micro_batches(
    rows: Dataset, share: WorkerShare, reader: WindowReader, *, device: torch.device | str = "cpu"
) -> Iterator[dict[int, Sample]]:
    """A worker's micro-batches of every step of its share, by their number, read in the background.

    `rows` are those of the share, in order.
    """
    expected = iter(share.groups)
    for tensors in rows.iter_torch_batches(
        batch_size=share.windows,
        collate_fn=Collate(reader),
        prefetch_batches=PREFETCHED,
        device=device,
    ):
        groups, step = tensors.pop("group"), next(expected)
        assert (groups == step).all(), (
            f"windows of steps {groups.tolist()} came where those of step {step} belong"
        )
        fields = [tensors[name].split(share.micro_batch) for name in Sample._fields]
        yield {
            piece: Sample(*parts)
            for piece, parts in zip(share.pieces, zip(*fields, strict=True), strict=True)
        }
    assert next(expected, None) is None, "the windows ended before the training"
