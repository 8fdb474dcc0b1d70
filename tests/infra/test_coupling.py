"""The Fortran driver of `infra/coupling` steps a region as Python does."""

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.emulator import EmulatorConfig, LandSurface
from tests.exported_model import HISTORY, host_fields, host_maps, write_exported

SOURCES = Path(__file__).parents[2] / "infra" / "coupling"
YEARS = 10
BOX = Box(0, 0, 24, 24)
"""One window over all of the region of 13 x 17 cells: the host has no others to average with."""

needs_compiler = pytest.mark.skipif(
    shutil.which("gfortran") is None or shutil.which("make") is None,
    reason="no gfortran or make here: apt-get install gfortran make",
)


@pytest.fixture(scope="module")
def place(once):
    """The folder of a cube, a model and its exported files."""
    return once("exported", write_exported)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """The driver, built as its README says, without a warning."""
    folder = tmp_path_factory.mktemp("coupling") / "build"
    shutil.copytree(SOURCES, folder)
    flags = {"CFLAGS": "-O2 -Wall -Wextra -Werror -std=c11", "FFLAGS": "-O2 -Wall -std=f2018"}
    built = subprocess.run(
        ["make"], cwd=folder, env=os.environ | flags, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "driver"


@pytest.fixture(scope="module")
def emulated(place):
    """Ten years of the emulator with forcing that is set, and what a host has of each year."""
    emulator = LandSurface()
    config = EmulatorConfig(
        cube=f"{place}/cube.zarr",
        model=f"{place}/model/forward",
        start=2001,
        end=2001 + YEARS,
        window=24,
        stride=24,
    )
    emulator.initialize(config)
    cube = emulator._running.forcing.cube
    random = np.random.default_rng(5)
    maps = []
    forcing = [host_fields(cube, cube.forcing, BOX, 2001)]
    for year in range(2002, 2002 + YEARS):
        for name in emulator.get_input_var_names():
            n_cells = emulator.get_grid_size(emulator.get_var_grid(name))
            values = random.random(n_cells) / 4
            if name == "zone":
                values = random.integers(1, 4, n_cells)
            elif name == "months":
                values = random.integers(0, 4, n_cells)
            emulator.set_value(name, values)
        emulator.update()
        forcing.append(host_fields(cube, cube.forcing, BOX, year))
        maps.append(emulator.get_value_ptr("land_use").reshape(cube.grid.shape).copy())
    return maps, forcing


def in_python(place, forcing):
    """The same years by onnxruntime in Python."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(f"{place}/model/forward/export/model.onnx", options)
    cube = Cube.open(f"{place}/cube.zarr")
    land_use = host_maps(cube, BOX, [2001])
    static = host_fields(cube, cube.static, BOX, 0)
    maps = []
    for before, now in pairwise(forcing):
        inputs = {
            "land_use": land_use,
            "forcing": now,
            "prior_forcing": before,
            "static": static,
        }
        _, likeliest = session.run(None, inputs)
        land_use = np.concatenate([likeliest[:, None], land_use], axis=1)[:, :HISTORY]
        maps.append(likeliest[0])
    return maps


@needs_compiler
def test_driver_steps_ten_years_as_python_does(place, driver, emulated, tmp_path):
    maps, forcing = emulated
    ran = run_driver(driver, place, forcing, tmp_path)
    assert ran.returncode == 0, ran.stderr
    written = np.fromfile(tmp_path / "maps.bin", np.uint8).reshape(YEARS, *BOX.shape)
    expected = np.stack(in_python(place, forcing))
    assert np.array_equal(written, expected)

    # The emulator rounds static inputs and probabilities: a tie may fall the other way.
    own = written[:, :13, :17]
    assert (own == np.stack(maps)).mean() > 0.99
    start = host_maps(Cube.open(f"{place}/cube.zarr"), BOX, [2001])[0, 0, :13, :17]
    assert (own[0] != start).mean() > 0.1, "a model that changes nothing proves nothing"
    assert (own[1] != own[0]).any()


@needs_compiler
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"library": "none.so"}, "none.so: cannot open shared object file"),
        ({"library": "libm.so.6"}, "libm.so.6: no library of onnxruntime"),
        ({"model_file": "none.onnx"}, "none.onnx"),
        ({"rows": 23}, "23 rows and 24 cols, expected multiples of 2"),
        ({"maps": 2}, "land_use"),
    ],
)
def test_driver_says_what_is_wrong(place, driver, emulated, tmp_path, settings, message):
    ran = run_driver(driver, place, emulated[1], tmp_path, **settings)
    assert ran.returncode == 1
    assert message in ran.stderr


def run_driver(driver, place, forcing, folder, **settings):
    """Run the driver on the inputs of a host."""
    cube = Cube.open(f"{place}/cube.zarr")
    arrays = [host_maps(cube, BOX, [2001]), host_fields(cube, cube.static, BOX, 0), *forcing]
    (folder / "inputs.bin").write_bytes(b"".join(array.tobytes() for array in arrays))
    [library] = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    region = {
        "model_file": f"{place}/model/forward/export/model.onnx",
        "library": str(library),
        "inputs": "inputs.bin",
        "years": YEARS,
        "maps": HISTORY,
        "forcing": forcing[0].shape[1],
        "fixed": arrays[1].shape[1],
        "classes": len(cube.legend),
        "rows": BOX.height,
        "cols": BOX.width,
        "multiple_of": 2,
    } | settings
    lines = [f"  {key} = {value!r}" for key, value in region.items()]
    text = "\n".join(["&region", *lines, "/", ""])
    return subprocess.run(
        [driver], cwd=folder, input=text, capture_output=True, text=True, check=False
    )
