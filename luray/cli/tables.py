"""Tables of the inputs: the sources that luray knows or a run names, the size and check of a build.

Each comes as a rich table for a terminal and as plain lines, never wrapped, for a pipe or a log.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luray.cube.plan import BuildPlan
from luray.planning.build import SourceCost, costs, objects, worker_memory
from luray.sources.base import About
from luray.sources.verdict import CheckReport, Row

OK = "green"
BAD = "bold red"
QUIET = "dim"

COVERS = "covers"
HEADS = ("  variable", "in the file", "values as read", "missing", COVERS, "expected", "verdict")
"""Headings of a check; what a variable covers has a column where it is known of any."""

SHARES_OF_WIDTH = (0.28, 0.25, 0.23, 0.24)
"""Shares of the width for the file, the values, what is expected, and the verdict."""

PERCENT_WIDTH = 7
"""Columns for a share: of the missing cells, of the land that is covered."""

WIDEST = 170
"""Columns beyond which a table only gets harder to read."""

UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Listed:
    """A source in the list."""

    name: str
    """Its label in a run, or its kind."""
    about: About
    where: str = ""
    """Place in which a run looks for it."""
    found: str = ""
    """Files that were found, in words."""
    refused: str = ""
    """Why it cannot be used."""

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield label and value of each thing that is known, in order."""
        facts = (
            ("what", self.about.title),
            ("doi", self.about.doi),
            ("licence", self.about.licence),
            ("get it", self.about.url),
            ("files", "\n".join(self.about.files)),
            ("they hold", self.about.values),
            ("looked in", self.where),
            ("found", self.found),
            ("refused", self.refused),
        )
        return ((label, value) for label, value in facts if value)


def sources_table(sources: Iterable[Listed]) -> Table:
    """Return the sources, a block each: description, DOI, licence, where to get it, its files."""
    table = Table(box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False)
    table.add_column("source", style="bold", no_wrap=True)
    table.add_column("", style=QUIET, no_wrap=True)
    table.add_column("description", overflow="fold")
    styles = {"refused": BAD, "found": OK, "what": "bold"}
    for source in sources:
        name = source.name
        for label, value in source.facts():
            table.add_row(name, label, Text(value, style=styles.get(label, "")))
            name = ""  # the first row only
        table.add_section()
    return table


