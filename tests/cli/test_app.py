"""The command line as a whole: what it imports, and what it offers."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from luray.cli import app as cli
from luray.cli.app import app
from luray.stages import run as stages

HEAVY = ("torch", "ray", "xarray", "zarr", "rasterio", "matplotlib", "numba")


@pytest.mark.parametrize("verb", [[], ["train"]])
def test_help_imports_neither_torch_nor_ray(verb):
    code = f"""if True:
        import sys
        from luray.cli.app import main
        sys.argv = ["luray", *{verb}, "--help"]
        try:
            main()
        except SystemExit:
            print("imported:", [name for name in {HEAVY} if name in sys.modules])"""
    help_text = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "Usage" in help_text
    assert help_text.endswith("imported: []\n")


def test_every_stage_and_all_of_them_can_be_submitted():
    assert (*stages.STAGES, "run") == cli.STAGES


def test_every_verb_is_explained_in_a_line():
    for command in app.registered_commands:
        summary = command.callback.__doc__.partition("\n")[0]
        assert re.fullmatch(r"[A-Z].*\.", summary), f"{command.callback.__name__}: {summary}"
        assert len(summary) <= 100


def test_a_stage_that_does_not_exist_cannot_be_submitted():
    result = CliRunner().invoke(app, ["submit", "run.toml", "--stage", "walk"])
    assert result.exit_code == 2
    assert "'walk' is no stage" in result.output


def test_an_error_of_the_system_without_a_file_says_where_it_was(capsys):
    def look_up():
        raise OSError(2, "No such file or directory")

    with pytest.raises(OSError, match="No such file") as raised:
        look_up()
    with pytest.raises(SystemExit):
        cli._end_with(raised.value)
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(
        r"error: \[Errno 2\] No such file or directory \(in look_up, test_app\.py line \d+\)", said
    )
