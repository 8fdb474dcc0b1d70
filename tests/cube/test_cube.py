import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.legend import HILDA, OUTSIDE
from luray.core.tiling import Box, Tiling
from luray.cube.cube import Cube
from luray.cube.schema import create_state
from luray.training.sample_reader import read_samples
from luray.training.sample_window import SampleWindow
from tests import reference
from tests.cube.cubes import COARSE, GLOBE, REGION, RELIEF, YEARS, ZONES, exact, make_cube

BOXES = st.builds(
    Box, st.integers(-6, 22), st.integers(-15, 45), st.integers(1, 7), st.integers(1, 9)
)


@pytest.fixture(scope="module", params=["globe", "region"])
def made(request, tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), request.param)


def naive_state(made, year, box):
    """(class indices, land) of a box, a cell at a time."""
    classes, land = np.full(box.shape, OUTSIDE, np.uint8), np.full(box.shape, False)
    for i, j in np.ndindex(*box.shape):
        row, col = box.row + i, box.col + j
        if made.cube.grid.periodic:
            col %= made.cube.grid.n_lon
        if 0 <= row < made.cube.grid.n_lat and 0 <= col < made.cube.grid.n_lon:
            land[i, j] = made.land[row, col]
            if land[i, j]:
                classes[i, j] = HILDA.codes.tolist().index(made.codes[YEARS.index(year), row, col])
    return classes, land


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


@given(box=BOXES, year=st.sampled_from(YEARS))
def test_state_and_land_of_any_box(made, box, year):
    classes, land = naive_state(made, year, box)
    assert np.array_equal(made.cube.state(year, box), classes)
    assert np.array_equal(made.cube.land(box), land)


@settings(max_examples=10)
@given(box=BOXES, year=st.sampled_from(YEARS))
def test_forcing_and_static_of_any_box(made, box, year):
    region = made.cube.region(box)
    forcing, static = region.forcing(year, box), region.static(box)
    assert forcing.dtype == static.dtype == np.float32
    require_the_same(
        forcing, *naive_channels(made, [("koppen", ZONES), ("luh2", COARSE)], year, box)
    )
    require_the_same(static, *naive_channels(made, [("gebco", RELIEF)], None, box))


@settings(max_examples=15)
@given(region=BOXES, data=st.data())
def test_a_window_holds_the_same_bits_whichever_region_serves_it(made, region, data):
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
    large, small = made.cube.region(region), made.cube.region(box)
    for year in (*YEARS, *YEARS):
        assert np.array_equal(large.forcing(year, box), small.forcing(year, box))
    assert np.array_equal(large.static(box), small.static(box))


def test_channels_come_in_the_order_that_features_names(made):
    assert made.cube.features.names[8:] == (
        "zone=1",
        "zone=2",
        "zone=3",
        "months",
        "urban",
        "people",
        "change of months",
        "change of urban",
        "change of people",
        "relative change of months",
        "relative change of urban",
        "relative change of people",
        "elevation",
        "slope",
    )
    region = made.cube.region(Box(0, 0, 4, 4))
    assert region.forcing(2001, Box(0, 0, 4, 4)).shape[0] == 6
    assert set(np.unique(region.forcing(2001, Box(0, 0, 4, 4))[:3])) <= {0.0, 1.0}


@pytest.mark.parametrize("direction", [1, -1])
def test_a_sample_is_its_windows_stacked(made, direction):
    draws = [
        SampleWindow(Box(-2, -3, 8, 8), YEARS[::direction]),
        SampleWindow(Box(9, 35, 8, 8), YEARS[::direction]),
    ]
    sample = read_samples(made.cube, draws)
    for b, (box, years, _) in enumerate(draws):
        region = made.cube.region(box)
        for t, year in enumerate(years):
            assert np.array_equal(sample.maps_BTHW[b, t].numpy(), made.cube.state(year, box))
            assert np.array_equal(sample.forcing_BTLHW[b, t].numpy(), region.forcing(year, box))
        assert np.array_equal(sample.static_BSHW[b].numpy(), region.static(box))
        rows = np.clip(np.arange(box.row, box.row + 8), 0, made.cube.grid.n_lat - 1)
        area = made.cube.grid.cell_area[rows] / made.cube.grid.cell_area.max()
        assert np.allclose(sample.area_BHW[b].numpy(), area[:, None])


def test_a_symmetry_turns_every_field_of_a_sample_alike(made):
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
def hectic():
    """Threads that change places all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("kept", [0, 1500, 2**28])
def test_kept_chunks_and_threads_change_nothing(made, kept, monkeypatch, hectic):
    draws = [[SampleWindow(Box(row, col, 9, 9), YEARS)] for row in (-4, 5) for col in (-6, 4)]
    expected = [read_samples(made.cube, d) for d in draws]
    monkeypatch.setattr(Cube, "KEPT_BYTES", kept)
    cube = Cube.open(made.cube.url)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(partial(read_samples, cube), draws * 3))
    for i, sample in enumerate(found):
        for a, b in zip(sample, expected[i % len(draws)], strict=True):
            assert np.array_equal(a.numpy(), b.numpy())


def test_ocean_codes_and_cells_off_the_mask_are_outside(made):
    whole = Box(0, 0, *made.cube.grid.shape)
    for year in YEARS:
        assert np.array_equal(made.cube.state(year, whole) == OUTSIDE, ~made.land)
    assert (made.codes[0][~made.land] != 0).any(), "land of one year only is no land"


def test_a_cube_travels_to_a_worker_without_its_arrays(made):
    box = Box(0, 0, 5, 5)
    before = made.cube.state(2002, box)
    data = pickle.dumps(made.cube)
    assert len(data) < 10_000
    copy = pickle.loads(data)
    assert copy == made.cube
    assert np.array_equal(copy.state(2002, box), before)


def test_what_the_cube_says_about_itself(made):
    cube = made.cube
    assert cube.grid in (GLOBE, REGION)
    assert cube.years == YEARS
    assert cube.caveats == ("made up",)
    assert cube.tiling(window=8, stride=8, tile=8) == Tiling(
        *cube.grid.shape, 8, 8, 8, cube.grid.periodic
    )


def test_a_year_without_a_map_is_named(made):
    with pytest.raises(ValueError, match=r"has no map of 1999, only 2001-2003"):
        made.cube.state(1999, Box(0, 0, 2, 2))
    with pytest.raises(ValueError, match=r"koppen.* 1999.*2001-2003"):
        made.cube.region(Box(0, 0, 2, 2)).forcing(1999, Box(0, 0, 2, 2))


def test_a_cube_that_is_missing_or_half_built_does_not_open(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no finished predictor cube; run `luray build` first"
    ):
        Cube.open(str(tmp_path / "none.zarr"))
    root = zarr.open_group(str(tmp_path / "half.zarr"), mode="w", zarr_format=3)
    create_state(root, grid=REGION, years=YEARS, tile=8)
    root.attrs["building"] = asdict(REGION)
    with pytest.raises(FileNotFoundError, match=r"half\.zarr: no finished predictor cube"):
        Cube.open(str(tmp_path / "half.zarr"))


def test_a_code_outside_the_legend_in_the_store_is_never_ocean(tmp_path):
    made = make_cube(str(tmp_path / "cube.zarr"), "region")
    zarr.open_group(made.cube.url, mode="r+")["state/land_use"][1, 2, 3] = 12
    with pytest.raises(ValueError, match=r"cube\.zarr 2002: code 12 \(1 cells\)"):
        Cube.open(made.cube.url).state(2002, Box(0, 0, 5, 5))
