"""What a source reaches of a run: the rest is missing, and too little is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.legend import LandClass, Legend
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import STATE, About, Described
from luray.sources.coverage import (
    coverages,
    covered,
    cut,
    format_share,
    reached,
    read_map,
    read_part,
)
from luray.storage.errors import InputError

RUN = Grid(50, 10, 0.5, 20, 30)
NUMBER = Variable("z", "static", "m", "z")
WHOLE = Variable("z", "static", "m", "z", dtype="int16")
ZONE = Variable("zone", "static", "1", "zone", dtype="uint8", categories=(1, 2))


class Numbered(Described):
    """A source whose value is the number of the cell from 1; as maps, forest in the first rows."""

    def read(self, year, box):
        assert min(box.row, box.col) >= 0, "nothing outside the grid is asked of a source"
        cells = np.arange(self.grid.n_lat * self.grid.n_lon).reshape(self.grid.shape) + 1
        if self.role == "state":
            cells = np.where(np.arange(self.grid.n_lat)[:, None] < 10, 44, 0) + 0 * cells
        part = cells[box.slices(origin=Box(0, 0, 0, 0))]
        return np.stack([part.astype(variable.dtype) for variable in self.variables])


def source(grid, variable=NUMBER, **options):
    years = (2000,) if variable.role == "state" else ()
    return Numbered(
        name=variable.name,
        about=About("t", "", "", "", ()),
        grid=grid,
        variables=(variable,),
        years=years,
        rules=("r",),
        files=("f.tif",),
        **options,
    )


MAPS = source(RUN, STATE)
"""Forest in the northern half of the run."""


def test_reached_land_is_counted():
    north_west = source(Grid(50, 10, 0.5, 10, 15))
    south = source(Grid(45, 10, 0.5, 10, 30))
    around = source(Grid(60, 0, 1, 40, 60))
    maps, of_quarter, of_south, of_all = coverages([MAPS, north_west, south, around], RUN)
    assert (of_quarter.grid, of_quarter.land) == (0.25, 0.5), (
        "half of the land lies in the quarter that it reaches"
    )
    assert (of_south.grid, of_south.land) == (0.5, 0), "no land in the south"
    assert maps.is_whole
    assert of_all.is_whole


def test_cells_beyond_a_source_are_missing():
    short = source(Grid(50, 10, 0.5, 10, 15))
    native, box = cut(short.grid, RUN)
    values = read_part(short, None, box)[0]
    rows, cols = reached(short.grid, RUN)
    inside = np.zeros(RUN.shape, np.bool_)
    inside[np.ix_(rows, cols)] = True
    on_run = values[
        np.ix_(
            ((native.north - RUN.lat) / 0.5).astype(int),
            ((RUN.lon - native.west) / 0.5).astype(int),
        )
    ]
    np.testing.assert_array_equal(np.isnan(on_run), ~inside)
    assert on_run[0, 0] == 1
    zones = read_part(source(short.grid, ZONE), None, box)[0]
    assert (zones[np.isnan(values)] == 255).all()


def test_too_little_coverage_is_refused_unless_declared():
    short = source(Grid(50, 10, 0.5, 10, 10))
    [_, coverage] = coverages([MAPS, short], RUN)
    with pytest.raises(
        InputError, match=r"f\.tif: z reaches 33\.3% of the run's land, expected at least 50\.0%"
    ):
        covered(short, coverage)
    taken = covered(replace(short, min_coverage=0.3), coverage)
    assert taken.rules == ("r", "reaches 33.3% of the run's land; what lies beyond is missing")


def test_incomplete_whole_numbers_become_floats():
    grid = Grid(50, 10, 0.5, 20, 20)
    short = source(grid, WHOLE)
    [_, coverage] = coverages([MAPS, short], RUN)
    taken = covered(short, coverage)
    assert taken.variables[0].dtype == "float32"
    values = read_part(taken, None, cut(grid, RUN)[1])
    assert (values.dtype, np.isnan(values).any()) == (np.float32, True)
    assert (
        covered(source(RUN, WHOLE), coverages([source(RUN, WHOLE)], RUN)[0]).variables[0].dtype
        == "int16"
    )


def test_partial_maps_record_their_reach():
    small = source(Grid(50, 10, 0.5, 16, 30), STATE)
    [coverage] = coverages([small], RUN)
    assert covered(small, coverage).rules[-1] == (
        "the maps reach 80.0% of the run grid; what lies beyond is left out, as ocean is"
    )
    beside = source(Grid(30, 10, 0.5, 20, 30), STATE)
    with pytest.raises(InputError, match=r"reaches 0\.0% of the run grid"):
        covered(beside, coverages([beside], RUN)[0])


class TwoClasses(Described):
    """Maps of another legend: bare, trees, a kind of trees, no data and ocean, column by column."""

    def read(self, year, box):
        codes = np.tile(np.array([1, 2, 3, 8, 9], np.uint8), (self.grid.n_lat, 1))
        return codes[None, *box.slices(origin=Box(0, 0, *self.grid.shape))]


def test_maps_are_read_in_their_own_legend():
    classes = (LandClass(1, "bare", "#c9bfae"), LandClass(2, "trees", "#2d6a4f"))
    legend = Legend("two classes", classes, aliases={3: 2}, ocean=9, nodata=8)
    maps = TwoClasses(
        name="maps",
        about=About("t", "", "", "", ()),
        grid=Grid(50, 10, 0.5, 20, 5),
        variables=(replace(STATE, categories=(1, 2)),),
        years=(2000,),
        rules=(),
        files=("f.tif",),
        legend=legend,
    )
    codes = read_map(maps, 2000, RUN, Box(18, 1, 2, 7))
    assert codes.tolist() == [[2, 2, 8, 9, 8, 8, 8]] * 2
    of_two_columns = source(Grid(50, 10, 0.5, 20, 2))
    _, coverage = coverages([maps, of_two_columns], RUN)
    assert coverage.land == 2 / 3


def test_touching_grids_reach_nothing():
    with pytest.raises(ValueError, match="reaches no cell of the run grid"):
        cut(Grid(50, 5, 0.5, 20, 10), RUN)


def test_partial_share_never_reads_100_percent():
    assert format_share(0.99999) == "99.9%"
    assert format_share(1) == "100.0%"


@given(
    top=st.integers(-3, 6),
    left=st.integers(-3, 6),
    height=st.integers(2, 12),
    width=st.integers(2, 12),
    step=st.sampled_from([0.5, 1.0, 2.0, 0.3]),
)
def test_cut_gives_each_cell_its_own_value(top, left, height, width, step):
    """The nearest map of the cut grid gives each fine cell the value at its centre, or missing:
    nothing else.
    """
    native = source(Grid(50 - top * step, 10 + left * step, step, height, width))
    try:
        grid, box = cut(native.grid, RUN)
    except ValueError:
        rows, cols = reached(native.grid, RUN)
        assert not (rows.any() and cols.any())
        return
    values = read_part(native, None, box)[0]
    for i, lat in enumerate(RUN.lat):
        for j, lon in enumerate(RUN.lon[::7]):
            row = np.floor((grid.north - lat) / step + 1e-9).clip(0, grid.n_lat - 1)
            col = np.floor((lon - grid.west) / step + 1e-9).clip(0, grid.n_lon - 1)
            got = values[int(row), int(col)]
            y, x = (native.grid.north - lat) / step, (lon - native.grid.west) / step
            if min(abs(y), abs(y - height), abs(x), abs(x - width)) < 0.03:
                continue  # on the edge of the source, where rounding decides
            if 0 <= y < height and 0 <= x < width:
                assert got == int(y + 1e-9) * width + int(x + 1e-9) + 1, (i, j)
            else:
                assert np.isnan(got), (i, j)
