"""The null model of held-out cells: the mean of a class at a time of the year."""

from dataclasses import replace

import numpy as np
import pytest

from luray.core.legend_files import read_legend
from luray.model.unet_config import UNetConfig
from luray.training.class_climatology import class_climatology_rmse
from luray.training.recipe import Recipe
from luray.training.sampling_config import SamplingConfig
from luray.training.training import Training
from luray.training.training_data import TrainingData
from tests.cube.cubes import COARSE, make_cube

LEAF_AREA = read_legend("lai")
N = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("cube") / "cube.zarr")
    coarse = tuple(replace(variable, classes=()) for variable in COARSE)
    cube = make_cube(url, "globe", legend=LEAF_AREA, coarse=coarse, gaps=True).cube
    sampling = SamplingConfig(blocks=(4, 4), validation_share=0.3, validation_years=0)
    recipe = Recipe(years=(2001, 2003), steps=4, batch=2, micro_batch=2, sampling=sampling)
    return TrainingData(cube, cube.tiling(window=8, stride=4, tile=8), recipe, "forward")


@pytest.mark.parametrize("zone", ["", "zone"])
def test_error_is_that_of_the_twin(data, zone):
    """Cell by cell: sums by class over training samples, errors over held-out ones."""
    cube = data.cube
    held_out = data.plan("held-out blocks")
    found = class_climatology_rmse(cube, data.plan(), held_out, zone=zone, n_samples=N)

    def cells(plan):
        for k in range(N):
            box, years, *_ = plan[k]
            levels = cube.state(years[1], box)
            zones = cube.categories(zone, years[1], box)[1] if zone else np.zeros(box.shape)
            for row, col in np.argwhere(plan.counted(box) & (levels <= 140)).tolist():
                area = cube.grid.cell_area[min(max(box.row + row, 0), cube.grid.n_lat - 1)]
                yield int(zones[row, col]), 0.05 * int(levels[row, col]), area

    sums = {}
    for code, value, area in cells(data.plan()):
        total, weight = sums.get(code, (0.0, 0.0))
        sums[code] = total + area * value, weight + area
    squared, areas = 0.0, 0.0
    for code, value, area in cells(held_out):
        total, weight = sums[code]
        squared += area * (total / weight - value) ** 2
        areas += area
    assert found == pytest.approx((squared / areas) ** 0.5)
    assert found > 1


def test_a_model_that_is_shown_other_channels_is_another_one(data, tmp_path):
    """A finished model of an earlier version is then trained anew, not refused where it is used."""
    unet = UNetConfig(width=4, depth=1, history=1)
    found = Training(data, unet, str(tmp_path))
    assert found.identity["channels"] == list(data.features.names)
    longer = replace(data, history=2)
    other = Training(longer, unet.model_copy(update={"history": 2}), str(tmp_path))
    assert other.fingerprint != found.fingerprint
