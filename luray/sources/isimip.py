"""ISIMIP population, rounds 2b, 3a and 3b: counts a cell, turned into density.

2b begins in 1861, 3a and 3b in 1850; years before the round begins hold its first. The past of 3a
reaches to 2021 and may stand before a future of 3b, which wins from its first year.
"""

import re
from collections.abc import Collection, Mapping
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
from luray.sources.encoding import encoding_of_netcdf, turned
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.netcdf import NetcdfFile, inspect_netcdf, unpack
from luray.sources.units import Conversion, conversion
from luray.sources.years import check_series, held_by, hold_rules, span
from luray.storage.errors import InputError

STEP = 0.5
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
    values="0.5 degrees; a count of people a cell in number_of_people (2b) or total-population "
    "(3b)",
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
    holds: ClassVar[bool] = True
    by_scenario: ClassVar[bool] = True
    kind: Literal["isimip"]
    ssp: int | None = None
    max_held_years: int | None = Field(default=None, ge=0)

    @property
    def gaps(self) -> Literal["refused", "held"]:
        """What is done with years that are missing within a file."""
        return "held" if self.max_held_years else "refused"

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Population density."""
        return (POPULATION,)

    def open(self, request: Request) -> Source:
        """The source for a run; see `open_isimip`."""
        return open_isimip(self, run_years=request.run_years, scenario=request.scenario)


@dataclass(frozen=True, kw_only=True)
class Isimip(Described):
    """Population density on the 0.5 degree grid."""

    steps: Mapping[int, tuple[NetcdfFile, int]]
    """File and time index of each year of the run, held years included."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Persons per km2 of one year, shape (1, height, width), 0 over sea; see `Source.read`."""
        assert year is not None
        file, index = self.steps[year]
        name = _counts(file)
        [raw] = file.read((name,), box, **{file.time_axis: index})
        people_HW = _conversion(file)(unpack(raw, file.variables[name]))
        counts_HW: F32 = np.nan_to_num(people_HW, nan=0.0, posinf=np.inf, neginf=-np.inf)
        refuse_cells(
            ~np.isfinite(counts_HW) | (counts_HW < 0) | (counts_HW > MOST),
            counts_HW,
            grid=self.grid,
            box=box,
            where=f"{file.url}, year {year}",
            found="are no counts of people",
            expected=f"numbers from 0 to {MOST:g}, or a declared missing value; get the file again",
        )
        area_km2 = self.grid.cell_area[box.row : box.row + box.height, None] / 1e6
        density_HW: F32 = (counts_HW / area_km2).astype(np.float32)
        return density_HW[None]


def open_isimip(config: IsimipConfig, *, run_years: range, scenario: str) -> Source:
    """Open the population of a run: the past, and from its first year on the scenario's SSP.

    Years before the round begins hold its first year. Parameters as of `open_luh2`.

    Raises
    ------
    InputError
        Where files are of both grids' rounds or of neither, a file or a year is lacking, or the
        unit is no count of people.
    """
    matches = {name: matching(config, pattern) for name, pattern in NAMES.items()}
    rounds = [name for name, files in matches.items() if files]
    if len(rounds) != 1:
        found_rounds = "rounds 2b and 3b" if rounds else "neither round"
        raise InputError(
            f"{config.where}: found files of {found_rounds}, expected one of them "
            f"({', '.join(ABOUT.files)}); set `path` to its folder"
        )
    [round_] = rounds
    found = matches[round_]
    ssp = str(config.ssp) if config.ssp is not None else _ssp_of(scenario)

    past = [inspect_netcdf(url) for url, match in found if match[1] is None]
    future = []
    for url, match in found:
        if ssp and match[1] == ssp and int(match[2]) < run_years.stop:
            future.append(inspect_netcdf(url))
    past_steps = _steps(past, path=config.where, gaps=config.gaps)
    future_steps = _steps(future, path=config.where, gaps=config.gaps)
    begins = min(future_steps, default=max(past_steps, default=0) + 1)
    steps = {year: step for year, step in past_steps.items() if year < begins} | future_steps

    held = _held(steps, config, round_, run_years, ssp=ssp, ssps={m[1] for _, m in found if m[1]})
    run_steps = {year: steps[held.get(year, year)] for year in run_years}
    places = {year: (file.url, index) for year, (file, index) in run_steps.items()}
    used = list({id(file): file for file, _ in run_steps.values()}.values())
    grid = shared_grid(used)
    require_lattice(grid, where=used[0].url, step=STEP)

    counts = _counts(used[0])
    from_future = any(file in future for file in used)
    label = _round_label(
        round_, past_steps, from_past=any(file in past for file in used), from_future=from_future
    )
    rules = [f"round {label}: counts divided by the cell's area in km2"]
    rules.append("missing (sea) read as 0 persons")
    rules.extend(
        dict.fromkeys(_conversion(file).rule for file in used if _conversion(file).changes)
    )
    rules.extend(hold_rules(held))
    if from_future and any(year >= begins for year in past_steps):
        rules.append(f"SSP {ssp} from {begins}, the past before it: both have years from {begins}")
    if from_future and ssp != _ssp_of(scenario):
        rules.append(f"population of SSP {ssp} used for scenario {scenario}")
    return Isimip(
        name="isimip",
        about=ABOUT,
        grid=grid,
        variables=(POPULATION,),
        years=tuple(run_years),
        steps=run_steps,
        stored=(encoding_of_netcdf(counts, [file for file in used if _counts(file) == counts]),),
        held=held_years(places),
        places=places,
        rules=(*rules, *turned(used)),
        files=tuple(file.url for file in used),
    )


