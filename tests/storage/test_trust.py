"""Places that luray is led to: those below a root are opened, all others refused."""

import os

import fsspec
import pytest

from luray.storage.trust import RefusedError, require_within


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("s3://b/in/x.nc", "s3://b/in/"),
        ("s3://b/in/x.nc", "s3://b/in"),
        ("s3://b/in", "s3://b/in/"),
        ("s3://b/x", "s3://b"),
        ("s3a://b/x", "s3://b/"),
        ("gcs://b/x", "gs://b/"),
        ("gs://b/x", "gcs://b"),
        ("s3://b/a=1%2F2/x", "s3://b/a=1%2F2/"),
        ("https://Host/in/x", "https://host/in/"),
        ("https://host:443/x", "https://host/"),
        ("https://host/%69n/x", "https://host/in"),
        ("https://host/my%20in/x", "https://host/my in/"),
        ("https://host/in/x?sig=/../y", "https://host/in/"),
        ("https://u:p@host/in/x", "https://u:p@host/in/"),
        ("/data/in/x", "/data/in"),
        ("/data/in/../in/x", "/data/in/"),
        ("file:///data/in/x", "/data/in"),
        ("/data/in/%2e%2e/x", "/data/in"),
        ("/data/x", "/"),
        ("/data/a b#c?d", "/data/"),
    ],
)
def test_a_place_below_a_root_is_allowed(url, root):
    assert require_within(url, [root], led_by="it") == url


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("s3://b/in2/x", "s3://b/in"),
        ("s3://b2/in/x", "s3://b/in"),
        ("s3://B/in/x", "s3://b/in"),
        ("gs://b/in/x", "s3://b/in"),
        ("s3://b/in/../x", "s3://b/in"),
        ("s3://b/out/../in/x", "s3://b/in"),
        ("s3://b/%69n/x", "s3://b/in"),
        ("s3://b/in/%2e%2e/x", "s3://b/in"),
        ("s3://b//in/x", "s3://b/in"),
        ("s3://b/in/%252e%252e/x", "s3://b/in"),
        ("https://host.evil/in/x", "https://host/in"),
        ("https://host@evil/in/x", "https://host/in"),
        ("https://u@host/in/x", "https://host/in"),
        ("https://host\\@evil/in/x", "https://host/in"),
        ("https://host:8443/in/x", "https://host/in"),
        ("http://host/in/x", "https://host/in"),
        ("https://host/in/%2e%2e/x", "https://host/in"),
        ("https://host/in/%252e%252e/x", "https://host/in"),
        ("https://host/in%2fx", "https://host/in"),
        ("https://host/in/..%2fx", "https://host/in"),
        ("https://host/in/a%2f..%2f..%2fx", "https://host/in"),
        ("https://host/in/..\\x", "https://host/in"),
        ("https://host/in/x\n", "https://host/in"),
        (" https://host/in/x", "https://host/in"),
        ("https://host/in/x::file:///etc/passwd", "https://host/in"),
        ("/data/in::/etc/passwd", "/data"),
        ("/data/in/../x", "/data/in"),
        ("/data/in2", "/data/in"),
        ("file:///etc/passwd", "https://host/"),
        ("file:/etc/passwd", "/"),
        ("data:text/plain,x", "/"),
        ("FILE:///data/in/x", "/data/in"),
        ("/data", ""),
        ("x", ""),
        ("local:///data/in/x", "/data/in"),
        ("https://host/in/" + "%25" * 5000, "https://host/in"),
    ],
)
def test_a_place_below_no_root_is_refused(url, root):
    with pytest.raises(RefusedError, match=r"^it leads to .*(storage\.allow|different places)"):
        require_within(url, [root], led_by="it")


def test_links_of_a_disk_are_followed_first(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/out").symlink_to("/etc")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    with pytest.raises(RefusedError):
        require_within(str(tmp_path / "in/out/passwd"), [str(tmp_path / "in")], led_by="it")
    require_within(str(tmp_path / "alias/x"), [str(tmp_path / "in")], led_by="it")
    require_within(str(tmp_path / "in/x"), [str(tmp_path / "alias")], led_by="it")
    monkeypatch.chdir(tmp_path / "in")
    require_within("x", [str(tmp_path / "in")], led_by="it")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RefusedError):
        require_within("~/x", [os.curdir], led_by="it")


def test_roots_of_the_run_file_are_allowed(allow):
    allow("s3://b/in/", "https://host/")
    require_within("s3://b/in/x", [], led_by="it")
    require_within("https://host/x", ["s3://other/"], led_by="it")
    with pytest.raises(
        RefusedError,
        match=r'it leads to https://evil/a/x, which .* add it there: allow = \["https://evil/a/"\]',
    ):
        require_within("https://evil/a/x?sig=secret", [], led_by="it")


@pytest.mark.parametrize("header", ["Location", "URI"])
def test_a_redirect_to_another_host_is_refused(site, allow, header):
    allow()
    secret = site.put("secret", b"secret")
    site.put("data", b"data")
    site.redirects |= {"/near": "/secret", "/far": secret.replace("127.0.0.1", "localhost")}
    site.header = header
    read = fsspec.filesystem("http", skip_instance_cache=True).cat_file
    assert read(f"{site.url}/near") == b"secret"
    site.asked.clear()
    with pytest.raises(RefusedError, match=r"a redirect of .*/far leads to http://localhost"):
        read(f"{site.url}/far")
    assert site.asked == ["/far"]
