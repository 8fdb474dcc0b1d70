"""A small model that is exported once for all tests, and its inputs as a host has them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from luray.cube.cube import Cube
from luray.cube.region import Region
from luray.model.checkpoint import load_model, save_model
from luray.model.operating_point import Calibration
from luray.model.unet_config import UNetConfig
from luray.sandbox.random_model import save_random_model
from luray.stages.export_model import export_model
from tests.cube.cubes import make_cube

HISTORY = 3
CALIBRATION = Calibration(1.3, -0.4)


def write_exported(folder: Path) -> None:
    """Write a cube, a calibrated model and its exported files."""
    cube = make_cube(str(folder / "cube.zarr"), "region").cube
    model = str(folder / "model" / "forward")
    config = UNetConfig(width=4, depth=1, history=HISTORY)
    save_random_model(cube, "forward", config, model, bonus=20.0)
    network, card = load_model(model)
    save_model(network, replace(card, points=dict(card.points) | {"cautious": CALIBRATION}), model)
    done = export_model(model)
    assert done.files == ("model.onnx", "model.pt2", "card.json")
    assert done.difference <= 1e-5


def host_maps(cube: Cube, box, years):
    """The last maps of a window, newest first, as the card describes them: (1, maps, H, W)."""
    maps = [cube.legend.decode(cube.state(year, box)) for year in years]
    nothing = np.full(box.shape, cube.legend.ocean, np.uint8)
    return np.stack([*maps, *[nothing] * (HISTORY - len(maps))])[None]


def host_fields(cube: Cube, layers, box, year):
    """Variables of some layers on the cells of a window, in their units: (1, V, H, W)."""
    region = Region(cube, box)
    everywhere = slice(0, box.height), slice(0, box.width)
    fields = []
    for layer in layers:
        for group in region.resampled(layer, year):
            channels_CHW = np.empty((group.channels, *box.shape), np.float32)
            group.write(everywhere, channels_CHW)
            first = 0
            for variable in group.variables:
                end = first + variable.channels
                fields.append(_in_units(variable, channels_CHW[first:end]))
                first = end
    return np.stack(fields)[None].astype(np.float32)


def _in_units(variable, channels):
    """Undo the scaling of a variable."""
    if variable.categories:
        codes = np.array(variable.categories)
        return (channels * codes[:, None, None]).sum(axis=0)
    level = channels[0] * np.float32(variable.scale)
    return np.expm1(level) if variable.transform == "log1p" else level
