"""Small worlds for the emulator: a cube, a random model that changes much, and its serial maps."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.emulator import EmulatorConfig, LandSurface
from luray.engine.blending import window_weights
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.decision import decide_classes
from luray.engine.inputs import TileInputs
from luray.engine.predictor import Predictor
from luray.engine.serial import serial_rollout
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.sandbox.random_model import save_random_model
from tests.cube.cubes import make_cube

WINDOW, STRIDE = 8, 4
START, END = 2001, 2003
"""All the years of `make_cube`."""


@dataclass(frozen=True)
class World:
    """A cube with a model, on a `globe` or in a `region`."""

    cube: Cube
    model: str

    def config(self, **settings) -> EmulatorConfig:
        """Configuration of an emulator of the whole grid, unless `settings` say otherwise."""
        given = {"start": START, "window": WINDOW, "stride": STRIDE} | settings
        return EmulatorConfig(cube=self.cube.url, model=self.model, **given)

    def land_surface(self, **settings) -> LandSurface:
        """An emulator that is ready to go."""
        emulator = LandSurface()
        emulator.initialize(self.config(**settings))
        return emulator

    def serial(self, *, draws=None, strength=0.0):
        """Codes and confidence of each year, as the serial rollout has them."""
        model, card = load_model(self.model)
        features = self.cube.features.remembering(card.unet.history)
        tiling = self.cube.tiling(window=WINDOW, stride=STRIDE, tile=STRIDE)
        everything = tiling.everything
        land = self.cube.land(everything)
        predictor = Predictor(
            frozen(model), features, tiling, window_weights(tiling, taper="linear"), batch=3
        )
        cores = tiling.active_cores(everything, land)
        windows = [tiling.window_box(core) for core in cores]
        demand = CoarseDemand.of(self.cube, tile=STRIDE) if strength else None

        def decide(sums_KHW, prior_HW, land_HW, **years):
            how = {"box": everything, "draws": draws, "demand": demand, "strength": strength}
            return decide_classes(sums_KHW, prior_HW, land_HW, **years, **how)[:2]

        rollout = serial_rollout(
            self.cube.state(START, everything),
            land,
            range(START, END + 1),
            TileInputs.of(self.cube, windows, predictor.stem),
            predictor,
            decide_classes=decide,
        )
        return {
            year: (self.cube.legend.decode(classes), confidence)
            for year, classes, confidence in rollout
        }


def write_world(folder: Path, kind: str, *, bonus: float = 0.5) -> World:
    """Write a world into a folder; the larger the bonus, the less its model changes."""
    cube = make_cube(str(folder / "cube.zarr"), kind).cube
    config = UNetConfig(width=4, depth=1, history=3)
    save_random_model(cube, "forward", config, str(folder / "model"), bonus=bonus)
    return World(cube, str(folder / "model"))


@pytest.fixture(scope="session")
def globe(tmp_path_factory) -> World:
    return write_world(tmp_path_factory.mktemp("globe"), "globe")


@pytest.fixture(scope="session")
def patch(tmp_path_factory) -> World:
    return write_world(tmp_path_factory.mktemp("patch"), "region")


def maps_of(emulator: LandSurface):
    """Codes and confidence that an emulator has now, with rows and columns."""
    shape = np.empty(2, int)
    emulator.get_grid_shape(0, shape)
    return tuple(
        emulator.get_value_ptr(name).reshape(shape).copy() for name in ("land_use", "confidence")
    )


def run(emulator: LandSurface, years: int):
    """Codes and confidence of each of the coming years."""
    maps = {}
    for _ in range(years):
        emulator.update()
        maps[emulator.year] = maps_of(emulator)
    return maps


def assert_same(maps, expected, *, at: Box | None = None):
    """Assert that all years are the same, `expected` being cut to a box."""
    assert maps.keys() <= expected.keys()
    assert maps
    for year, fields in maps.items():
        for field, whole in zip(fields, expected[year], strict=True):
            cut = whole if at is None else whole[at.slices(origin=Box(0, 0, 0, 0))]
            assert np.array_equal(field, cut), year


def write_config(path: Path, config: EmulatorConfig) -> None:
    """Write a configuration as the file that `initialize` reads."""
    path.write_text(tomli_w.dumps(config.model_dump(exclude_defaults=True)))


def bmi_tests_passed(config: EmulatorConfig, folder: Path) -> int:
    """Run the tests of CSDMS on an emulator; return how many there are, all of which pass."""
    write_config(folder / "emulator.toml", config)
    command = [
        *(sys.executable, "-m", "bmi_tester", "luray.emulator:LandSurface", "--quiet"),
        *("--root-dir", str(folder), "--config-file", "emulator.toml"),
    ]
    # an environment inside the checkout would find the checkout's settings of pytest
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = f"-c {folder}/pytest.ini -p no:cacheprovider"
    root = str(Path(__file__).parents[2])
    tested = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": root, "PYTEST_ADDOPTS": options},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    passed = [int(count) for count in re.findall(r"(\d+) passed", tested.stdout)]
    assert len(passed) == 4, tested.stdout  # its stages
    return sum(passed)
