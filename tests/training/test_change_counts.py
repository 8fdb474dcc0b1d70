from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.training.change_counts import (
    by_plot,
    place_of,
    plot_of,
    read_survey,
    survey_tile,
    surveyed,
    write_survey,
)
from luray.training.sampling_config import SamplingConfig
from luray.training.survey_counts import NO_ZONE
from tests.cube.cubes import YEARS, make_cube

PLAIN = SamplingConfig(blocks=(2, 2))


@pytest.fixture(params=["globe", "region"])
def made(tmp_path, request):
    return make_cube(str(tmp_path / "cube.zarr"), request.param, tile=8)


def counted(made, stride, zone):
    """The survey cell by cell."""
    cube = made.cube
    n_rows, n_cols = (-(-n // stride) for n in cube.grid.shape)
    land, found = np.zeros((n_rows, n_cols), int), np.full((n_rows, n_cols), NO_ZONE)
    changed, cells = (
        np.zeros((len(YEARS) - 1, n_rows, n_cols), int),
        np.zeros((len(YEARS), len(cube.legend)), int),
    )
    categories = {}
    for i, j in np.argwhere(made.land):
        at = i // stride, j // stride
        land[at] += 1
        codes = [cube.legend.index(int(c)) for c in made.codes[:, i, j]]
        for year, (code, before) in enumerate(zip(codes, [codes[0], *codes], strict=False)):
            cells[year, code] += 1
            if year:
                changed[year - 1][at] += code != before
        row = int((made.native["koppen"].north - cube.grid.lat[i]) / made.native["koppen"].step)
        col = int((cube.grid.lon[j] - made.native["koppen"].west) / made.native["koppen"].step)
        categories.setdefault(at, []).append(int(made.values["koppen"][0, 0, row, col]))
    for at, values in categories.items() if zone else ():
        known = [values.count(category) for category in (1, 2, 3)]
        found[at] = 1 + int(np.argmax(known)) if max(known) else NO_ZONE
    return land, changed, cells, found


@pytest.mark.parametrize("zone", ["", "zone"])
def test_a_survey_counts_every_cell_whatever_the_tiles(made, zone):
    expected, sampling = counted(made, 4, zone), SamplingConfig(zone=zone, blocks=(2, 2))
    for tile in (4, 8, 20):
        tiling = made.cube.tiling(window=6, stride=4, tile=tile)
        parts = [survey_tile(made.cube, tiling, t, sampling) for t in tiling.tiles()]
        survey = write_survey(made.cube, tiling, sampling, reversed(parts))
        found = survey.land_RC, survey.changed_YRC, survey.cells_YK, survey.zone_RC
        for a, b in zip(found, expected, strict=True):
            assert np.array_equal(a, b)
    assert expected[1].sum() > 100
    assert survey.years == YEARS


@given(height=st.integers(1, 20), width=st.integers(1, 20), stride=st.integers(1, 9))
def test_cells_are_counted_by_plot(height, width, stride):
    cells = np.random.default_rng(height * width).random((height, width)) < 0.5
    found = by_plot(cells, stride)
    for r, c in np.ndindex(found.shape):
        assert (
            found[r, c] == cells[r * stride : (r + 1) * stride, c * stride : (c + 1) * stride].sum()
        )
    assert found.sum() == cells.sum()


def test_a_survey_is_made_once_and_belongs_to_one_cube_and_lattice(made):
    cube, tiling = made.cube, made.cube.tiling(window=6, stride=4, tile=8)
    assert read_survey(cube, tiling, PLAIN) is None
    first = surveyed(cube, tiling, PLAIN)
    place = Path(place_of(cube, tiling, PLAIN))
    written = place.read_bytes()
    again = surveyed(cube, tiling, PLAIN)
    assert place.read_bytes() == written
    assert again.years == first.years
    assert np.array_equal(again.changed_YRC, first.changed_YRC)
    assert read_survey(cube, cube.tiling(window=4, stride=2, tile=8), PLAIN) is None
    assert read_survey(cube, tiling, SamplingConfig(zone="zone", blocks=(2, 2))) is None
    place.write_bytes(written[:-30])
    with pytest.raises(ValueError, match=r"survey/.*\.npz is damaged or no survey"):
        surveyed(cube, tiling, PLAIN)


def test_a_zone_that_is_no_category_is_refused(made):
    tiling = made.cube.tiling(window=6, stride=4, tile=8)
    with pytest.raises(
        ValueError, match=r"no categorical variable 'urban', expected one of \['zone'\]"
    ):
        surveyed(made.cube, tiling, SamplingConfig(zone="urban"))


def test_tiles_without_land_are_not_counted(made):
    tiling = made.cube.tiling(window=6, stride=4, tile=4)
    for tile in tiling.tiles():
        part = survey_tile(made.cube, tiling, tile, PLAIN)
        box = tiling.tile_box(tile)
        land = made.land[box.row : box.row + box.height, box.col : box.col + box.width]
        assert (part is None) == (not land.any())
        if part:
            assert part.land_RC.sum() == land.sum()
            assert (made.cube.state(YEARS[0], box) != OUTSIDE).sum() == land.sum()


@pytest.mark.parametrize(
    ("shape", "coarse", "stride", "expected"),
    [
        ((18000, 36000), 25, 200, 200),
        ((100, 325), 25, 50, 25),
        ((891, 901), 5, 100, 25),
        ((900, 900), 7, 100, 25),
        ((4000, 4000), 25, 200, 100),
    ],
)
def test_plots_are_whole_coarse_cells_that_divide_the_core(made, shape, coarse, stride, expected):
    grid = Grid(90, -180, 0.01, *shape)
    layer = made.cube.forcing[0]._replace(grid=Grid(90, -180, 0.01 * coarse, 100, 100))
    cube = replace(made.cube, grid=grid, forcing=(layer,))
    assert (
        plot_of(cube, cube.tiling(window=256, stride=stride, tile=10 * stride), SamplingConfig())
        == expected
    )
