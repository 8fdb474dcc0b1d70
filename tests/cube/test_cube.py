"""Maps and land of a cube against the arrays that were put into it."""

import pickle
from dataclasses import asdict

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.core.legend_files import HILDA
from luray.core.tiling import Box, Tiling
from luray.cube.cube import Cube
from luray.cube.region import Region
from luray.cube.schema import create_state
from luray.storage.arrays import consolidate
from tests.cube.cubes import COVER, GLOBE, REGION, YEARS, make_cube

BOXES = st.builds(
    Box, st.integers(-6, 22), st.integers(-15, 45), st.integers(1, 7), st.integers(1, 9)
)


@pytest.fixture(scope="module", params=["globe", "region"])
def made(request, tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), request.param)


@pytest.fixture(scope="module", params=["globe", "region"])
def covered(request, tmp_path_factory):
    """A cube of another legend."""
    url = str(tmp_path_factory.mktemp("cube") / "cube.zarr")
    return make_cube(url, request.param, legend=COVER)


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
                code = made.codes[YEARS.index(year), row, col]
                classes[i, j] = made.cube.legend.codes.tolist().index(code)
    return classes, land


@given(box=BOXES, year=st.sampled_from(YEARS))
def test_any_legend_is_read_back(covered, box, year):
    assert covered.cube.legend == COVER
    assert covered.cube.features.names[:4] == ("prior=0", "prior=1", "prior=2", "land")
    classes, land = naive_state(covered, year, box)
    assert np.array_equal(covered.cube.state(year, box), classes)
    assert np.array_equal(covered.cube.land(box), land)


def test_older_cubes_have_the_legend_by_name(tmp_path):
    made = make_cube(str(tmp_path / "cube.zarr"), "region")
    root = zarr.open_group(made.cube.url, mode="r+", use_consolidated=False)
    root.attrs["luray"] = {**root.attrs["luray"], "legend": "HILDA+"}
    consolidate(made.cube.url)
    assert Cube.open(made.cube.url) == made.cube
    assert made.cube.legend == HILDA

    root.attrs["luray"] = {**root.attrs["luray"], "legend": "another"}
    consolidate(made.cube.url)
    with pytest.raises(ValueError, match=r"the legend 'another' without its classes"):
        Cube.open(made.cube.url)


@given(box=BOXES, year=st.sampled_from(YEARS))
def test_state_and_land_of_any_box(made, box, year):
    classes, land = naive_state(made, year, box)
    assert np.array_equal(made.cube.state(year, box), classes)
    assert np.array_equal(made.cube.land(box), land)


def test_cells_off_the_mask_are_outside(made):
    whole = Box(0, 0, *made.cube.grid.shape)
    for year in YEARS:
        assert np.array_equal(made.cube.state(year, whole) == OUTSIDE, ~made.land)
    assert (made.codes[0][~made.land] != 0).any(), "land of one year only is no land"


def test_pickled_cube_leaves_arrays_behind(made):
    box = Box(0, 0, 5, 5)
    before = made.cube.state(2002, box)
    data = pickle.dumps(made.cube)
    assert len(data) < 10_000
    copy = pickle.loads(data)
    assert copy == made.cube
    assert np.array_equal(copy.state(2002, box), before)


def test_cube_describes_itself(made):
    cube = made.cube
    assert cube.grid in (GLOBE, REGION)
    assert cube.years == YEARS
    assert cube.caveats == ("made up",)
    assert cube.tiling(window=8, stride=8, tile=8) == Tiling(
        *cube.grid.shape, 8, 8, 8, cube.grid.periodic
    )


def test_missing_year_is_named(made):
    with pytest.raises(ValueError, match=r"has no map of 1999, only 2001-2003"):
        made.cube.state(1999, Box(0, 0, 2, 2))
    with pytest.raises(ValueError, match=r"koppen.* 1999.*2001-2003"):
        Region(made.cube, Box(0, 0, 2, 2)).forcing(1999, Box(0, 0, 2, 2))


def test_half_built_cube_does_not_open(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no finished predictor cube; run `luray build` first"
    ):
        Cube.open(str(tmp_path / "none.zarr"))
    root = zarr.open_group(str(tmp_path / "half.zarr"), mode="w", zarr_format=3)
    create_state(root, grid=REGION, years=YEARS, tile=8, legend=HILDA)
    root.attrs["building"] = asdict(REGION)
    with pytest.raises(FileNotFoundError, match=r"half\.zarr: no finished predictor cube"):
        Cube.open(str(tmp_path / "half.zarr"))


def test_unknown_stored_code_is_never_ocean(tmp_path):
    made = make_cube(str(tmp_path / "cube.zarr"), "region")
    zarr.open_group(made.cube.url, mode="r+")["state/land_use"][1, 2, 3] = 12
    with pytest.raises(ValueError, match=r"cube\.zarr 2002: code 12 \(1 cells\)"):
        Cube.open(made.cube.url).state(2002, Box(0, 0, 5, 5))
