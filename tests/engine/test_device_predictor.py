"""What a GPU runs, on the CPU: the same sums as the engine of CPUs but for rounding."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box
from luray.cube.region import Region
from luray.engine.blending import add_window, window_weights
from luray.engine.device_inputs import DeviceInputs
from luray.engine.device_predictor import DevicePredictor, fixed_point_probabilities
from luray.engine.geometry import Geometry
from luray.engine.spec import InferenceSpec
from luray.engine.tile_year import TileYears
from luray.model.features import UNKNOWN
from luray.model.operating_point import Calibration
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.sandbox.random_model import save_random_model
from tests import reference
from tests.benchmarks.product import infer_year
from tests.cube.cubes import GROUND, RELIEF, YEARS, make_cube
from tests.worlds import random_model

CPU = torch.device("cpu")
CALIBRATION = Calibration(1.3, -0.7)


@pytest.fixture(
    scope="module",
    params=[("globe", RELIEF), ("region", GROUND)],
    ids=lambda param: f"{param[0]}-{len(param[1])}",
)
def cube(request, tmp_path_factory):
    kind, relief = request.param
    folder = tmp_path_factory.mktemp("cube")
    return make_cube(str(folder / "cube.zarr"), kind, relief=relief).cube


def test_inputs_are_those_of_the_region(cube):
    windows = [Box(2, 3, 6, 9), Box(-3, -4, 6, 9), Box(9, 12, 6, 9)]
    inputs = DeviceInputs.of(cube, windows, cube.features, device=CPU, dtype=torch.float32)
    for year in (2001, 2002, 2003, 2001):
        levels_BLHW = inputs.levels(windows, year)
        for levels_LHW, window in zip(levels_BLHW, windows, strict=True):
            expected = inputs.region.forcing(year, window)
            np.testing.assert_allclose(levels_LHW.numpy(), expected, rtol=1e-6, atol=1e-6)
    for static_SHW, window in zip(inputs.static(windows), windows, strict=True):
        expected = inputs.region.static(window)
        np.testing.assert_allclose(static_SHW.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_scenarios_share_the_static_part(cube):
    windows = [Box(2, 3, 6, 9)]
    inputs = DeviceInputs.of(cube, windows, cube.features, device=CPU, dtype=torch.float32)
    inputs.levels(windows, 2002)
    view = inputs.for_scenario(cube.of_scenario(""))
    assert view.static_SHW is inputs.static_SHW
    assert not view._forcing


@settings(max_examples=30)
@given(
    heads=arrays.arrays(np.float32, (5, 6, 4), elements=st.floats(-30, 30, width=32)),
    prior=arrays.arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 2, UNKNOWN, OUTSIDE])),
)
def test_probabilities_are_rounded_as_on_a_cpu(heads, prior):
    sums = np.zeros((3, 5, 6), np.int32)
    add_window(sums, heads, prior, np.ones((5, 6), np.int32), at=(0, 0), **CALIBRATION._asdict())
    [shares] = fixed_point_probabilities(
        torch.from_numpy(heads).permute(2, 0, 1)[None], torch.from_numpy(prior)[None], CALIBRATION
    )
    assert shares.dtype == torch.int32
    assert np.abs(shares.numpy() - sums).max() <= 1


@pytest.mark.parametrize("history", [1, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_sums_are_those_of_the_slow_twin(cube, history, batch):
    features = cube.features.remembering(history)
    tiling = cube.tiling(window=8, stride=4, tile=8)
    model = frozen(random_model(features=features))
    weights = window_weights(tiling, taper="linear")
    predictor = DevicePredictor(model, features, tiling, weights, batch, CALIBRATION, device="cpu")
    random = np.random.default_rng(0)
    for tile in tiling.tiles():
        box = tiling.tile_box(tile)
        cores = tiling.active_cores(box, cube.land(box))
        if not cores:
            continue
        padded = tiling.padded(box)
        maps = [cube.state(year, padded) for year in (2002, 2001)][:history]
        maps[-1] = np.where(random.random(padded.shape) < 0.2, OUTSIDE, maps[-1])
        inputs = predictor.inputs_of(cube, [tiling.window_box(core) for core in cores])
        sums = predictor.predict(cores, maps, inputs, year=2003, prior_year=2002, box=box)

        expected = np.zeros_like(sums)
        for core in cores:
            window = tiling.window_box(core)
            in_padded = window.slices(origin=padded)
            seen = [np.ascontiguousarray(one_map[in_padded]) for one_map in maps]
            shown = reference.model_input(seen, Region(cube, window), window, 2003, 2002, features)
            with torch.inference_mode():
                heads = model.heads(shown)[0].permute(1, 2, 0).numpy()
            at = (window.row - padded.row, window.col - padded.col)
            add_window(expected, heads, seen[0], weights, at=at, **CALIBRATION._asdict())
        total = expected.sum(axis=0)
        assert np.array_equal(sums.sum(axis=0) > 0, total > 0), "the cells of the same windows"
        assert (np.abs(sums - expected) / np.maximum(total, 1)).max() < 1e-4


def test_numbers_that_are_not_finite_are_an_error_and_no_map(cube):
    tiling = cube.tiling(window=8, stride=4, tile=8)
    model = frozen(random_model(features=cube.features))
    weights = window_weights(tiling, taper="linear")
    predictor = DevicePredictor(model, cube.features, tiling, weights, batch=2, device="cpu")
    box = next(box for box in map(tiling.tile_box, tiling.tiles()) if cube.land(box).any())
    cores = tiling.active_cores(box, cube.land(box))
    inputs = predictor.inputs_of(cube, [tiling.window_box(core) for core in cores])
    inputs.static_SHW[:] = float("inf")
    maps = [cube.state(2002, tiling.padded(box))]
    with pytest.raises(ValueError, match=r"2003: .* not finite .* inference.device = 'cpu'"):
        predictor.predict(cores, maps, inputs, year=2003, prior_year=2002, box=box)


def spec_of(cube, folder, device):
    """The inference of three years by the model in a folder, into a product there."""
    tiling = cube.tiling(window=8, stride=4, tile=8)
    spec = InferenceSpec(
        cube,
        Product(
            str(folder / device.replace(":", "")),
            Span(YEARS[0], YEARS[-1], (YEARS[0], YEARS[0])),
            tiling,
            "test",
            legend=cube.legend,
        ),
        Geometry.of(cube, tiling),
        {"forward": str(folder / "model")},
        "linear",
        batch=3,
        threads=1,
        history=UNetConfig().history,
    )
    tiles = spec.geometry.tiles
    spec.product.create(cube, title="test", models=spec.models, tiles=len(tiles))
    return spec


def test_a_device_refuses_the_precision_of_a_cpu(tmp_path, cube):
    save_random_model(cube, "forward", UNetConfig(width=4, depth=1), str(tmp_path / "model"))
    spec = replace(spec_of(cube, tmp_path, "cpu:0"), precision="bfloat16")
    tile_years = TileYears(spec, device="cpu:0")
    with pytest.raises(ValueError, match=r"'bfloat16', which is one of CPUs.*runs on cpu:0"):
        infer_year(tile_years, step=0)


def test_an_inference_on_a_device_differs_in_few_cells(tmp_path, cube):
    """Three years, each the prior of the next, through everything that a worker does."""
    save_random_model(cube, "forward", UNetConfig(width=4, depth=1), str(tmp_path / "model"))
    maps = {}
    for device in ("cpu", "cpu:0"):  # any device but "cpu" takes what GPUs take
        spec = spec_of(cube, tmp_path, device)
        tiling = spec.geometry.tiling
        tile_years = TileYears(spec, device=device)
        for step in range(len(YEARS) - 1):
            infer_year(tile_years, step=step)
        maps[device] = np.stack([spec.product.read(year, tiling.everything) for year in YEARS[1:]])

    land = cube.land(cube.tiling(window=8, stride=4, tile=8).everything)
    on_cpu, on_device = (one[:, land] for one in maps.values())
    observed = cube.state(YEARS[0], cube.tiling(window=8, stride=4, tile=8).everything)[land]
    assert (on_cpu[0] != observed).mean() > 0.1, "a model that changes nothing proves nothing"
    assert (on_device != on_cpu).mean() < 0.005
