"""The verdict on the inputs of a run: a row a variable, with what is wrong and what to do.

`judge` takes what `luray.sources.check` found in the files of a source, compares it with what the
run and the publisher's description expect, and puts both into words.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np

from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import Role
from luray.core.variable import Variable
from luray.sources.base import About, Encoding, Source
from luray.sources.check import Findings, OpenedSource, Values
from luray.sources.coverage import Coverage, format_share
from luray.sources.layout import describe_grid
from luray.sources.presence import presence_rule
from luray.sources.time_steps import PER_YEAR, format_steps

REFUSED = "refused"

WANTED_BY: Mapping[Role, str] = {
    "state": "inference.observed, training.years and the tests",
    "static": "nothing",
    "forcing": "inference.years, training.years and the tests",
}
"""Keys of the run file that say which years a source must have."""


@dataclass(frozen=True)
class Row:
    """One variable: what was found, what was expected, and the verdict, in words."""

    source: str
    variable: str
    stored: str
    """How it is in the file: name, dtype, unit, fill value."""
    values: str
    """Range or classes as read."""
    missing: str
    """Share of the cells without a value."""
    expected: str
    verdict: str
    """`ok`, `ok, normalised: ...` or `refused: ...` with what is wrong and what to do."""
    covers: str = ""
    """Share of the run's land that the files reach; of the run grid, for the maps."""

    @property
    def refused(self) -> bool:
        """Whether the build would stop at it."""
        return self.verdict.startswith(REFUSED)


