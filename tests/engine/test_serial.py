import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box, Tiling, padded_map
from luray.engine.blending import decide, window_weights
from luray.engine.predictor import Predictor
from luray.engine.serial import serial_rollout
from luray.model.operating_point import NO_CALIBRATION, Calibration
from luray.model.unet import UNet, frozen
from luray.model.unet_config import UNetConfig
from tests import reference
from tests.worlds import FEATURES, REMEMBERING, K, SlowWindowInputs, random_model, world

YEARS = (2000, 2001, 2002, 2003)


def predictor_of(
    model, shape, *, tile=16, periodic=False, batch=3, window=12, stride=8, taper="linear"
):
    tiling = Tiling(*shape, window, stride, tile, periodic)
    remembers = model.first.in_channels == REMEMBERING.n_channels
    features = REMEMBERING if remembers else FEATURES
    return Predictor(frozen(model), features, tiling, window_weights(tiling, taper=taper), batch)


def serial(w, predictor, years=YEARS):
    return list(
        serial_rollout(
            w.initial,
            w.land,
            years,
            SlowWindowInputs(w.fields, predictor.stem),
            predictor,
            older=w.older,
        )
    )


def tiled(w, predictor, years=YEARS):
    """The same, tile by tile: own sums and strips that travel along the exchanges, in no particular
    order.
    """
    tiling = predictor.tiling
    maps = [w.initial, *w.older]
    inputs = SlowWindowInputs(w.fields, predictor.stem)
    tiles = [
        t
        for t in tiling.tiles()
        if w.land[tiling.tile_box(t).slices(origin=tiling.everything)].any()
    ]
    for prior_year, year in pairwise(years):
        sums = {}
        strips = []
        for tile in reversed(tiles):
            box = tiling.tile_box(tile)
            land = w.land[box.slices(origin=tiling.everything)]
            padded = predictor.predict(
                tiling.active_cores(box, land),
                [
                    padded_map(one_map, tiling.padded(box), periodic=tiling.periodic)
                    for one_map in maps[: predictor.features.history]
                ],
                inputs,
                year=year,
                prior_year=prior_year,
                box=box,
            )
            sums[tile] = padded[(slice(None), *box.slices(origin=tiling.padded(box)))].copy()
            strips += [
                (e.neighbour, e.own, padded[(slice(None), *e.padded)])
                for e in tiling.exchanges(tile)
            ]
        for neighbour, own, strip in strips:
            if neighbour in sums:
                sums[neighbour][(slice(None), *own)] += strip
        classes = np.full(tiling.shape, OUTSIDE, np.uint8)
        confidence = np.zeros(tiling.shape, np.uint8)
        for tile in tiles:
            at = tiling.tile_box(tile).slices(origin=tiling.everything)
            classes[at], confidence[at] = decide(sums[tile], w.land[at])
        maps = [classes, *maps]
        yield year, classes, confidence


def assert_same(rollout, expected):
    for (year, *maps), (other_year, *others) in zip(rollout, expected, strict=True):
        assert year == other_year
        assert all(np.array_equal(a, b) for a, b in zip(maps, others, strict=True))


@pytest.mark.parametrize(
    ("shape", "periodic"),
    [((24, 48), False), ((24, 48), True), ((21, 45), False), ((19, 48), True)],
)
def test_bits_ignore_tiles_and_batches(shape, periodic):
    w = world(shape, periodic=periodic)
    model = random_model()
    expected = serial(w, predictor_of(model, shape, tile=48, batch=1, periodic=periodic))
    assert (expected[0][1] != w.initial)[w.land].mean() > 0.1, (
        "a model that changes nothing proves nothing"
    )
    assert (expected[2][1] != expected[1][1]).any()
    for tile, batch in ((8, 4), (16, 1), (24, 3), (48, 16)):
        predictor = predictor_of(model, shape, tile=tile, batch=batch, periodic=periodic)
        assert_same(tiled(w, predictor), expected)
        assert_same(serial(w, predictor), expected)


