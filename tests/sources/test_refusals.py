"""Files that are packed, held, hidden, cut or elsewhere: each error says what to do."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.discover import list_files
from luray.sources.netcdf import inspect_netcdf
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)
DIMS = ("lat", "lon")


@pytest.fixture
def netcdf(tmp_path):
    return write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})


@pytest.fixture
def raster(tmp_path):
    return write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1)


PACKED = {
    "packed with gzip; unpack it with `gzip -dc": gzip.compress,
    "packed with bzip2; unpack it with `bzip2 -dc": bz2.compress,
    "packed with xz; unpack it with `xz -dc": lzma.compress,
    "packed with zstd; unpack it with `zstd -dc": lambda data: b"\x28\xb5\x2f\xfd" + data,
}


@pytest.mark.parametrize("message", PACKED)
def test_packed_file_says_how_to_unpack(netcdf, raster, message):
    for path, inspect in ((netcdf, inspect_netcdf), (raster, inspect_raster)):
        path.write_bytes(PACKED[message](path.read_bytes()))
        wanted = rf"{path.name}: cannot be read as .*: it is {message} {path.name} > unpacked{path.suffix}`"
        with pytest.raises(InputError, match=wanted):
            inspect(str(path))


def test_archives_say_how_to_unpack(netcdf, raster, tmp_path):
    with zipfile.ZipFile(tmp_path / "z.nc", "w") as archive:
        archive.write(netcdf, "f.nc")
    with tarfile.open(tmp_path / "t.nc", "w") as archive:
        archive.add(netcdf, "f.nc")
    for name, message in (
        ("z.nc", "a ZIP archive; unpack it with `unzip"),
        ("t.nc", "a tar archive; .*`tar -xf t.nc`"),
    ):
        with pytest.raises(InputError, match=message):
            inspect_netcdf(str(tmp_path / name))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_other_format_is_refused(tmp_path, content):
    for name, inspect in (("f.nc", inspect_netcdf), ("f.tif", inspect_raster)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: cannot be read as"):
            inspect(str(tmp_path / name))
        with pytest.raises(InputError, match=r"gone\.nc: there is no such file"):
            inspect(str(tmp_path / "gone.nc"))


def test_virtual_raster_is_no_geotiff(tmp_path):
    real = write_tif(tmp_path / "secret.tif", FIELD, north=50, west=10, step=1)
    (tmp_path / "f.tif").write_text(
        '<VRTDataset rasterXSize="6" rasterYSize="4"><VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        f"<SourceFilename>{real}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(InputError, match=r"f\.tif: cannot be read as GeoTIFF"):
        inspect_raster(str(tmp_path / "f.tif"))


def test_truncated_netcdf_is_refused(tmp_path):
    path = write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"f\.nc: cannot be read as NetCDF .* may be truncated"):
        inspect_netcdf(str(path))


def test_truncated_file_says_its_size(netcdf):
    size = netcdf.stat().st_size
    netcdf.write_bytes(netcdf.read_bytes()[:-100])
    with pytest.raises(
        InputError,
        match=rf"it may be truncated, as it has {size - 100} of {size} bytes: get it again",
    ):
        inspect_netcdf(str(netcdf))


def test_variable_that_is_gone_when_it_is_read_is_refused(netcdf):
    file = inspect_netcdf(str(netcdf))
    write_nc(netcdf, {**axes(GRID), "other": (DIMS, FIELD, {})})
    with pytest.raises(InputError, match=r"f\.nc: cannot be read as NetCDF"):
        file.read(("v",), Box(0, 0, 4, 6))


def test_truncated_geotiff_is_refused_when_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    path = write_tif(tmp_path / "f.tif", noise, north=50, west=10, step=0.01)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match=r"f\.tif: cannot be read as GeoTIFF .* may be truncated"):
        inspect_raster(str(path)).read(Box(0, 0, 200, 200))


def test_locked_file_is_not_called_broken(netcdf):
    code = f"import h5py; f = h5py.File({str(netcdf)!r}, 'r+'); print(1, flush=True); input()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        writer.stdout.readline()
        with pytest.raises(
            InputError,
            match=r"another process has it open for writing.*HDF5_USE_FILE_LOCKING=FALSE",
        ) as caught:
            inspect_netcdf(str(netcdf))
        assert "truncated" not in str(caught.value)
    finally:
        writer.communicate("\n")
    assert inspect_netcdf(str(netcdf)).layout.grid == GRID


def test_mark_of_killed_writer_is_told(tmp_path):
    path = tmp_path / "f.nc"
    code = f"import h5py, os; f = h5py.File({str(path)!r}, 'w', libver='latest'); f['v'] = [1]; f.flush(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code], check=False)
    with pytest.raises(InputError, match=rf"If its writer was killed, `h5clear -s {path}`"):
        inspect_netcdf(str(path))


def test_folder_in_place_of_file_is_told(tmp_path):
    for name, inspect in (("d.nc", inspect_netcdf), ("d.tif", inspect_raster)):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=rf"{name}: is a folder, expected "):
            inspect(str(tmp_path / name))
    zarr.open_group(str(tmp_path / "z.nc"), mode="w")
    with pytest.raises(
        InputError, match=r"z\.nc: is a Zarr store under a name that does not end in \.zarr"
    ):
        inspect_netcdf(str(tmp_path / "z.nc"))


def test_broken_and_circular_links_are_told(tmp_path):
    (tmp_path / "gone.nc").symlink_to(tmp_path / "away.nc")
    (tmp_path / "round.nc").symlink_to(tmp_path / "round.nc")
    for name, message in (
        ("gone.nc", "is a link to .*away.nc, where there is nothing"),
        ("round.nc", "leads in a circle"),
    ):
        assert str(tmp_path / name) in list_files(str(tmp_path))
        with pytest.raises(InputError, match=message):
            inspect_netcdf(str(tmp_path / name))
        with pytest.raises(InputError, match=message):
            list_files(str(tmp_path / name))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, who sees less than this one")
def test_denied_file_is_not_called_missing(tmp_path, netcdf, raster, caplog):
    os.chmod(tmp_path.parents[0], 0o755)  # noqa: PTH101
    (tmp_path / "locked").mkdir(mode=0o700)
    write_tif(tmp_path / "locked/x.tif", FIELD, north=50, west=10, step=1)
    netcdf.chmod(0o000)
    raster.chmod(0o000)
    code = f"""if True:
        import os
        import luray.sources.netcdf_reader, luray.sources.raster_header  # while they may be read
        from luray.sources.discover import list_files; from luray.sources.netcdf import inspect_netcdf
        from luray.sources.raster import inspect_raster
        from luray.storage.errors import InputError
        os.chdir("/")
        os.seteuid(65534)
        calls = [(inspect_netcdf, "f.nc"), (inspect_raster, "f.tif"), (list_files, "locked"),
                 (list_files, "locked/x.tif")]
        for call, name in calls:
            try: print(call(f"{tmp_path}/{{name}}"))
            except InputError as error: print(error)
        print(len(list_files({str(tmp_path)!r})))"""
    temporary = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if temporary in folder.parents:
            folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *refusals, n_files = done.stdout.splitlines()
    assert [": access is denied; check the permissions" in line for line in refusals] == [True] * 4
    assert n_files == "2"
    assert "locked is not searched for files: access is denied" in done.stderr
