"""Maps of several files that lie side by side, and their series by year."""

import pickle

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.mosaic import RasterMosaic, join_rasters, map_series, require_one_band
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from tests.sources.writers import write_tif

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.int16).reshape(4, 6)
EVERYTHING = Box(0, 0, 4, 6)


def write(path, bands=FIELD, **options):
    return write_tif(path, bands, **{"north": 50, "west": 10, "step": 1, **options})


def test_map_of_several_bands_is_refused(tmp_path):
    path = write(tmp_path / "f.tif", np.stack([FIELD, FIELD]), names=("classification", "quality"))
    with pytest.raises(
        InputError, match=r"has 2 bands \(classification, quality\), expected one map"
    ):
        require_one_band(inspect_raster(str(path)))


def write_parts(folder, *, gap=False, **options):
    """FIELD in four files that lie side by side, or three with a gap."""
    files = []
    for row, col in [(0, 0), (0, 3), (2, 0), (2, 3)][: 3 if gap else 4]:
        part = FIELD[row : row + 2, col : col + 3]
        files.append(
            str(
                write(
                    folder / f"part_{row}_{col}.tif", part, north=50 - row, west=10 + col, **options
                )
            )
        )
    return files


def test_files_side_by_side_are_one_map(tmp_path):
    mosaic = join_rasters([inspect_raster(file) for file in write_parts(tmp_path)])
    assert isinstance(mosaic, RasterMosaic)
    assert mosaic.layout.grid == GRID
    got = pickle.loads(pickle.dumps(mosaic)).read(Box(1, 1, 3, 4))
    assert not np.ma.getmaskarray(got).any()
    np.testing.assert_array_equal(got, FIELD[1:4, 1:5])
    assert not mosaic.may_miss(1)
    assert "4 files side by side read as one map" in mosaic.rules


def test_cells_between_files_are_missing(tmp_path):
    mosaic = join_rasters([inspect_raster(file) for file in write_parts(tmp_path, gap=True)])
    got = mosaic.read(EVERYTHING)
    expected = np.zeros((4, 6), np.bool_)
    expected[2:, 3:] = True
    np.testing.assert_array_equal(got.mask, expected)
    assert mosaic.may_miss(1)


def test_overlapping_and_unfitting_files_are_refused(tmp_path):
    first = inspect_raster(str(write(tmp_path / "a.tif")))
    beside = inspect_raster(str(write(tmp_path / "b.tif", west=15)))
    with pytest.raises(
        InputError, match=r"a\.tif and \S+b\.tif overlap, expected one file for a place"
    ):
        join_rasters([first, beside])
    shifted = inspect_raster(str(write(tmp_path / "c.tif", west=16.5)))
    with pytest.raises(
        InputError, match=r"c\.tif: does not continue \S+a\.tif, expected files of one lattice"
    ):
        join_rasters([first, shifted])
    other = inspect_raster(str(write(tmp_path / "d.tif", FIELD.astype(np.uint8), west=16)))
    with pytest.raises(InputError, match=r"d\.tif: bands .* differ from those of \S+a\.tif"):
        join_rasters([first, other])


def test_series_reads_only_run_years(tmp_path):
    files = [(year, str(write(tmp_path / f"{year}.tif"))) for year in (1990, 2000, 2001, 2003)]
    files.append((1990, files[0][1]))
    maps = map_series(files, range(2000, 2002), where="maps")
    assert list(maps) == [2000, 2001]
    with pytest.raises(InputError, match="maps: years 2002 are missing between 1990 and 2003"):
        map_series(files, range(2000, 2010), where="maps")
    with pytest.raises(InputError, match="maps: years 1990 occur more than once"):
        map_series(files, range(1990, 1991), where="maps")
