"""Checking the inputs of a run: every value is read once, nothing is written, and each variable
gets a verdict.

A *share* is a band of whole rows of one source and year, the unit of work. What a share gives,
`Findings`, can be added to that of another in any order, so that the shares may be read anywhere.
Shapes: V variables, H W box.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import Bool, Role
from luray.core.variable import Variable
from luray.sources.base import About, Encoding, Source, SourceConfig
from luray.sources.coverage import Coverage, coverages, covered, cut, percent, read_part
from luray.sources.layout import describe
from luray.sources.presence import Presence, compare_years, presence_rule, present
from luray.sources.years import span
from luray.storage.places import public

REFUSALS = (ValueError, OSError, RuntimeError)
"""What a source raises on input that it refuses or cannot read."""

REFUSED = "refused"

WANTED_BY: Mapping[Role, str] = {
    "state": "inference.observed, training.years and the tests",
    "static": "nothing",
    "forcing": "inference.years, training.years and the tests",
}
"""Keys of the run file that say which years a source must have."""

SHARE_VALUES = 2**24
"""Most values of a share, unless a single row has more."""

MESSAGES = 4
"""Most refusals of a source that are kept word for word; the others are counted."""


@dataclass(frozen=True)
class Opened:
    """A source of the run file, open, or why it was refused."""

    config: SourceConfig
    source: Source | None = None
    fault: str = ""
    scenario: str = ""
    """The scenario whose part of a source it is, empty for the run's first."""
    coverage: Coverage | None = None
    """What it reaches of the run, once that is known."""

    @property
    def name(self) -> str:
        """Group of the cube, as far as the configuration tells."""
        if self.source is not None:
            return self.source.name
        label = self.config.label
        return f"{label}@{self.scenario}" if self.scenario else label

    @property
    def where(self) -> str:
        """The place that the run file names, empty for a source that is made from another."""
        return public(self.config.where)


class RowBand(NamedTuple):
    """Years (None for a static source) and whole rows of a source's part under the run grid.

    Of maps it has all years, which are compared cell by cell.
    """

    years: tuple[int | None, ...]
    box: Box


@dataclass(frozen=True)
class Values:
    """What was read of one variable: cells, those without a value, and the range or the classes of
    the others.
    """

    cells: int = 0
    missing: int = 0
    low: float = np.inf
    high: float = -np.inf
    classes: frozenset[int] = frozenset()

    def __add__(self, other: "Values") -> "Values":
        return Values(
            self.cells + other.cells,
            self.missing + other.missing,
            min(self.low, other.low),
            max(self.high, other.high),
            self.classes | other.classes,
        )


@dataclass(frozen=True)
class Findings:
    """What shares of one source gave: `values` a variable, and the refusals, numbered by the share."""

    values: tuple[Values, ...]
    pieces: int = 0
    """Years of shares that were read."""
    refused: int = 0
    messages: tuple[tuple[int, str], ...] = ()
    """The first `MESSAGES` different refusals, each with the number of its share, in the order of
    the shares.
    """
    presence: Presence = field(default_factory=Presence)
    """Cells with a value by year, of a source that has years."""

    def __add__(self, other: "Findings") -> "Findings":
        said: dict[str, int] = {}
        for number, message in sorted((*self.messages, *other.messages)):
            said.setdefault(message, number)
        return Findings(
            values=tuple(a + b for a, b in zip(self.values, other.values, strict=True)),
            pieces=self.pieces + other.pieces,
            refused=self.refused + other.refused,
            messages=tuple((number, message) for message, number in said.items())[:MESSAGES],
            presence=self.presence + other.presence,
        )


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
        """True when the build would stop at it."""
        return self.verdict.startswith(REFUSED)


