"""Change counts: every cell is counted once, whatever the tiles and their order."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.tiling import Box, Tiling
from luray.training.change_counts import (
    NO_ZONE,
    ChangeCounts,
    TileCounts,
    count_by_plot,
    count_tile,
    plot_size,
)
from luray.training.sampling_config import SamplingConfig
from tests.cube.cubes import YEARS, make_cube

PLAIN = SamplingConfig(blocks=(2, 2))


@pytest.fixture(params=["globe", "region"])
def made(tmp_path, request):
    return make_cube(str(tmp_path / "cube.zarr"), request.param, tile=8)


def counted_cell_by_cell(made, plot, *, with_zones):
    """Land, change, cells of each class and zones by plot, as their definition reads."""
    cube = made.cube
    shape = tuple(-(-n // plot) for n in cube.grid.shape)
    land = np.zeros(shape, int)
    changed = np.zeros((len(YEARS) - 1, *shape), int)
    cells = np.zeros((len(YEARS), len(cube.legend)), int)
    zones = np.full(shape, NO_ZONE)

    koppen = made.native["koppen"]
    categories = {}
    for i, j in np.argwhere(made.land):
        at = i // plot, j // plot
        land[at] += 1
        codes = [cube.legend.index(int(c)) for c in made.codes[:, i, j]]
        for year, code in enumerate(codes):
            cells[year, code] += 1
            if year:
                changed[year - 1][at] += code != codes[year - 1]
        row = int((koppen.north - cube.grid.lat[i]) / koppen.step)
        col = int((cube.grid.lon[j] - koppen.west) / koppen.step)
        categories.setdefault(at, []).append(int(made.values["koppen"][0, 0, row, col]))

    if with_zones:
        for at, values in categories.items():
            counts = [values.count(category) for category in (1, 2, 3)]
            zones[at] = 1 + int(np.argmax(counts)) if max(counts) else NO_ZONE
    return land, changed, cells, zones


@pytest.mark.parametrize("zone", ["", "zone"])
def test_every_cell_is_counted_whatever_the_tiles(made, zone):
    cube = made.cube
    expected = counted_cell_by_cell(made, 4, with_zones=bool(zone))
    sampling = SamplingConfig(zone=zone, blocks=(2, 2))
    for tile_size in (4, 8, 20):
        tiling = cube.tiling(window=6, stride=4, tile=tile_size)
        parts = [count_tile(cube, tiling, tile, sampling) for tile in tiling.tiles()]
        counts = ChangeCounts.from_tiles(
            [part for part in reversed(parts) if part is not None],
            years=cube.years,
            plot=4,
            tiling=tiling,
            n_classes=len(cube.legend),
        )
        assert plot_size(cube, tiling, sampling) == 4
        found = counts.land_RC, counts.changed_YRC, counts.cells_YK, counts.zone_RC
        for a, b in zip(found, expected, strict=True):
            assert np.array_equal(a, b)
        assert counts.years == YEARS
    assert expected[1].sum() > 100


@given(height=st.integers(1, 20), width=st.integers(1, 20), plot=st.integers(1, 9))
def test_cells_are_counted_by_plot(height, width, plot):
    cells = np.random.default_rng(height * width).random((height, width)) < 0.5
    found = count_by_plot(cells, plot)
    for r, c in np.ndindex(found.shape):
        inside = cells[r * plot : (r + 1) * plot, c * plot : (c + 1) * plot]
        assert found[r, c] == inside.sum()
    assert found.sum() == cells.sum()


def test_tiles_without_land_are_not_counted(made):
    tiling = made.cube.tiling(window=6, stride=4, tile=4)
    for tile in tiling.tiles():
        counts = count_tile(made.cube, tiling, tile, PLAIN)
        box = tiling.tile_box(tile)
        land = made.land[box.row : box.row + box.height, box.col : box.col + box.width]
        assert (counts is None) == (not land.any())
        if counts:
            assert counts.land_RC.sum() == land.sum()
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
    tiling = cube.tiling(window=256, stride=stride, tile=10 * stride)
    assert plot_size(cube, tiling, SamplingConfig()) == expected


def test_tiles_are_put_together_in_any_order():
    random = np.random.default_rng(0)
    parts = [
        TileCounts(
            box,
            random.integers(1, 9, box.shape),
            random.integers(0, 9, (3, *box.shape)),
            random.integers(0, 9, (4, 2)),
            random.integers(0, 9, box.shape),
        )
        for box in (Box(0, 0, 2, 2), Box(0, 2, 2, 1), Box(2, 0, 1, 2), Box(2, 2, 1, 1))
    ]

    def together(parts):
        tiling = Tiling(50, 60, 20, 20, 40)
        return ChangeCounts.from_tiles(
            parts, years=(1, 2, 3, 4), plot=20, tiling=tiling, n_classes=2
        )

    one = together(parts)
    other = together(parts[::-1])
    for name in ("land_RC", "changed_YRC", "cells_YK", "zone_RC"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert one.land_RC[2, 2] == parts[3].land_RC[0, 0]
    assert (one.cells_YK == sum(part.cells_YK for part in parts)).all()
    assert (one.changed_between(2, 4) == one.changed_YRC[1:3]).all()
    assert (one.cells_in(2, 3) == one.cells_YK[1:3].sum(axis=0)).all()
