"""The climatology of a cell: the mean of its known values at the same time of the year."""

from dataclasses import dataclass

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.sources.base import Request
from luray.sources.climatology import ClimatologyConfig
from luray.storage.errors import InputError

LEAF_AREA = read_legend("lai")
MONTHS = TimeSteps("month")
RUN_GRID = Grid(50.0, 10.0, 0.1, 6, 8)
STATE_GRID = Grid(50.1, 10.2, 0.1, 6, 5)
"""One row to the north of the run grid, and narrower."""


@dataclass
class Maps:
    """Monthly maps of 2000-2003 on a raster that the run grid does not have for itself."""

    legend: Legend = LEAF_AREA
    name: str = "maps"
    files: tuple[str, ...] = ("maps.nc",)
    grid: Grid = STATE_GRID
    years: tuple[int, ...] = tuple(MONTHS.of_years(2000, 2003))

    def codes(self, step):
        random = np.random.default_rng(step)
        codes = random.integers(0, 141, self.grid.shape).astype(np.uint8)
        codes[random.random(codes.shape) < 0.3] = 255
        codes[0] = 255
        codes[2, 2] = 255  # never known
        return codes

    def read(self, year, box):
        return self.codes(year)[box.slices(origin=Box(0, 0, 0, 0))][None]


def opened(years=(2000, 2002), **request):
    config = ClimatologyConfig(kind="climatology", years=years)
    given = {"state": Maps(), "grid": RUN_GRID, "legend": LEAF_AREA, "time": MONTHS} | request
    return config.open(Request(range(2000, 2011), "", **given))


def test_mean_is_over_the_known_values_of_the_years():
    source = opened()
    step = MONTHS.step(2009, 6)
    [mean] = source.read(step, Box(0, 0, 6, 8))
    maps = [Maps().codes(MONTHS.step(year, 6)) for year in (2000, 2001, 2002)]
    for row in range(6):
        for col in range(8):
            in_state = (row + 1, col - 2)
            known = []
            if 0 <= in_state[0] < 6 and 0 <= in_state[1] < 5:
                known = [0.05 * int(m[in_state]) for m in maps if m[in_state] != 255]
            if known:
                assert mean[row, col] == pytest.approx(sum(known) / len(known), abs=1e-5)
            else:
                assert np.isnan(mean[row, col])
    assert np.isnan(mean[1, 4])
    [part] = source.read(step, Box(2, 3, 2, 4))
    np.testing.assert_array_equal(part, mean[2:4, 3:7])


def test_every_year_has_the_same_twelve_maps():
    source = opened()
    assert (len(source.years), source.per_year) == (11 * 12, 12)
    stored = [step for step in source.years if step not in source.held]
    assert stored == list(MONTHS.of_years(2000, 2000))
    [variable] = source.variables
    assert (variable.units, variable.role) == ("m2 m-2", "forcing")
    assert "2000-2002" in source.rules[0]


def test_what_has_no_climatology_is_refused():
    with pytest.raises(InputError, match=r"years \[2002, 2005\], expected ascending years that"):
        opened((2002, 2005))
    with pytest.raises(InputError, match=r"years \[2002, 2000\]"):
        opened((2002, 2000))
    with pytest.raises(ValueError, match="is for values, and the run's target has the classes"):
        opened(legend=HILDA)
    with pytest.raises(ValueError, match="which are not open; correct the state source first"):
        opened(state=None)
