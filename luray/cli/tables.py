"""Tables of the command line: the sources that luray knows or a run names, and the verdict on the
inputs of a run.

Each comes as a rich table for a terminal and as plain lines, never wrapped, for a pipe or a log.
That of a training grows by a line an epoch and is plain in both.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luray.cube.build import BuildPlan
from luray.planning.build import costs, objects, worker_memory
from luray.product.status import Status
from luray.sources.base import About
from luray.sources.verdict import CheckReport, Row

OK, BAD, QUIET = "green", "bold red", "dim"

COVERS = "covers"
HEADS = ("  variable", "in the file", "values as read", "missing", COVERS, "expected", "verdict")
PARTS = (0.28, 0.25, 0.23, 0.24)
"""Shares of the width for the file, the values, what is expected, and the verdict."""
SHARE = 7
"""Width of a share: of the missing cells, of the land that is reached."""
WIDEST = 170
"""Columns beyond which a table only gets harder to read."""


@dataclass(frozen=True)
class Listed:
    """A source in the list: its name in the run or its kind, its description, and in a run where it
    is and what is.
    """

    name: str
    about: About
    where: str = ""
    found: str = ""
    refused: str = ""

    def facts(self) -> Iterator[tuple[str, str]]:
        """Label and value of each thing that is known, in order."""
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
    """The sources, one block each: what it is, DOI, licence, where to get it, the files, and what
    was found.
    """
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
        facts = [
            f"  {label:<10}{value.replace(chr(10), chr(10) + ' ' * 12)}"
            for label, value in source.facts()
        ]
        blocks.append("\n".join([source.name, *facts]))
    return "\n\n".join(blocks)


def size(n: float) -> str:
    """Bytes in words, three digits."""
    units = ("B", "KB", "MB", "GB", "TB", "PB")
    power = next((i for i in range(len(units)) if n < 999.5 * 1000**i), len(units) - 1)
    return f"{n / 1000**power:.3g} {units[power]}"


def plan_table(plan: BuildPlan) -> Group:
    """What a build reads and writes, source by source, and what it needs."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=QUIET)
    for head in ("group", "stored", "files", "to read", "to write", "shards"):
        table.add_column(
            head, justify="left" if head in ("group", "stored") else "right", no_wrap=True
        )
    found = costs(plan)
    for cost in found:
        years = f"{cost.years} years of " if cost.years else ""
        variables = f"{cost.variables} variables, " if cost.variables > 1 else ""
        table.add_row(
            cost.group,
            f"{variables}{years}{cost.grid.n_lat} x {cost.grid.n_lon} at {cost.grid.step:.4g}°",
            str(cost.files),
            size(cost.read_bytes),
            size(cost.write_bytes),
            str(cost.shards),
        )
    read, write = (
        sum(getattr(cost, key) for cost in found) for key in ("read_bytes", "write_bytes")
    )
    return Group(
        table,
        Text(
            f"in all: at most {size(read)} to read, {size(write)} to write before compression, "
            f"{objects(plan)} objects, {size(worker_memory(plan))} of memory a worker"
        ),
    )


def check_table(report: CheckReport, *, width: int) -> Group:
    """Every source with a row a variable, in `width` columns: found, expected, verdict, and the
    rules below it.
    """
    covers = any(row.covers for row in report.rows)
    heads = [head for head in HEADS if head != COVERS or covers]
    shares = (SHARE, SHARE) if covers else (SHARE,)
    names = max((len(row.variable) for row in report.rows), default=0) + 2
    rest = max(40, min(width, WIDEST) - names - sum(shares) - 2 * len(heads))
    found, values, expected, verdict = (int(rest * part) for part in PARTS)
    widths = (names, found, values, *shares, expected, verdict)

    parts: list[RenderableType] = [_section(widths, [[Text(head, QUIET) for head in heads]])]
    for source in report.sources:
        parts += [
            Text(),
            Text(f"{source.name}: {source.found}", "bold"),
            Text(f"expected: {source.expected}", QUIET),
            *(Text(f"rule: {rule}", QUIET) for rule in source.rules),
            _section(widths, [_cells(row, covers=covers) for row in source.rows]),
        ]
    return Group(*parts)