def sources_lines(sources: Iterable[Listed]) -> str:
    """Return the sources as plain text: the name, then a line a fact."""
    blocks = []
    for source in sources:
        lines = [source.name]
        for label, value in source.facts():
            indented = value.replace("\n", "\n" + " " * 12)
            lines.append(f"  {label:<10}{indented}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def format_bytes(n_bytes: float) -> str:
    """Return a number of bytes with three digits and its unit.

    Examples
    --------
    >>> format_bytes(123456)
    '123 KB'
    """
    power = 0
    while n_bytes >= 999.5 * 1000**power and power < len(UNITS) - 1:
        power += 1
    return f"{n_bytes / 1000**power:.3g} {UNITS[power]}"


def plan_table(plan: BuildPlan) -> Group:
    """Return what a build reads and writes, source by source, and what it needs."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=QUIET)
    for head in ("group", "stored"):
        table.add_column(head, no_wrap=True)
    for head in ("files", "to read", "to write", "shards"):
        table.add_column(head, justify="right", no_wrap=True)

    source_costs = costs(plan)
    for cost in source_costs:
        table.add_row(
            cost.group,
            _stored(cost),
            str(cost.files),
            format_bytes(cost.read_bytes),
            format_bytes(cost.write_bytes),
            str(cost.shards),
        )
    read_bytes = sum(cost.read_bytes for cost in source_costs)
    write_bytes = sum(cost.write_bytes for cost in source_costs)
    total = (
        f"in all: at most {format_bytes(read_bytes)} to read, {format_bytes(write_bytes)} to write "
        f"before compression, {objects(plan)} objects, {format_bytes(worker_memory(plan))} of "
        "memory a worker"
    )
    return Group(table, Text(total))


def _stored(cost: SourceCost) -> str:
    """Variables, years and grid of a source, as they are stored."""
    years = f"{cost.years} years of " if cost.years else ""
    variables = f"{cost.variables} variables, " if cost.variables > 1 else ""
    return f"{variables}{years}{cost.grid.n_lat} x {cost.grid.n_lon} at {cost.grid.step:.4g}°"


def check_table(report: CheckReport, *, width: int) -> Group:
    """Return a check in `width` columns: a row a variable, below the lines of its source."""
    has_covers = any(row.covers for row in report.rows)
    heads = [head for head in HEADS if head != COVERS or has_covers]
    widths = _check_widths(report, width=width, has_covers=has_covers)

    parts: list[RenderableType] = [_section(widths, [[Text(head, QUIET) for head in heads]])]
    for source in report.sources:
        parts.append(Text())
        parts.append(Text(f"{source.name}: {source.found}", "bold"))
        parts.append(Text(f"expected: {source.expected}", QUIET))
        parts.extend(Text(f"rule: {rule}", QUIET) for rule in source.rules)
        parts.append(_section(widths, [_cells(row, has_covers=has_covers) for row in source.rows]))
    return Group(*parts)


def _check_widths(report: CheckReport, *, width: int, has_covers: bool) -> list[int]:
    """Widths of the columns of a check: names and shares as they need, the rest in proportion."""
    longest_name = max((len(row.variable) for row in report.rows), default=0)
    name_width = longest_name + 2
    percents = [PERCENT_WIDTH, PERCENT_WIDTH] if has_covers else [PERCENT_WIDTH]
    n_columns = 1 + len(percents) + len(SHARES_OF_WIDTH)
    padding = 2 * n_columns
    text_width = max(40, min(width, WIDEST) - name_width - sum(percents) - padding)
    in_file, values, expected, verdict = (int(text_width * share) for share in SHARES_OF_WIDTH)
    return [name_width, in_file, values, *percents, expected, verdict]


def _section(widths: Sequence[int], rows: Iterable[Sequence[Text]]) -> Table:
    """Rows whose columns stand below those of every other section of these widths."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        table.add_column(width=width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(row: Row, *, has_covers: bool) -> list[Text]:
    verdict = Text("refused, see below", BAD) if row.refused else Text(row.verdict, OK)
    percents = [row.missing, row.covers] if has_covers else [row.missing]
    texts = [f"  {row.variable}", row.stored, row.values, *percents, row.expected]
    return [*map(Text, texts), verdict]


def check_lines(report: CheckReport) -> str:
    """Return a check as plain text: a line a variable, verdict first, below those of its source."""
    lines = []
    for source in report.sources:
        lines.append(f"{source.name}: {source.found}")
        lines.append(f"{source.name}: expected {source.expected}")
        lines.extend(f"{source.name}: rule: {rule}" for rule in source.rules)
        lines.extend(_check_line(row) for row in source.rows)
    return "\n".join(lines)


def _check_line(row: Row) -> str:
    verdict = "refused" if row.refused else row.verdict
    covers = f", covers {row.covers}" if row.covers else ""
    return (
        f"  {verdict}: {row.source}.{row.variable}: found {row.stored or '-'}; values "
        f"{row.values or '-'}, missing {row.missing or '-'}{covers}; expected {row.expected}"
    )


def verdict_line(report: CheckReport) -> str:
    """Return the last line of a check, in one form: what a script looks for."""
    refused = report.refused
    if refused:
        return f"verdict: refused: {', '.join(refused)}"
    return f"verdict: ok: {len(report.sources)} sources, {len(report.rows)} variables"


def refusals_of(report: CheckReport) -> Iterator[tuple[str, str]]:
    """Yield source and message, in full, for everything that is refused."""
    for source in report.sources:
        for message in source.refusals:
            yield source.name, message
