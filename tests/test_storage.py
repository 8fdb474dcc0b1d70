import pytest

from luray.storage import is_local, read_object, remove, write_atomically


@pytest.fixture(params=["path", "file://", "s3"])
def root(request, tmp_path):
    if request.param == "s3":
        return f"{request.getfixturevalue('s3').url}/{tmp_path.name}"
    return f"{request.param if request.param == 'file://' else ''}{tmp_path}/a folder"


def test_an_object_is_whole_replaced_and_removed(root):
    url = f"{root}/deep/er/x.json"
    assert read_object(url) is None
    write_atomically(url, b"one")
    write_atomically(f"{root}/deep/er/y.json", b"")
    assert (read_object(url), read_object(f"{root}/deep/er/y.json")) == (b"one", b"")
    write_atomically(url, b"second")
    assert read_object(url) == b"second"
    remove(url)
    remove(url)
    assert read_object(url) is None
    remove(f"{root}/deep")
    assert read_object(f"{root}/deep/er/y.json") is None


def test_an_object_that_another_process_wrote_or_replaced_is_seen_on_s3(s3):
    write_atomically(f"{s3.url}/seen/a", b"a")
    assert read_object(f"{s3.url}/seen/b") is None
    s3.put("seen/b", b"b")
    s3.put("seen/a", b"longer than before")
    assert (read_object(f"{s3.url}/seen/a"), read_object(f"{s3.url}/seen/b")) == (b"longer than before", b"b")
    remove(f"{s3.url}/seen")
    stored = s3.keys()
    assert not [key for key in stored if key.startswith("seen/")]


def test_a_local_write_leaves_the_old_object_until_the_new_one_is_whole(tmp_path, monkeypatch):
    target = tmp_path / "x.json"
    write_atomically(str(target), b"old")
    seen = []

    def crash(*args, **kwargs):
        seen.append(target.read_bytes())
        raise OSError("disk full")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.mv", crash)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(str(target), b"new")
    assert seen == [b"old"]
    assert read_object(str(target)) == b"old"
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".json") and p != target]


def test_a_removed_store_takes_everything_inside_with_it(tmp_path):
    for name in ("zarr.json", "c/0/0", "c/1/0"):
        write_atomically(f"{tmp_path}/p.zarr/{name}", b"x")
    write_atomically(f"{tmp_path}/p.zarr.ledger/a.json", b"x")
    remove(f"{tmp_path}/p.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["p.zarr.ledger"]


@pytest.mark.parametrize(("url", "local"), [("/a/b", True), ("b", True), ("file:///a", True), ("s3://b/a", False),
                                            ("gs://b/a", False), ("memory://a", False)])
def test_what_is_local(url, local):
    assert is_local(url) is local
