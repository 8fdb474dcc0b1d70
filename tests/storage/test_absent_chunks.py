"""Chunks that a Zarr store, references or an HDF5 file do not hold are no values."""

import json

import h5py
import numpy as np
import pytest
import zarr

from luray.core.tiling import Box
from luray.sources.netcdf import inspect_netcdf
from luray.storage.errors import InputError

VALUES = np.arange(48, dtype=np.int16).reshape(6, 8) + 1
EVERYTHING = Box(0, 0, 6, 8)


def write_zarr(
    path, *, version=3, fill=0, attributes=None, shards=None, values=VALUES, dtype="int16"
):
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    names = {"dimension_names": ("lat", "lon")} if version == 3 else {}
    dims = {} if version == 3 else {"_ARRAY_DIMENSIONS": ["lat", "lon"]}
    array = root.create_array(
        "v",
        shape=values.shape,
        dtype=dtype,
        chunks=(3, 4),
        shards=shards,
        fill_value=fill,
        attributes={**dims, **(attributes or {})},
        **names,
    )
    array[...] = values
    for name, axis in (("lat", 50 - np.arange(6.0)), ("lon", 10 + np.arange(8.0))):
        names = {"dimension_names": (name,)} if version == 3 else {}
        dims = {} if version == 3 else {"_ARRAY_DIMENSIONS": [name]}
        root.create_array(name, data=axis, chunks=axis.shape, attributes=dims, **names)
    return path


def read(path, box=EVERYTHING):
    return inspect_netcdf(str(path)).read(("v",), box)[0]


@pytest.mark.parametrize(("version", "chunk"), [(3, "v/c/0/1"), (2, "v/0.1")])
def test_an_absent_chunk_without_a_declared_fill_is_refused(tmp_path, version, chunk):
    path = write_zarr(tmp_path / "f.zarr", version=version)
    np.testing.assert_array_equal(read(path), VALUES)
    (path / chunk).unlink()
    with pytest.raises(
        InputError, match=r"f\.zarr: v lacks the chunk 0\.1, which would be read as 0, a value"
    ):
        read(path)
    np.testing.assert_array_equal(read(path, Box(1, 0, 5, 4)), VALUES[1:, :4])


def test_zeros_that_are_stored_are_values(tmp_path):
    zeros = VALUES.copy()
    zeros[:3, 4:] = 0
    path = tmp_path / "f.zarr"
    with zarr.config.set({"array.write_empty_chunks": True}):
        write_zarr(path, values=zeros)
    assert (path / "v/c/0/1").exists()
    np.testing.assert_array_equal(read(path), zeros)


@pytest.mark.parametrize(
    "attributes", [{"_FillValue": -1}, {"missing_value": -1}, {"_Fillvalue": [-1]}]
)
def test_an_absent_chunk_is_missing_where_its_fill_is_declared(tmp_path, attributes):
    path = write_zarr(tmp_path / "f.zarr", fill=-1, attributes=attributes)
    (path / "v/c/0/1").unlink()
    assert (read(path)[:3, 4:] == -1).all()


def test_the_fill_of_zarr_2_is_declared_unless_it_is_its_default(tmp_path):
    path = write_zarr(tmp_path / "f.zarr", version=2, fill=-9)
    (path / "v/0.1").unlink()
    assert (read(path)[:3, 4:] == -9).all()


def test_a_chunk_that_a_shard_leaves_out_is_refused(tmp_path):
    values = VALUES.copy()
    values[:3, 4:] = 0
    path = write_zarr(tmp_path / "f.zarr", shards=(6, 8), values=values)
    with pytest.raises(InputError, match=r"v lacks the chunk 0\.1"):
        read(path)


def test_absent_floats_are_nan_or_refused(tmp_path):
    floats = VALUES.astype(np.float32)
    path = write_zarr(tmp_path / "nan.zarr", values=floats, dtype="float32", fill=np.nan)
    (path / "v/c/0/1").unlink()
    assert np.isnan(read(path)[:3, 4:]).all()
    path = write_zarr(tmp_path / "zero.zarr", values=floats, dtype="float32", fill=0.0)
    (path / "v/c/0/1").unlink()
    with pytest.raises(InputError, match="lacks the chunk"):
        read(path)


def test_references_that_lack_a_chunk_are_refused(tmp_path):
    write_zarr(tmp_path / "f.zarr", version=2)
    refs = {}
    for file in (tmp_path / "f.zarr").rglob("*"):
        if file.is_file():
            key = file.relative_to(tmp_path / "f.zarr").as_posix()
            refs[key] = (
                file.read_text()
                if file.name.startswith(".z")
                else [str(file), 0, file.stat().st_size]
            )
    (tmp_path / "whole.json").write_text(json.dumps({"version": 1, "refs": refs}))
    np.testing.assert_array_equal(read(tmp_path / "whole.json"), VALUES)
    del refs["v/1.0"]
    (tmp_path / "torn.json").write_text(json.dumps({"version": 1, "refs": refs}))
    with pytest.raises(InputError, match=r"torn\.json: v lacks the chunk 1\.0"):
        read(tmp_path / "torn.json")


@pytest.mark.parametrize("chunks", [(3, 4), None])
def test_values_that_were_never_written_to_hdf5_are_refused(tmp_path, chunks):
    path = tmp_path / "f.nc"
    with h5py.File(path, "w") as file:
        for name, axis in (("lat", 50 - np.arange(6.0)), ("lon", 10 + np.arange(8.0))):
            file[name] = axis
            file[name].make_scale(name)
        variable = file.create_dataset("v", (6, 8), np.int16, chunks=chunks)
        if chunks:
            variable[:3] = VALUES[:3]
        variable.dims[0].attach_scale(file["lat"])
        variable.dims[1].attach_scale(file["lon"])
    with pytest.raises(InputError, match="v lacks the chunk"):
        read(path)
    if chunks:
        np.testing.assert_array_equal(read(path, Box(0, 0, 3, 8)), VALUES[:3])
