"""LUH2 land-use states: v2h (850-2015, `states.nc`) and v2f (2015-2100, one file a scenario), joined at 2015.

Shapes: S states, H W box. Fractions are of the whole cell; with `icwtr` (ice and water) they
sum to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.schema import F32, Variable
from luray.sources.base import About, Described, FilesConfig, InputError, Request, Source, refuse_cells
from luray.sources.files import NetcdfFile, inspect_netcdf, matching, only, shared_grid, unpack
from luray.sources.layout import require_lattice
from luray.sources.stored import stored_netcdf, turned
from luray.sources.years import check_series, span
from luray.windows import Box

JOIN = 2015
"""First year that is read from v2f."""

STEP = 0.25
FILL = 1e20

STATES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "primf": ("forested primary land", (44,)),
    "primn": ("non-forested primary land", (55, 66)),
    "secdf": ("potentially forested secondary land", (44,)),
    "secdn": ("potentially non-forested secondary land", (55, 66)),
    "pastr": ("managed pasture", (33,)),
    "range": ("rangeland", (33,)),
    "urban": ("urban land", (11,)),
    "c3ann": ("C3 annual crops", (22,)),
    "c3per": ("C3 perennial crops", (22,)),
    "c4ann": ("C4 annual crops", (22,)),
    "c4per": ("C4 perennial crops", (22,)),
    "c3nfx": ("C3 nitrogen-fixing crops", (22,)),
    "pltns": ("plantations (LUH3)", (44,)),
}
"""The area states, with their meaning and the HILDA+ codes that they become: no bare ground beside grass and shrub.

Ice and water (icwtr) is HILDA+'s ocean and water and no state. LUH2's forest is potential forest and its rangeland
blurs with unmanaged grass: compare changes, not levels.
"""

OPTIONAL = ("pltns",)
"""States that only LUH3 has."""

HISTORY = r"(?:states\.nc|multiple-states_input4MIPs_landState_CMIP_[^/]*\.nc)"
FUTURE = r"multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-[A-Za-z]+-(ssp\d+)-[^/]*_gn_2015-2100\.nc"
STATIC = r"(?:staticData_quarterdeg\.nc|multiple-(?:static|fixed)_input4MIPs_landState_[^/]*\.nc)"

ABOUT = About(
    title="LUH2: Harmonization of global land use change and management, 850-2100",
    doi="10.22033/ESGF/input4MIPs.10454",
    licence="CC-BY-SA-4.0",
    url="https://luh.umd.edu/data.shtml (v2f: https://doi.org/10.22033/ESGF/input4MIPs.10468)",
    files=("states.nc", "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-{IAM}-{ssp}-2-1-f_gn_2015-2100.nc",
           "staticData_quarterdeg.nc"),
    values="0.25 degrees; fractions 0..1 of the cell, 1e20 missing; the 12 states and icwtr sum to 1",
    ranges={"": "0..1"},
)


class Luh2Config(FilesConfig):
    """Where the LUH2 files are, and how far the states of a cell may miss 1 - icwtr before it is refused."""

    about: ClassVar[About] = ABOUT
    by_scenario: ClassVar[bool] = True
    kind: Literal["luh2"]
    closure_tolerance: float = 1e-3

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The twelve states; LUH3's are known once a file is open."""
        return _variables(tuple(s for s in STATES if s not in OPTIONAL))

    def open(self, request: Request) -> Source:
        """The source for a run; see `open_luh2`."""
        return open_luh2(self, run_years=request.run_years, scenario=request.scenario)


