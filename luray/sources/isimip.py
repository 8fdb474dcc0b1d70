"""ISIMIP population, rounds 2b, 3a and 3b: counts a cell, turned into density.

2b begins in 1861, 3a and 3b in 1850; years before the round begins hold its first. The past of 3a
reaches to 2021 and may stand before a future of 3b, which wins from its first year.

Shapes: H W box.
"""

import re
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from luray.core.tiling import Box
from luray.core.types import F32
from luray.core.variable import Variable
from luray.sources.base import (
    About,
    Described,
    FilesConfig,
    Request,
    Source,
    held_years,
    refuse_cells,
)
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_netcdf, rules_of_files
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.netcdf import NetcdfFile, inspect_netcdf, unpack
from luray.sources.units import Conversion, conversion
from luray.sources.years import check_series, format_years, held_by, hold_rules
from luray.storage.errors import InputError

STEP = 0.5
"""Cell size in degrees."""

COUNTS = {"2b": "number_of_people", "3b": "total-population"}
"""Variable of each round; 3a is as 3b."""

MOST = 1e9
"""Most people in a cell of 0.5 degrees: a larger number is a fill value that is not declared."""

NAMES = {
    "2b": r"population_(?:histsoc|ssp(\d)soc)_0p5deg_annual_(\d{4})[-_](\d{4})\.nc4?",
    "3b": r"population_(?:histsoc|ssp(\d)(?:soc)?)_30arcmin_annual_(\d{4})[-_](\d{4})\.nc4?",
}
"""File names of each round: SSP (none for the past), first and last year; 3a is named as 3b."""


@dataclass(frozen=True)
class PublishedFile:
    """A file as ISIMIP publishes it."""

    name: str
    first: int
    last: int


PUBLISHED: Mapping[str, tuple[PublishedFile, ...]] = {
    "2b": (
        PublishedFile("population_histsoc_0p5deg_annual_1861-2005.nc4", 1861, 2005),
        PublishedFile("population_ssp{ssp}soc_0p5deg_annual_2006-2100.nc4", 2006, 2100),
    ),
    "3b": (
        PublishedFile("population_histsoc_30arcmin_annual_1850_1900.nc", 1850, 1900),
        PublishedFile("population_histsoc_30arcmin_annual_1901_2014.nc", 1901, 2014),
        PublishedFile("population_ssp{ssp}_30arcmin_annual_2015_2100.nc", 2015, 2100),
    ),
}
"""Files of each round, in order."""

LAST_PAST_3B = 2014
"""Last year of the past of 3b; that of 3a reaches to 2020 or 2021."""

HELD_BEFORE = 11
"""Years before a round begins that may hold its first unless a run says otherwise: 1850-1860."""

POPULATION = Variable(
    name="population_density",
    role="forcing",
    units="km-2",
    long_name="persons per square kilometre",
    resampling="bilinear",
    transform="log1p",
    scale=5.0,
)

ABOUT = About(
    title="ISIMIP gridded population, rounds 2b and 3b",
    doi="10.48364/ISIMIP.889136.2",
    licence="CC0-1.0",
    url="https://data.isimip.org (2b: https://doi.org/10.48364/ISIMIP.432399)",
    files=(
        "population_histsoc_0p5deg_annual_1861-2005.nc4",
        "population_ssp{1-5}soc_0p5deg_annual_2006-2100.nc4",
        "population_histsoc_30arcmin_annual_{1850_1900,1901_2014}.nc",
        "population_ssp2_30arcmin_annual_2015_2100.nc",
        "round 3a: population_histsoc_30arcmin_annual_1901_2021.nc",
    ),
    values="0.5 degrees; a count of people a cell in "
    "number_of_people (2b) or total-population (3b)",
    ranges={"": "from 0 km-2 up"},
)


