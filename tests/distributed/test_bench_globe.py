import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

from luray.bench import globe
from luray.bench.measurements import Measurements
from luray.cli.app import app
from luray.planning.measure import ForwardCost, forward_cost
from luray.stages.config import RunConfig
from luray.stages.infer import inference_of
from luray.stages.verify import withdraw

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
    run, measurements = measured
    product = xr.open_zarr(run.product)
    assert product["land_use"].shape == (2, 720, 1440)
    before, after = product["land_use"].values
    assert ((before == 0) == (after == 0)).all()
    assert (before != after).any()
    assert product.attrs["luray"]["finished"]
    assert set(measurements.costs) == {"inputs", "build", "infer", "picture"}
    assert all(cost.seconds > 0 and cost.peak_bytes > 10**8 for cost in measurements.costs.values())

    land = before != 0
    stride = run.tiling.stride
    cores = land.reshape(720 // stride, stride, 1440 // stride, stride)
    assert measurements.windows == cores.any(axis=(1, 3)).sum()

    assert measurements.before is not None
    assert measurements.after is not None
    bare = np.mean([measurements.before, measurements.after], axis=0) * measurements.windows
    infer = measurements.costs["infer"]
    ratios = (measurements.ratio, measurements.cpu_ratio)
    assert np.allclose(ratios, (infer.seconds, infer.cpu_seconds) / bare)
    assert json.loads(Path(run.path("globe.json")).read_text())["ratio"] == measurements.ratio
    with Image.open(run.path("pictures", "map_2001.png")) as image:
        assert len(set(image.convert("RGB").resize((300, 150)).get_flattened_data())) > 20
    rows = {row[0]: row for row in measurements.rows()}
    assert rows["peak memory"][2] == "reached: at most 8 GiB"


def test_a_second_run_keeps_the_measurements(
    measured: tuple[RunConfig, Measurements],
):
    run, measurements = measured
    settings = [word for setting in COARSE for word in ("--set", setting)]
    result = CliRunner().invoke(app, ["bench", "globe", "--output", run.output, *settings])
    assert result.exit_code == 0, result.output
    again = Measurements.read(Path(run.path("globe.json")))
    for stage in ("inputs", "build", "infer"):
        assert again.costs[stage] == measurements.costs[stage]
    assert (again.windows, again.ratio) == (measurements.windows, measurements.ratio)
    lines = result.output.splitlines()
    assert f"windows: {measurements.windows}" in lines
    [peak] = [line for line in lines if line.startswith("peak memory")]
    assert peak.endswith("GiB: reached: at most 8 GiB")


def test_only_windows_that_are_left_count(
    measured: tuple[RunConfig, Measurements], monkeypatch: pytest.MonkeyPatch
):
    # forward passes are measured in the tests above and below
    monkeypatch.setattr(globe, "forward_cost", lambda *_, **__: ForwardCost(1.0, 1.0))
    run, measurements = measured
    plan = inference_of(run, run.inference.span, run.product)
    tile = plan.geometry.tiles[3]
    withdraw(run, list(plan.product.units([tile], [2001])))
    again = globe.bench(run, forward=0.5)
    box = run.tiles.tile_box(tile)
    left = run.inference_tiles.active_cores(box, plan.cube.land(box))
    assert again.windows == len(left) < measurements.windows


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
