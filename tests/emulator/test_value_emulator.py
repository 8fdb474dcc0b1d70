"""Months of leaf area index: the serial rollout, a worker's tiles and the emulator have one result."""

from pathlib import Path

import numpy as np
import pytest

from luray.core.legend import NO_VALUE
from luray.emulator import EmulatorConfig, LandSurface
from luray.engine.blending import window_weights
from luray.engine.decision import decide_classes
from luray.engine.geometry import Geometry
from luray.engine.inputs import TileInputs
from luray.engine.predictor import Predictor
from luray.engine.serial import serial_rollout
from luray.engine.spec import InferenceSpec
from luray.engine.tile_year import TileYears
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.model.unet_config import UNetConfig
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.sandbox.random_model import save_random_model
from tests.benchmarks.product import infer_year
from tests.emulator.conftest import bmi_tests_passed
from tests.product.value_worlds import LAI, MONTHS, value_cube

WINDOW, STRIDE, HISTORY = 8, 4, 13
START = MONTHS.step(2002, 11)
"""December of 2002: a year and more of maps lie before it."""
N_STEPS = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cube of months, a random model, and the serial rollout of the months after the start."""
    folder = tmp_path_factory.mktemp("months")
    cube = value_cube(folder / "cube.zarr")
    config = UNetConfig(width=4, depth=1, history=HISTORY)
    save_random_model(cube, "forward", config, str(folder / "model"), bonus=-3.0)
    return folder, cube


@pytest.fixture(scope="module")
def serial(made):
    folder, cube = made
    model, _ = load_model(str(folder / "model"))
    features = cube.features.remembering(HISTORY)
    tiling = cube.tiling(window=WINDOW, stride=STRIDE, tile=STRIDE)
    everything = tiling.everything
    land = cube.land(everything)
    weights = window_weights(tiling, taper="linear")
    predictor = Predictor(frozen(model), features, tiling, weights, batch=3)
    windows = [tiling.window_box(core) for core in tiling.active_cores(everything, land)]

    def decide(sums, prior, land, **years):
        return decide_classes(sums, prior, land, **years, box=everything, scale=LAI.scale)[:2]

    older = cube.years_before(START, direction="forward", most=HISTORY - 1)
    assert len(older) == HISTORY - 1
    maps = serial_rollout(
        cube.state(START, everything),
        land,
        range(START, START + N_STEPS + 1),
        TileInputs.of(cube, windows, predictor.stem),
        predictor,
        older=[cube.state(step, everything) for step in older],
        decide_classes=decide,
    )
    return {step: (levels, spread) for step, levels, spread in maps}


def config_of(made, **settings):
    folder, cube = made
    return EmulatorConfig(
        cube=cube.url,
        model=str(folder / "model"),
        **{"start": 2002, "window": WINDOW, "stride": STRIDE} | settings,
    )


def land_surface(made, **settings):
    emulator = LandSurface()
    emulator.initialize(config_of(made, **settings))
    return emulator


def maps_of(emulator, shape):
    return tuple(
        emulator.get_value_ptr(name).reshape(shape).copy()
        for name in emulator.get_output_var_names()
    )


def test_tiles_of_a_worker_equal_the_serial_rollout(made, serial, tmp_path):
    folder, cube = made
    tiling = cube.tiling(window=WINDOW, stride=STRIDE, tile=8)
    product = Product(
        str(tmp_path / "product.zarr"),
        Span(START, START + N_STEPS, (START, START)),
        tiling,
        "test",
        legend=cube.legend,
        time=cube.time,
    )
    spec = InferenceSpec(
        cube,
        product,
        Geometry.of(cube, tiling),
        {"forward": str(folder / "model")},
        "linear",
        batch=2,
        threads=1,
        history=HISTORY,
    )
    product.create(cube, title="test", models=spec.models, tiles=len(spec.geometry.tiles))
    first, second = TileYears(spec, device="cpu"), TileYears(spec, device="cpu")
    for step in range(N_STEPS):
        # another worker goes on half way: it reads what it has not remembered
        infer_year(first if step < 2 else second, step=step)
    for step, (levels, spread) in serial.items():
        assert np.array_equal(product.read(step, tiling.everything), levels)
        for tile in spec.geometry.tiles:
            cells = tiling.tile_box(tile).slices(origin=tiling.everything)
            assert np.array_equal(product.confidence(step, tile), spread[cells])


def test_emulator_steps_by_months_as_the_serial_rollout(made, serial):
    _, cube = made
    emulator = land_surface(made)
    assert emulator.get_output_var_names() == ("lai", "spread")
    assert emulator.get_var_units("lai") == "0.05 m2 m-2"
    levels, spread = maps_of(emulator, cube.grid.shape)
    everything = cube.tiling(window=WINDOW, stride=STRIDE, tile=STRIDE).everything
    assert np.array_equal(levels, LAI.decode(cube.state(START, everything)))
    assert (spread == NO_VALUE).all()

    for step, (expected, expected_spread) in serial.items():
        emulator.update()
        assert emulator.year == 2003
        assert emulator.get_current_time() == pytest.approx((step - START) / 12)
        levels, spread = maps_of(emulator, cube.grid.shape)
        assert np.array_equal(levels, LAI.decode(expected)), MONTHS.label(step)
        assert np.array_equal(spread, expected_spread), MONTHS.label(step)

    again = land_surface(made)
    again.update_until(N_STEPS / 12)
    for found, expected in zip(
        maps_of(again, cube.grid.shape), maps_of(emulator, cube.grid.shape), strict=True
    ):
        assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match=r"expected a whole number of steps of 1/12 year"):
        again.update_until(0.55)


def test_bmi_tester_passes_on_months(made, tmp_path):
    # three variables on two grids
    assert bmi_tests_passed(config_of(made), tmp_path) > 40


def test_state_of_an_emulator_goes_on_within_the_year(made, serial, tmp_path: Path):
    _, cube = made
    emulator = land_surface(made)
    emulator.update()
    emulator.update()
    emulator.save_state(tmp_path / "state.npz")
    other = land_surface(made)
    other.restore_state(tmp_path / "state.npz")
    other.update()
    levels, spread = maps_of(other, cube.grid.shape)
    expected, expected_spread = serial[START + 3]
    assert np.array_equal(levels, LAI.decode(expected))
    assert np.array_equal(spread, expected_spread)


def test_what_a_host_sets_counts_for_one_month(made, serial):
    """The zone is annual in the cube; set, it is that of the coming month alone."""
    _, cube = made
    emulator = land_surface(made)
    zone = emulator.get_value_ptr("zone")
    emulator.set_value("zone", np.where(zone == 1, 2, 1).astype(zone.dtype))
    emulator.update()
    levels, _ = maps_of(emulator, cube.grid.shape)
    assert not np.array_equal(levels, LAI.decode(serial[START + 1][0]))
    assert np.array_equal(emulator.get_value_ptr("zone"), zone), "the cube's value is back"


@pytest.mark.parametrize(
    ("name", "values", "units", "message"),
    [
        ("zone", np.ones(7, np.uint8), "", r"shape \(7,\), expected 108 values, 9 rows .* of 12"),
        ("zone", np.full(108, 4, np.uint8), "", r"expected one of \[1, 2, 3\], or 0"),
        ("zone", np.ones(108, np.uint8), "m", "is in 'm', expected"),
        ("lai", np.zeros(221, np.uint8), "", "is an output, .* expected one of zone"),
    ],
)
def test_impossible_values_leave_the_months_as_they_were(
    made, serial, name, values, units, message
):
    _, cube = made
    emulator = land_surface(made)
    with pytest.raises(ValueError, match=message):
        emulator.set_value(name, values, units=units)
    emulator.update()
    levels, _ = maps_of(emulator, cube.grid.shape)
    assert np.array_equal(levels, LAI.decode(serial[START + 1][0]))


def test_windows_without_any_value_are_predicted(made, tmp_path):
    """Under clouds from sea to sea, in all maps: the model has climate and place alone."""
    folder, _ = made
    cube = value_cube(tmp_path / "cube.zarr", gaps=1.0)
    everything = cube.tiling(window=WINDOW, stride=STRIDE, tile=STRIDE).everything
    land = cube.land(everything)
    emulator = land_surface((folder, cube))
    start, spread = maps_of(emulator, cube.grid.shape)
    assert (start == NO_VALUE).all()
    assert (spread == NO_VALUE).all()
    emulator.update()
    levels, spread = maps_of(emulator, cube.grid.shape)
    assert (levels[land] < len(LAI)).all()
    assert (spread[land] != NO_VALUE).all()
    assert (levels[~land] == NO_VALUE).all()
