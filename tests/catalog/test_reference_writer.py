"""References as they are written, and as luray reads them."""

import json

import h5netcdf
import numpy as np
import pytest

from luray.catalog import reference_writer
from luray.catalog.reference_writer import virtual_references, write_references
from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.netcdf import inspect_netcdf
from luray.storage.errors import InputError
from luray.storage.references import load_references
from tests.sources.writers import axes, write_nc

GRID = Grid(50, 10, 1, 4, 6)
SERIES = np.arange(10 * 24, dtype=np.float32).reshape(10, 4, 6)
BOX = Box(1, 2, 2, 3)


def compressed_file(path):
    """A series in chunks of a year, and a variable without dimensions."""
    time = (("time",), np.arange(2000.0, 2010.0), {})
    write_nc(path, {**axes(GRID), "time": time})
    with h5netcdf.File(path, "a") as out:
        out.create_variable(
            "v", ("time", "lat", "lon"), data=SERIES, chunks=(1, 4, 6), compression="gzip"
        )
        out.create_variable("crs", (), data=np.int32(7))
    return str(path)


@pytest.mark.parametrize("records", [3, 10, 100_000])
def test_parquet_holds_what_json_holds(tmp_path, monkeypatch, records):
    monkeypatch.setattr(reference_writer, "RECORDS", records)
    refs = virtual_references(compressed_file(tmp_path / "f.nc"))
    for name in ("r.json", "r.parquet"):
        write_references(refs, str(tmp_path / name))
    of_json = load_references(str(tmp_path / "r.json")).parts
    of_parquet = load_references(str(tmp_path / "r.parquet")).parts

    def is_metadata(key):
        return key.rsplit("/", 1)[-1].startswith(".z")

    assert set(of_json) == set(of_parquet)
    for key, part in of_json.items():
        if is_metadata(key):
            assert json.loads(part) == json.loads(of_parquet[key])
        else:
            assert part == of_parquet[key]
    assert "crs/0" in of_parquet
    assert len(list((tmp_path / "r.parquet/v").iterdir())) == -(-10 // records)


def test_inlined_and_missing_chunks_are_kept(tmp_path):
    refs = virtual_references(compressed_file(tmp_path / "f.nc"))
    refs["crs/0"] = "base64:BwAAAA=="
    del refs["v/4.0.0"]
    write_references(refs, str(tmp_path / "r.parquet"))
    parts = load_references(str(tmp_path / "r.parquet")).parts
    assert parts["crs/0"] == b"\x07\0\0\0"
    assert "v/4.0.0" not in parts
    assert parts["v/5.0.0"] == tuple(refs["v/5.0.0"])


def test_interrupted_references_are_refused(tmp_path, monkeypatch):
    refs = virtual_references(compressed_file(tmp_path / "f.nc"))
    place = str(tmp_path / "r.parquet")
    write_references(refs, place)
    load_references(place)

    def killed(*_, **__):
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(reference_writer, "_parquet", killed)
        with pytest.raises(OSError, match="killed"):
            write_references(refs, place)
    with pytest.raises(
        InputError, match=r"r\.parquet: found no kerchunk references \(no \.zmetadata\)"
    ):
        load_references(place)
    write_references(refs, place)
    [values] = inspect_netcdf(place).read(("v",), BOX, time=9)
    np.testing.assert_array_equal(values, SERIES[9, 1:3, 2:5])


@pytest.mark.parametrize(
    ("bytes_", "chunks"),
    [
        (2 * 24 * 4, (2, 4, 6)),
        (24 * 4, (1, 4, 6)),
        (2 * 6 * 4, (1, 2, 6)),
        (8, (1, 1, 2)),
        (10**6, (10, 4, 6)),
    ],
)
def test_array_in_one_piece_is_divided(tmp_path, monkeypatch, bytes_, chunks):
    path = write_nc(
        tmp_path / "whole.nc",
        {
            **axes(GRID),
            "time": (("time",), np.arange(2000.0, 2010.0), {}),
            "v": (("time", "lat", "lon"), SERIES, {}),
        },
    )
    monkeypatch.setattr(reference_writer, "CHUNK_BYTES", bytes_)
    refs = virtual_references(str(path))
    assert tuple(json.loads(refs["v/.zarray"])["chunks"]) == chunks
    write_references(refs, str(tmp_path / "r.json"))
    [got] = inspect_netcdf(str(tmp_path / "r.json")).read(("v",), BOX, time=9)
    np.testing.assert_array_equal(got, SERIES[9, 1:3, 2:5])