def _round_label(
    round_: str, past_years: Collection[int], *, from_past: bool, from_future: bool
) -> str:
    """The rounds that a run reads: names do not tell 3a from 3b, the end of the past does."""
    past = "3a" if round_ == "3b" and max(past_years, default=0) > LAST_PAST_3B else round_
    rounds = {past: from_past, round_: from_future or (from_past and past == round_)}
    return " and ".join(name for name, used in rounds.items() if used)


def _held(
    steps: Mapping[int, tuple[NetcdfFile, int]],
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
    begins = PUBLISHED[round_][0].first
    held = held_by(steps, run_years) if steps else dict.fromkeys(run_years, 0)
    if config.max_held_years is None:
        has_first = bool(steps) and min(steps) == begins
        before = [year for year in held if year < begins and has_first]
        lacking = set(held) - set(before) if len(before) <= HELD_BEFORE else set(held)
    else:
        lacking = set(held) if len(held) > config.max_held_years or not steps else set()
    if not lacking:
        return held

    files = [
        file.name.format(ssp=ssp or "{1-5}")
        for file in PUBLISHED[round_]
        if not lacking.isdisjoint(range(file.first, file.last + 1))
    ]
    expected = f"the files of these years ({', '.join(files)})" if files else "years of the round"
    raise InputError(
        f"{config.where}: round {round_} has no population for years {span(lacking)} with SSP "
        f"{ssp or 'none'} (SSPs there: {sorted(ssps) or 'none'}), expected {expected}; get the "
        "file, set `ssp` to one of them, or shorten the run's years; max_held_years = "
        f"{len(held)} would hold the years beside them"
    )


def _ssp_of(scenario: str) -> str:
    match = re.fullmatch(r"ssp(\d)\d*", scenario)
    return match[1] if match else ""


def _counts(file: NetcdfFile) -> str:
    name = next((n for n in COUNTS.values() if n in file.variables), COUNTS["2b"])
    file.require(name)
    return name


def _conversion(file: NetcdfFile) -> Conversion:
    """What makes persons of the counts of a file. Raises InputError for another unit, as a density
    is.
    """
    name = _counts(file)
    units = file.variables[name].units
    try:
        return conversion(units, "person", where=f"{file.url}: {name}")
    except InputError as error:
        raise InputError(
            f"{error}; expected a count of people per cell: use the files of counts"
        ) from error


def _steps(
    files: list[NetcdfFile], *, path: str, gaps: Literal["refused", "held"]
) -> dict[int, tuple[NetcdfFile, int]]:
    """File and time index of each year of some files.

    Raises InputError for repeated years and for units that are no persons.
    """
    steps: dict[int, tuple[NetcdfFile, int]] = {}
    for file in files:
        _conversion(file)
        check_series(file.years, where=file.url, gaps=gaps)
        again = set(file.years) & set(steps)
        if again:
            raise InputError(
                f"{file.url}: years {span(again)} are also in {steps[min(again)][0].url}, "
                f"expected each year once; remove one of them from {path}"
            )
        steps |= {year: (file, i) for i, year in enumerate(file.years)}
    return steps