@pytest.mark.parametrize(("window", "stride", "width"), [(12, 8, 4), (40, 32, 8), (100, 64, 16)])
def test_sums_ignore_threads_and_batch_size(window, stride, width):
    shape = (stride, stride * 5)
    box = Box(0, 0, *shape)
    threads_before = torch.get_num_threads()
    w = world(shape, periodic=False, share=1.0)
    model = random_model(width=width)
    sums = {}
    for threads, batch in ((1, 2), (1, 1), (1, 5), (2, 2), (2, 5), (3, 4)):
        predictor = predictor_of(
            model, shape, tile=stride * 5, batch=batch, window=window, stride=stride
        )
        padded = predictor.tiling.padded(box)
        torch.set_num_threads(threads)
        try:
            sums[threads, batch] = predictor.predict(
                predictor.tiling.active_cores(box, w.land),
                [padded_map(w.initial, padded, periodic=False)],
                SlowWindowInputs(w.fields, predictor.stem),
                year=2001,
                prior_year=2000,
                box=box,
            )
        finally:
            torch.set_num_threads(threads_before)
    expected = sums[1, 2]
    assert [how for how, sums_KYX in sums.items() if not np.array_equal(sums_KYX, expected)] == []


@settings(max_examples=15)
@given(
    seed=st.integers(0, 99),
    share=st.sampled_from([0.3, 1.0]),
    batch=st.integers(1, 4),
    bonus=st.sampled_from([0.5, 25.0]),
    features=st.sampled_from([FEATURES, REMEMBERING]),
    n_maps=st.integers(1, 3),
    calibration=st.sampled_from([NO_CALIBRATION, Calibration(1.3, -0.7)]),
)
def test_sums_are_those_of_the_slow_twin(seed, share, batch, bonus, features, n_maps, calibration):
    shape = (24, 40)
    box = Box(0, 0, *shape)
    w = world(shape, periodic=False, seed=seed, share=share)
    predictor = replace(
        predictor_of(
            random_model(seed=seed, bonus=bonus, features=features), shape, tile=40, batch=batch
        ),
        calibration=calibration,
    )
    padded = predictor.tiling.padded(box)
    maps = [padded_map(one_map, padded, periodic=False) for one_map in (w.initial, *w.older)]
    maps = maps[: min(n_maps, features.history)]
    cores = predictor.tiling.active_cores(box, w.land)
    call = (cores, maps, SlowWindowInputs(w.fields, predictor.stem))
    years = {"year": 2002, "prior_year": 2001}
    sums = predictor.predict(*call, **years, box=box)
    assert sums.any()
    assert np.array_equal(sums, reference.predict(predictor, *call, **years, box=box))


@settings(max_examples=15)
@given(
    n_lat=st.integers(1, 30),
    n_lon=st.integers(1, 40),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
    tile=st.sampled_from([8, 16]),
    taper=st.sampled_from(["linear", "uniform"]),
    features=st.sampled_from([FEATURES, REMEMBERING]),
)
def test_tiles_equal_the_serial_rollout(n_lat, n_lon, share, seed, tile, taper, features):
    w = world((n_lat, n_lon), periodic=False, seed=seed, share=share)
    model = random_model(seed=seed, features=features)
    predictor = predictor_of(model, (n_lat, n_lon), tile=tile, taper=taper)
    assert_same(tiled(w, predictor), serial(w, predictor))


@settings(max_examples=10)
@given(
    n_tiles=st.integers(1, 3),
    n_lat=st.integers(1, 30),
    seed=st.integers(0, 99),
    features=st.sampled_from([FEATURES, REMEMBERING]),
)
def test_globe_tiles_equal_the_serial_rollout(n_tiles, n_lat, seed, features):
    shape = n_lat, 16 * n_tiles
    w = world(shape, periodic=True, seed=seed)
    predictor = predictor_of(random_model(seed=seed, features=features), shape, periodic=True)
    assert_same(tiled(w, predictor), serial(w, predictor))


@settings(max_examples=10)
@given(strides=st.integers(1, 5), seed=st.integers(0, 9))
def test_there_is_no_seam_at_the_dateline(strides, seed):
    shape = (20, 48)
    columns = 8 * strides
    w = world(shape, periodic=True, seed=seed)
    predictor = predictor_of(random_model(seed=seed), shape, periodic=True)
    turned = world(shape, periodic=True, seed=seed)
    turned.initial = np.roll(w.initial, columns, 1)
    turned.older = [np.roll(older_map, columns, 1) for older_map in w.older]
    turned.land = np.roll(w.land, columns, 1)
    turned.fields = w.fields.rolled(columns)
    expected = [
        (year, *(np.roll(m, columns, 1) for m in maps)) for year, *maps in serial(w, predictor)
    ]
    assert_same(serial(turned, predictor), expected)


