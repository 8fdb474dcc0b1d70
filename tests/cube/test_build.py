"""The plan of a build: pieces, tasks, and what tells one input from another."""

import hashlib

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from luray.catalog.virtual import virtual_references, write_references
from luray.cube.build import PIECES_AT_ONCE, Piece, batches, identify
from luray.cube.coverage import cut
from luray.grid import Grid
from luray.windows import Box
from tests.sources.writers import axes, write_nc

GRID = Grid(50, 10, 1, 4, 6)


def write_file(path, value=1.0):
    field = np.full(GRID.shape, value, np.float32)
    return str(write_nc(path, {**axes(GRID), "v": (("lat", "lon"), field, {"units": "1"})}))


def test_a_local_file_is_known_by_its_sha256_and_size(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert identify(str(tmp_path / "f")) == (f"sha256:{hashlib.sha256(b'abc').hexdigest()}", 3)


def test_an_object_is_known_by_its_etag(s3):
    s3.put("identity/f", b"abc")
    before = identify(f"{s3.url}/identity/f")
    assert (hashlib.md5(b"abc").hexdigest() in before.identity, before.size) == (True, 3)
    s3.put("identity/f", b"abd")
    assert identify(f"{s3.url}/identity/f") != before


@pytest.mark.parametrize("name", ["f.nc.json", "f.nc.parquet"])
def test_references_are_known_by_what_is_behind_them(tmp_path, name):
    source, url = write_file(tmp_path / "f.nc"), str(tmp_path / name)
    write_references(virtual_references(source), url)
    before, again = identify(url), identify(url)
    assert before == again
    assert before.size > (tmp_path / "f.nc").stat().st_size
    write_file(tmp_path / "f.nc", value=2.0)
    assert identify(url).identity != before.identity


def test_a_zarr_store_is_known_by_all_of_its_objects(tmp_path):
    url = str(tmp_path / "f.zarr")
    array = zarr.create_array(url, name="v", data=np.arange(6), chunks=(3,))
    before = identify(url)
    array[5] = 7
    assert identify(url).identity != before.identity
    array[5] = 5
    assert identify(url) == before


@given(years=st.integers(1, 4), rows=st.integers(1, 5), cols=st.integers(1, 12))
def test_every_piece_is_in_one_task_and_a_band_of_rows_is_never_parted(years, rows, cols):
    pieces = [Piece("s", year, Box(r * 10, c * 10, 10, 10)) for year in range(years) for r in range(rows)
              for c in range(cols)]
    tasks = list(batches(pieces))
    assert [piece for task in tasks for piece in task] == pieces
    bands = [{(p.year, p.box.row) for p in task} for task in tasks]
    assert sum(map(len, bands)) == years * rows
    assert all(len(task) < PIECES_AT_ONCE + cols for task in tasks)
    assert all(len(task) >= PIECES_AT_ONCE for task in tasks[:-1])


@given(north=st.integers(-80, 90), west=st.integers(-180, 150), height=st.integers(1, 9), width=st.integers(1, 30),
       step=st.sampled_from([0.25, 0.5, 1.5]))
def test_a_cut_holds_the_run_grid_and_a_cell_around_it(north, west, height, width, step):
    native = Grid(90, -180, step, round(180 / step), round(360 / step))
    run = Grid(north, west, 1, min(height, north + 90), width)
    part, box = cut(native, run)
    assert part.shape == box.shape
    assert part.north >= min(90, run.north + step / 2) - 1e-9
    assert part.south <= max(-90, run.south - step / 2) + 1e-9
    if box.width < native.n_lon:
        assert part.west <= run.west - step / 2 + 1e-9
        assert part.east >= run.east + step / 2 - 1e-9
    assert native.offset_of(part) == (box.row, box.col)
