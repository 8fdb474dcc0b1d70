"""The season: of every time step of a run, stored once a year."""

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.sources.base import Request
from luray.sources.coverage import cut, reached
from luray.sources.season import SeasonConfig
from luray.storage.errors import InputError


def opened(interval, years=range(2000, 2003)):
    request = Request(years, "ssp245", time=TimeSteps(interval))
    return SeasonConfig(kind="season").open(request)


@pytest.mark.parametrize("interval", ["month", "dekad", "P8D"])
def test_it_turns_once_a_year(interval):
    source = opened(interval)
    time = TimeSteps(interval)
    assert source.years == tuple(time.of_years(2000, 2002))
    assert source.per_year == time.per_year
    assert len(set(source.years) - set(source.held)) == time.per_year  # one year is stored
    values = np.array([source.read(step, Box(0, 0, 2, 3)) for step in time.of_years(2001, 2001)])
    assert values.shape == (time.per_year, 2, 2, 3)
    assert np.ptp(values, axis=(2, 3)).max() == 0
    assert np.allclose((values**2).sum(axis=1), 1)
    turns = np.unwrap(np.arctan2(values[:, 0, 0, 0], values[:, 1, 0, 0])) / (2 * np.pi)
    first, end = time.bounds(time.step(2001), epoch=2001)
    assert turns[0] == pytest.approx((first + end) / 2 / 365)
    assert (np.diff(turns) > 0).all()
    assert turns[-1] < 1
    assert np.array_equal(source.read(time.step(2002, 3), Box(0, 0, 2, 3)), values[3])


def test_it_covers_every_run_grid():
    grid = opened("month").grid
    for run in (Grid(48, 0, 0.01, 100, 150), Grid(90, -180, 0.5, 360, 720)):
        rows, columns = reached(grid, run)
        assert rows.all()
        assert columns.all()
        part, _ = cut(grid, run)
        assert part.n_lat * part.n_lon <= 72


def test_a_run_of_years_has_no_season():
    with pytest.raises(InputError, match=r"a map a year .* remove the source"):
        opened("year")
