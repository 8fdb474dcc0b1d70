"""Arguments that many verbs have in common."""

from typing import Annotated

import typer

# Text and no pathlib.Path, which would make one slash of the two in a URL.
RunFile = Annotated[
    str, typer.Argument(metavar="RUN.toml", help="The run file; catalogs/*/run.toml are examples.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        show_default=False,
        help="Override a value of the run file, such as training.steps=100. "
        "May be given several times.",
    ),
]
