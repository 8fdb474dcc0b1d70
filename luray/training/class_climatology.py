"""A null model on held-out cells: what cells of the same class have at the same time of the year.

The mean is over samples of the training, so that nothing of what is held out is in it.

Shapes: K classes and one for none of them, S steps of a year; H W window.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from luray.core.types import F64, I64
from luray.cube.cube import Cube
from luray.training.sample_plan import SamplePlan


class _Seen(NamedTuple):
    """The target of one sample: cells that count and whose value is known."""

    class_N: I64
    step: int
    """Of the year, from 0."""
    level_N: F64
    weight_N: F64


def class_climatology_rmse(
    cube: Cube, training: SamplePlan, held_out: SamplePlan, *, zone: str, n_samples: int
) -> float:
    """Return the error of the mean by class and time of the year on held-out samples.

    Parameters
    ----------
    cube : Cube
        A cube of values.
    training, held_out : SamplePlan
        Samples that the mean is over, and those that it is compared with.
    zone : str
        Categorical variable of the cube that has the classes; empty: all land is one class.
    n_samples : int
        Samples of either plan that are read.

    Returns
    -------
    float
        Root of the mean squared error by area, in the unit of the target; NaN where nothing is
        known. Cells of a class that no training sample has at that time get the mean of all.
    """
    scale = cube.legend.scale
    assert scale is not None
    n_classes = 1
    if zone:
        variable, _ = cube.categories(zone, training.first_year, training[0].box)
        n_classes += len(variable.categories)

    sum_KS = np.zeros((n_classes, cube.time.per_year))
    weight_KS = np.zeros_like(sum_KS)
    for seen in _samples(cube, training, zone, n_samples):
        np.add.at(sum_KS[:, seen.step], seen.class_N, seen.weight_N * seen.level_N)
        np.add.at(weight_KS[:, seen.step], seen.class_N, seen.weight_N)
    if not weight_KS.any():
        return float("nan")
    of_all = sum_KS.sum() / weight_KS.sum()
    mean_KS = np.divide(sum_KS, weight_KS, out=np.full_like(sum_KS, of_all), where=weight_KS > 0)

    squared, weight = 0.0, 0.0
    for seen in _samples(cube, held_out, zone, n_samples):
        error_N = mean_KS[seen.class_N, seen.step] - seen.level_N
        squared += float((seen.weight_N * error_N**2).sum())
        weight += float(seen.weight_N.sum())
    return scale.step * (squared / weight) ** 0.5 if weight else float("nan")


def _samples(cube: Cube, plan: SamplePlan, zone: str, n_samples: int) -> Iterator[_Seen]:
    """Yield the first target of some samples."""
    scale = cube.legend.scale
    assert scale is not None
    n_lat = cube.grid.n_lat
    for k in range(n_samples):
        box, years, *_ = plan[k]
        year = years[1]
        level_HW = cube.state(year, box)
        counted_HW = (level_HW < scale.levels) & plan.counted(box)
        class_HW = np.zeros(box.shape, np.int64)
        if zone:
            variable, code_HW = cube.categories(zone, year, box)
            for number, category in enumerate(variable.categories, 1):
                class_HW[code_HW == category] = number
        rows = np.clip(np.arange(box.row, box.row + box.height), 0, n_lat - 1)
        area_HW = np.broadcast_to(cube.grid.cell_area[rows][:, None], box.shape)
        yield _Seen(
            class_HW[counted_HW],
            cube.time.in_year(year),
            level_HW[counted_HW].astype(np.float64),
            area_HW[counted_HW],
        )
