"""The command line: the verbs of `luray.cli.verbs`, and what an error or a signal becomes."""

import gc
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import luray
from luray.cli import console
from luray.cli.console import say
from luray.cli.verbs import cluster, demo, export, inputs, product, stages
from luray.cli.verbs.stages import STAGES
from luray.core.interruption import (
    InterruptedBySignal,
    interruption_behind,
    raise_on_signals,
)

GARBAGE_THRESHOLD = 20_000
"""New objects after which Python looks for cycles among them; by default 700."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Annual land use at 1 km, 1850-2100: learned from fine maps, driven by coarse scenarios."
        "\n\n"
        "A run file says what to compute from which inputs; catalogs/*/run.toml are examples. The "
        f"stages of a run are, in this order: {', '.join(STAGES[:-1])}. "  # the last is all of them
        "Each does what is still missing, so that it can be interrupted at any time and repeated. "
        "`luray run RUN.toml` does them all; `luray demo` needs no inputs."
    ),
)
bench = typer.Typer(no_args_is_help=True, help="Measure luray on this machine.")


def _add_verbs(panel: str, verbs: dict[str, Callable[..., Any]]) -> None:
    """Add verbs to the command line, below a heading of `luray --help`."""
    for name, verb in verbs.items():
        app.command(name, rich_help_panel=panel)(verb)


# `luray --help` has the verbs in this order, in which a project needs them.
_add_verbs(
    "Before a run",
    {
        "demo": demo.demo,
        "sources": inputs.sources,
        "virtualize": inputs.virtualize,
        "plan": cluster.plan,
    },
)
_add_verbs(
    "Stages of a run, in their order",
    {
        "build": stages.build,
        "train": stages.train,
        "infer": stages.infer,
        "evaluate": stages.evaluate,
        "plot": stages.plot,
        "report": stages.report,
        "publish": stages.publish,
        "run": stages.run_,
        "submit": cluster.submit,
    },
)
_add_verbs(
    "The product and the model",
    {
        "status": product.status,
        "view": product.view,
        "verify": product.verify,
        "export": export.export,
        "export-model": export.export_model,
    },
)
app.add_typer(bench, name="bench", rich_help_panel="Benchmarks")
bench.command("globe")(demo.bench_globe)


def _print_version(asked: bool) -> None:
    if asked:
        say(f"luray {luray.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options of all verbs."""


def main(*verb: str) -> None:
    """Run the command line, of one verb or all.

    An error of the user is one message on standard error and exit code 1, without a traceback. So
    are Ctrl-C and SIGTERM, with exit codes 130 and 143.

    Parameters
    ----------
    *verb : str
        Words that come before those of `sys.argv`: a script of `jobs/` names its verb here.
    """
    # Two searches that would take a tenth of the time in which a wrong run file is answered: for
    # plugins of pydantic in every installed package, and for garbage in what imports make.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(GARBAGE_THRESHOLD)

    raise_on_signals()

    # A degree sign or a title with an umlaut must not end a command where the terminal has no
    # letter for it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")

    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    # gcsfs logs, with a traceback, the errors that it raises as well.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)

    try:
        app([*verb, *sys.argv[1:]])
    except (Exception, InterruptedBySignal) as error:
        _end_with(error)


def _end_with(error: BaseException) -> None:
    """Print what ended a command and leave with its exit code; raise what is a bug of luray."""
    # Libraries wrap the signal in errors of their own, so that it is looked for behind them first.
    interruption = interruption_behind(error)
    if interruption is not None:
        console.err.print(str(interruption), soft_wrap=True)
        sys.exit(interruption.exit_code)

    # Users and their files raise these three; any other deserves its traceback.
    if not isinstance(error, (ValueError, OSError, RuntimeError)):
        raise error

    from luray.storage.errors import no_room
    from luray.storage.places import without_secrets

    full = no_room(error, place="the output of the run, or the folder for temporary files")
    message = without_secrets(str(full or error)) + _place_of(error)
    console.err.print(f"[bold red]error[/]: {escape(message)}", soft_wrap=True)
    sys.exit(1)


def _place_of(error: BaseException) -> str:
    """Say where an error of the system was raised that names no file; "" for any other error."""
    if not isinstance(error, OSError) or error.errno is None or error.filename is not None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    innermost = frames[-1]
    return f" (in {innermost.name}, {Path(innermost.filename).name} line {innermost.lineno})"
