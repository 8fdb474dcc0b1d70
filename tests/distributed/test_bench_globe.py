import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

from luray.bench import globe
from luray.bench.measurements import Measurements
from luray.cli.app import app
from luray.planning.measure import Forward, forward_cost
from luray.stages.config import RunConfig
from luray.stages.infer import inference_of
from luray.stages.verify import withdraw

HELD = 200 * 2**20
BUSY = f"""
import time
held = b"1" * {HELD}
while time.process_time() < 1:
    pass
print(flush=True)
input()
"""
WATCHING = f"""
import json, os, subprocess, sys
import psutil
from luray.bench.watch import Watch, family, proportional_bytes
with Watch(every=0.05) as quiet:
    pass
with Watch() as watch:  # which looks once more at the end
    child = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
process = psutil.Process(child.pid)
is_family = process in family(os.getpid())
held = proportional_bytes(process)
child.communicate(b"\\n")
more_memory = watch.peak - quiet.peak
cpu_seconds = watch.cpu_seconds - quiet.cpu_seconds
print(json.dumps([is_family, held, proportional_bytes(process), more_memory, cpu_seconds]))
"""
COARSE = (
    "grid.step=0.25",
    "grid.shape=[720, 1440]",
    "tiling.window=64",
    "tiling.stride=48",
    "tiling.tile=240",
    "model.width=4",
    "model.depth=2",
)


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, ray_cluster: None
) -> tuple[RunConfig, Measurements]:
    if "LURAY_DATA" not in os.environ:
        pytest.skip("LURAY_DATA names no folder of real data")
    run = globe.globe_run(str(tmp_path_factory.mktemp("globe")), COARSE)
    return run, globe.bench(run, forward=0.5)


def test_a_coarse_globe_is_finished_and_measured(measured: tuple[RunConfig, Measurements]):
    run, found = measured
    product = xr.open_zarr(run.product)
    assert product["land_use"].shape == (2, 720, 1440)
    before, after = product["land_use"].values
    assert ((before == 0) == (after == 0)).all()
    assert (before != after).any()
    assert product.attrs["luray"]["finished"]
    assert set(found.costs) == {"inputs", "build", "infer", "picture"}
    assert all(cost.seconds > 0 and cost.peak_bytes > 10**8 for cost in found.costs.values())
    land, stride = before != 0, run.tiling.stride
    assert (
        found.windows
        == land.reshape(720 // stride, stride, 1440 // stride, stride).any(axis=(1, 3)).sum()
    )
    assert found.before is not None
    assert found.after is not None
    bare = np.mean([found.before, found.after], axis=0) * found.windows
    infer = found.costs["infer"]
    assert np.allclose((found.ratio, found.cpu_ratio), (infer.seconds, infer.cpu_seconds) / bare)
    assert json.loads(Path(run.path("globe.json")).read_text())["ratio"] == found.ratio
    with Image.open(run.path("pictures", "map_2001.png")) as image:
        assert len(set(image.convert("RGB").resize((300, 150)).get_flattened_data())) > 20
    said = {row[0]: row for row in found.rows()}
    assert said["peak memory"][2] == "reached: at most 8 GiB"


def test_run_again_it_keeps_what_was_measured_and_says_it_in_plain_lines(
    measured: tuple[RunConfig, Measurements],
):
    run, found = measured
    settings = [word for setting in COARSE for word in ("--set", setting)]
    result = CliRunner().invoke(app, ["bench", "globe", "--output", run.output, *settings])
    assert result.exit_code == 0, result.output
    again = Measurements.read(Path(run.path("globe.json")))
    kept = ("inputs", "build", "infer")
    assert [again.costs[stage] for stage in kept] == [found.costs[stage] for stage in kept]
    assert (again.windows, again.ratio) == (found.windows, found.ratio)
    lines = result.output.splitlines()
    assert f"windows: {found.windows}" in lines
    assert next(line for line in lines if line.startswith("peak memory")).endswith(
        "GiB: reached: at most 8 GiB"
    )


def test_only_windows_that_are_left_count(
    measured: tuple[RunConfig, Measurements], monkeypatch: pytest.MonkeyPatch
):
    # forward passes are measured in the tests above and below
    monkeypatch.setattr(globe, "forward_cost", lambda *_, **__: Forward(1.0, 1.0))
    run, found = measured
    plan = inference_of(run, run.inference.span, run.product)
    tile = plan.geometry.tiles[3]
    withdraw(run, list(plan.product.units([tile], [2001])))
    again = globe.bench(run, forward=0.5)
    box = run.tiles.tile_box(tile)
    assert (
        again.windows
        == len(run.inference_tiles.active_cores(box, plan.cube.land(box)))
        < found.windows
    )


def test_forward_passes_of_two_processes_at_once(measured: tuple[RunConfig, Measurements]):
    run, _ = measured
    one, two = (
        forward_cost(
            run.model_folder("forward"), batch=4, window=64, processes=n, threads=1, seconds=1
        )
        for n in (1, 2)
    )
    assert one.cpu_seconds <= 1.05 * one.seconds, "one thread"
    assert two.cpu_seconds <= 1.05 * 2 * two.seconds, "two threads, one in each process"
    assert 0.5 < two.cpu_seconds / one.cpu_seconds < 2


def test_memory_and_time_of_children_count():
    """In a process that has no other children: a cluster's would come and go meanwhile."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHING], capture_output=True, text=True, check=True
    )
    is_family, held, held_afterwards, more_memory, cpu_seconds = json.loads(done.stdout)
    assert is_family
    assert held > HELD
    assert held_afterwards == 0
    assert more_memory > HELD
    assert 0.9 < cpu_seconds < 5
