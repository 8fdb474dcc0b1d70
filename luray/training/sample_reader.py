"""Reading the arrays of training samples from a predictor cube.

Shapes: B samples of a batch; T years; H W cells of a window.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luray.core.tiling import Box
from luray.core.types import Bool
from luray.cube.cube import Cube, NativeValues
from luray.cube.region import Region
from luray.training.rollout import Sample
from luray.training.samples import SampleWindow


def turned(field: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """A field (..., n, n) turned by `symmetry` % 4 quarters, and mirrored left to right if
    `symmetry` is 4 or more.

    In C order, lest the order of sums over a batch follow the symmetries of its samples.
    """
    quarters = np.rot90(field, symmetry % 4, axes=(-2, -1))
    return np.ascontiguousarray(quarters if symmetry < 4 else quarters[..., ::-1])


def everywhere(box: Box) -> Bool:
    """All cells of a box."""
    return np.ones(box.shape, np.bool_)


def read_samples(
    cube: Cube,
    draws: Sequence[SampleWindow],
    *,
    counted: Callable[[Box], Bool] = everywhere,
    given: Sequence[NativeValues] = (),
) -> Sample:
    """A batch of training samples, read from the store, or from what is `given` for each draw.

    `counted` says which cells of a box count in the loss.
    """
    parts = [
        _read_sample(cube, draw, counted(draw.box), values)
        for draw, values in zip(draws, given or [{}] * len(draws), strict=True)
    ]
    return Sample(*(torch.from_numpy(np.stack(x)) for x in zip(*parts, strict=True)))


def _read_sample(
    cube: Cube, draw: SampleWindow, counted: Bool, given: NativeValues
) -> tuple[NDArray[Any], ...]:
    box, years, symmetry = draw
    region = Region(cube, box, given)
    maps = np.stack([given["state", year] if given else cube.state(year, box) for year in years])
    forcing = np.stack([region.forcing(year, box) for year in years])
    rows = np.clip(np.arange(box.row, box.row + box.height), 0, cube.grid.n_lat - 1)
    area = (cube.grid.cell_area[rows] / cube.grid.cell_area.max()).astype(np.float32)
    fields = maps, forcing, region.static(box), np.broadcast_to(area[:, None], box.shape), counted
    return tuple(turned(field, symmetry) for field in fields)
