"""A model that is exported gives what the engine gives, in another program."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from luray.core.legend_files import read_legend
from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.engine.blending import ONE, window_weights
from luray.engine.inputs import TileInputs
from luray.engine.predictor import Predictor
from luray.engine.value_blending import decide_values
from luray.model.checkpoint import load_model, save_model
from luray.model.operating_point import Calibration
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.sandbox.random_model import save_random_model
from luray.stages import export_model as stage
from luray.stages.export_model import export_model
from tests.cube.cubes import COARSE, RELIEF, ZONES, make_cube
from tests.exported_model import host_fields, host_maps, write_exported

LEAF_AREA = read_legend("lai")


@pytest.fixture(scope="module")
def exported(once):
    """A cube, a calibrated model and the place of its exported files."""
    folder = once("exported", write_exported)
    model = f"{folder}/model/forward"
    return Cube.open(f"{folder}/cube.zarr"), model, f"{model}/export"


def host_inputs(cube, box, year):
    """The inputs of a window as the card describes them."""
    return {
        "land_use": host_maps(cube, box, range(year - 1, 2000, -1)),
        "forcing": host_fields(cube, cube.forcing, box, year),
        "prior_forcing": host_fields(cube, cube.forcing, box, year - 1),
        "static": host_fields(cube, cube.static, box, 0),
    }


def test_onnx_gives_the_probabilities_of_the_engine(exported):
    cube, model, place = exported
    network, card = load_model(model)
    features = cube.features.remembering(3)
    tiling = cube.tiling(window=12, stride=12, tile=12)
    predictor = Predictor(
        frozen(network),
        features,
        tiling,
        window_weights(tiling, taper="uniform"),
        batch=2,
        calibration=card.points["cautious"],
    )
    box = Box(0, 0, 12, 12)
    inputs = TileInputs.of(cube, [box], predictor.stem)
    maps = [cube.state(2002, box), cube.state(2001, box)]
    cores = tiling.active_cores(box, cube.land(box))
    sums_KHW = predictor.predict(cores, maps, inputs, year=2003, prior_year=2002, box=box)

    session = onnxruntime.InferenceSession(f"{place}/model.onnx")
    probability, likeliest = session.run(None, host_inputs(cube, box, 2003))
    land = cube.land(box)
    # the engine holds static contributions in 16 bits
    assert np.abs(probability[0] - sums_KHW / ONE)[:, land].max() < 1e-2
    assert np.abs(probability[0] - sums_KHW / ONE)[:, land].mean() < 2e-4
    best = np.sort(probability[0], axis=0)
    clear = land & (best[-1] - best[-2] > 1e-3)
    codes = cube.legend.decode(sums_KHW.argmax(axis=0).astype(np.uint8))
    assert clear.mean() > 0.3
    assert np.array_equal(likeliest[0][clear], codes[clear])
    assert (likeliest[0][~land] == cube.legend.ocean).all()


def test_card_has_every_input_in_order(exported):
    cube, _, place = exported
    card = json.loads(Path(f"{place}/card.json").read_text())
    session = onnxruntime.InferenceSession(f"{place}/model.onnx")
    given = {i.name: (i.type, i.shape[1]) for i in session.get_inputs()}
    names = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}
    for array in card["inputs"]:
        count = array.get("maps") or len(array["variables"])
        assert given[array["name"]] == (names[array["dtype"]], count)
    forcing = card["inputs"][1]["variables"]
    assert [v["name"] for v in forcing] == [v.name for v in (*ZONES, *COARSE)]
    assert [v["units"] for v in forcing] == [v.units for v in (*ZONES, *COARSE)]
    assert forcing[3]["native_grid"]["step"] == 1.25
    assert [v["name"] for v in card["inputs"][3]["variables"]] == [v.name for v in RELIEF]
    assert [c["code"] for c in card["classes"]] == [c.code for c in cube.legend.classes]
    assert card["window"]["multiple_of"] == 2
    assert card["model"]["calibration"] == {"temperature": 1.3, "bias": -0.4}
    assert card["largest_difference"] <= 1e-5


def test_batch_and_window_have_any_size(exported):
    cube, _, place = exported
    session = onnxruntime.InferenceSession(f"{place}/model.onnx")
    program = torch.export.load(f"{place}/model.pt2").module()
    box = Box(1, 2, 4, 10)
    inputs = {n: np.repeat(a, 3, axis=0) for n, a in host_inputs(cube, box, 2003).items()}
    onnx_probability, _ = session.run(None, inputs)
    torch_probability, _ = program(*map(torch.from_numpy, inputs.values()))
    assert onnx_probability.shape == (3, 7, 4, 10)
    assert np.abs(onnx_probability - torch_probability.numpy()).max() < 1e-5


def test_second_export_writes_nothing(exported):
    _, model, place = exported
    assert export_model(model) == stage.ExportedModel(place, (), pytest.approx(0, abs=1e-5))


def test_file_that_differs_gets_no_name(exported, tmp_path, monkeypatch):
    _, model, _ = exported

    def off(file, outputs):
        run = stage._torch_runner(file, outputs)
        return lambda inputs: [run(inputs)[0] + np.float32(1e-4), run(inputs)[1]]

    def write_torch(program, file, outputs):
        stage._write_torch(program, file, outputs)

    monkeypatch.setattr(stage, "_onnx_runner", off)
    monkeypatch.setattr(stage, "_write_onnx", write_torch)
    with pytest.raises(RuntimeError, match=r"model.onnx: probabilities differ .* by 0.0001"):
        export_model(model, output=str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_missing_is_said(exported, tmp_path, monkeypatch):
    _, model, _ = exported
    with pytest.raises(FileNotFoundError, match="no trained model"):
        export_model(str(tmp_path))
    alone = tmp_path / "alone"
    alone.mkdir()
    network, card = load_model(model)
    save_model(network, card, str(alone))
    with pytest.raises(ValueError, match="give the cube that it was trained on with --cube"):
        export_model(str(alone))
    monkeypatch.setattr(stage, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs onnx, .*pip install 'luray\[onnx\]'"):
        export_model(model)


def test_a_model_of_values_gives_those_of_the_engine(tmp_path):
    """In ONNX, on the levels of the cube, clouds among them."""
    coarse = tuple(replace(variable, classes=()) for variable in COARSE)
    cube = make_cube(
        str(tmp_path / "cube.zarr"), "region", legend=LEAF_AREA, coarse=coarse, gaps=True
    ).cube
    model = str(tmp_path / "model" / "forward")
    config = UNetConfig(width=4, depth=1, history=3)
    save_random_model(cube, "forward", config, model, bonus=-2.0)
    network, card = load_model(model)
    points = dict(card.points) | {"cautious": Calibration(1.2, 0.03)}
    save_model(network, replace(card, points=points), model)
    done = export_model(model, cube=cube.url)
    assert done.difference <= 1e-5

    scale = cube.legend.scale
    described = json.loads(Path(done.place, "card.json").read_text())
    assert described["scale"]["levels"] == scale.levels
    assert [output["name"] for output in described["outputs"]] == ["value_and_spread", "level"]

    tiling = cube.tiling(window=12, stride=12, tile=12)
    predictor = Predictor(
        frozen(network),
        cube.features.remembering(3),
        tiling,
        window_weights(tiling, taper="uniform"),
        batch=2,
        calibration=points["cautious"],
    )
    box = Box(0, 0, 12, 12)
    tile_inputs = TileInputs.of(cube, [box], predictor.stem)
    maps = [cube.state(2002, box), cube.state(2001, box)]
    cores = tiling.active_cores(box, cube.land(box))
    sums_3HW = predictor.predict(cores, maps, tile_inputs, year=2003, prior_year=2002, box=box)
    land = cube.land(box)
    levels, spread = decide_values(sums_3HW, land, scale)

    given = host_inputs(cube, box, 2003)
    nothing = np.full(box.shape, 255, np.uint8)
    given["land_use"] = np.stack([*maps, nothing])[None]
    session = onnxruntime.InferenceSession(f"{done.place}/model.onnx")
    values, level = session.run(None, given)
    value = values[0, 0][land]
    assert np.abs(level[0][land].astype(int) - levels[land]).max() <= 1
    assert np.abs(value - scale.values(levels)[land]).max() <= scale.step * 0.51
    assert np.abs(values[0, 1][land] - scale.step * spread[land]).max() <= scale.step * 0.51
    assert (level[0][~land] == 255).all()
