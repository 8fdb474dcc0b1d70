"""Files that are not what their names say: each format is named, with what to do."""

import fsspec
import numpy as np
import pytest
from scipy.io import netcdf_file

from luray.core.grid import Grid
from luray.sources.file_formats import HEAD_BYTES, identify_format
from luray.sources.netcdf import inspect_netcdf
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            b"CDF\x05" + bytes(60),
            r"CDF-5 .*; convert it with `nccopy -k nc4 'a b\.nc' converted\.nc`",
        ),
        (b"\x0e\x03\x13\x01" + bytes(60), "HDF4; convert it with `h4toh5`"),
        (b"GRIB\x00\x00\x01\x02", "GRIB; convert it with `cdo -f nc4"),
        (LFS, "a pointer of Git LFS, not the file itself; get the file with `git lfs pull`"),
        (b"/annex/objects/SHA256E-s1--x.nc\n", "a pointer of git-annex.*`git annex get`"),
        (b"<!doctype html><p>", r"a web page \(HTML\); open the address"),
        (b'<?xml version="1.0"?><Error>', "an XML document"),
        (b'{"error": 1}', "a JSON document"),
        (b"", "empty; a download or copy of it broke off"),
        (bytes(2000), "zeros from its beginning"),
        (b"Error: you must log in\n", r"a text \('Error: you must log in'\); look at it"),
        (b"II*\x00" + bytes(60), "it is GeoTIFF; set `path`"),
        (b"\x00\x01\x02\x03\x04", "no format that luray knows"),
        (b"%PDF-1.4", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    ],
)
def test_other_format_is_named_with_advice(tmp_path, head, message):
    path = tmp_path / "a b.nc"
    path.write_bytes(head)
    with pytest.raises(InputError, match=rf"a b\.nc: cannot be read as NetCDF: .*{message}"):
        inspect_netcdf(str(path))
    fsspec.filesystem("memory").pipe_file("/forms/x.nc", head)
    with pytest.raises(InputError, match=message.replace("'a b\\.nc'", "x.nc")):
        inspect_netcdf("memory:///forms/x.nc")


def test_readable_formats_are_identified(tmp_path):
    grid = Grid(50, 10, 1, 4, 6)
    field = np.zeros(grid.shape, np.float32)
    netcdf = write_nc(tmp_path / "f.nc", {**axes(grid), "v": (("lat", "lon"), field, {})})
    raster = write_tif(tmp_path / "f.tif", field, north=50, west=10, step=1)
    with netcdf_file(tmp_path / "old.nc", "w") as out:
        out.createDimension("x", 2)
    names = [
        identify_format(path.read_bytes()[:HEAD_BYTES]).name
        for path in (netcdf, raster, tmp_path / "old.nc")
    ]
    assert names == ["NetCDF-4 (HDF5)", "GeoTIFF", "NetCDF-3"]
    with pytest.raises(
        InputError, match=r"f\.nc: cannot be read as GeoTIFF: it is NetCDF-4 \(HDF5\)"
    ):
        inspect_raster(str(netcdf))
