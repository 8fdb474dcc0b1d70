"""What tells one input file from another."""

import hashlib

import numpy as np
import pytest
import zarr

from luray.catalog.reference_writer import virtual_references, write_references
from luray.core.grid import Grid
from luray.cube.input_files import identify
from tests.sources.writers import axes, write_nc

GRID = Grid(50, 10, 1, 4, 6)


def write_file(path, value=1.0):
    field = np.full(GRID.shape, value, np.float32)
    return str(write_nc(path, {**axes(GRID), "v": (("lat", "lon"), field, {"units": "1"})}))


def test_local_file_is_known_by_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert identify(str(tmp_path / "f")) == (f"sha256:{hashlib.sha256(b'abc').hexdigest()}", 3)


def test_object_is_known_by_etag(s3):
    s3.put("identity/f", b"abc")
    before = identify(f"{s3.url}/identity/f")
    assert (hashlib.md5(b"abc").hexdigest() in before.identity, before.size) == (True, 3)
    s3.put("identity/f", b"abd")
    assert identify(f"{s3.url}/identity/f") != before


@pytest.mark.parametrize("name", ["f.nc.json", "f.nc.parquet"])
def test_references_are_known_by_their_targets(tmp_path, name):
    source, url = write_file(tmp_path / "f.nc"), str(tmp_path / name)
    write_references(virtual_references(source), url)
    before, again = identify(url), identify(url)
    assert before == again
    assert before.size > (tmp_path / "f.nc").stat().st_size
    write_file(tmp_path / "f.nc", value=2.0)
    assert identify(url).identity != before.identity


def test_store_is_known_by_its_objects(tmp_path):
    url = str(tmp_path / "f.zarr")
    array = zarr.create_array(url, name="v", data=np.arange(6), chunks=(3,))
    before = identify(url)
    array[5] = 7
    assert identify(url).identity != before.identity
    array[5] = 5
    assert identify(url) == before
