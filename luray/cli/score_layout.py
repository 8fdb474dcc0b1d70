"""What the tables of scores share: their look, their numbers, and the notes below them."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


def new_table(*columns: str, label: str = "") -> Table:
    """Return an empty table: a column of names under `label`, then columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    table.add_column(label, overflow="fold", min_width=11)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def heading(text: str) -> Text:
    """Return the heading of a table."""
    return Text(f"\n{text}", style="bold cyan")


def rounded(value: float, digits: int) -> str:
    """Return a number with so many digits, "-" for one that does not exist."""
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def notes(inputs: Mapping[str, Iterable[str]], caveats: Iterable[str]) -> Iterator[RenderableType]:
    """Yield what was done to the inputs, and the caveats."""
    if inputs:
        yield heading("what was done to the inputs")
    for name, rules in inputs.items():
        for rule in rules:
            yield Text(f"{name}: {rule}", "dim")
    yield Text()
    for caveat in caveats:
        yield Text(f"! {caveat}", style="yellow")
