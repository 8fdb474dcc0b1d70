"""Channels of a region against resampling cell by cell, and samples against regions."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.core.regrid import gather
from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.cube.region import Region
from luray.training.sample_reader import read_samples, unturned
from luray.training.sample_window import SampleWindow
from tests import reference
from tests.cube.cubes import COARSE, RELIEF, YEARS, ZONES, exact, make_cube

BOXES = st.builds(
    Box, st.integers(-6, 22), st.integers(-15, 45), st.integers(1, 7), st.integers(1, 9)
)


@pytest.fixture(scope="module", params=["globe", "region"])
def made(request, tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), request.param)


def seen(values, variable):
    """Native values as the model sees them, in single precision, one array a channel."""
    if variable.categories:
        return [np.where(values == c, np.float32(1), np.float32(0)) for c in variable.categories]
    values = values.astype(np.float32)
    values = np.log1p(values) if variable.transform == "log1p" else values
    return [np.where(np.isnan(values), np.float32(0), values / np.float32(variable.scale))]


def naive_channels(made, names, year, box):
    """Channels of a box, a cell at a time, from the whole native arrays; and the method of each."""
    fine, found, methods = exact(made.cube.grid), [], []
    for name, variables in names:
        values = made.values[name] if year is None else made.values[name][YEARS.index(year)]
        for layer, variable in zip(values, variables, strict=True):
            found += [
                [
                    [
                        reference.resample(
                            channel,
                            exact(made.native[name])[:4],
                            fine,
                            row,
                            col,
                            variable.resampling,
                        )
                        for col in range(box.col, box.col + box.width)
                    ]
                    for row in range(box.row, box.row + box.height)
                ]
                for channel in seen(layer, variable)
            ]
            methods += [variable.resampling] * variable.channels
    return np.array(found), methods


def require_the_same(channels, naive, methods):
    """Bits of the nearest cell; 1e-6 of what is interpolated."""
    assert channels.shape == naive.shape == (len(methods), *channels.shape[1:])
    for channel, expected, method in zip(channels, naive, methods, strict=True):
        if method == "nearest":
            np.testing.assert_array_equal(channel, expected.astype(np.float32))
        else:
            np.testing.assert_allclose(channel, expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=10)
@given(box=BOXES, year=st.sampled_from(YEARS))
def test_channels_match_cell_by_cell_resampling(made, box, year):
    region = Region(made.cube, box)
    forcing, static = region.forcing(year, box), region.static(box)
    assert forcing.dtype == static.dtype == np.float32
    require_the_same(
        forcing, *naive_channels(made, [("koppen", ZONES), ("luh2", COARSE)], year, box)
    )
    require_the_same(static, *naive_channels(made, [("gebco", RELIEF)], None, box))


@settings(max_examples=15)
@given(box=BOXES, year=st.sampled_from(YEARS), symmetry=st.integers(0, 7))
def test_channels_are_those_gathered_to_the_bit(made, box, year, symmetry):
    region = Region(made.cube, box)
    for layer in (*made.cube.forcing, *made.cube.static):
        for group in region.resampled(layer, year):
            gathered_VHW = gather(
                group.values_VYX, group.rows, group.cols, method=group.variables[0].resampling
            )
            expected = []
            for values_HW, variable in zip(gathered_VHW, group.variables, strict=True):
                if variable.categories:
                    expected += [values_HW == n for n in range(variable.channels)]
                else:
                    expected.append(values_HW)

            # A training sample is written in its symmetry; only squares have all of them.
            channels_CHW = np.full((group.channels, *box.shape), np.nan, np.float32)
            out = channels_CHW
            if box.height == box.width:
                out = unturned(channels_CHW, symmetry)
            group.write((slice(None), slice(None)), out)
            assert np.array_equal(out, np.array(expected, np.float32))


@settings(max_examples=15)
@given(region=BOXES, data=st.data())
def test_window_bits_do_not_depend_on_region(made, region, data):
    top, left = (
        data.draw(st.integers(0, region.height - 1)),
        data.draw(st.integers(0, region.width - 1)),
    )
    box = Box(
        region.row + top,
        region.col + left,
        data.draw(st.integers(1, region.height - top)),
        data.draw(st.integers(1, region.width - left)),
    )
    large, small = Region(made.cube, region), Region(made.cube, box)
    for year in (*YEARS, *YEARS):
        assert np.array_equal(large.forcing(year, box), small.forcing(year, box))
    assert np.array_equal(large.static(box), small.static(box))


def test_channels_follow_feature_order(made):
    assert made.cube.features.names[8:] == (
        "change of the share of the own class",
        "relative change of the share of the own class",
        "zone=1",
        "zone=2",
        "zone=3",
        "months",
        "crops",
        "urban",
        "people",
        "wood",
        "young_wood",
        "change of months",
        "change of crops",
        "change of urban",
        "change of people",
        "change of wood",
        "change of young_wood",
        "relative change of months",
        "relative change of crops",
        "relative change of urban",
        "relative change of people",
        "relative change of wood",
        "relative change of young_wood",
        "elevation",
        "slope",
    )
    region = Region(made.cube, Box(0, 0, 4, 4))
    assert region.forcing(2001, Box(0, 0, 4, 4)).shape[0] == 9
    assert set(np.unique(region.forcing(2001, Box(0, 0, 4, 4))[:3])) <= {0.0, 1.0}


@pytest.mark.parametrize("direction", [1, -1])
def test_sample_stacks_its_windows(made, direction):
    draws = [
        SampleWindow(Box(-2, -3, 8, 8), YEARS[::direction], 0, (YEARS[0], None)),
        SampleWindow(Box(9, 35, 8, 8), YEARS[::direction], 0, (None, None)),
    ]
    sample = read_samples(made.cube, draws)
    for b, (box, years, _, older_years) in enumerate(draws):
        region = Region(made.cube, box)
        for n, year in enumerate(older_years):
            expected = OUTSIDE if year is None else made.cube.state(year, box)
            assert (sample.older_maps_BNHW[b, n].numpy() == expected).all()
        for t, year in enumerate(years):
            assert np.array_equal(sample.maps_BTHW[b, t].numpy(), made.cube.state(year, box))
            assert np.array_equal(sample.forcing_BTLHW[b, t].numpy(), region.forcing(year, box))
        assert np.array_equal(sample.static_BSHW[b].numpy(), region.static(box))
        rows = np.clip(np.arange(box.row, box.row + 8), 0, made.cube.grid.n_lat - 1)
        area = made.cube.grid.cell_area[rows] / made.cube.grid.cell_area.max()
        assert np.allclose(sample.area_BHW[b].numpy(), area[:, None])


def test_symmetry_turns_every_field_alike(made):
    box = Box(-2, -3, 8, 8)
    lying, seen = read_samples(made.cube, [SampleWindow(box, YEARS)]), set()
    for symmetry in range(8):
        sample = read_samples(
            made.cube,
            [SampleWindow(box, YEARS, symmetry)],
            counted=lambda b: np.arange(64).reshape(8, 8) % 5 < 2,
        )
        order = sample.counted_BHW[0].numpy().tobytes()
        seen.add(order)
        place = np.arange(64).reshape(8, 8)
        for _ in range(symmetry % 4):
            place = place.T[::-1]  # a quarter to the left
        place = place[:, ::-1] if symmetry >= 4 else place
        assert np.array_equal(sample.counted_BHW[0].numpy(), place % 5 < 2)
        for name in ("maps_BTHW", "forcing_BTLHW", "static_BSHW", "area_BHW"):
            field = getattr(lying, name).numpy()
            flat = field.reshape(*field.shape[:-2], 64)
            assert np.array_equal(getattr(sample, name).numpy(), flat[..., place]), name
            assert getattr(sample, name).is_contiguous(), (
                "else sums over a batch depend on how it is made up"
            )
    assert len(seen) == 8


@pytest.fixture
def hectic_threads():
    """Threads that change places all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("cache_bytes", [0, 1500, 2**28])
def test_cache_and_threads_change_nothing(made, cache_bytes, monkeypatch, hectic_threads):
    draws = [[SampleWindow(Box(row, col, 9, 9), YEARS)] for row in (-4, 5) for col in (-6, 4)]
    expected = [read_samples(made.cube, d) for d in draws]
    monkeypatch.setattr(Cube, "CACHE_BYTES", cache_bytes)
    cube = Cube.open(made.cube.url)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(partial(read_samples, cube), draws * 3))
    for i, sample in enumerate(found):
        for a, b in zip(sample, expected[i % len(draws)], strict=True):
            assert np.array_equal(a.numpy(), b.numpy())
