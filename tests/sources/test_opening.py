"""Files that are not what their names say, are held, hidden or cut: each is told with what to do."""

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

import fsspec
import h5py
import numpy as np
import pytest
import zarr
from scipy.io import netcdf_file

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources import discover
from luray.sources.base import FilesConfig
from luray.sources.discover import list_files, matching
from luray.sources.file_formats import HEAD_BYTES, identify_format
from luray.sources.netcdf import inspect_netcdf, unpack
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)
DIMS = ("lat", "lon")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


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


@pytest.mark.parametrize("said", PACKED)
def test_a_packed_file_under_its_plain_name_says_how_to_unpack(netcdf, raster, said):
    for path, inspect in ((netcdf, inspect_netcdf), (raster, inspect_raster)):
        path.write_bytes(PACKED[said](path.read_bytes()))
        wanted = (
            rf"{path.name}: cannot be read as .*: it is {said} {path.name} > unpacked{path.suffix}`"
        )
        with pytest.raises(InputError, match=wanted):
            inspect(str(path))


def test_archives_say_how_to_unpack(netcdf, raster, tmp_path):
    with zipfile.ZipFile(tmp_path / "z.nc", "w") as archive:
        archive.write(netcdf, "f.nc")
    with tarfile.open(tmp_path / "t.nc", "w") as archive:
        archive.add(netcdf, "f.nc")
    for name, said in (
        ("z.nc", "a ZIP archive; unpack it with `unzip"),
        ("t.nc", "a tar archive; .*`tar -xf t.nc`"),
    ):
        with pytest.raises(InputError, match=said):
            inspect_netcdf(str(tmp_path / name))


@pytest.mark.parametrize(
    ("head", "said"),
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
def test_another_format_is_named(tmp_path, head, said):
    path = tmp_path / "a b.nc"
    path.write_bytes(head)
    with pytest.raises(InputError, match=rf"a b\.nc: cannot be read as NetCDF: .*{said}"):
        inspect_netcdf(str(path))
    fsspec.filesystem("memory").pipe_file("/forms/x.nc", head)
    with pytest.raises(InputError, match=said.replace("'a b\\.nc'", "x.nc")):
        inspect_netcdf("memory:///forms/x.nc")


def test_the_forms_that_are_read_are_known_by_their_heads(tmp_path, netcdf, raster):
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


def test_a_truncated_file_says_how_much_of_it_is_there(netcdf):
    size = netcdf.stat().st_size
    netcdf.write_bytes(netcdf.read_bytes()[:-100])
    with pytest.raises(
        InputError,
        match=rf"it may be truncated, as it has {size - 100} of {size} bytes: get it again",
    ):
        inspect_netcdf(str(netcdf))


def test_a_file_that_is_being_written_is_no_broken_file(netcdf):
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


def test_the_mark_of_a_writer_that_was_killed_is_told(tmp_path):
    path = tmp_path / "f.nc"
    code = f"import h5py, os; f = h5py.File({str(path)!r}, 'w', libver='latest'); f['v'] = [1]; f.flush(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code], check=False)
    with pytest.raises(InputError, match=rf"If its writer was killed, `h5clear -s {path}`"):
        inspect_netcdf(str(path))


def test_a_folder_in_place_of_a_file_is_told(tmp_path):
    for name, inspect in (("d.nc", inspect_netcdf), ("d.tif", inspect_raster)):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=rf"{name}: is a folder, expected "):
            inspect(str(tmp_path / name))
    zarr.open_group(str(tmp_path / "z.nc"), mode="w")
    with pytest.raises(
        InputError, match=r"z\.nc: is a Zarr store under a name that does not end in \.zarr"
    ):
        inspect_netcdf(str(tmp_path / "z.nc"))


def test_links_that_lead_nowhere_or_in_a_circle_are_told(tmp_path):
    (tmp_path / "gone.nc").symlink_to(tmp_path / "away.nc")
    (tmp_path / "round.nc").symlink_to(tmp_path / "round.nc")
    for name, said in (
        ("gone.nc", "is a link to .*away.nc, where there is nothing"),
        ("round.nc", "leads in a circle"),
    ):
        assert str(tmp_path / name) in list_files(str(tmp_path))
        with pytest.raises(InputError, match=said):
            inspect_netcdf(str(tmp_path / name))
        with pytest.raises(InputError, match=said):
            list_files(str(tmp_path / name))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, who sees less than this one")
