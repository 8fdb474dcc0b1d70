"""Tables of the command line: the sources that luray knows or a run names, and the verdict on the inputs of a run.

Each comes as a rich table for a terminal and as plain lines, never wrapped, for a pipe or a log.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from luray.cube.check import CheckReport, Row, SourceCheck
from luray.sources import About

OK, BAD, QUIET = "green", "bold red", "dim"


@dataclass(frozen=True)
class Listed:
    """A source in the list: its name in the run or its kind, its description, and in a run where it is and what is."""

    name: str
    about: About
    where: str = ""
    found: str = ""
    refused: str = ""

    def facts(self) -> Iterator[tuple[str, str]]:
        """Label and value of each thing that is known, in order."""
        facts = (("what", self.about.title), ("doi", self.about.doi), ("licence", self.about.licence),
                 ("get it", self.about.url), ("files", "\n".join(self.about.files)), ("they hold", self.about.values),
                 ("looked in", self.where), ("found", self.found), ("refused", self.refused))
        return ((label, value) for label, value in facts if value)


def sources_table(sources: Iterable[Listed]) -> Table:
    """The sources, one block each: what it is, DOI, licence, where to get it, the files, and what was found."""
    table = Table(box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False)
    table.add_column("source", style="bold", no_wrap=True)
    table.add_column("", style=QUIET, no_wrap=True)
    table.add_column("description", overflow="fold")
    for source in sources:
        for i, (label, value) in enumerate(source.facts()):
            style = {"refused": BAD, "found": OK, "what": "bold"}.get(label, "")
            table.add_row(source.name if i == 0 else "", label, Text(value, style=style))
        table.add_section()
    return table


def sources_lines(sources: Iterable[Listed]) -> str:
    """The same as plain text: the name, then a line a fact."""
    blocks = []
    for source in sources:
        facts = [f"  {label:<10}{value.replace(chr(10), chr(10) + ' ' * 12)}" for label, value in source.facts()]
        blocks.append("\n".join([source.name, *facts]))
    return "\n\n".join(blocks)


def check_table(report: CheckReport) -> Table:
    """A row a variable below a row of its source: found, expected, verdict; refusals in full are `refusals`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"inputs of {report.run}", title_justify="left")
    table.add_column("variable", no_wrap=True)
    table.add_column("found", ratio=5, overflow="fold")
    table.add_column("expected", ratio=3, overflow="fold")
    table.add_column("verdict", ratio=2)
    for source in report.sources:
        table.add_row(Text(source.name, "bold"), Text(source.found, "bold"), Text(source.expected, "bold"), "")
        for row in source.rows:
            table.add_row(Text(f"  {row.variable}"), Text(row.found), Text(row.expected), _verdict(row))
        table.add_section()
    return table


def _verdict(row: Row) -> Text:
    return Text("refused, see below", BAD) if row.refused else Text(row.verdict, OK)


def check_lines(report: CheckReport) -> str:
    """The same as plain text: a line a source and a line a variable, the verdict first."""
    lines = []
    for source in report.sources:
        lines.append(f"{source.name}: found {source.found}; expected {source.expected}")
        lines += [f"  {'refused' if row.refused else row.verdict}: {row.source}.{row.variable}: found {row.found}; "
                  f"expected {row.expected}" for row in source.rows]
    return "\n".join(lines)


def rules_of(report: CheckReport) -> Iterator[tuple[str, str]]:
    """Source and rule, for everything that is done to the files when they are read."""
    return ((source.name, rule) for source in report.sources for rule in source.rules)


def refusals_of(report: CheckReport) -> Iterator[tuple[SourceCheck, str]]:
    """Source and message, in full, for everything that is refused."""
    return ((source, message) for source in report.sources for message in source.refusals)
