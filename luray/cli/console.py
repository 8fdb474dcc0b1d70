"""The two streams that the command line writes to, and a table as either can show it."""

import sys

from rich.console import Console, RenderableType
from rich.markup import escape

LOG_WIDTH = 160
"""Columns of what is printed where there is no terminal."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print a line as it is: neither wrapped nor read as markup."""
    out.print(escape(text), soft_wrap=True)


def show(table: RenderableType, lines: str) -> None:
    """Print a table on a terminal, and plain lines in a pipe or a log."""
    if out.is_terminal:
        out.print(table)
    else:
        say(lines)
