"""Read every value of a run's inputs once, as a build would, and write nothing.

The unit of work is a *row band*: whole rows of one source, of one year or none; of maps all years.
What was found in a band, `Findings`, adds up with that of another in any order, so that bands may
be read anywhere. `luray.sources.verdict` judges the sum. Shapes: V variables, H W cells of a band.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import Bool
from luray.core.variable import Variable
from luray.sources.base import Source, SourceConfig
from luray.sources.coverage import Coverage, coverages, covered, cut, read_part
from luray.sources.layout import describe_grid
from luray.sources.presence import Presence, compare_years, present
from luray.storage.places import public

REFUSALS = (ValueError, OSError, RuntimeError)
"""Errors that a source raises on input that it refuses or cannot read."""

BAND_VALUES = 2**24
"""Most values of a row band, unless a single row has more."""

MESSAGES = 4
"""Most refusals of a source whose words are kept; the others are counted."""


@dataclass(frozen=True)
class OpenedSource:
    """A source of the run file: open, or refused with the reason."""

    config: SourceConfig
    source: Source | None = None
    fault: str = ""
    scenario: str = ""
    """The scenario whose part of a source it is, empty for the run's first."""
    coverage: Coverage | None = None
    """Coverage of the run, once it is known."""

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
    """Summary of the values of one variable; those of several bands add up.

    Examples
    --------
    >>> Values(cells=4, missing=1, low=-2, high=8) + Values(cells=2, low=0, high=9)
    Values(cells=6, missing=1, low=-2, high=9, classes=frozenset())
    """

    cells: int = 0
    missing: int = 0
    """Cells without a value."""
    low: float = np.inf
    high: float = -np.inf
    classes: frozenset[int] = frozenset()
    """Categories that occur, of a categorical variable."""

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
    """Findings in row bands of one source; those of several bands add up in any order."""

    values: tuple[Values, ...]
    """One a variable."""
    pieces: int = 0
    """Years of bands that were read or refused."""
    refused: int = 0
    """How many of `pieces` were refused."""
    messages: tuple[tuple[int, str], ...] = ()
    """The first different refusals by the number of their band, `MESSAGES` at most."""
    presence: Presence = field(default_factory=Presence)
    """Cells with a value by year, of a source that has years."""

    def __add__(self, other: "Findings") -> "Findings":
        # Sorting by band makes the sum the same in whatever order the bands were read.
        band_of_message: dict[str, int] = {}
        for number, message in sorted((*self.messages, *other.messages)):
            band_of_message.setdefault(message, number)
        messages = [(number, message) for message, number in band_of_message.items()]
        return Findings(
            values=tuple(a + b for a, b in zip(self.values, other.values, strict=True)),
            pieces=self.pieces + other.pieces,
            refused=self.refused + other.refused,
            messages=tuple(messages[:MESSAGES]),
            presence=self.presence + other.presence,
        )


def cover(opened: Sequence[OpenedSource], run: Grid) -> tuple[OpenedSource, ...]:
    """Return the open sources as a build takes them: what lies beyond their files is missing.

    Those that reach too little of the run's land are refused.
    """
    sources = [o.source for o in opened if o.source is not None]
    fault_of_maps = ""
    try:
        measured = coverages(sources, run)
    except REFUSALS as error:
        # The first map says where land is, and cannot be read. The maps are refused with that
        # reason; the other sources are measured by the whole grid, so that they are checked too.
        fault_of_maps = str(error)
        measured = coverages([source for source in sources if source.role != "state"], run)

    # `measured` has one coverage for each source that was measured, in the order of `opened`.
    coverage_of_next = iter(measured)
    result = []
    for opened_source in opened:
        source = opened_source.source
        if source is None:
            result.append(opened_source)
        elif fault_of_maps and source.role == "state":
            result.append(replace(opened_source, source=None, fault=fault_of_maps))
        else:
            result.append(_covered(opened_source, source, next(coverage_of_next)))
    return tuple(result)


def _covered(opened_source: OpenedSource, source: Source, coverage: Coverage) -> OpenedSource:
    """Return a source cut to what its files cover, or why it covers too little."""
    try:
        return replace(opened_source, source=covered(source, coverage), coverage=coverage)
    except REFUSALS as error:
        return replace(opened_source, source=None, fault=str(error))