def _section(widths: Sequence[int], rows: Iterable[Sequence[Text]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        table.add_column(width=width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(row: Row, *, covers: bool) -> list[Text]:
    verdict = Text("refused, see below", BAD) if row.refused else Text(row.verdict, OK)
    shares = [row.missing, row.covers] if covers else [row.missing]
    texts = [f"  {row.variable}", row.stored, row.values, *shares, row.expected]
    return [*map(Text, texts), verdict]


def check_lines(report: CheckReport) -> str:
    """The same as plain text, the verdict first: a line a variable, below the lines of its source."""
    lines = []
    for source in report.sources:
        lines += [
            f"{source.name}: {source.found}",
            f"{source.name}: expected {source.expected}",
            *(f"{source.name}: rule: {rule}" for rule in source.rules),
        ]
        lines += [
            f"  {'refused' if row.refused else row.verdict}: {row.source}.{row.variable}: found "
            f"{row.stored or '-'}; values {row.values or '-'}, missing {row.missing or '-'}"
            f"{row.covers and f', covers {row.covers}'}; expected {row.expected}"
            for row in source.rows
        ]
    return "\n".join(lines)


def verdict_line(report: CheckReport) -> str:
    """The last line of a check, in one form: what a script looks for."""
    refused = report.refused
    if refused:
        return f"verdict: refused: {', '.join(refused)}"
    return f"verdict: ok: {len(report.sources)} sources, {len(report.rows)} variables"


def refusals_of(report: CheckReport) -> Iterator[tuple[str, str]]:
    """Source and message, in full, for everything that is refused."""
    return ((source.name, message) for source in report.sources for message in source.refusals)


TRAINING_COLUMNS = (
    ("epoch", 5),
    ("step", 6),
    ("loss", 7),
    ("on land", 8),
    ("on change", 10),
    ("accuracy", 10),
    ("null", 7),
    ("FoM", 6),
    ("pred/obs", 9),
    ("held out", 10),
    ("null", 7),
    ("FoM", 6),
    ("pred/obs", 9),
    ("rate", 9),
    ("samples/s", 10),
    ("left", 9),
)
"""Columns of a training and their widths: null is the accuracy of persistence, FoM the Figure of
Merit, pred/obs predicted over observed change; first on the batches of the epoch, their priors
corrupted, then on held-out blocks.
"""


def training_head() -> str:
    """Headings over `training_line`."""
    return "".join(f"{name:>{width}}" for name, width in TRAINING_COLUMNS)


def training_line(
    metrics: Mapping[str, float],
    held_out: Mapping[str, float],
    *,
    epoch: int,
    step: int,
    seconds_left: float,
) -> str:
    """One epoch of a training; columns without a value have a dash."""
    scores = {"accuracy": 4, "persistence": 4, "figure_of_merit": 3, "predicted_over_observed": 2}
    texts = [
        str(epoch),
        str(step),
        *(f"{metrics[name]:.4f}" for name in ("loss", "loss_land", "loss_changed")),
    ]
    for found in (metrics, held_out):
        texts += [f"{found[name]:.{places}f}" if found else "-" for name, places in scores.items()]
    minutes, seconds = divmod(round(seconds_left), 60)
    texts += [
        f"{metrics['learning_rate']:.5f}",
        f"{metrics['samples_per_second']:.1f}",
        f"{minutes}:{seconds:02d}",
    ]
    return "".join(
        f"{text:>{width}}" for text, (_, width) in zip(texts, TRAINING_COLUMNS, strict=True)
    )


def status_lines(status: Status) -> list[str]:
    """How far a product is, in a few lines."""
    done, complete = sum(status.done.values()), status.complete
    lines = [
        status.title,
        f"  {done} of {status.total} tile-years, {len(complete)} of {len(status.years)} years "
        f"whole: {spans(complete) or 'none'}",
    ]
    begun = [year for year in status.years if 0 < status.done[year] < status.each]
    if status.dims.lead:
        names, members = status.dims.scenarios, status.dims.members
        lines.append(
            "  of "
            + " and ".join(
                filter(
                    None,
                    (
                        f"scenarios {', '.join(names)}" if names else "",
                        f"{members} members" if members else "",
                    ),
                )
            )
        )
    if begun:
        lines.append(
            "  begun: "
            + ", ".join(f"{year} ({status.done[year]}/{status.each})" for year in begun[:8])
            + (" ..." if len(begun) > 8 else "")
        )
    if status.finished:
        return [*lines, "  finished"]
    rate = status.rate()
    pace = (
        f"{rate:.2f} tile-years/s, {_duration((status.total - done) / rate)} left"
        if rate
        else "none done lately"
    )
    return [
        *lines,
        f"  {f'being written by {status.holder}' if status.holder else 'nobody is writing it'}; "
        f"{pace}",
    ]


def spans(years: Sequence[int]) -> str:
    """Ascending years as spans, such as 1850-1900, 2001."""
    parts: list[list[int]] = []
    for year in years:
        if parts and year == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], year]
        else:
            parts.append([year])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
