"""Values of a continuous target in the engine: first layer, blending, decision, on any device."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import NO_VALUE, OUTSIDE, Legend
from luray.core.tiling import Box, Tiling
from luray.core.value_scale import ValueScale
from luray.cube.region import Region
from luray.engine.blending import window_weights
from luray.engine.device_predictor import DevicePredictor, fixed_point_values
from luray.engine.inputs import TileInputs
from luray.engine.predictor import Predictor
from luray.engine.serial import serial_rollout
from luray.engine.stem import Stem
from luray.engine.value_blending import add_values, decide_values
from luray.model.features import UNKNOWN
from luray.model.operating_point import Calibration
from luray.model.unet import frozen
from tests import reference
from tests.cube.cubes import COARSE, make_cube
from tests.worlds import random_model

SCALES = {
    "linear": ValueScale("1", first=-2.0, step=0.5, levels=41),
    "sqrt": ValueScale("m2 m-2", first=0.0, step=0.05, levels=141, transform="sqrt"),
}
CALIBRATION = Calibration(1.3, -0.07)
LEVEL = st.sampled_from([0, 1, 7, 40, UNKNOWN, OUTSIDE])


def legend_of(transform):
    return Legend.of_values("height", SCALES[transform], variable="height", long_name="height")


@pytest.fixture(scope="module", params=[("globe", "linear"), ("region", "sqrt")], ids=str)
def cube(request, tmp_path_factory):
    kind, transform = request.param
    url = str(tmp_path_factory.mktemp("cube") / "cube.zarr")
    coarse = tuple(replace(variable, classes=()) for variable in COARSE)
    return make_cube(url, kind, legend=legend_of(transform), coarse=coarse, gaps=True).cube


def features_of(cube, history, per_year):
    return replace(cube.features.remembering(history), per_year=per_year)


def test_layout_has_the_prior_and_what_came_before(cube):
    yearly = features_of(cube, 4, 1)
    assert yearly.lags == (1, 2, 3)
    monthly = features_of(cube, 13, 12)
    assert monthly.lags == (1, 2, 11, 12)
    assert features_of(cube, 12, 12).lags == (1, 2, 11)
    assert features_of(cube, 3, 2).lags == (1, 2)
    assert len(monthly.names) == monthly.n_channels == len(set(monthly.names))
    assert monthly.slices.lags.stop - monthly.slices.lags.start == 8
    assert cube.features.scale == cube.legend.scale


def test_land_without_a_value_is_unknown(cube):
    box = Box(0, 0, *cube.grid.shape)
    land = cube.land(box)
    state = cube.state(2002, box)
    assert (state[~land] == OUTSIDE).all()
    assert (state[:, ::2][land[:, ::2]] == UNKNOWN).all()
    assert (state[:, 1::2][land[:, 1::2]] < cube.legend.scale.levels).all()


@settings(max_examples=15)
@given(data=st.data(), lags=st.sampled_from([(1, 1), (3, 1), (5, 4), (3, 3)]))
def test_first_layer_is_that_of_training_inputs(cube, data, lags):
    """Also where older maps are not there yet."""
    history, per_year = lags
    features = features_of(cube, history, per_year)
    model = frozen(random_model(features=features, width=3))
    stem = Stem.of(model, features)
    box = Box(-2, 3, 7, 9)
    inputs = TileInputs.of(cube, [box], stem)
    n_maps = data.draw(st.integers(1, history))
    maps = [data.draw(arrays.arrays(np.uint8, box.shape, elements=LEVEL)) for _ in range(n_maps)]
    out = np.full((*box.shape, 3), np.nan, np.float32)
    inputs.write_first_layer(out, maps, box, year=2003, prior_year=2002)
    shown = reference.model_input(maps, Region(cube, box), box, 2003, 2002, features)
    with torch.inference_mode():
        expected = model.down[0][:3](shown)[0].permute(1, 2, 0).numpy()
    allowed = 1e-4 + 1e-4 * np.abs(expected) + inputs.static[box].step_O / 2
    assert (np.abs(out - expected) <= allowed).all()


@pytest.mark.parametrize("transform", SCALES)
@settings(max_examples=30)
@given(
    heads=arrays.arrays(np.float32, (5, 6, 2), elements=st.floats(-3, 30, width=32)),
    prior=arrays.arrays(np.uint8, (5, 6), elements=LEVEL),
)
def test_values_are_added_as_the_twin_and_a_gpu_do(transform, heads, prior):
    scale = SCALES[transform]
    weights = np.arange(1, 31, dtype=np.int32).reshape(5, 6)
    sums = np.zeros((3, 8, 9), np.int32)
    add_values(sums, heads, prior, weights, scale, at=(1, 2), calibration=CALIBRATION)
    found = sums[:, 1:6, 2:8]
    twin = reference.value_and_spread(np.moveaxis(heads, -1, 0), prior, scale, *CALIBRATION)
    assert (found[0] == 65535 * weights).all()
    # numbers may be rounded to the neighbour: NumPy's exponential over one cell has other bits
    assert (np.abs(found[1:] - reference.quantise(twin) * weights) <= weights).all()
    [device] = fixed_point_values(
        torch.from_numpy(heads).permute(2, 0, 1)[None],
        torch.from_numpy(prior)[None],
        CALIBRATION,
        scale,
    )
    assert (np.abs(device.numpy() * weights - found) <= weights).all()
    sums[:, 1:6, 2:8] -= found
    assert not sums.any(), "cells beside the window are left alone"


@pytest.mark.parametrize("transform", SCALES)
@given(
    sums=arrays.arrays(np.int32, (2, 4, 5), elements=st.integers(0, 5 * 65535)),
    weight=arrays.arrays(np.int32, (4, 5), elements=st.integers(1, 5)),
    land=arrays.arrays(np.bool_, (4, 5)),
)
def test_decision_is_the_nearest_level(transform, sums, weight, land):
    scale = SCALES[transform]
    total = weight * 65535
    sums_3HW = np.stack([total, *np.minimum(sums, total)]).astype(np.int32)
    levels, spread = decide_values(sums_3HW, land, scale)
    twin_levels, twin_spread = reference.decide_values(sums_3HW, land, scale)
    assert (levels == twin_levels).all()
    assert (spread == twin_spread).all()
    assert (levels[~land] == OUTSIDE).all()
    assert (spread[~land] == NO_VALUE).all()


def predictors(cube, features, *, window=12, stride=8):
    model = frozen(random_model(features=features, width=4))
    tiling = Tiling(*cube.grid.shape, window, stride, 8, cube.grid.periodic)
    parts = (model, features, tiling, window_weights(tiling, taper="linear"), 2, CALIBRATION)
    return Predictor(*parts), DevicePredictor(*parts, device="cpu")


def rollout(cube, predictor, *, years=(2001, 2002, 2003)):
    box = Box(0, 0, *cube.grid.shape)
    windows = [
        predictor.tiling.window_box(core)
        for core in predictor.tiling.active_cores(box, cube.land(box))
    ]
    return list(
        serial_rollout(
            cube.state(years[0], box),
            cube.land(box),
            years,
            predictor.inputs_of(cube, windows),
            predictor,
            decide_classes=lambda sums, prior, land, **_: decide_values(
                sums, land, cube.legend.scale
            ),
        )
    )


def test_rollout_of_values_is_alike_on_any_device_and_whatever_the_batch(cube):
    features = features_of(cube, 3, 2)
    on_cpu, on_device = predictors(cube, features)
    maps = rollout(cube, on_cpu)
    for (year, levels, spread), (_, again, _) in zip(
        maps, rollout(cube, replace(on_cpu, batch=5)), strict=True
    ):
        assert (levels == again).all(), year
        land = levels != OUTSIDE
        assert (levels[land] < cube.legend.scale.levels).all()
        assert (spread[land] > 0).any()
    for (_, levels, _), (_, other, _) in zip(maps, rollout(cube, on_device), strict=True):
        land = levels != OUTSIDE
        differences = np.abs(levels[land].astype(int) - other[land])
        assert differences.max() <= 1
        assert (differences > 0).mean() < 0.02