@dataclass(frozen=True)
class SourceCheck:
    """One source: what its files are, everything done to them, a row a variable, and every refusal
    in full.
    """

    name: str
    found: str
    expected: str
    rules: tuple[str, ...]
    rows: tuple[Row, ...]
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """The verdict on the inputs of a run."""

    run: str
    sources: tuple[SourceCheck, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """One row a variable, in the order of the sources."""
        return tuple(row for source in self.sources for row in source.rows)

    @property
    def refused(self) -> tuple[str, ...]:
        """Names of the sources that are refused."""
        return tuple(source.name for source in self.sources if source.refusals)

    def to_json(self) -> str:
        """The findings for a program: `verdict` is "ok" or "refused", then `refused` and every
        source with its rows.
        """
        verdict = "refused" if self.refused else "ok"
        sources = [asdict(source) for source in self.sources]
        return json.dumps(
            {"run": self.run, "verdict": verdict, "refused": self.refused, "sources": sources},
            indent=1,
        )


def cover(opened: Sequence[Opened], run: Grid) -> tuple[Opened, ...]:
    """The open sources as a build takes them, those that reach too little of the run grid refused."""
    sources = [one.source for one in opened if one.source is not None]
    try:
        found = iter(coverages(sources, run))
    except (
        REFUSALS
    ) as error:  # the map that says where land is cannot be read, which its own check names
        found = iter(coverages([s for s in sources if s.role != "state"], run))
        return tuple(_covered(one, found, str(error)) for one in opened)
    return tuple(_covered(one, found) for one in opened)


def _covered(one: Opened, found: Iterator[Coverage], fault_of_state: str = "") -> Opened:
    if one.source is None:
        return one
    if fault_of_state and one.source.role == "state":
        return replace(one, source=None, fault=fault_of_state)
    coverage = next(found)
    try:
        return replace(one, source=covered(one.source, coverage), coverage=coverage)
    except REFUSALS as error:
        return replace(one, source=None, fault=str(error))


def shares_of(source: Source, run: Grid) -> list[RowBand]:
    """The shares of a source: every cell and year that a build reads, once; held years are those
    they hold.

    Raises ValueError where the source reaches no cell of the run grid, or its maps are not on the
    run's lattice.
    """
    is_state = source.role == "state"
    part = _under(source.grid, run) if is_state else cut(source.grid, run)[1]
    rows = max(1, SHARE_VALUES // (part.width * len(source.variables)))
    bands = [
        Box(part.row + r, part.col, min(rows, part.height - r), part.width)
        for r in range(0, part.height, rows)
    ]
    years: tuple[int | None, ...] = tuple(
        year for year in source.years if year not in source.held
    ) or (None,)
    together = [years] if is_state else [(year,) for year in years]
    return [RowBand(some, box) for some in together for box in bands]


def _under(maps: Grid, run: Grid) -> Box:
    """The part of the fine maps within the run grid, in their own cells."""
    row, col = run.offset_of(maps)
    top, bottom = max(0, -row), min(maps.n_lat, run.n_lat - row)
    left, right = max(0, -col), min(maps.n_lon, run.n_lon - col)
    if bottom <= top or right <= left:
        raise ValueError(
            f"the maps lie on {describe(maps)} and do not overlap the run grid of {describe(run)}; "
            "correct [grid]"
        )
    return Box(top, left, bottom - top, right - left)


def examine(source: Source, shares: Iterable[tuple[int, RowBand]]) -> Findings:
    """Read numbered shares of a source; what it refuses is a finding, not an error."""
    found = _nothing(source)
    for number, share in shares:
        found += (
            _examine_maps(source, number, share)
            if source.role == "state"
            else _examine_one(source, number, share)
        )
    return found


def _nothing(source: Source) -> Findings:
    return Findings((Values(),) * len(source.variables))


def _refused(source: Source, number: int, error: Exception) -> Findings:
    return replace(_nothing(source), pieces=1, refused=1, messages=((number, str(error)),))


def _examine_one(source: Source, number: int, share: RowBand) -> Findings:
    """A share of a forcing or static source, which has one year or none."""
    [year] = share.years
    try:
        values_VHW = read_part(source, year, share.box)
    except REFUSALS as error:
        return _refused(source, number, error)
    values = tuple(map(summarise, values_VHW, source.variables))
    presence = Presence()
    if year is not None:
        there = present(values_VHW, source.variables[0].categories)
        presence = Presence({year: int(there.sum())})
    return Findings(values, pieces=1, presence=presence)


def _examine_maps(source: Source, number: int, share: RowBand) -> Findings:
    """The maps of all years in some rows; a year that is refused is left out of the comparison."""
    found = _nothing(source)
    [variable] = source.variables

    def classed() -> Iterator[tuple[int, Bool]]:
        nonlocal found
        for year in share.years:
            assert year is not None
            try:
                codes_HW = source.read(year, share.box)[0]
            except REFUSALS as error:
                found += _refused(source, number, error)
                continue
            found += Findings((summarise(codes_HW, variable),), pieces=1)
            yield year, np.isin(codes_HW, variable.categories)

    presence = compare_years(classed())[1]
    return replace(found, presence=presence)


def summarise(values_HW: NDArray[Any], variable: Variable) -> Values:
    """Cells, missing cells, and the range of a continuous variable or the categories of another;
    NaN is missing.
    """
    if variable.categories:
        counts = np.bincount(values_HW.astype(np.uint8).ravel(), minlength=256)
        present = frozenset(c for c in variable.categories if counts[c])
        return Values(
            values_HW.size, values_HW.size - int(sum(counts[c] for c in present)), classes=present
        )
    known = values_HW[np.isfinite(values_HW)]
    low, high = (float(known.min()), float(known.max())) if known.size else (np.inf, -np.inf)
    return Values(values_HW.size, values_HW.size - known.size, low, high)


def judge(
    opened: Opened, findings: Findings | None, *, wanted: Mapping[Role, Collection[int]]
) -> SourceCheck:
    """The rows of a source from what was found in its files; `findings` are None for a source that
    did not open.

    `wanted` are the years that a source of a role must have, for the run to work.
    """
    source = opened.source
    about = opened.config.described
    years = "" if opened.scenario else _years(opened.config.declared[0].role, wanted)
    expected = _sentence(years, about.values)
    if source is None or findings is None:
        rows = tuple(
            Row(opened.name, v.name, "", "", "", _allowed(v, about), f"{REFUSED}: {opened.fault}")
            for v in opened.config.declared
        )
        return SourceCheck(opened.name, "not opened", expected, (), rows, (opened.fault,))
    refusals = [message for _, message in findings.messages]
    if findings.refused > len(refusals):
        refusals.append(
            f"and more: {findings.refused} of {findings.pieces} pieces of {source.name} are refused"
        )
    lacking = (
        set(wanted[source.role]) - set(source.years)
        if source.years and not opened.scenario
        else set()
    )
    if lacking:
        refusals.append(
            f"{source.name} has nothing for years {span(lacking)}, expected "
            f"{span(wanted[source.role])} by "
            f"{WANTED_BY[source.role]} of the run file; get their files or narrow those years"
        )
    rules = list(source.rules)
    if not findings.refused:  # years that could not be read cannot be compared
        try:
            rule = presence_rule(
                findings.presence, name=source.name, max_missing=source.max_missing
            )
        except ValueError as error:
            refusals.append(str(error))
        else:
            rules += [rule] if rule else []
    empty = [
        v.name
        for v, values in zip(source.variables, findings.values, strict=True)
        if values.cells and values.missing == values.cells
    ]
    if empty and not refusals:
        refusals.append(
            f"{source.name}: {', '.join(empty)} has no value anywhere in the run's region, "
            "expected some; "
            "check that these are the right files"
        )
    rows = tuple(
        _row(source, i, findings.values[i], about, refusals, covers=_covers(opened.coverage))
        for i in range(len(source.variables))
    )
    return SourceCheck(source.name, files_of(source), expected, tuple(rules), rows, tuple(refusals))


def _covers(coverage: Coverage | None) -> str:
    return percent(coverage.land) if coverage is not None else ""


def _row(
    source: Source, i: int, values: Values, about: About, refusals: Sequence[str], *, covers: str
) -> Row:
    variable = source.variables[i]
    stored = source.stored[i] if source.stored else None
    verdict = "ok"
    if refusals:
        verdict = f"{REFUSED}: {refusals[0]}"
    elif stored is not None and stored.turned:
        verdict = f"ok, normalised: {'; '.join(stored.turned)}"
    missing = percent(values.missing / values.cells) if values.cells else ""
    return Row(
        source.name,
        variable.name,
        _stored(stored, variable.name),
        _read(values, variable),
        missing,
        _allowed(variable, about),
        verdict,
        covers,
    )


def files_of(source: Source) -> str:
    """Files, years, grid and its orientation in words."""
    years = f"years {span(source.years)}" if source.years else ""
    lies = " and ".join(dict.fromkeys(s.orientation for s in source.stored))
    return _sentence(
        f"{len(source.files)} file{'s' if len(source.files) > 1 else ''}",
        years,
        describe(source.grid),
        lies,
    )


def _stored(stored: Encoding | None, name: str) -> str:
    if stored is None:
        return ""
    unit = "" if stored.units == "1" else stored.units
    fills = f"fill {', '.join(f'{f:g}' for f in stored.fills)}" if stored.fills else ""
    called = f"{stored.name} " if stored.name != name else ""
    return ", ".join(filter(None, (called + stored.dtype, unit, fills)))


def _read(values: Values, variable: Variable) -> str:
    """The values as read: the range, or the classes that are there."""
    if values.missing == values.cells:
        return "no value"
    if variable.categories:
        return " ".join(map(str, sorted(values.classes)))
    return f"{_number(values.low)}..{_number(values.high)}{_unit(variable)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def _allowed(variable: Variable, about: About) -> str:
    if variable.categories:
        return " ".join(map(str, variable.categories))
    return about.ranges.get(variable.name) or about.ranges.get("") or f"numbers in {variable.units}"


def _unit(variable: Variable) -> str:
    return "" if variable.units == "1" else f" {variable.units}"


def _years(role: Role, wanted: Mapping[Role, Collection[int]]) -> str:
    return f"years {span(wanted[role])}" if wanted[role] else ""


def _sentence(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