def row_bands(source: Source, run: Grid) -> list[RowBand]:
    """Cut a source into row bands: every cell and year that a build reads, once.

    Years that hold the values of another are left out, as they are stored once.

    Raises
    ------
    ValueError
        Where the source reaches no cell of the run grid, or its maps are not on the run's lattice.
    """
    is_state = source.role == "state"
    part = _maps_under(source.grid, run) if is_state else cut(source.grid, run)[1]
    rows_of_band = max(1, BAND_VALUES // (part.width * len(source.variables)))
    boxes = []
    for first_row in range(0, part.height, rows_of_band):
        height = min(rows_of_band, part.height - first_row)
        boxes.append(Box(part.row + first_row, part.col, height, part.width))

    years: tuple[int | None, ...] = tuple(year for year in source.years if year not in source.held)
    if not years:
        years = (None,)
    # The years of the maps stay together: cells that lack a class in one of them are counted.
    groups = [years] if is_state else [(year,) for year in years]
    bands: list[RowBand] = []
    for group in groups:
        bands.extend(RowBand(group, box) for box in boxes)
    return bands


def _maps_under(maps: Grid, run: Grid) -> Box:
    """Return the part of the maps within the run grid, in their own cells."""
    row, col = run.offset_of(maps)
    run_in_maps = Box(-row, -col, *run.shape)
    part = run_in_maps.clip(maps.shape)
    if part is None:
        raise ValueError(
            f"the maps lie on {describe_grid(maps)} and do not overlap the run grid of "
            f"{describe_grid(run)}; correct [grid]"
        )
    return part


def examine(source: Source, bands: Iterable[tuple[int, RowBand]]) -> Findings:
    """Read numbered row bands of a source; what it refuses is a finding, not an error."""
    examine_band = _examine_maps if source.role == "state" else _examine_year
    findings = _no_findings(source)
    for number, band in bands:
        findings += examine_band(source, number, band)
    return findings


def _no_findings(source: Source) -> Findings:
    """Return the findings of a source of which nothing was read: the zero of their sum."""
    return Findings((Values(),) * len(source.variables))


def _refused(source: Source, number: int, error: Exception) -> Findings:
    return replace(_no_findings(source), pieces=1, refused=1, messages=((number, str(error)),))


def _examine_year(source: Source, number: int, band: RowBand) -> Findings:
    """Read a band of a forcing or static source, which has one year or none."""
    [year] = band.years
    try:
        values_VHW = read_part(source, year, band.box)
    except REFUSALS as error:
        return _refused(source, number, error)
    values = tuple(map(summarise, values_VHW, source.variables))
    presence = Presence()
    if year is not None:
        present_HW = present(values_VHW, source.variables[0].categories)
        presence = Presence({year: int(present_HW.sum())})
    return Findings(values, pieces=1, presence=presence)


def _examine_maps(source: Source, number: int, band: RowBand) -> Findings:
    """Read the maps of all years in some rows; a refused year is left out of the comparison."""
    # The comparison takes the maps one by one. While it does, the generator behind them adds what
    # it finds to this list: it is complete once the comparison is.
    findings_of_years: list[Findings] = []
    maps = _read_maps(source, number, band, findings_of_years)
    _, presence = compare_years(maps)
    findings = sum(findings_of_years, _no_findings(source))
    return replace(findings, presence=presence)


def _read_maps(
    source: Source, number: int, band: RowBand, findings: list[Findings]
) -> Iterator[tuple[int, Bool]]:
    """Yield each year and where its map has a class, and append what was found to `findings`.

    A generator, so that one map is held at a time.
    """
    [variable] = source.variables
    for year in band.years:
        assert year is not None
        try:
            codes_HW = source.read(year, band.box)[0]
        except REFUSALS as error:
            findings.append(_refused(source, number, error))
            continue
        findings.append(Findings((summarise(codes_HW, variable),), pieces=1))
        yield year, np.isin(codes_HW, source.legend.codes)


def summarise(values_HW: NDArray[Any], variable: Variable) -> Values:
    """Count the cells of a variable, and find its range, or the categories that occur.

    Missing is NaN, and of a categorical variable what is none of its categories.
    """
    if variable.categories:
        # Missing is no category, whichever number it is: one table of all bytes has the counts.
        counts = np.bincount(values_HW.astype(np.uint8).ravel(), minlength=256)
        classes = frozenset(code for code in variable.categories if counts[code])
        cells_with_class = int(sum(counts[code] for code in classes))
        return Values(values_HW.size, values_HW.size - cells_with_class, classes=classes)

    numbers = values_HW[np.isfinite(values_HW)]
    missing = values_HW.size - numbers.size
    if not numbers.size:
        return Values(values_HW.size, missing)
    return Values(values_HW.size, missing, float(numbers.min()), float(numbers.max()))