def pointwise():
    """A restless U-Net that sees no neighbours, so that the edge of a window is like any other
    place.
    """
    model = random_model(seed=3, bonus=-5.0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
                centre = module.weight[:, :, 1, 1].clone()
                module.weight.zero_()
                module.weight[:, :, 1, 1] = centre * 3
    return model


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("taper", ["uniform", "linear"])
def test_constant_input_gives_constant_output(periodic, taper):
    shape = (24, 48)
    predictor = predictor_of(pointwise(), shape, periodic=periodic, window=16, taper=taper)
    seen = set()
    for initial in range(K):
        w = world(shape, periodic=periodic, share=1.0, seed=initial)
        w.initial[:], w.fields.levels[:], w.fields.fixed[:] = initial, 0.3, -1.0
        for _, classes, confidence in serial(w, predictor):
            assert len(np.unique(classes)) == len(np.unique(confidence)) == 1
            seen.add(int(classes[0, 0]) != initial)
    assert True in seen


@pytest.mark.parametrize("years", [YEARS, YEARS[::-1]])
def test_an_untrained_model_predicts_persistence(years):
    shape = (24, 40)
    w = world(shape, periodic=False)
    untrained = UNet(FEATURES.n_channels, K, UNetConfig(width=4, depth=2))
    for _, classes, confidence in serial(w, predictor_of(untrained, shape), years):
        assert np.array_equal(classes, w.initial)
        assert (confidence[w.land] == round(100 * (1 + math.e**5) / (1 + math.e**5 + K - 1))).all()
        assert (confidence[~w.land] == 0).all()


def test_ocean_is_never_read_nor_predicted():
    shape = (48, 48)
    w = world(shape, periodic=False)
    predictor = predictor_of(random_model(), shape, batch=1)
    w.land[:] = False
    w.initial[:] = OUTSIDE
    w.land[20, 20] = True
    w.initial[20, 20] = 2
    windows = []

    class Watched(SlowWindowInputs):
        def write_first_layer(self, out_HWO, maps_HW, box, **years):
            windows.append(box)
            super().write_first_layer(out_HWO, maps_HW, box, **years)

    watched = Watched(w.fields, predictor.stem)
    [(_, classes, _)] = serial_rollout(w.initial, w.land, (2000, 2001), watched, predictor)
    assert windows == [Box(14, 14, 12, 12)]
    assert (classes == OUTSIDE).sum() == classes.size - 1


@given(
    classes=arrays.arrays(np.uint8, (3, 5)),
    corner=st.tuples(st.integers(-5, 5), st.integers(-9, 9)),
    periodic=st.booleans(),
)
def test_a_padded_map_wraps_or_ends(classes, corner, periodic):
    padded = padded_map(classes, Box(*corner, 4, 6), periodic=periodic)
    for i, j in np.ndindex(4, 6):
        row, col = corner[0] + i, corner[1] + j
        inside = 0 <= row < 3 and (periodic or 0 <= col < 5)
        assert padded[i, j] == (classes[row, col % 5] if inside else OUTSIDE)


WITHOUT_RAY = """
import importlib, importlib.abc, pkgutil, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ray":
            raise ImportError("this environment has no Ray")

sys.meta_path.insert(0, Refuse())
import luray
for room in pkgutil.iter_modules(luray.__path__, "luray."):
    if room.name in ("luray.distributed", "luray.bench"):
        continue
    for inner in pkgutil.iter_modules(importlib.import_module(room.name).__path__, f"{room.name}."):
        if not inner.name.endswith("__main__"):
            importlib.import_module(inner.name)
from tests.engine.test_serial import assert_same, predictor_of, random_model, serial, tiled, world
w = world((16, 24), periodic=False)
predictor = predictor_of(random_model(), (16, 24))
assert_same(tiled(w, predictor), serial(w, predictor))
assert not any(m.split(".")[0] == "ray" for m in sys.modules)
print("ran")
"""


def test_all_but_distributed_runs_without_ray():
    root = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY], cwd=root, capture_output=True, text=True, check=False
    )
    assert process.stdout == "ran\n", process.stderr