def test_what_may_not_be_read_is_no_missing_file(tmp_path, netcdf, raster, caplog):
    os.chmod(tmp_path.parents[0], 0o755)  # noqa: PTH101
    (tmp_path / "locked").mkdir(mode=0o700)
    write_tif(tmp_path / "locked/x.tif", FIELD, north=50, west=10, step=1)
    netcdf.chmod(0o000)
    raster.chmod(0o000)
    code = f"""if True:
        import os
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
    *said, found = done.stdout.splitlines()
    assert [": access is denied; check the permissions" in line for line in said] == [True] * 4
    assert found == "2"
    assert "locked is not searched for files: access is denied" in done.stderr


def test_linked_folders_are_searched_once(tmp_path):
    """Shared data of a cluster are linked to; links up, down and between them end no search."""
    shared = tmp_path / "shared"
    (shared / "deep").mkdir(parents=True)
    (shared / "lc_2000.tif").write_bytes(b"x")
    (shared / "deep/lc_2001.tif").write_bytes(b"x")
    (shared / "up").symlink_to(shared)
    (shared / "out").symlink_to(tmp_path)
    root = tmp_path / "maps"
    (root / "real").mkdir(parents=True)
    (root / "real/lc_2002.tif").write_bytes(b"x")
    for name, target in (
        ("linked", shared),
        ("again", root / "real"),
        ("round", root),
        ("above", tmp_path),
    ):
        (root / name).symlink_to(target)
    (root / "lc_2003.tif").symlink_to(shared / "lc_2000.tif")
    expected = [
        root / name
        for name in (
            "lc_2003.tif",
            "linked/deep/lc_2001.tif",
            "linked/lc_2000.tif",
            "real/lc_2002.tif",
        )
    ]
    assert list_files(str(root)) == list(map(str, expected))
    (tmp_path / "link").symlink_to(root)
    found = matching(FilesConfig(path=str(tmp_path / "link")), r"lc_(\d{4})\.tif")
    assert sorted(match[1] for _, match in found) == ["2000", "2001", "2002", "2003"]


def test_two_links_to_each_other_end(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "to").symlink_to(tmp_path / other)
        (tmp_path / one / "x.nc").write_bytes(b"x")
    assert list_files(str(tmp_path / "a")) == [f"{tmp_path}/a/to/x.nc", f"{tmp_path}/a/x.nc"]


def test_where_the_search_ends_is_said(tmp_path, monkeypatch):
    deep = tmp_path.joinpath(*"d" * 4)
    deep.mkdir(parents=True)
    monkeypatch.setattr(discover, "DEPTH", 3)
    with pytest.raises(InputError, match=r"lies 4 levels below, 3 are searched; set `path` nearer"):
        list_files(str(tmp_path))
    fsspec.filesystem("memory").pipe_file("/deep/a/b/c/d/x.nc", b"x")
    with pytest.raises(InputError, match="lies 4 levels below"):
        list_files("memory://deep")
    monkeypatch.setattr(discover, "DEPTH", 4)
    assert list_files("memory://deep") == ["memory:///deep/a/b/c/d/x.nc"]
    monkeypatch.setattr(discover, "LIMIT", 2)
    with pytest.raises(InputError, match="more than 2 files and folders below"):
        list_files(str(tmp_path))


def test_stores_are_one_file_and_odd_names_are_names(tmp_path):
    for name in ("a.zarr/c/0/0", "$x/~/b::c.nc", "refs.parquet/v/refs.0.parq"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_files(str(tmp_path)) == [
        f"{tmp_path}/{name}" for name in ("$x/~/b::c.nc", "a.zarr", "refs.parquet")
    ]
    assert [place for place, _ in matching(FilesConfig(path=str(tmp_path)), r"b::c\.nc")] == [
        f"{tmp_path}/$x/~/b::c.nc"
    ]


def test_objects_are_found_at_any_depth(s3):
    names = ["deep/a/b/c/d/e/f/x.nc", "deep/y.nc", "deep/z.zarr/c/0"]
    for name in names:
        s3.put(name, b"x")
    assert list_files(f"{s3.url}/deep") == [
        f"{s3.url}/deep/a/b/c/d/e/f/x.nc",
        f"{s3.url}/deep/y.nc",
        f"{s3.url}/deep/z.zarr",
    ]
    assert list_files(f"{s3.url}/deep/y.nc") == [f"{s3.url}/deep/y.nc"]
    with pytest.raises(InputError, match="no such file or folder, or it is empty"):
        list_files(f"{s3.url}/none")
    with s3.locked(), pytest.raises(InputError, match="access is denied"):
        list_files(f"{s3.url}/deep")


def test_a_raster_of_an_object_store_is_read_and_its_locks_are_told(s3, raster):
    url = s3.put("opening/f.tif", raster.read_bytes()) or f"{s3.url}/opening/f.tif"
    np.testing.assert_array_equal(inspect_raster(url).read(Box(0, 0, 4, 6)), FIELD)
    with s3.locked(), pytest.raises(InputError, match=r"f\.tif: access is denied"):
        inspect_raster(url)


@pytest.mark.parametrize(
    ("declared", "fills", "rules"),
    [
        ("none", (), ["missing_value 'none'"]),
        ("None, n/a", (), ["missing_value 'None'", "missing_value 'n/a'"]),
        ("NaN", (np.nan,), []),
        (np.float32(np.nan), (np.nan,), []),
        ("-9999", (-9999,), []),
        ("1.e+20f", (1e20,), []),
        ("-9999 -32768", (-9999, -32768), []),
        (np.array([-9999, 7.0]), (-9999, 7), []),
        (np.bytes_(b"-1"), (-1,), []),
        ("", (), ["missing_value ''"]),
        (h5py.Empty("f"), (), []),
    ],
)
def test_missing_values_of_any_form_are_read_or_passed_over(tmp_path, declared, fills, rules):
    path = write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})
    with h5py.File(path, "r+") as file:
        file["v"].attrs["missing_value"] = declared
    found = inspect_netcdf(str(path))
    np.testing.assert_array_equal(found.variables["v"].fills, fills)
    assert list(found.layout.rules) == [
        f"{rule} is no number, and declares no missing value" for rule in rules
    ]
    unpacked = unpack(found.read(("v",), Box(0, 0, 4, 6))[0], found.variables["v"])
    expected = np.where(np.isin(FIELD, [f for f in fills if f == f]), np.nan, FIELD)
    np.testing.assert_array_equal(unpacked, expected)
