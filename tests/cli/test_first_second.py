"""What a command waits for before it answers: nothing that opens files, computes or draws."""

import json
import subprocess
import sys

import pytest

from luray.cli.app import STAGES, app
from luray.sandbox.write import demo_run
from tests.cube.cubes import make_cube
from tests.product.products import created, fill

HEAVY = (
    "torch",
    "numba",
    "scipy",
    "xarray",
    "pandas",
    "zarr",
    "numcodecs",
    "ray",
    "h5py",
    "h5netcdf",
    "rasterio",
    "pyproj",
    "pint",
    "aiohttp",
    "requests",
    "s3fs",
    "gcsfs",
    "pystac",
    "pystac_client",
    "pyarrow",
    "matplotlib",
    "PIL",
)
"""Packages of which each takes between 0.05 and 1.5 s of CPU to import."""


def imported(code):
    """Run code in a process of its own; return what it printed and which heavy packages it has."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nprint('imported:', *[name for name in {HEAVY} if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    text, _, names = (done.stdout + done.stderr).partition("imported:")
    names, _, errors = names.partition("\n")
    return text + errors, names.split()


@pytest.fixture(scope="module")
def answer():
    """A function that runs a command line in a process of its own.

    It returns what the command says, its exit code and the heavy packages that it has. The processes
    are forks of one that has imported the command line and what reads a run file.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cli.commands"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as commands:

        def run(*words):
            print(json.dumps(words), file=commands.stdin, flush=True)
            said, modules = json.loads(commands.stdout.readline())
            return said, [name for name in HEAVY if name in modules]

        yield run
        commands.stdin.close()


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("train", "--help")])
def test_help_and_version_import_nothing_heavy(answer, words):
    text, names = answer(*words)
    assert ("luray 0." if words == ("--version",) else "Usage") in text
    assert "exit code 0" in text
    assert names == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("[grid]", "[grid"), "not valid TOML"),
        (lambda text: text.replace("width = 12", "widht = 12"), "did you mean 'width'?"),
        (lambda text: text.replace("depth = 3", 'depth = "3"'), "model.depth: input should be"),
        (lambda text: text.replace('kind = "luh2"', 'kind = "luh9"'), "luh9"),
        (lambda text: text.replace("window = 128", "window = 127"), "must be a multiple"),
    ],
)
@pytest.mark.parametrize("verb", ["build", "infer", "status"])
def test_a_wrong_run_file_imports_nothing_heavy(answer, tmp_path, verb, edit, message):
    right = demo_run().read_text(encoding="utf-8")
    wrong = edit(right)
    assert wrong != right
    (tmp_path / "run.toml").write_text(wrong, encoding="utf-8")
    text, names = answer(verb, str(tmp_path / "run.toml"))
    assert message in text
    assert "exit code 1" in text
    assert names == []


VERBS = [
    *STAGES,
    "sources",
    "plan",
    "status",
    "view",
    "submit",
    "export",
    "verify",
]


@pytest.mark.parametrize("verb", VERBS)
def test_an_absent_run_file_imports_nothing_heavy(answer, tmp_path, verb):
    options = ("--format", "luh2") if verb == "export" else ()
    text, names = answer(verb, str(tmp_path / "run.toml"), *options)
    assert "no such run file" in text
    assert names == []


def test_every_verb_with_a_run_file_is_among_these():
    taking = {
        command.name or command.callback.__name__.strip("_")
        for command in app.registered_commands
        if {"file", "place"} & command.callback.__annotations__.keys()
    }
    assert taking == set(VERBS)


def test_status_of_a_product_imports_nothing_heavy(answer, tmp_path):
    cube = make_cube(str(tmp_path / "cube.zarr"), "region").cube
    product = created(cube, tmp_path / "product.zarr", tiles=6)
    fill(product)
    text, names = answer("status", product.url)
    assert "18 of 18 tile-years, 3 of 3 years whole: 2001-2003" in text
    assert names == []


@pytest.mark.parametrize(
    ("module", "lacking"),
    [
        ("build", {"torch", "numba", "scipy", "xarray", "pandas", "rasterio", "aiohttp"}),
        ("check", {"torch", "numba", "scipy", "xarray", "pandas", "rasterio", "zarr", "aiohttp"}),
        ("change_counts", {"torch", "numba", "scipy", "xarray", "pandas", "rasterio", "aiohttp"}),
        ("evaluate", {"torch", "numba", "scipy", "xarray", "pandas", "rasterio", "aiohttp"}),
        ("worker", {"numba", "scipy", "xarray", "pandas", "rasterio", "aiohttp", "matplotlib"}),
        ("status_actor", {"torch", "numba", "scipy", "xarray", "pandas", "zarr", "pyarrow"}),
    ],
)
def test_a_worker_starts_without_what_it_does_not_use(module, lacking):
    """A worker of Ray imports the module of its task or actor, in every process again."""
    _, names = imported(f"import sys, luray.distributed.{module}")
    assert "ray" in names
    assert lacking.isdisjoint(names)


def test_an_inference_worker_starts_without_training():
    text, _ = imported(
        "import sys, luray.distributed.worker\n"
        "print([name for name in sys.modules if name.startswith(('ray.train', 'ray.data', "
        "'luray.training', 'luray.viz', 'luray.sources.netcdf_reader', 'luray.stages'))])"
    )
    assert text == "[]\n"