class IsimipConfig(FilesConfig):
    """Where the population files are, whose population is read, and which years hold another's.

    `ssp` overrides the scenario's own (3b has only SSP 2). `max_held_years` is how many years of
    the run, which no file has, may hold the population of another year: the last one before them,
    or the first of all. Unset, these are the years before the round begins, 11 at most (1850-1860
    for 2b, which begins in 1861); a file of the round that is lacking is refused.
    """

    about: ClassVar[About] = ABOUT
    reads_other_years: ClassVar[bool] = True
    by_scenario: ClassVar[bool] = True
    native_step: ClassVar[float | None] = STEP

    kind: Literal["isimip"]
    ssp: int | None = None
    max_held_years: int | None = Field(default=None, ge=0)

    @property
    def gaps(self) -> Literal["refused", "held"]:
        """Treatment of years that are missing within a file."""
        return "held" if self.max_held_years else "refused"

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Population density."""
        return (POPULATION,)

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the year and scenario of round 2b, whose first year serves those before it."""
        past, future = PUBLISHED["2b"]
        return max(year, past.first), scenario if year >= future.first else ""

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_isimip`."""
        return open_isimip(self, run_years=request.run_years, scenario=request.scenario)


@dataclass(frozen=True)
class CountsFile:
    """An open file of counts of people."""

    file: NetcdfFile
    variable: str
    """Name of the counts in it."""
    to_persons: Conversion
    """Conversion of the counts into persons."""


Steps = dict[int, tuple[CountsFile, int]]
"""File and time index of each year."""


@dataclass(frozen=True, kw_only=True)
class Isimip(Described):
    """Population density on the 0.5 degree grid."""

    steps: Mapping[int, tuple[CountsFile, int]]
    """File and time index of each year of the run, held years included."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return persons per km2 of one year, shape (1, H, W), 0 over sea; see `Source.read`."""
        assert year is not None
        counts, time_index = self.steps[year]
        file = counts.file
        [raw_HW] = file.read((counts.variable,), box, **{file.time_axis: time_index})
        persons_HW = counts.to_persons(unpack(raw_HW, file.variables[counts.variable]))
        # The sea is missing and has nobody; infinity stays, to be refused.
        persons_HW = np.nan_to_num(persons_HW, nan=0.0, posinf=np.inf, neginf=-np.inf)
        refuse_cells(
            ~np.isfinite(persons_HW) | (persons_HW < 0) | (persons_HW > MOST),
            persons_HW,
            grid=self.grid,
            box=box,
            where=f"{file.url}, year {year}",
            found="are no counts of people",
            expected=f"numbers from 0 to {MOST:g}, or a declared missing value; get the file again",
        )
        area_km2 = self.grid.cell_area[box.row : box.row + box.height, None] / 1e6
        density_HW: F32 = (persons_HW / area_km2).astype(np.float32)
        return density_HW[None]


def open_isimip(config: IsimipConfig, *, run_years: range, scenario: str) -> Source:
    """Open the population of a run: the past, and from its first year on the scenario's SSP.

    Years before the round begins hold its first year.

    Parameters
    ----------
    config : IsimipConfig
        Where the files are, and which years may hold another's population.
    run_years : range
        Years of the run.
    scenario : str
        The scenario, such as ssp245, whose SSP is read unless `config.ssp` names one.

    Raises
    ------
    InputError
        Where files are of both grids' rounds or of neither, a file or a year is lacking, or the
        unit is no count of people.
    """
    round_, matches = _find_files(config)
    ssp = str(config.ssp) if config.ssp is not None else _ssp_of(scenario)
    past_urls = [url for url, match in matches if match[1] is None]
    # A future that begins after the run is not opened.
    future_urls = []
    for url, match in matches:
        if ssp and match[1] == ssp and int(match[2]) < run_years.stop:
            future_urls.append(url)

    # The future wins from its first year on: the past of 3a reaches beyond that.
    past_steps = _steps([_open_counts(url) for url in past_urls], config)
    future_steps = _steps([_open_counts(url) for url in future_urls], config)
    begins = min(future_steps, default=max(past_steps, default=0) + 1)
    steps = {year: step for year, step in past_steps.items() if year < begins} | future_steps

    ssps = {match[1] for _, match in matches if match[1]}
    held = _held(steps, config, round_, run_years, ssp=ssp, ssps=ssps)
    run_steps = {year: steps[held.get(year, year)] for year in run_years}
    places = {year: (counts.file.url, index) for year, (counts, index) in run_steps.items()}

    # Each file once, in the order of its first year.
    counts_by_url = {counts.file.url: counts for counts, _ in run_steps.values()}
    used = list(counts_by_url.values())
    files = [counts.file for counts in used]
    grid = shared_grid(files)
    require_lattice(grid, where=files[0].url, step=STEP)

    from_future = any(file.url in future_urls for file in files)
    from_past = any(file.url in past_urls for file in files)
    label = _round_label(round_, past_steps, from_past=from_past, from_future=from_future)
    rules = [
        f"round {label}: counts divided by the cell's area in km2",
        "missing (sea) read as 0 persons",
    ]
    changes = [counts.to_persons.rule for counts in used if counts.to_persons.changes]
    rules.extend(dict.fromkeys(changes))
    rules.extend(hold_rules(held))
    if from_future and any(year >= begins for year in past_steps):
        rules.append(f"SSP {ssp} from {begins}, the past before it: both have years from {begins}")
    if from_future and ssp != _ssp_of(scenario):
        rules.append(f"population of SSP {ssp} used for scenario {scenario}")

    variable = used[0].variable
    alike = [counts.file for counts in used if counts.variable == variable]
    return Isimip(
        name=config.label,
        about=ABOUT,
        grid=grid,
        variables=(POPULATION,),
        years=tuple(run_years),
        steps=run_steps,
        encodings=(encoding_of_netcdf(variable, alike),),
        held=held_years(places),
        places=places,
        rules=(*rules, *rules_of_files(files)),
        files=tuple(file.url for file in files),
    )


def _find_files(config: IsimipConfig) -> tuple[str, list[tuple[str, re.Match[str]]]]:
    """The round of which there are files, 2b or 3b (as which 3a counts), and its files.

    Raises InputError for files of both rounds or of neither.
    """
    files_of_round = {name: matching(config, pattern) for name, pattern in NAMES.items()}
    rounds = [name for name, files in files_of_round.items() if files]
    if len(rounds) != 1:
        rounds_there = "rounds 2b and 3b" if rounds else "neither round"
        raise InputError(
            f"{config.where}: found files of {rounds_there}, expected one of them "
            f"({', '.join(ABOUT.files)}); set `path` to its folder"
        )
    return rounds[0], files_of_round[rounds[0]]


def _open_counts(url: str) -> CountsFile:
    """A file with its counts. Raises InputError for another unit, as a density is."""
    file = inspect_netcdf(url)
    names = [name for name in COUNTS.values() if name in file.variables]
    variable = names[0] if names else COUNTS["2b"]
    file.require(variable)
    units = file.variables[variable].units
    try:
        to_persons = conversion(units, "person", where=f"{file.url}: {variable}")
    except InputError as error:
        raise InputError(
            f"{error}; expected a count of people per cell: use the files of counts"
        ) from error
    return CountsFile(file, variable, to_persons)


def _steps(counts_files: list[CountsFile], config: IsimipConfig) -> Steps:
    """File and time index of each year of some files. Raises InputError for repeated years."""
    steps: Steps = {}
    for counts in counts_files:
        file = counts.file
        check_series(file.years, where=file.url, gaps=config.gaps)
        repeated = set(file.years) & set(steps)
        if repeated:
            earlier, _ = steps[min(repeated)]
            raise InputError(
                f"{file.url}: years {format_years(repeated)} are also in {earlier.file.url}, "
                f"expected each year once; remove one of them from {config.where}"
            )
        steps |= {year: (counts, index) for index, year in enumerate(file.years)}
    return steps


def _round_label(
    round_: str, past_years: Collection[int], *, from_past: bool, from_future: bool
) -> str:
    """The rounds that a run reads: names do not tell 3a from 3b, the end of the past does."""
    past = "3a" if round_ == "3b" and max(past_years, default=0) > LAST_PAST_3B else round_
    labels = {past: from_past, round_: from_future or (from_past and past == round_)}
    return " and ".join(label for label, is_read in labels.items() if is_read)


def _held(
    steps: Steps,
    config: IsimipConfig,
    round_: str,
    run_years: range,
    *,
    ssp: str,
    ssps: set[str],
) -> dict[int, int]:
    """Years of the run that no file has, with the year that each holds.

    Raises InputError where these are years that the round has, or more than may be held.
    """
    round_begins = PUBLISHED[round_][0].first
    held = held_by(steps, run_years) if steps else dict.fromkeys(run_years, 0)
    lacking = set(held)
    if config.max_held_years is None:
        # The years before the round may hold its first one, if that is there and they are few.
        has_first = bool(steps) and min(steps) == round_begins
        before_round = {year for year in held if year < round_begins and has_first}
        if len(before_round) <= HELD_BEFORE:
            lacking -= before_round
    elif steps and len(held) <= config.max_held_years:
        lacking = set()
    if not lacking:
        return held

    lacking_files = [
        file
        for file in PUBLISHED[round_]
        if not lacking.isdisjoint(range(file.first, file.last + 1))
    ]
    files = [file.name.format(ssp=ssp or "{1-5}") for file in lacking_files]
    expected = f"the files of these years ({', '.join(files)})" if files else "years of the round"
    raise InputError(
        f"{config.where}: round {round_} has no population for years {format_years(lacking)} with "
        f"SSP {ssp or 'none'} (SSPs there: {sorted(ssps) or 'none'}), expected {expected}; get the "
        f"file, set `ssp` to one of them, or shorten the run's years; max_held_years = {len(held)} "
        "would hold the years beside them"
    )


def _ssp_of(scenario: str) -> str:
    """The digit of the SSP in the name of a scenario, else empty: 2 of ssp245."""
    match = re.fullmatch(r"ssp(\d)\d*", scenario)
    return match[1] if match else ""
