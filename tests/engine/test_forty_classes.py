"""Forty classes go through everything that packs, counts or looks up classes, as seven do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box
from luray.cube.region import Region
from luray.engine.inputs import TileInputs
from luray.engine.stem import Stem
from luray.evaluation.statistics import cross_tabulate
from luray.model.features import UNKNOWN
from luray.model.unet import frozen
from luray.product.dimensions import ProductDims
from luray.product.overviews import halve
from luray.product.trajectories import TileYear
from tests import reference
from tests.cube.cubes import FORTY, make_cube
from tests.product.products import WALK, created, fill
from tests.worlds import SlowWindowInputs, random_model

K = 40
PRIOR = st.sampled_from([*range(K), UNKNOWN, OUTSIDE])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), "region", legend=FORTY)


def test_the_cube_has_the_maps_under_the_name_of_the_target(made):
    cube = made.cube
    assert cube.legend == FORTY
    everything = Box(0, 0, *cube.grid.shape)
    for n, year in enumerate(cube.years):
        expected = np.where(made.land, made.codes[n], FORTY.ocean)
        assert np.array_equal(FORTY.decode(cube.state(year, everything)), expected)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_first_layer_is_that_of_training_inputs(made, data):
    cube = made.cube
    box = Box(2, 3, 6, 7)
    features = cube.features.remembering(4)
    model = frozen(random_model(features=features, width=3))
    stem = Stem.of(model, features)
    tile_inputs = TileInputs.of(cube, [box], stem)

    maps = [data.draw(arrays.arrays(np.uint8, box.shape, elements=PRIOR)) for _ in range(4)]
    out = np.empty((*box.shape, 3), np.float32)
    tile_inputs.write_first_layer(out, maps, box, year=2002, prior_year=2001)
    shown = reference.model_input(maps, Region(cube, box), box, 2002, 2001, features)
    with torch.inference_mode():
        expected = model.down[0][:3](shown)[0].permute(1, 2, 0).numpy()
    allowed = 1e-4 + 1e-4 * np.abs(expected) + tile_inputs.static[box].step_O / 2
    assert (np.abs(out - expected) <= allowed).all()

    twin = np.empty_like(out)
    slow = SlowWindowInputs.of(Region(cube, box), stem)
    slow.write_first_layer(twin, maps, box, year=2002, prior_year=2001)
    assert np.array_equal(out, twin)


def test_a_product_holds_every_class(made, tmp_path):
    product = created(
        made.cube, tmp_path / "p.zarr", span=WALK, dims=ProductDims((), 2, (2003,)), tiles=6
    )
    maps = fill(product)
    product.finish()
    classes_there = set()
    for unit, written in maps.items():
        box = product.tiling.tile_box(unit.tile)
        assert np.array_equal(product.read(unit.year, box, unit.member_index), written.classes)
        assert product.layout.arrays(unit)[0] == "land_cover"
        if written.probabilities is not None:
            stored = product.stored(unit, "probability")
            assert np.array_equal(stored, written.probabilities)
        classes_there |= set(written.classes.ravel().tolist())
    assert classes_there == {*range(K), OUTSIDE}

    unit = TileYear(2002, next(product.tiling.tiles()))
    before, after = (maps[unit._replace(year=year)].classes for year in (2001, 2002))
    transition = product.stored(unit, "transition")
    assert transition.shape[:2] == (K, K)
    counts = np.zeros((K, K), bool)
    for old, new in zip(before.ravel(), after.ravel(), strict=True):
        if old < K and new < K and old != new:
            counts[old, new] = True
    assert np.array_equal((transition > 0).any(axis=(2, 3)), counts)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_counts_of_classes_are_those_of_plain_loops(seed):
    random = np.random.default_rng(seed)
    choice = np.array([*range(K), OUTSIDE], np.uint8)
    initial, truth, predicted = (random.choice(choice, (9, 8)) for _ in range(3))
    area = random.integers(1, 1000, 9).astype(float)
    table = cross_tabulate(initial, truth, predicted, cell_area=area, n_classes=K)
    expected = reference.cross_tabulate(initial, truth, predicted, area, K)
    assert np.array_equal(table, expected)

    confidence = random.integers(0, 101, (9, 8)).astype(np.uint8)
    halved = halve(initial, confidence, K)
    for found, twin in zip(halved, reference.overview(initial, confidence, K), strict=True):
        assert np.array_equal(found, twin)
