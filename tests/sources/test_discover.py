"""Finding files below folders, prefixes and links, once each; where the search ends is an error."""

import fsspec
import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources import discover
from luray.sources.base import FilesConfig
from luray.sources.discover import list_files, matching, only
from luray.sources.netcdf import inspect_netcdf
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)
DIMS = ("lat", "lon")


def test_files_are_found_at_any_depth(tmp_path):
    names = ["1/2/3/4/5/6/7/far.nc", "b.nc", "x/y/a.nc"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_files(str(tmp_path)) == [str(tmp_path / name) for name in names]
    assert list_files(str(tmp_path / "b.nc")) == [str(tmp_path / "b.nc")]
    assert [f for f, _ in matching(FilesConfig(path=str(tmp_path)), r"a\.nc")] == [
        str(tmp_path / "x/y/a.nc")
    ]
    assert matching(FilesConfig(path=str(tmp_path)), r"\.nc") == []


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_path_with_nothing_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{name}: no such file or folder, or it is empty"):
        list_files(str(tmp_path / name))


def test_only_takes_one_file():
    assert only(["a"], path="p", expected="x") == "a"
    with pytest.raises(InputError, match="p: found no x file"):
        only([], path="p", expected="x file")
    with pytest.raises(InputError, match=r"found 2 files that are x file \(a, b\), expected one"):
        only(["a", "b"], path="p", expected="x file")


def test_url_is_read_like_a_path(tmp_path):
    nc = write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (DIMS, FIELD, {})})
    tif = write_tif(tmp_path / "f.tif", FIELD, north=50, west=10, step=1)
    memory = fsspec.filesystem("memory")
    for path in (nc, tif):
        memory.pipe_file(f"/data/sub/{path.name}", path.read_bytes())
    assert list_files("memory://data") == ["memory:///data/sub/f.nc", "memory:///data/sub/f.tif"]
    [got] = inspect_netcdf("memory:///data/sub/f.nc").read(("v",), Box(1, 2, 2, 3))
    np.testing.assert_array_equal(got, FIELD[1:3, 2:5])
    np.testing.assert_array_equal(
        inspect_raster("memory:///data/sub/f.tif").read(Box(1, 2, 2, 3)), FIELD[1:3, 2:5]
    )


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
    matches = matching(FilesConfig(path=str(tmp_path / "link")), r"lc_(\d{4})\.tif")
    assert sorted(match[1] for _, match in matches) == ["2000", "2001", "2002", "2003"]


def test_circular_links_end(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "to").symlink_to(tmp_path / other)
        (tmp_path / one / "x.nc").write_bytes(b"x")
    assert list_files(str(tmp_path / "a")) == [f"{tmp_path}/a/to/x.nc", f"{tmp_path}/a/x.nc"]


def test_end_of_search_is_an_error(tmp_path, monkeypatch):
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


def test_stores_count_as_one_file(tmp_path):
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