@dataclass(frozen=True)
class SourceCheck:
    """One source: its files, everything done to them, a row a variable, and every refusal."""

    name: str
    found: str
    expected: str
    rules: tuple[str, ...]
    rows: tuple[Row, ...]
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """The verdict on all inputs of a run."""

    run: str
    sources: tuple[SourceCheck, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """One row a variable, in the order of the sources."""
        return tuple(chain.from_iterable(source.rows for source in self.sources))

    @property
    def refused(self) -> tuple[str, ...]:
        """Names of the sources that are refused."""
        return tuple(source.name for source in self.sources if source.refusals)

    def to_json(self) -> str:
        """Return the report for a program.

        Its `verdict` is "ok" or "refused"; `refused` names the sources, `sources` has their rows.

        Examples
        --------
        >>> print(CheckReport("demo", ()).to_json())
        {
         "run": "demo",
         "verdict": "ok",
         "refused": [],
         "sources": []
        }
        """
        verdict = "refused" if self.refused else "ok"
        sources = [asdict(source) for source in self.sources]
        return json.dumps(
            {"run": self.run, "verdict": verdict, "refused": self.refused, "sources": sources},
            indent=1,
        )


def judge(
    opened: OpenedSource,
    findings: Findings | None,
    *,
    wanted: Mapping[Role, Collection[int]],
    time: TimeSteps = YEARLY,
) -> SourceCheck:
    """Judge a source by what was found in its files.

    Parameters
    ----------
    opened : OpenedSource
        The source, or why it did not open.
    findings : Findings or None
        The sum over all of its row bands; None for a source that did not open.
    wanted : mapping
        Years that a source of each role must have, for the run to work. With several maps a year
        these are time steps.
    time : TimeSteps
        Time steps of the run.

    Returns
    -------
    SourceCheck
        A row for each variable, and every reason to refuse the source.
    """
    source = opened.source
    about = opened.config.described
    # A part of a further scenario has the years in which it differs from the first, and no others.
    role = opened.config.declared[0].role
    years = "" if opened.scenario else _years(role, wanted, time)
    expected = _join(years, about.values)
    if source is None or findings is None:
        return _not_opened(opened, about, expected)

    # In this order: the first refusal is the verdict of every row, and values that were refused say
    # more than what follows from them.
    refusals = [message for _, message in findings.messages]
    if findings.refused > len(refusals):
        refusals.append(
            f"and more: {findings.refused} of {findings.pieces} pieces of {source.name} are refused"
        )
    if not opened.scenario:
        refusals.extend(_refusals_of_years(source, wanted[source.role], time))

    rules = list(source.rules)
    if not findings.refused:  # years that could not be read cannot be compared
        try:
            rule = presence_rule(
                findings.presence,
                name=source.name,
                max_missing=source.max_missing,
                time=PER_YEAR[source.per_year],
                cells="left out" if source.legend.scale is None else "kept",
            )
        except ValueError as error:
            refusals.append(str(error))
        else:
            rules.extend([rule] if rule else [])
    if not refusals:
        refusals.extend(_refusals_of_empty_variables(source, findings))

    rows = []
    for i, values in enumerate(findings.values):
        rows.append(_row(source, i, values, about, refusals, coverage=opened.coverage))
    return SourceCheck(
        source.name, files_of(source), expected, tuple(rules), tuple(rows), tuple(refusals)
    )


def _not_opened(opened: OpenedSource, about: About, expected: str) -> SourceCheck:
    """Return the check of a source that did not open: a row for each variable it should have."""
    rows = []
    for variable in opened.config.declared:
        row = Row(
            source=opened.name,
            variable=variable.name,
            stored="",
            values="",
            missing="",
            expected=_allowed(variable, about),
            verdict=f"{REFUSED}: {opened.fault}",
        )
        rows.append(row)
    return SourceCheck(opened.name, "not opened", expected, (), tuple(rows), (opened.fault,))


def _refusals_of_years(source: Source, wanted: Collection[int], time: TimeSteps) -> list[str]:
    """Refuse a source that lacks years which the run names; a static one has none to lack."""
    own_time = PER_YEAR[source.per_year]
    own_wanted = {time.index(step, source.per_year) for step in wanted}
    lacking = own_wanted - set(source.years)
    if not source.years or not lacking:
        return []
    expected = format_steps(own_wanted, own_time).removeprefix("years ")
    return [
        f"{source.name} has nothing for {format_steps(lacking, own_time)}, expected "
        f"{expected} by {WANTED_BY[source.role]} of the run file; get their files or "
        "narrow those years"
    ]


def _refusals_of_empty_variables(source: Source, findings: Findings) -> list[str]:
    """Refuse a source of which a variable was read and has no value anywhere."""
    empty = []
    for variable, values in zip(source.variables, findings.values, strict=True):
        if values.cells and values.missing == values.cells:
            empty.append(variable.name)
    if not empty:
        return []
    return [
        f"{source.name}: {', '.join(empty)} has no value anywhere in the run's region, "
        "expected some; check that these are the right files"
    ]


def _row(
    source: Source,
    i: int,
    values: Values,
    about: About,
    refusals: Sequence[str],
    *,
    coverage: Coverage | None,
) -> Row:
    """Return the row of a source's variable number i."""
    variable = source.variables[i]
    stored = source.encodings[i] if source.encodings else None
    verdict = "ok"
    if refusals:
        verdict = f"{REFUSED}: {refusals[0]}"
    elif stored is not None and stored.rules:
        verdict = f"ok, normalised: {'; '.join(stored.rules)}"
    return Row(
        source=source.name,
        variable=variable.name,
        stored=_stored(stored, variable.name),
        values=_read(values, variable, source.legend),
        missing=format_share(values.missing / values.cells) if values.cells else "",
        expected=_allowed(variable, about, source.legend),
        verdict=verdict,
        covers=format_share(coverage.land) if coverage is not None else "",
    )


def files_of(source: Source) -> str:
    """Return the files of a source, its years, grid and orientation in words."""
    files = f"{len(source.files)} file{'s' if len(source.files) > 1 else ''}"
    years = format_steps(source.years, PER_YEAR[source.per_year]) if source.years else ""
    orientations = dict.fromkeys(stored.orientation for stored in source.encodings)
    return _join(files, years, describe_grid(source.grid), " and ".join(orientations))


def _stored(stored: Encoding | None, name: str) -> str:
    """Return how a variable is in its file; its name there only where luray has another."""
    if stored is None:
        return ""
    dtype = stored.dtype if stored.name == name else f"{stored.name} {stored.dtype}"
    unit = "" if stored.units == "1" else stored.units
    fills = ", ".join(f"{fill:g}" for fill in stored.fills)
    parts = (dtype, unit, f"fill {fills}" if fills else "")
    return ", ".join(part for part in parts if part)


def _read(values: Values, variable: Variable, legend: Legend) -> str:
    """Return the values as read: the range, or the classes that occur."""
    if values.missing == values.cells:
        return "no value"
    if variable.role == "state" and legend.scale is not None:
        levels = np.array([min(values.classes), max(values.classes)], np.uint8)
        low, high = legend.scale.values(levels)
        return f"{_number(low)}..{_number(high)}{_unit(variable)}"
    if variable.categories:
        return " ".join(map(str, sorted(values.classes)))
    return f"{_number(values.low)}..{_number(values.high)}{_unit(variable)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def _allowed(variable: Variable, about: About, legend: Legend = HILDA) -> str:
    """Return the values that a variable may have; the empty name stands for all others."""
    if variable.role == "state" and legend.scale is not None:
        scale = legend.scale
        return f"{_number(scale.first)}..{_number(scale.last)}{_unit(variable)}"
    if variable.categories:
        return " ".join(map(str, variable.categories))
    return about.ranges.get(variable.name) or about.ranges.get("") or f"numbers in {variable.units}"


def _unit(variable: Variable) -> str:
    return "" if variable.units == "1" else f" {variable.units}"


def _years(role: Role, wanted: Mapping[Role, Collection[int]], time: TimeSteps) -> str:
    return format_steps(wanted[role], time) if wanted[role] else ""


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
