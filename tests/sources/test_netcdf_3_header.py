"""NetCDF-3 files: what their header names is looked for before SciPy makes room for it."""

import io
from pathlib import Path

import numpy as np
import pytest
from scipy.io import netcdf_file

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.netcdf import inspect_netcdf
from luray.sources.netcdf_3_header import TYPE_BYTES, require_whole_header
from luray.storage.errors import InputError

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)
UNITS = b"degrees_north"


def write(path, *, version=1, **attributes):
    """A file with attributes of its own, a record dimension and values of every type."""
    with netcdf_file(path, "w", version=version) as out:
        for name, value in attributes.items():
            setattr(out, name, value)
        out.createDimension("time", None)
        for name, values in (("lat", GRID.lat), ("lon", GRID.lon)):
            out.createDimension(name, len(values))
            out.createVariable(name, "d", (name,))[:] = values
        out.variables["lat"].units = UNITS.decode()
        out.createVariable("scalar", "i", ()).data[...] = 3
        for kind in "bchifd":
            variable = out.createVariable(f"v_{kind}", kind, ("time", "lat", "lon"))
            variable[:] = FIELD[None].astype("S1" if kind == "c" else kind)
            if kind != "c":
                variable.of_its_type = np.ones(3, kind)
    return path


@pytest.mark.parametrize("version", [1, 2])
def test_whole_files_of_both_versions_are_read(tmp_path, version):
    path = write(tmp_path / "f.nc", version=version, title="a text", n=np.int32(4))
    file = inspect_netcdf(str(path))
    for kind in "bhifd":
        [got] = file.read((f"v_{kind}",), Box(0, 0, 4, 6), time=0)
        np.testing.assert_array_equal(got, FIELD)


def test_lengths_beyond_the_file_are_refused(tmp_path):
    data = write(tmp_path / "f.nc").read_bytes()
    type_at = data.index(UNITS) - 8
    for type_number in TYPE_BYTES:
        asks_for_much = type_number.to_bytes(4, "big") + (2**31 - 1).to_bytes(4, "big")
        (tmp_path / "f.nc").write_bytes(data[:type_at] + asks_for_much + data[type_at + 8 :])
        n_bytes = TYPE_BYTES[type_number] * (2**31 - 1)
        with pytest.raises(InputError, match=rf"f\.nc: .* its header names {n_bytes} bytes"):
            inspect_netcdf(str(tmp_path / "f.nc"))


def test_header_that_is_cut_anywhere_is_refused(tmp_path):
    data = write(tmp_path / "f.nc").read_bytes()
    values_of_axes = 8 * (4 + 6) + 4
    values_of_types = 4 * 6 * (1 + 1 + 2 + 4 + 4 + 8)
    header_bytes = len(data) - values_of_axes - values_of_types
    require_whole_header(io.BytesIO(data[:header_bytes]), where="f.nc")
    for n_bytes in range(4, header_bytes):
        with pytest.raises(InputError, match=r"f\.nc: .* it may be truncated: get it again"):
            require_whole_header(io.BytesIO(data[:n_bytes]), where="f.nc")


def test_what_scipy_cannot_read_is_refused_by_name(tmp_path):
    path = write(tmp_path / "f.nc")
    data = path.read_bytes()
    units = data.index(b"units")
    faults = {
        "type of no kind": (units + 8, 99),  # a KeyError of SciPy
        "dimension that is not there": (data.index(b"v_f\0") + 8, 7),  # an IndexError
    }
    for place, number in faults.values():
        path.write_bytes(data[:place] + number.to_bytes(4, "big") + data[place + 4 :])
        with pytest.raises(InputError, match=r"f\.nc: cannot be read as NetCDF"):
            inspect_netcdf(str(path))
        open_files = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
        assert path not in open_files
