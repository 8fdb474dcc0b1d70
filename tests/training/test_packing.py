import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luray.core.tiling import Box
from luray.training.packing import pack, unpack
from luray.training.sample_reader import read_samples
from luray.training.samples import SampleWindow
from tests.cube.cubes import make_cube


@pytest.fixture(scope="module", params=["globe", "region"])
def cube(tmp_path_factory, request):
    return make_cube(str(tmp_path_factory.mktemp("packing") / "cube.zarr"), request.param).cube


@given(
    row=st.integers(-4, 18),
    col=st.integers(-40, 60),
    size=st.integers(1, 9),
    years=st.sampled_from([(2001,), (2001, 2002), (2003, 2002, 2001)]),
)
def test_what_was_packed_elsewhere_is_what_is_read_here(cube, row, col, size, years):
    draws = [
        SampleWindow(Box(row, col, size, size), years),
        SampleWindow(Box(row + 1, col, size, size), years),
    ]
    given_ = [unpack(cube, draw, pack(cube, draw)) for draw in draws]
    for a, b in zip(
        read_samples(cube, draws), read_samples(cube, draws, given=given_), strict=True
    ):
        assert torch.equal(a, b)
        assert a.dtype == b.dtype


def test_packed_values_are_native_and_years_that_share_them_travel_once(cube):
    draw = SampleWindow(Box(2, 3, 8, 8), (2001, 2002, 2003))
    given_ = unpack(cube, draw, pack(cube, draw))
    assert sorted(str(key) for key in given_ if "koppen" in str(key)) == [
        "('forcing/koppen/values', 0)",
        "('forcing/koppen/values', 1)",
    ], "2002 holds the climate of 2001"
    assert {str(v.dtype) for key, v in given_.items() if "gebco" in str(key)} == {"int16"}
    assert {
        str(v.dtype) for key, v in given_.items() if "koppen" in str(key) or "state" in str(key)
    } == {"uint8"}
    assert all(
        np.array_equal(given_["state", year], cube.state(year, draw.box)) for year in draw.years
    )


def test_bytes_of_another_window_are_refused(cube):
    draw = SampleWindow(Box(2, 3, 8, 8), (2001, 2002))
    data = pack(cube, draw)
    for wrong in (draw._replace(years=(2001, 2003)), draw._replace(box=Box(2, 3, 9, 9))):
        with pytest.raises(ValueError, match=r"bytes are not what .* has for Box"):
            unpack(cube, wrong, data)
    with pytest.raises(ValueError, match="read them with the cube and the window"):
        unpack(cube, draw, data[:-1])
