"""Completion in the shells that people use, as `luray --show-completion` sets it up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = """
source <(luray --show-completion)
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p luray | sed 's/.*-F \\([^ ]*\\) .*/\\1/') luray
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
"""What bash does when Tab is pressed: it calls the function that `complete` has noted."""

ZSH = """
autoload -Uz compinit && compinit -u -D
_describe() {{ print -l -- "${{(@P)2}}"; }}
_arguments() {{ local spec; for spec in $@; print -r -- $spec; }}
eval "$(luray --show-completion)"
words=({words})
CURRENT=${{#words}}
_luray_completion
"""
"""The function that zsh calls, with what shows its findings replaced by printing."""

FISH = """
luray --show-completion | source
complete --do-complete '{words}'
"""

SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completed(shell, words):
    """Return what a shell offers after some words, the last of which is begun."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    folder = Path(sys.executable).parent
    if not (folder / "luray").exists():
        pytest.skip("the command luray is not installed in this environment")
    done = subprocess.run(
        [shell, "-c", SHELLS[shell].format(words=words)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb"},
    )
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_verbs_are_completed(shell):
    offered = completed(shell, "luray ex")
    assert "export" in offered
    assert "export-model" in offered
    assert "evaluate" not in offered


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_options_of_a_verb_are_completed(shell):
    offered = completed(shell, "luray evaluate --re")
    assert "--reference" in offered
    assert "--product" not in offered


def test_bash_offers_files_where_there_is_nothing_else(tmp_path):
    """`-o default` leaves run files to bash itself."""
    assert completed("bash", "luray build ru").strip() == ""
    noted = subprocess.run(
        ["bash", "-c", "source <(luray --show-completion); complete -p luray"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert "-o default" in noted.stdout


def test_completing_imports_nothing_heavy():
    code = (
        "import os, sys\n"
        "os.environ.update(_LURAY_COMPLETE='complete_bash', COMP_WORDS='luray st', COMP_CWORD='1')\n"
        "from luray.cli.app import main\n"
        "sys.argv = ['luray']\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        "    heavy = ('numpy', 'fsspec', 'torch', 'ray', 'zarr')\n"
        "    print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "status\n[]\n"