@dataclass(frozen=True, kw_only=True)
class Luh2(Described):
    """Land-use states as fractions of the 0.25 degree cell, one variable a state."""

    static: NetcdfFile
    steps: Mapping[int, tuple[NetcdfFile, int]]
    """File and time index of each year."""
    tolerance: float

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Fractions of one year, shape (S, height, width), closed with icwtr; see `Source.read`."""
        assert year is not None
        file, index = self.steps[year]
        names = tuple(v.name for v in self.variables)
        raw = file.read(names, box, **{file.time_axis: index})
        where = f"{file.url}, year {year}"
        states_SHW = np.stack([self._fractions(values, file, name, box, f"{where}, {name}")
                               for name, values in zip(names, raw, strict=True)])
        [raw_water] = self.static.read(("icwtr",), box)
        water_HW = self._fractions(raw_water, self.static, "icwtr", box, f"{self.static.url}, icwtr")
        return self._close(states_SHW, np.nan_to_num(water_HW, nan=1.0), box, where)

    def _fractions(self, raw: NDArray[Any], file: NetcdfFile, name: str, box: Box, where: str) -> F32:
        """Values in 0..1 with NaN where the file says missing; what lies outside by rounding is cut."""
        values_HW = unpack(raw, file.variables[name], fills=(FILL,))
        written = raw.astype(np.float64)
        undeclared = np.isnan(written) & (not any(np.isnan(f) for f in file.variables[name].fills))
        stray = undeclared | np.isinf(values_HW) | (values_HW < -self.tolerance) | (values_HW > 1 + self.tolerance)
        refuse_cells(stray, written, grid=self.grid, box=box, where=where, found="are no fractions",
                     expected="fractions of the cell between 0 and 1; get the file again")
        return values_HW.clip(0, 1)

    def _close(self, states_SHW: F32, water_HW: F32, box: Box, where: str) -> F32:
        """States that sum to 1 - icwtr: 0 over water, missing on land where all are, scaled within the tolerance."""
        gaps_HW = np.isnan(states_SHW).sum(axis=0)
        partly = (gaps_HW > 0) & (gaps_HW < len(states_SHW))
        refuse_cells(partly, gaps_HW, grid=self.grid, box=box, where=where, found="lack some states but not all",
                     expected="all states or none; get the file again")
        missing_HW = gaps_HW > 0
        land_HW = 1 - water_HW.astype(np.float64)
        total_HW = np.nan_to_num(states_SHW).sum(axis=0, dtype=np.float64)
        error_HW = np.where(missing_HW, 0, total_HW - land_HW)
        refuse_cells(np.abs(error_HW) > self.tolerance, error_HW, grid=self.grid, box=box, where=where,
                     found="have states that do not sum to 1 - icwtr (value: the difference)",
                     expected=f"a difference of at most {self.tolerance}; the states and {self.static.url} do not "
                              "belong together, or the file is damaged")
        scale_HW = np.divide(land_HW, total_HW, out=np.zeros_like(land_HW), where=total_HW > 0)
        closed_SHW: F32 = (np.nan_to_num(states_SHW) * scale_HW).astype(np.float32)
        closed_SHW[:, missing_HW & (land_HW > self.tolerance)] = np.nan
        return closed_SHW


def open_luh2(config: Luh2Config, *, run_years: range, scenario: str) -> Source:
    """LUH2 for a run: v2h up to 2014 and the scenario's v2f from 2015; v2h alone serves a run that ends by 2015.

    Raises InputError where a file, a year or a state is lacking, or the files do not lie on one 0.25 degree lattice.
    """
    late = [y for y in run_years if y >= JOIN]
    needs_future = late != [] and late != [JOIN]
    history = inspect_netcdf(_history(config)) if run_years.start < JOIN or not needs_future else None
    future = inspect_netcdf(_future(config, scenario)) if needs_future else None
    parts = [p for p in (history, future) if p is not None]
    static = inspect_netcdf(only([f for f, _ in matching(config, STATIC)], path=config.where,
                                 expected="LUH2 static file (staticData_quarterdeg.nc, for icwtr)"))
    static.require("icwtr")
    states = _states(parts)
    grid = shared_grid([*parts, static])
    require_lattice(grid, where=parts[0].url, step=STEP)
    steps = _steps(history, future, run_years)
    return Luh2(name="luh2", about=ABOUT, grid=grid, variables=_variables(states), years=tuple(run_years),
                rules=(_join(history, future, scenario), *turned([*parts, static]),
                       *_rules(states, config.closure_tolerance)),
                stored=tuple(replace(stored_netcdf(s, parts), turned=turned([*parts, static])) for s in states),
                static=static, files=(*(p.url for p in parts), static.url), steps=steps,
                places={y: (file.url, i) for y, (file, i) in steps.items()}, tolerance=config.closure_tolerance)


def _history(config: Luh2Config) -> str:
    return only([f for f, _ in matching(config, HISTORY)], path=config.where, expected="LUH2 v2h file (states.nc)")


def _future(config: Luh2Config, scenario: str) -> str:
    found = matching(config, FUTURE)
    held = sorted({m[1] for _, m in found})
    return only([f for f, m in found if m[1] == scenario], path=config.where,
                expected=f"LUH2 v2f file of scenario {scenario!r} ({ABOUT.files[1]}; scenarios there: "
                         f"{held or 'none'})")


def _states(parts: list[NetcdfFile]) -> tuple[str, ...]:
    """States that every file has: the twelve, and the optional ones that are in all of them."""
    for part in parts:
        part.require(*(s for s in STATES if s not in OPTIONAL))
    held = [{s for s in OPTIONAL if s in part.variables} for part in parts]
    if held[0] != held[-1]:
        raise InputError(f"{parts[-1].url}: states {sorted(held[-1])} beside the twelve, expected {sorted(held[0])} as "
                         f"in {parts[0].url}; history and scenario must be of one LUH version")
    return tuple(s for s in STATES if s not in OPTIONAL or s in held[0])


def _variables(states: tuple[str, ...]) -> tuple[Variable, ...]:
    return tuple(Variable(name=s, role="forcing", units="1", long_name=f"fraction of {STATES[s][0]}",
                          classes=STATES[s][1]) for s in states)


def _steps(history: NetcdfFile | None, future: NetcdfFile | None,
           run_years: range) -> dict[int, tuple[NetcdfFile, int]]:
    """File and time index of each year of the run; where both files have 2015, the scenario's wins."""
    steps: dict[int, tuple[NetcdfFile, int]] = {}
    for part, years in ((history, range(850, JOIN + 1)), (future, range(JOIN, 3000))):
        if part is not None:
            held = part.years
            check_series(held, where=part.url)
            steps |= {y: (part, i) for i, y in enumerate(held) if y in years and y in run_years}
    lacking = set(run_years) - set(steps)
    if lacking:
        names = ", ".join(p.url for p in (history, future) if p is not None)
        raise InputError(f"{names}: years {span(lacking)} of the run are not there; shorten the run's years or get the "
                         "files")
    return steps


def _join(history: NetcdfFile | None, future: NetcdfFile | None, scenario: str) -> str:
    """Which file serves which years, in words."""
    if future is None:
        return "all years from v2h (states.nc)"
    return f"v2h up to {JOIN - 1}, v2f {scenario} from {JOIN}" if history else f"v2f {scenario} from {JOIN}"


def _rules(states: tuple[str, ...], tolerance: float) -> tuple[str, ...]:
    return (
        "missing (1e20) is 0 over water, missing over land",
        f"states scaled to sum to 1 - icwtr where they miss it by at most {tolerance:g}; refused beyond",
        "secma and secmb left out: they are no areas",
        *(["LUH3's pltns read as a state"] if "pltns" in states else []),
    )
