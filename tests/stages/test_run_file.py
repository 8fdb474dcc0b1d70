"""A run file that cannot be run is an error that names the key, what was expected and what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from luray.sandbox.write import demo_run
from luray.stages.run_file import ConfigError, load_run

RUN = demo_run()
CATALOGS = Path(__file__).parents[2] / "catalogs"


def fault(*overrides):
    with pytest.raises(ConfigError) as caught:
        load_run(RUN, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.stepz=3", r"training.stepz: unknown key; did you mean 'steps'\?"),
        ("training.read=ahead", r"training\.read: was renamed; write training\.windows_read_by"),
        (
            "training.leave_out=base maps",
            r"training\.leave_out: was renamed; write base_maps of the hilda source, which holds for "
            'training and evaluation alike: "base maps" is now base_maps = "leave out", its default',
        ),
        (
            "evaluation.leave_out=nothing",
            r'evaluation\.leave_out: was renamed; .*"nothing" is base_maps = "keep"',
        ),
        (
            "sources.0.base_maps=drop",
            r"base_maps: input should be 'leave out' or 'keep', got 'drop'",
        ),
        ("nonsense.x=3", "nonsense: unknown key"),
        ("sources.1.colour=red", "colour: unknown key"),
        ("model.width=wide", "model.width: input should be a valid integer, got 'wide'"),
        ("model.width=1.5", "model.width: "),
        ("model.width=0", "model.width: "),
        ("model.depth=-1", "model.depth: "),
        ("sources.0.kind=landsat", "landsat"),
        ("training.years=[1960]", "training.years"),
        ("grid.shape=[400, -1]", "must be positive"),
        ("grid.north=96.0", r"spans latitudes 92.0000..96.0000, expected within -90..90"),
        ("tiling.tile=150", "tile 150 must be a multiple of the stride 100; set tile = 200"),
        ("tiling.stride=125", "window 128 must exceed the stride 125 by an even number of cells"),
        (
            "tiling.window=116",
            r"tiling.window 116 must be a multiple of 2\^depth = 8; set tiling.window = 120",
        ),
        ("training.micro_batch=3", "training.batch 8 must be a multiple of training.micro_batch 3"),
        ("training.workers=3", "3 workers cannot share 2 micro-batches"),
        ("training.noise.share=1.5", "must lie between 0 and 1"),
        ("training.noise.kind=blur", "training.noise.kind"),
        ("inference.observed=[2019, 1899]", "inference.observed 2019-1899 must be ascending"),
        ("inference.workers=0", "inference.workers: workers between 0 and 0, expected 1 <= min"),
        ("inference.members=0", "inference.members is 0, expected at least 1; leave it out"),
        ("inference.members=2.5", "inference.members: "),
        ("inference.precision=float16", "inference.precision: input should be 'float32' or"),
        ("inference.seed=-1", "inference.seed is -1, expected 0 or more"),
        (
            "inference.probabilities=[2050, 1950]",
            r"has \[1950\], expected predicted years \(1850-1898, 2020-2100\)",
        ),
        ("inference.probabilities=[2050, 2050]", r"has \[2050\], .* each once"),
        ("scenarios=[]", "scenarios is .*, expected one or more, each once"),
        ('scenarios=["ssp126", "ssp126"]', "each once"),
        ('scenarios=["ssp126", "m2"]', r"scenarios has \['m2'\], expected names"),
        ('scenarios=["a/b"]', r"scenarios has \['a/b'\]"),
        ("scenarios=ssp126", "scenarios: input should be a valid array"),
        (
            "evaluation.tests.0.start=1990",
            "test 'forecast' scores 1990-2015 but training sees 1960-2000",
        ),
        ("product.coarse_step=0", "coarse_step is 0.0, expected degrees, more than 0"),
        ("product.coarse_step=0.255", "25.500 cells of the run grid, expected a whole number"),
        (
            "product.coarse_step=0.3",
            r"tiles of 200 cells hold 6.67 coarse cells of 0.3 degrees, .* to a multiple of 30",
        ),
        ("product.overview_cells=0", "overview_cells is 0, expected 1 or more"),
        ("name=../up", "it names files"),
        ("tiling", "expected a.b=value"),
    ],
)
def test_a_fault_names_its_key(override, said):
    assert re.search(said, fault(override)), fault(override)


def test_every_fault_is_listed_at_once():
    text = fault("training.stepz=3", "model.width=wide")
    assert "2 fault(s)" in text
    assert "stepz" in text
    assert "model.width" in text


def test_overrides_reach_tables_lists_and_bare_words():
    run = load_run(
        RUN,
        [
            "training.steps=7",
            "scenario=ssp585",
            "sources.0.path=/elsewhere",
            "blending.taper=uniform",
        ],
    )
    assert (run.training.steps, run.scenario, run.blending.taper) == (7, "ssp585", "uniform")
    assert run.sources[0].path == "/elsewhere"


def test_a_run_file_distorts_its_forcing(monkeypatch, tmp_path):
    monkeypatch.setenv("LURAY_DATA", str(tmp_path))
    file = CATALOGS / "crete/run.toml"
    assert load_run(file).sources[1].distort.words == ()

    text = file.read_text(encoding="utf-8")
    worse = text.replace("block = 25\n", "block = 25\n[sources.distort]\nlag = 5\nbias = 1\n")
    (tmp_path / "worse.toml").write_text(worse, encoding="utf-8")
    distort = load_run(tmp_path / "worse.toml", ["sources.1.distort.seed=3"]).sources[1].distort
    assert (distort.lag, distort.bias, distort.seed) == (5, 1, 3)

    with pytest.raises(ConfigError) as caught:
        load_run(file, ["sources.1.distort.smooth_yaers=3", "sources.1.distort.lag=-1"])
    assert "distort.smooth_yaers: unknown key; did you mean 'smooth_years'?" in str(caught.value)
    assert "distort.lag: input should be greater than or equal to 0" in str(caught.value)
    with pytest.raises(ConfigError, match="distort: smooth_years is 2, expected an odd number"):
        load_run(file, ["sources.1.distort.smooth_years=2"])


def test_one_scenario_is_no_dimension_and_a_list_is_one():
    assert load_run(RUN).scenario_names == ("ssp245",)
    assert load_run(RUN, ["scenario=ssp585"]).scenario_names == ("ssp585",)
    dims = load_run(
        RUN,
        ['scenarios=["ssp585", "ssp126"]', "inference.members=3", "inference.probabilities=[2050]"],
    )
    assert dims.scenario_names == dims.scenarios == ("ssp585", "ssp126")
    assert "remove `scenarios`" in fault("scenario=ssp585", 'scenarios=["ssp126"]')


def test_a_file_that_is_no_toml_is_named(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("name = ")
    with pytest.raises(ConfigError, match=r"bad\.toml: not valid TOML"):
        load_run(file)
    with pytest.raises(ConfigError, match="no such run file"):
        load_run(tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["crete", "brazil"])
def test_the_shipped_run_files_parse_and_say_what_they_want(name, monkeypatch, tmp_path):
    file = CATALOGS / name / "run.toml"
    monkeypatch.delenv("LURAY_DATA", raising=False)
    with pytest.raises(
        ConfigError, match=r"LURAY_DATA is not set.*This run wants:\n.*(hilda|mapbiomas)"
    ) as caught:
        load_run(file)
    assert "https://" in str(caught.value)
    monkeypatch.setenv("LURAY_DATA", str(tmp_path))
    run = load_run(file)
    assert str(tmp_path) in run.sources[0].path
    assert run.directions == (("forward", "backward") if name == "crete" else ("forward",))


def test_the_command_line_prints_errors_without_a_traceback():
    result = subprocess.run(
        [sys.executable, "-m", "luray.cli", "build", str(RUN), "--set", "model.depth=deep"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "model.depth" in result.stderr
    assert "Traceback" not in result.stderr


TITLE = 'title = "Köppen, 0.5°"'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_run_file_is_read_with_any_mark_and_line_end(tmp_path, encoding, end):
    text = re.sub(r"^title = .*$", TITLE, RUN.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "run.toml").write_bytes(text.replace("\n", end).encode(encoding))
    assert load_run(tmp_path / "run.toml") == load_run(RUN, [TITLE.replace(" = ", "=")])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b'name = "a"\ntitle = "K\xf6ppen"',
            r"byte 0xf6 in line 2 is not UTF-8; save the file as UTF-8",
        ),
        (
            "name = 'a'".encode("utf-16-le"),
            "has NUL bytes, as UTF-16 without a byte order mark has; save it as UTF-8",
        ),
        (b"\xff\xfen\x00a", "is not UTF-16"),
        (b"", "name: missing"),
        (b"\xef\xbb\xbf\xef\xbb\xbfname = 1", "not valid TOML"),
    ],
)
def test_a_run_file_in_another_encoding_is_told(tmp_path, data, said):
    (tmp_path / "run.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=rf"run\.toml: .*{said}" if data else said):
        load_run(tmp_path / "run.toml")


def test_a_folder_in_place_of_a_run_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, expected a file"):
        load_run(tmp_path)


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "env", [ASCII, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "ascii:strict"}]
)
def test_no_locale_or_terminal_ends_a_command(tmp_path, env):
    """Titles, degree signs, bars and boxes are printed as well as the terminal can."""
    text = re.sub(r"^title = .*$", TITLE, RUN.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "run.toml").write_text(
        text + '\n[[sources]]\nkind = "categorical"\nname = "käse"\n', encoding="utf-8"
    )
    code = (
        "import sys\n"
        "from luray.cli import app as cli, console\n"
        "from luray.cli.verbs import inputs\n"
        "from rich.panel import Panel\n"
        "def show(*_, **__):\n"
        "    console.out.print(Panel('0.5° \\u2013 Köppen \\udcff'))\n"
        "    console.err.print('0.5° Köppen')\n"
        "    with inputs.progress('bür') as bar: bar(1, 2, '°')\n"
        "inputs._sources = show\n"
        "console.out = console.Console(force_terminal=True, width=80)\n"
        "sys.argv = ['luray', 'sources']\n"
        "cli.main()"
    )
    (tmp_path / "show.py").write_text(code, encoding="utf-8")
    for command in (
        [str(tmp_path / "show.py")],
        ["-m", "luray.cli", "sources", str(tmp_path / "run.toml")],
        ["-m", "luray.cli", "--help"],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(CATALOGS.parent), **env},
        )
        assert b"codec" not in done.stderr
        assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.returncode == 0


@pytest.mark.parametrize(
    "modules",
    [
        "luray.stages.run_file, luray.stages.inputs, luray.cube.build, luray.cube.cube",
        "luray.stages.evaluate, luray.stages.verify, luray.stages.export, luray.stages.report",
    ],
)
def test_what_computes_no_map_needs_no_torch(modules):
    """Commands answer, and workers start, in half the time without it."""
    code = (
        f"import {modules}, sys; print([name for name in ('torch', 'ray') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_workers_that_only_pass_on_or_evaluate_need_no_torch():
    code = (
        "import luray.distributed.evaluate, luray.distributed.status_actor, sys; "
        "print([name for name in ('torch',) if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    ("overrides", "step"),
    [
        ((), 0.25),
        (("product.coarse_step=0.5",), 0.5),
        (("tiling.tile=120", "tiling.stride=120", "tiling.window=160"), None),
        (("grid.step=0.1", "grid.shape=[40, 60]", "tiling.tile=200"), None),
        (("grid.north=48.1",), None),
    ],
)
def test_coarse_cells_are_those_that_nest(overrides, step):
    """A product without them says why."""
    run = load_run(RUN, overrides)
    if step is None:
        assert run.coarse_cells is None
        [caveat] = run.product_caveats
        assert re.match("no fractions and transitions: .*; or set product.coarse_step", caveat)
    else:
        assert (run.coarse_cells.grid.step, run.product_caveats) == (step, ())
