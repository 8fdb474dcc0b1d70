"""ISIMIP population, rounds 2b and 3b: counts a cell, turned into density.

2b begins in 1861 and 3b in 1850; years before the first hold the first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.schema import Variable
from luray.sources.base import About, Described, FilesConfig, InputError, Request, Source, held_years, refuse_cells
from luray.sources.files import NetcdfFile, inspect_netcdf, matching, shared_grid, unpack
from luray.sources.layout import require_lattice
from luray.sources.stored import stored_netcdf, turned
from luray.sources.years import check_series, span
from luray.windows import Box

STEP = 0.5
COUNTS = {"2b": "number_of_people", "3b": "total-population"}
"""Variable of each round."""

NO_COUNT = r"m\s*(?:\^|\*\*)?-?2|/\s*k?m|thousand|million|1000|1e|10\^"
"""Units of a density or of a multiple of persons."""

MOST = 1e9
"""Most people in a cell of 0.5 degrees: a larger number is no count but a fill value that the file does not declare."""

NAMES = {
    "2b": r"population_(?:histsoc|ssp(\d)soc)_0p5deg_annual_(\d{4})-(\d{4})\.nc4?",
    "3b": r"population_(?:histsoc|ssp(\d)(?:soc)?)_30arcmin_annual_(\d{4})_(\d{4})\.nc4?",
}
"""File names of each round: SSP (none for the past), first and last year."""

POPULATION = Variable(name="population_density", role="forcing", units="km-2", long_name="persons per square kilometre",
                      resampling="bilinear", transform="log1p", scale=5.0)

ABOUT = About(
    title="ISIMIP gridded population, rounds 2b and 3b",
    doi="10.48364/ISIMIP.889136.2",
    licence="CC0-1.0",
    url="https://data.isimip.org (2b: https://doi.org/10.48364/ISIMIP.432399)",
    files=("population_histsoc_0p5deg_annual_1861-2005.nc4", "population_ssp{1-5}soc_0p5deg_annual_2006-2100.nc4",
           "population_histsoc_30arcmin_annual_{1850_1900,1901_2014}.nc",
           "population_ssp2_30arcmin_annual_2015_2100.nc"),
    values="0.5 degrees; a count of people a cell in number_of_people (2b) or total-population (3b)",
    ranges={"": "from 0 km-2 up"},
)


class IsimipConfig(FilesConfig):
    """Where the population files are; `ssp` overrides the scenario's own (3b has only SSP 2)."""

    about: ClassVar[About] = ABOUT
    holds: ClassVar[bool] = True
    by_scenario: ClassVar[bool] = True
    kind: Literal["isimip"]
    ssp: int | None = None

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
        counts_HW = np.nan_to_num(unpack(raw, file.variables[name]), nan=0.0, posinf=np.inf, neginf=-np.inf)
        refuse_cells(~np.isfinite(counts_HW) | (counts_HW < 0) | (counts_HW > MOST), counts_HW, grid=self.grid, box=box,
                     where=f"{file.url}, year {year}", found="are no counts of people",
                     expected=f"numbers from 0 to {MOST:g}, or a declared missing value; get the file again")
        area_km2 = self.grid.cell_area[box.row : box.row + box.height, None] / 1e6
        return (counts_HW / area_km2).astype(np.float32)[None]


def open_isimip(config: IsimipConfig, *, run_years: range, scenario: str) -> Source:
    """Population for a run: the past, then the scenario's SSP; years before the first file hold its first year.

    Raises InputError where files are lacking or of both rounds, a year of the run is missing, or the unit is no count.
    """
    found = {r: matching(config, pattern) for r, pattern in NAMES.items()}
    rounds = [r for r, files in found.items() if files]
    if len(rounds) != 1:
        found_rounds = "rounds 2b and 3b" if rounds else "neither round"
        raise InputError(f"{config.where}: found files of {found_rounds}, expected one of them "
                         f"({', '.join(ABOUT.files)}); set `path` to its folder")
    [round_] = rounds
    ssp = str(config.ssp) if config.ssp is not None else _ssp_of(scenario)
    files = [inspect_netcdf(file) for file, m in found[round_]
             if m[1] is None or (m[1] == ssp and int(m[2]) < run_years.stop)]
    steps = _steps(files, path=config.where)
    first = min(steps, default=run_years.stop)
    lacking = {y for y in run_years if y > first} - set(steps)
    if lacking or not steps:
        held = sorted({m[1] for _, m in found[round_] if m[1]})
        raise InputError(f"{config.where}: round {round_} has no population for years {span(lacking or run_years)} "
                         f"with SSP {ssp or 'none'} (SSPs there: {held or 'none'}); get the file or set `ssp` to one "
                         "of them")
    years = {y: steps[max(y, first)] for y in run_years}
    places = {y: (file.url, i) for y, (file, i) in years.items()}
    used = list({id(f): f for f, _ in years.values()}.values())
    future = {file for file, m in found[round_] if m[1]}
    foreign = ssp != _ssp_of(scenario) and any(f.url in future for f in used)
    grid = shared_grid(used)
    require_lattice(grid, where=used[0].url, step=STEP)
    return Isimip(name="isimip", about=ABOUT, grid=grid, variables=(POPULATION,), years=tuple(run_years), steps=years,
                  stored=(stored_netcdf(_counts(used[0]), [f for f in used if _counts(f) == _counts(used[0])]),),
                  held=held_years(places), places=places,
                  rules=(*_rules(round_, run_years, first, ssp if foreign else "", scenario), *turned(used)),
                  files=tuple(f.url for f in used))


def _ssp_of(scenario: str) -> str:
    match = re.fullmatch(r"ssp(\d)\d*", scenario)
    return match[1] if match else ""


def _counts(file: NetcdfFile) -> str:
    name = next((n for n in COUNTS.values() if n in file.variables), COUNTS["2b"])
    file.require(name)
    return name


def _steps(files: list[NetcdfFile], *, path: str) -> dict[int, tuple[NetcdfFile, int]]:
    """File and time index of each year held. Raises InputError for repeated years and units that are no persons."""
    steps: dict[int, tuple[NetcdfFile, int]] = {}
    for file in files:
        units = file.variables[_counts(file)].units
        if re.search(NO_COUNT, units, re.IGNORECASE):
            raise InputError(f"{file.url}: {_counts(file)} is in {units!r}, expected a count of people per cell; use "
                             "the files of counts")
        check_series(file.years, where=file.url)
        again = set(file.years) & set(steps)
        if again:
            raise InputError(f"{file.url}: years {span(again)} are also in {steps[min(again)][0].url}, expected each "
                             f"year once; remove one of them from {path}")
        steps |= {year: (file, i) for i, year in enumerate(file.years)}
    return steps


def _rules(round_: str, run_years: range, first: int, foreign_ssp: str, scenario: str) -> tuple[str, ...]:
    held = [y for y in run_years if y < first]
    return (
        f"round {round_}: counts divided by the cell's area in km2",
        "missing (sea) read as 0 persons",
        *([f"years {span(held)} hold {first}"] if held else []),
        *([f"population of SSP {foreign_ssp} used for scenario {scenario}"] if foreign_ssp else []),
    )
