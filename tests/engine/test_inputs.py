import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE, LandClass, Legend
from luray.core.tiling import Box
from luray.cube.region import Region
from luray.engine.inputs import TileInputs
from luray.engine.stem import Stem
from luray.model.features import UNKNOWN
from luray.model.unet import frozen
from tests import reference
from tests.cube.cubes import GROUND, RELIEF, make_cube
from tests.worlds import SlowWindowInputs, random_model

SIDES = st.integers(1, 9)
PRIOR = st.sampled_from([0, 1, 6, 7, UNKNOWN, OUTSIDE])


@pytest.fixture(
    scope="module",
    params=[("globe", RELIEF), ("region", RELIEF), ("globe", GROUND), ("region", GROUND)],
    ids=lambda param: f"{param[0]}-{len(param[1])}",
)
def made(request, tmp_path_factory):
    kind, relief = request.param
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), kind, relief=relief)


@st.composite
def windows(draw):
    """Some windows of one size, on the grid and beyond it."""
    height = draw(SIDES)
    width = draw(SIDES)
    corners = draw(
        st.lists(
            st.tuples(st.integers(-6, 20), st.integers(-15, 40)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    return [Box(*corner, height, width) for corner in corners]


@settings(max_examples=20)
@given(
    boxes=windows(),
    width=st.integers(1, 5),
    history=st.sampled_from([1, 2, 5]),
    data=st.data(),
)
def test_first_layer_is_that_of_training_inputs(made, boxes, width, history, data):
    cube = made.cube
    features = cube.features.remembering(history)
    model = frozen(random_model(features=features, width=width))
    stem = Stem.of(model, features)
    tile_inputs = TileInputs.of(cube, boxes, stem)
    out = np.full((*boxes[0].shape, width), np.nan, np.float32)
    for year, prior_year in data.draw(
        st.lists(
            st.sampled_from([(2002, 2001), (2003, 2002), (2001, 2002)]), min_size=1, max_size=3
        )
    ):
        for box in data.draw(st.permutations(boxes)):
            maps = [data.draw(arrays.arrays(np.uint8, box.shape, elements=PRIOR))]
            for _ in range(data.draw(st.integers(0, history - 1))):
                other = data.draw(arrays.arrays(np.uint8, box.shape, elements=PRIOR))
                restless = data.draw(arrays.arrays(np.bool_, box.shape))
                maps.append(np.where(restless, other, maps[-1]))
            tile_inputs.write_first_layer(out, maps, box, year=year, prior_year=prior_year)
            shown = reference.model_input(maps, Region(cube, box), box, year, prior_year, features)
            with torch.inference_mode():
                expected = model.down[0][:3](shown)[0].permute(1, 2, 0).numpy()
            assert (
                np.abs(out - expected)
                <= 1e-4 + 1e-4 * np.abs(expected) + tile_inputs.static[box].step_O / 2
            ).all()
            twin = np.empty_like(out)
            SlowWindowInputs.of(Region(cube, box), stem).write_first_layer(
                twin, maps, box, year=year, prior_year=prior_year
            )
            assert np.array_equal(out, twin), "every bit, whichever windows are read with it"


def test_scenarios_share_the_static_part(made):
    box = Box(3, 4, 8, 8)
    tile_inputs = TileInputs.of(
        made.cube,
        [box],
        Stem.of(frozen(random_model(features=made.cube.features)), made.cube.features),
    )
    view = tile_inputs.for_scenario(made.cube.of_scenario(""))
    assert view.static is tile_inputs.static


def test_shares_of_classes_that_no_legend_has_are_plain_forcing(tmp_path):
    rock = Legend("rock", (LandClass(1, "rock", "#888888"), LandClass(2, "sand", "#eeeeaa")))
    cube = make_cube(str(tmp_path / "cube.zarr"), "region", legend=rock).cube
    assert cube.share_layers
    assert not cube.features.share_groups

    box = Box(3, 4, 8, 8)
    model = frozen(random_model(features=cube.features))
    tile_inputs = TileInputs.of(cube, [box], Stem.of(model, cube.features))
    out = np.empty((*box.shape, 4), np.float32)
    prior = cube.state(2001, box)
    tile_inputs.write_first_layer(out, [prior], box, year=2002, prior_year=2001)
    shown = reference.model_input([prior], Region(cube, box), box, 2002, 2001, cube.features)
    with torch.inference_mode():
        expected = model.down[0][:3](shown)[0].permute(1, 2, 0).numpy()
    tolerance = 1e-4 + 1e-4 * np.abs(expected) + tile_inputs.static[box].step_O / 2
    assert (np.abs(out - expected) <= tolerance).all()
