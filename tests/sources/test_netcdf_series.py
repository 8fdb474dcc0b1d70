"""Headers of a series: those that are taken from the file before equal those read as usual."""

import pathlib

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.sources import netcdf_series
from luray.sources.netcdf import inspect_netcdf
from luray.sources.netcdf_series import SeriesInspector
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(46, 4, 0.1, 6, 8)


def write(path, *, day=0, grid=GRID, dtype=np.uint8, attributes=None, time=None, value=1):
    values = np.full((1, *grid.shape), value, dtype)
    packing = {"scale_factor": 0.1, "_FillValue": np.asarray(255, dtype), **(attributes or {})}
    units = {"units": "days since 2000-01-01", **(time or {})}
    return str(
        write_nc(
            path,
            {
                **axes(grid),
                "time": (("time",), np.array([day], np.float64), units),
                "LAI": (("time", "lat", "lon"), values, packing),
                "crs": ((), np.array(0), {"GeoTransform": "0 1 0 0 0 -1"}),
            },
        )
    )


@pytest.fixture
def read_as_usual(monkeypatch):
    """The files that were read through xarray."""
    urls = []

    def inspect(url):
        urls.append(url)
        return inspect_netcdf(url)

    monkeypatch.setattr(netcdf_series, "inspect_netcdf", inspect)
    return urls


def test_files_of_a_series_are_read_once_as_usual(tmp_path, read_as_usual):
    urls = [write(tmp_path / f"{n}.nc", day=10 * n, value=n) for n in range(4)]
    inspector = SeriesInspector()
    for url in urls:
        assert repr(inspector.inspect(url)) == repr(inspect_netcdf(url))
    assert read_as_usual == urls[:1]


@pytest.mark.parametrize(
    "change",
    [
        {"grid": Grid(46, 4.1, 0.1, 6, 8)},
        {"grid": Grid(46, 4, 0.1, 6, 9)},
        {"dtype": np.int16},
        {"attributes": {"scale_factor": 0.2}},
        {"attributes": {"valid_range": np.array([0, 100], np.uint8)}},
        {"attributes": {"units": "1"}},
        {"time": {"calendar": "noleap"}},
        {"time": {"units": "days since 2001-01-01"}},
    ],
)
def test_another_file_is_read_as_usual(tmp_path, change, read_as_usual):
    first = write(tmp_path / "a.nc")
    other = write(tmp_path / "b.nc", day=10, **change)
    inspector = SeriesInspector()
    for url in (first, other, first):
        assert repr(inspector.inspect(url)) == repr(inspect_netcdf(url))
    assert read_as_usual == [first, other, first]


def test_a_damaged_file_is_refused(tmp_path):
    first = write(tmp_path / "a.nc")
    other = write(tmp_path / "b.nc", day=10)
    with pathlib.Path(other).open("r+b") as file:
        file.truncate(600)
    inspector = SeriesInspector()
    inspector.inspect(first)
    with pytest.raises(InputError, match=r"b\.nc"):
        inspector.inspect(other)
