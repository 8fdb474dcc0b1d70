"""Damaged HDF5 files on which HDF5 itself would go on for ever, or take all memory."""

import io
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from luray.core.grid import Grid
from luray.sources.hdf5_guard import HEADER_BYTES, SIGNATURE, HeapGuard, require_one_file
from luray.sources.netcdf import inspect_netcdf
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.fixture
def netcdf(tmp_path):
    """A file whose attributes are texts of variable length."""
    return write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (("lat", "lon"), FIELD, {"units": "1"})})


def objects(data: bytes, *, length_bytes: int = 8) -> list[int]:
    """Places of the objects of a file's first heap; the last is its free space."""
    start = data.index(SIGNATURE)
    heap_bytes = int.from_bytes(data[start + 8 : start + 8 + length_bytes], "little")
    place = HEADER_BYTES
    places = []
    while heap_bytes - place >= HEADER_BYTES:
        places.append(start + place)
        index = int.from_bytes(data[start + place : start + place + 2], "little")
        length_at = start + place + 8
        length = int.from_bytes(data[length_at : length_at + length_bytes], "little")
        place += HEADER_BYTES + (length + 7) // 8 * 8 if index else length
    assert place == heap_bytes
    return places


def with_length(data: bytes, place: int, length: int) -> bytes:
    """The bytes of a file in which an object of a heap has another length."""
    return data[: place + 8] + length.to_bytes(8, "little") + data[place + 16 :]


def damaged(data: bytes) -> dict[str, bytes]:
    """Files whose chain leads back to one of its objects."""
    first, second, *_, free_space = objects(data)
    return {
        "into the free space": with_length(data, second, free_space + 32 - second),
        "zeros": data[:second] + bytes(64) + data[second + 64 :],
        "free space without length": with_length(data, free_space, 0),
        "length that overflows": with_length(data, first, 2**64 - HEADER_BYTES),
    }


def test_endless_chains_are_refused_by_name(netcdf):
    places = []
    for name, data in damaged(netcdf.read_bytes()).items():
        place = netcdf.with_name(f"{name}.nc")
        place.write_bytes(data)
        places.append(place)
    # In a process of its own: without the guard it would go on for ever, and no signal that Python
    # handles would end it.
    code = """
import sys
from luray.sources.netcdf import inspect_netcdf
from luray.storage.errors import InputError
for path in sys.argv[1:]:
    try:
        inspect_netcdf(path)
    except InputError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *places],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(places)
    for place, line in zip(places, lines, strict=True):
        assert line.startswith(f"{place}: cannot be read as NetCDF: the global heap at byte ")


def test_chain_that_leaves_its_heap_is_refused(netcdf):
    data = netcdf.read_bytes()
    netcdf.write_bytes(with_length(data, objects(data)[1], 10_000))
    with pytest.raises(InputError, match=r"f\.nc: cannot be read as NetCDF"):
        inspect_netcdf(str(netcdf))


def test_guard_reads_what_the_file_holds(netcdf):
    data = netcdf.read_bytes()
    guard = HeapGuard(io.BytesIO(data), where="f.nc")
    assert guard.read() == data
    guard.seek(-5, os.SEEK_END)
    assert guard.read() == data[-5:]


def test_signature_across_two_reads_is_found(netcdf):
    data = damaged(netcdf.read_bytes())["zeros"]
    start = data.index(SIGNATURE)
    for split in range(len(SIGNATURE)):
        guard = HeapGuard(io.BytesIO(data), where="f.nc")
        assert guard.read(start + split) == data[: start + split]
        with pytest.raises(InputError, match=f"heap at byte {start} has an object without length"):
            guard.read(100)


def test_text_like_a_signature_is_no_heap(tmp_path):
    path = write_nc(
        tmp_path / "f.nc",
        {**axes(GRID), "v": (("lat", "lon"), FIELD, {"comment": "GCOL\x01 and GCOL"})},
    )
    assert inspect_netcdf(str(path)).variables["v"].attrs["comment"] == "GCOL\x01 and GCOL"


@pytest.mark.parametrize("length_bytes", [4, 8])
def test_lengths_of_any_size_are_followed(tmp_path, length_bytes):
    path = tmp_path / "f.h5"
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_sizes(8, length_bytes)
    with h5py.File(h5py.h5f.create(os.fsencode(path), fcpl=creation)) as file:
        file.attrs["text"] = "of variable length"
    data = path.read_bytes()
    with h5py.File(HeapGuard(io.BytesIO(data), where="f.h5")) as file:
        assert file.attrs["text"] == "of variable length"

    free_space = objects(data, length_bytes=length_bytes)[-1]
    endless = data[:free_space] + bytes(16) + data[free_space + 16 :]
    with pytest.raises(InputError, match=r"f\.h5: .* object without length"):
        HeapGuard(io.BytesIO(endless), where="f.h5").read()


def test_superblock_with_driver_is_refused(netcdf):
    data = netcdf.read_bytes()
    assert data[8] == 0, "a superblock of version 0 is needed here"
    driver = len(data)
    block = bytes(4) + (0xFF000000).to_bytes(4, "little") + b"NCSAfami"
    netcdf.write_bytes(data[:48] + driver.to_bytes(8, "little") + data[56:] + block)
    with pytest.raises(InputError, match=r"f\.nc: .* its superblock names a driver"):
        inspect_netcdf(str(netcdf))


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_superblock_of_any_version_is_read(tmp_path, libver):
    with h5py.File(tmp_path / "f.h5", "w", libver=libver) as file:
        file["v"] = FIELD
    head = (tmp_path / "f.h5").read_bytes()[:1024]
    assert head[8] == {"earliest": 0, "latest": 3}[libver]
    require_one_file(head, where="f.h5")


def test_superblock_that_is_cut_is_left_to_hdf5(netcdf):
    data = netcdf.read_bytes()
    for n_bytes in range(8, 60):
        netcdf.write_bytes(data[:n_bytes])
        with pytest.raises(InputError, match=r"f\.nc: cannot be read as NetCDF .* truncated"):
            inspect_netcdf(str(netcdf))


def test_refused_file_is_closed(netcdf):
    data = netcdf.read_bytes()
    netcdf.write_bytes(with_length(data, objects(data)[1], 10_000))
    with pytest.raises(InputError) as _:
        inspect_netcdf(str(netcdf))
    open_files = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert netcdf.resolve() not in open_files
