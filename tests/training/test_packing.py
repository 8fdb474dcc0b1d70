"""Packed windows: what travels is native, small, and read back as if it were read here."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luray.core.tiling import Box
from luray.training.packing import pack, unpack
from luray.training.sample_reader import read_samples
from luray.training.sample_window import SampleWindow
from tests.cube.cubes import make_cube


@pytest.fixture(scope="module", params=["globe", "region"])
def cube(tmp_path_factory, request):
    return make_cube(str(tmp_path_factory.mktemp("packing") / "cube.zarr"), request.param).cube


@given(
    row=st.integers(-4, 18),
    col=st.integers(-40, 60),
    size=st.integers(1, 9),
    years=st.sampled_from([(2001,), (2001, 2002), (2003, 2002, 2001)]),
    older_years=st.sampled_from([(), (2003,), (2002, None)]),
)
def test_packed_windows_are_read_as_from_the_store(cube, row, col, size, years, older_years):
    windows = [
        SampleWindow(Box(row, col, size, size), years, 0, older_years),
        SampleWindow(Box(row + 1, col, size, size), years, 0, older_years),
    ]
    unpacked = [unpack(cube, window, pack(cube, window)) for window in windows]
    from_store = read_samples(cube, windows)
    from_bytes = read_samples(cube, windows, native_values=unpacked)
    for a, b in zip(from_store, from_bytes, strict=True):
        assert torch.equal(a, b)
        assert a.dtype == b.dtype


def test_packed_values_are_native_and_travel_once(cube):
    window = SampleWindow(Box(2, 3, 8, 8), (2001, 2002, 2003))
    values = unpack(cube, window, pack(cube, window))

    def dtypes(name):
        return {str(array.dtype) for key, array in values.items() if name in str(key)}

    assert sorted(str(key) for key in values if "koppen" in str(key)) == [
        "('forcing/koppen/values', 0)",
        "('forcing/koppen/values', 1)",
    ], "2002 holds the climate of 2001"
    assert dtypes("gebco") == {"int16"}
    assert dtypes("koppen") | dtypes("state") == {"uint8"}
    for year in window.years:
        assert np.array_equal(values["state", year], cube.state(year, window.box))


def test_bytes_of_another_window_are_refused(cube):
    window = SampleWindow(Box(2, 3, 8, 8), (2001, 2002))
    data = pack(cube, window)
    for wrong in (window._replace(years=(2001, 2003)), window._replace(box=Box(2, 3, 9, 9))):
        with pytest.raises(ValueError, match=r"bytes are not what .* has for Box"):
            unpack(cube, wrong, data)
    with pytest.raises(ValueError, match="read them with the cube and the window"):
        unpack(cube, window, data[:-1])
