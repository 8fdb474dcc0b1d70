"""Places: one reading of paths and URLs everywhere; what could be read in two ways is refused."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.bench.globe import globe_run
from luray.catalog.catalog_config import CatalogConfig
from luray.cli.app import main
from luray.sandbox.write import demo_run
from luray.stages.demo import load_demo
from luray.stages.run_file import ConfigError, load_run
from luray.stages.submit import submit
from luray.storage.errors import InputError
from luray.storage.places import (
    PlaceError,
    is_local,
    local_place,
    place_of,
    public,
    without_secrets,
)
from luray.storage.trust import StorageConfig

ME = pwd.getpwuid(os.getuid())


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/x", "/x"),
        ("x/y", "x/y"),
        ("./x", "./x"),
        ("../x", "../x"),
        ("/x/", "/x/"),
        ("/a b/ü.nc", "/a b/ü.nc"),
        ("file:///x", "/x"),
        ("file://localhost/x", "/x"),
        ("file://LocalHost/x", "/x"),
        ("file:/x", "/x"),
        ("FILE:///x", "/x"),
        ("file:///a%20b/%C3%BC", "/a b/ü"),
        ("file:///100%25", "/100%"),
        ("/100%25", "/100%25"),
        ("/x~", "/x~"),
        ("./a:b", "./a:b"),
        ("/t/2000-01-01T00:00.nc", "/t/2000-01-01T00:00.nc"),
        ("s3://b/x", "s3://b/x"),
        ("S3://b/X", "s3://b/X"),
        ("gs://b", "gs://b"),
        ("HTTPS://Host/x?y=$z", "https://Host/x?y=$z"),
        ("http://[::1]:8/x", "http://[::1]:8/x"),
        ("https://h/web/https://k/x", "https://h/web/https://k/x"),
        ("memory://x", "memory://x"),
        ("/home/~ann/x", "/home/~ann/x"),
    ],
)
def test_a_plain_place_is_taken(text, place):
    assert place_of(text) == place
    assert place_of(place) == place


def test_a_tilde_is_the_home_folder(home):
    assert place_of("~") == str(home)
    assert place_of("~/runs/a") == f"{home}/runs/a"
    assert place_of(f"~{ME.pw_name}/x") == f"{ME.pw_dir.rstrip('/')}/x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the place is empty"),
        ("  ", "is empty"),
        (" /x", "blank before or behind"),
        ("/x\n", "blank before or behind"),
        ("/x\u00a0", "blank"),
        ("\ufeff/x", "blank"),
        ("'/x'", "quotes of its own"),
        ("/a\nb", "control character"),
        ("/a\0b", "control"),
        ("C:\\data", "backslash"),
        ("C:/data", "unknown kind 'c'"),
        ("\\\\host\\x", "backslash"),
        ("//host/x", "two slashes"),
        ("$HOME/x", r"has \$HOME, which only a shell expands; write \$\{HOME\}"),
        ("/data/$USER", r"\$\{USER\}"),
        ("${HOME}/x", r"\$\{HOME\}"),
        ("$(pwd)/x", "only a shell"),
        ("${HOME:-/x}/y", "only a shell"),
        ("s3://$BUCKET/x", "only a shell"),
        ("https://$HOST/x", "only a shell"),
        ("%HOME%/x", "variable of Windows"),
        ("~nobody-of-this-name/x", "no home folder of '~nobody-of-this-name'"),
        ("/x/~/y", "`~` inside"),
        ("./~/y", "`~` inside"),
        ("s3:/b/x", "lacks a slash; write s3://b/x"),
        ("s3:b/x", "write s3://b/x"),
        ("gs:///x", "no host or bucket"),
        ("https:///x", "no host or bucket"),
        ("htps://h/x", "unknown kind 'htps'"),
        ("local:///x", "unknown kind 'local'"),
        ("data:text/plain,x", "unknown kind 'data'"),
        ("out:1", r"unknown kind 'out'; .* or \./out:1"),
        ("file://relative", "without an absolute path"),
        ("file://", "without an absolute path"),
        ("file:relative", "without an absolute path"),
        ("file://host/x", "of the host 'host', expected this machine"),
        ("file://~/x", "of the host '~'"),
        ("file:///~/x", "`~` inside"),
        ("file:////host/x", "two slashes"),
        ("file:///x?y", r"\? or #"),
        ("file:///x%", "% that begins no code"),
        ("file:///x%FF", "not UTF-8"),
        ("file:///a%2Fb", "%2F"),
        ("file:///a%0Ab", "control"),
        ("file:///$HOME/x", "only a shell"),
        ("file:///x%20", "blank"),
        ("/x/s3:/b", "folder 's3:'"),
        ("./file:/x", "folder 'file:'"),
        ("./s3://b/x", "URL inside a path"),
        ("/x::file:///etc/passwd", "chains file systems"),
        ("https://h/x::file:///y", "chains"),
        ("s3://b/../x", r"a step \. or \.\."),
        ("https://h/%2e%2e/x", "a step"),
        ("s3://b c/x", "blank in its host"),
    ],
)
def test_an_ambiguous_place_is_refused(text, message):
    with pytest.raises(PlaceError, match=message):
        place_of(text)


@given(
    st.text(alphabet=list("ab/.~$%:{}\\ sfile3\n#?@2F0"), max_size=14) | st.text(max_size=12),
    st.sampled_from(["", "file:", "file://", "s3://", "https://", "~/", "/"]),
)
def test_a_place_is_normalised_once_and_for_all(text, begin):
    try:
        place = place_of(begin + text)
    except PlaceError:
        return
    assert place_of(place) == place
    assert not place.startswith(("~", "file:", "FILE:"))
    assert place.partition("/")[0] not in ("s3:", "https:") or "://" in place


def test_no_secret_of_a_place_is_shown():
    with pytest.raises(PlaceError) as caught:
        place_of("htps://me:word@h/x?sig=secret")
    assert "word" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_relative_home_is_no_place(monkeypatch):
    monkeypatch.setenv("HOME", "")
    with pytest.raises(PlaceError, match="HOME is '', expected an absolute path"):
        place_of("~/x")


def test_letters_that_a_locale_cannot_name_are_refused():
    code = (
        "from luray.storage.places import place_of\n"
        "try: place_of('/d/K\\u00f6ln')\n"
        "except ValueError as e: print(ascii(str(e)))"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    output = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert "this locale cannot name; set PYTHONUTF8=1" in output


@pytest.mark.parametrize(
    "key", ["output", "sources.0.path", "catalog.url", "storage.allow", "storage.s3.endpoint_url"]
)
@pytest.mark.parametrize(
    ("text", "message"),
    [("$HOME/x", "only a shell expands"), ("file://host/x", "of the host 'host'")],
)
def test_a_wrong_place_of_a_run_file_is_named_with_its_key(key, text, message):
    value = f'["{text}"]' if key == "storage.allow" else text
    with pytest.raises(ConfigError, match=rf"  {key.split('.')[0]}.*: .*{message}"):
        load_run(demo_run(), [f"{key}={value}"])


def test_every_place_of_a_run_file_is_expanded(home):
    run = load_run(
        demo_run(),
        [
            "output=~/runs/a",
            "sources.0.path=file:///in%20put",
            "catalog.url=~/stac",
            'storage.allow=["file://localhost/x/", "~/y"]',
        ],
    )
    assert run.cube == f"{home}/runs/a/cube.zarr"
    assert run.lasting
    assert run.sources[0].path == "/in put"
    assert run.catalog.place == f"{home}/stac/catalog.json"
    assert run.storage.allow == ("/x/", f"{home}/y")


def test_a_variable_is_expanded_before_its_place_is_read(home, monkeypatch):
    monkeypatch.setenv("LURAY_TEST_DATA", "~/data")
    run = load_run(demo_run(), ["sources.0.path=${LURAY_TEST_DATA}/hilda"])
    assert run.sources[0].path == f"{home}/data/hilda"
    monkeypatch.setenv("LURAY_TEST_DATA", "file://host")
    with pytest.raises(ConfigError, match=r"sources\.0\.hilda\.path: .*of the host 'host'"):
        load_run(demo_run(), ["sources.0.path=${LURAY_TEST_DATA}/hilda"])
    monkeypatch.setenv("LURAY_TEST_DATA", "")
    with pytest.raises(ConfigError, match="LURAY_TEST_DATA is not set"):
        load_run(demo_run(), ["sources.0.path=${LURAY_TEST_DATA}/hilda"])
    monkeypatch.delenv("LURAY_TEST_DATA")
    assert (
        load_run(demo_run(), ["output=${LURAY_TEST_DATA}/x"], unset="kept").output
        == "${LURAY_TEST_DATA}/x"
    )


def test_an_output_on_a_web_server_is_refused():
    with pytest.raises(ConfigError, match="output is on a web server, which cannot be written to"):
        load_run(demo_run(), ["output=https://host/x"])


def test_a_run_file_is_read_from_any_local_place(home):
    home.mkdir()
    (home / "a b.toml").write_bytes(demo_run().read_bytes())
    for place in (
        "~/a b.toml",
        f"file://{home}/a%20b.toml",
        Path(f"file://{home}/a%20b.toml"),
        home / "a b.toml",
    ):
        assert load_run(place).name == "demo"
    for place in ("s3://b/run.toml", Path("s3://b/run.toml")):
        with pytest.raises(
            ConfigError,
            match=r"RUN\.toml: s3://b/run\.toml is on another machine, expected a run file",
        ):
            load_run(place)


def test_the_places_of_the_command_line_are_read_alike(home, capsys, monkeypatch):
    def printed(*line):
        monkeypatch.setattr(sys, "argv", ["luray", *line])
        with pytest.raises(SystemExit):
            main()
        return " ".join(capsys.readouterr().err.split())

    assert f"{home}/p.zarr" in printed("status", "~/p.zarr")
    assert "PRODUCT: '$HOME/p.zarr' has $HOME" in printed("status", "$HOME/p.zarr")
    collection = str(Path(__file__).parents[2] / "catalogs/luh2/collection.json")
    assert f"{home}/none" in printed(
        "virtualize", "~/none", "--collection", collection, "--output", f"{home}/out"
    )
    assert "--output: 's3:/b' lacks a slash" in printed(
        "virtualize", "/x.nc", "--collection", collection, "--output", "s3:/b"
    )
    assert "URL: '$X/x.nc' has $X" in printed(
        "virtualize", "$X/x.nc", "--collection", collection, "--output", "/o"
    )
    assert f"--prices {home}/p.toml: no such file" in printed(
        "plan", str(demo_run()), "--prices", "~/p.toml", "--rate", "1"
    )
    assert "--prices 'file://host/p.toml' is a file URL of the host" in printed(
        "plan", str(demo_run()), "--prices", "file://host/p.toml", "--rate", "1"
    )


def test_a_job_takes_no_home_folder_with_it(home):
    for key in ("output", "sources.0.path", "catalog.url"):
        with pytest.raises(
            ValueError,
            match=rf"{key} = '~/x' is below a home folder, .* {home}/x if all nodes have it",
        ):
            submit(
                load_run(demo_run()),
                demo_run(),
                stage="build",
                overrides=[f"{key}=~/x"],
                address="http://127.0.0.1:9",
            )


def test_the_inputs_of_the_demo_follow_its_output(tmp_path, monkeypatch):
    assert load_demo(()) == load_run(demo_run())
    run = load_demo([f"output=file://{tmp_path}/a", "sources.1.path=/mine"])
    assert [s.path for s in run.sources[:3]] == [
        f"{tmp_path}/a/world/hilda",
        "/mine",
        f"{tmp_path}/a/world/isimip",
    ]
    monkeypatch.setenv("LURAY_DATA", "/data")
    for make in (
        lambda: load_demo(["output=s3://b/x"]),
        lambda: globe_run("s3://b/x"),
        lambda: globe_run("x", ["output=s3://b/x"]),
    ):
        with pytest.raises(
            PlaceError, match=r"s3://b/x is on another machine, expected the output of the"
        ):
            make()
    assert local_place(str(Path("file:///x")), what="it") == "/x"


def test_a_wrong_environment_of_a_worker_is_named(monkeypatch):
    from luray.storage.trust import configured

    monkeypatch.setenv("LURAY_STORAGE", '{"allow": ["$HOME"]}')
    with pytest.raises(
        ValueError, match=r"LURAY_STORAGE is no JSON of \[storage\] \(allow\.0: .*\$HOME"
    ):
        configured()
    assert CatalogConfig(url="file:///c").place == "/c/catalog.json"
    assert StorageConfig(allow=["FILE:/x"]).allow == ("/x",)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a.nc, year 2001: bad", "s3://bucket/a.nc, year 2001: bad"),
        (
            "https://me:word@host:8/a.nc?X-Signature=abc%2F&y=1: cannot",
            "https://host:8/a.nc cannot",
        ),
        (
            "led by https://host/c.json#key, see 'https://b/x?t=1' and /local/a?b",
            "led by https://host/c.json see 'https://b/x' and /local/a?b",
        ),
        ("mail a@b.org, no url", "mail a@b.org, no url"),
    ],
)
def test_a_message_loses_secrets(text, shown):
    assert without_secrets(text) == shown
    assert str(InputError(text)) == shown


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("/a/b", True),
        ("b", True),
        ("file:///a", True),
        ("s3://b/a", False),
        ("gs://b/a", False),
        ("memory://a", False),
    ],
)
def test_a_path_or_file_url_is_local(url, local):
    assert is_local(url) is local


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/x?sig=s#f", "https://h/x"),
        ("https://user:pass@h/x", "https://h/x"),
        ("s3://key:secret@b/x", "s3://b/x"),
        ("https://user:p@ss@h/x", "https://h/x"),
        ("/a/b?c", "/a/b?c"),
    ],
)
def test_login_query_and_fragment_are_not_shown(url, shown):
    assert public(url) == shown
