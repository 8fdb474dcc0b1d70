"""What inference writes in place against what training reads, to the bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luray.cube import inputs as inputs_module
from luray.cube.inputs import Inputs
from luray.windows import Box
from tests.cube.cubes import YEARS, make_cube
from tests.worlds import Slow


@pytest.fixture(scope="module", params=["globe", "region"])
def cube(request, tmp_path_factory):
    return make_cube(f"{tmp_path_factory.mktemp(request.param)}/cube.zarr", request.param).cube


@pytest.mark.parametrize("coarse", [2, 4])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-3, 12), col=st.integers(-5, 30), d_row=st.integers(0, 4), d_col=st.integers(0, 4),
       years=st.permutations(YEARS))
def test_every_channel_is_that_of_training(cube, monkeypatch, coarse, row, col, d_row, d_col, years):
    monkeypatch.setattr(inputs_module, "COARSE", coarse)
    features, whole = cube.features, Box(row, col, 12, 11)
    inputs, slow = Inputs(cube, whole), Slow(cube.region(whole), cube.features)
    for year, prior_year in ((years[0], years[1]), (years[1], years[2]), (years[0], years[1])):
        box = Box(row + d_row, col + d_col, 8, 7)
        found, expected = np.full((2, 8, 7, features.n_channels), 7, np.float32)
        inputs.fill(found, year=year, prior_year=prior_year, box=box)
        slow.fill(expected, year=year, prior_year=prior_year, box=box)
        for channel, name in enumerate(features.names):
            assert np.array_equal(found[..., channel], expected[..., channel]), name
    assert inputs.n_bytes >= 12 * 11 * 4
