"""Land-use states of LUH2 and LUH3: a history and a scenario, joined where the scenario begins.

LUH2: v2h (850-2015, `states.nc`) and v2f (2015-2100, one file a scenario, and to 2300). LUH3: a
history (850-2024) and scenarios from 2020 or later, with one state more.

Shapes: S states, H W box. Fractions are of the whole cell; with `icwtr` (ice and water) they
sum to 1.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA
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
from luray.sources.discover import matching, only
from luray.sources.encoding import encoding_of_netcdf, rules_of_files
from luray.sources.layout import require_lattice, require_same, shared_grid
from luray.sources.netcdf import NetcdfFile, inspect_netcdf, unpack
from luray.sources.units import conversion
from luray.sources.years import check_series, format_years, held_by, hold_rules
from luray.storage.errors import InputError

JOIN = 2015
"""First year of LUH2's scenarios."""

STEP = 0.25
"""Cell size in degrees."""

FILL = 1e20
"""The missing value of the published files, which misspell the attribute that declares it."""


class State(NamedTuple):
    """A published state: an area of the cell under one use."""

    meaning: str
    codes: tuple[int, ...]
    """HILDA+ codes that the area becomes: no bare ground beside grass and shrub."""


STATES: Mapping[str, State] = {
    "primf": State("forested primary land", (44,)),
    "primn": State("non-forested primary land", (55, 66)),
    "secdf": State("potentially forested secondary land", (44,)),
    "secdn": State("potentially non-forested secondary land", (55, 66)),
    "pastr": State("managed pasture", (33,)),
    "range": State("rangeland", (33,)),
    "urban": State("urban land", (11,)),
    "c3ann": State("C3 annual crops", (22,)),
    "c3per": State("C3 perennial crops", (22,)),
    "c4ann": State("C4 annual crops", (22,)),
    "c4per": State("C4 perennial crops", (22,)),
    "c3nfx": State("C3 nitrogen-fixing crops", (22,)),
    "pltns": State("plantations (LUH3)", (44,)),
}
"""The area states by their published names.

Ice and water (icwtr) is HILDA+'s ocean and water and no state. LUH2's forest is potential forest
and its rangeland blurs with unmanaged grass: compare changes, not levels.
"""

OPTIONAL = ("pltns",)
"""States that only LUH3 has."""

ESGF = "multiple-states_input4MIPs_landState"

HISTORY = (
    rf"(?:states\.nc|{ESGF}_CMIP_[^/]*\.nc"
    rf"|{ESGF}_ScenarioMIP_UofMD-landState-(?:[a-z]+-)?2-[^/_]*-h_[^/]*\.nc)"
)
"""The past: v2h as luh.umd.edu names it, v2h and LUH3 as ESGF does (v2h under either MIP)."""

FUTURE = (
    rf"{ESGF}_ScenarioMIP_UofMD-(?:landState-)?(?:[A-Z]\w*-)?"
    r"(ssp\d+(?=-2-)|[a-z]\w*(?=-3-))-(\d)-[^/_]*_gn_(\d{4})-(\d{4})\.nc"
)
"""A scenario: its name, version of LUH, first and last year; v2f has 2015-2100 and 2100-2300."""

STATIC = r"(?:staticData_quarterdeg\.nc|multiple-(?:static|fixed)_input4MIPs_landState_[^/]*\.nc)"

VERSION = re.compile(r"UofMD-(?:landState-)?(?:[A-Za-z]\w*-)*(\d)-\d")
"""Version of LUH in an ESGF name."""

SCENARIO = re.compile(r"ScenarioMIP_UofMD-(?:landState-)?(?:[A-Z]\w*-)?([a-z]\w*)-\d-")
"""Scenario in an ESGF name."""

ABOUT = About(
    title="LUH2: Harmonization of global land use change and management, 850-2100",
    doi="10.22033/ESGF/input4MIPs.10454",
    licence="CC-BY-SA-4.0",
    url="https://luh.umd.edu/data.shtml (v2f: https://doi.org/10.22033/ESGF/input4MIPs.10468)",
    files=(
        "states.nc",
        f"{ESGF}_ScenarioMIP_UofMD-{{IAM}}-{{ssp}}-2-1-f_gn_2015-2100.nc",
        "staticData_quarterdeg.nc",
        f"{ESGF}_CMIP_UofMD-landState-3-1-1_gn_0850-2024.nc",
        f"{ESGF}_ScenarioMIP_UofMD-landState-{{vl,l,ml,m,h,hl,...}}-3-1-1_gn_2022-2100.nc",
        "multiple-static_input4MIPs_landState_CMIP_UofMD-landState-3-1-1_gn.nc",
    ),
    values="0.25 degrees; fractions 0..1 of the cell, 1e20 missing; "
    "the 12 states (13 in LUH3) and icwtr sum to 1",
    ranges={"": "0..1"},
)

ABOUT_LUH3 = replace(
    ABOUT,
    title="LUH3: Harmonization of global land use change and management for CMIP7",
    doi="",
    url="https://luh.umd.edu (ESGF, input4MIPs: source UofMD-landState-3-*)",
)


class Luh2Config(FilesConfig):
    """Where the files of LUH2 or LUH3 are, and what is refused.

    `closure_tolerance` is how far the states of a cell may miss 1 - icwtr. `max_held_years` is how
    many years of the run, which no file has, may hold the states of another year: the last one
    before them, or the first of all. It is 0: LUH has every year, so that a file is lacking.
    """

    about: ClassVar[About] = ABOUT
    reads_other_years: ClassVar[bool] = True
    by_scenario: ClassVar[bool] = True
    native_step: ClassVar[float | None] = STEP

    kind: Literal["luh2"]
    closure_tolerance: float = 1e-3
    max_held_years: int = Field(default=0, ge=0)

    @property
    def gaps(self) -> Literal["refused", "held"]:
        """Treatment of years that are missing within a file."""
        return "held" if self.max_held_years else "refused"

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The twelve states; LUH3's are known once a file is open."""
        return _variables(tuple(state for state in STATES if state not in OPTIONAL))

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return the twelve states, which are shares of classes of HILDA+ alone."""
        return _as_shares_of(legend, self.declared)

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the year, and the scenario from where LUH2's scenarios begin."""
        return year, scenario if year >= JOIN else ""

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_luh2`."""
        source = open_luh2(self, run_years=request.run_years, scenario=request.scenario)
        assert isinstance(source, Luh2)
        return replace(source, variables=_as_shares_of(request.legend, source.variables))


@dataclass(frozen=True, kw_only=True)
class Luh2(Described):
    """Land-use states as fractions of the 0.25 degree cell, one variable a state."""

    static: NetcdfFile
    static_offset: tuple[int, int]
    """Row and column in the static file's grid of the first cell of the states."""
    steps: Mapping[int, tuple[NetcdfFile, int]]
    """File and time index of each year."""
    tolerance: float

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the fractions of one year, closed with icwtr, shape (S, H, W); see `Source`."""
        assert year is not None
        file, time_index = self.steps[year]
        names = tuple(variable.name for variable in self.variables)
        raw_states = file.read(names, box, **{file.time_axis: time_index})
        where = f"{file.url}, year {year}"
        fractions = []
        for name, raw_HW in zip(names, raw_states, strict=True):
            fractions.append(self._fractions(raw_HW, file, name, box, f"{where}, {name}"))
        states_SHW = np.stack(fractions)

        row, col = self.static_offset
        static_box = box._replace(row=box.row + row, col=box.col + col)
        [raw_HW] = self.static.read(("icwtr",), static_box)
        water_HW = self._fractions(raw_HW, self.static, "icwtr", box, f"{self.static.url}, icwtr")
        # Where icwtr is missing there is no land.
        return self._close(states_SHW, np.nan_to_num(water_HW, nan=1.0), box, where)

    def _fractions(
        self, raw_HW: NDArray[Any], file: NetcdfFile, name: str, box: Box, where: str
    ) -> F32:
        """Values in 0..1, NaN where the file says missing.

        What lies outside by at most the tolerance is cut, what lies further out is refused.
        """
        field = file.variables[name]
        to_fractions = conversion(field.units, "1", where=f"{file.url}: {name}")
        values_HW = to_fractions(unpack(raw_HW, field, fills=(FILL,)))

        # NaN is a missing value where the file declares it, else the sign of a damaged file.
        declares_nan = any(np.isnan(fill) for fill in field.fills)
        written_HW = raw_HW.astype(np.float64)
        refused_HW = np.isinf(values_HW)
        refused_HW |= (values_HW < -self.tolerance) | (values_HW > 1 + self.tolerance)
        if not declares_nan:
            refused_HW |= np.isnan(written_HW)
        refuse_cells(
            refused_HW,
            written_HW,
            grid=self.grid,
            box=box,
            where=where,
            found="are no fractions",
            expected="fractions of the cell between 0 and 1; get the file again",
        )
        return values_HW.clip(0, 1)

    def _close(self, states_SHW: F32, water_HW: F32, box: Box, where: str) -> F32:
        """States that sum to 1 - icwtr, scaled where they miss it by at most the tolerance.

        Missing states are 0 over water, and stay missing on land.
        """
        n_missing_HW = np.isnan(states_SHW).sum(axis=0)
        refuse_cells(
            (n_missing_HW > 0) & (n_missing_HW < len(states_SHW)),
            n_missing_HW,
            grid=self.grid,
            box=box,
            where=where,
            found="lack some states but not all",
            expected="all states or none; get the file again",
        )

        # In double precision, so that no rounding of the sum looks like an error of the file.
        missing_HW = n_missing_HW > 0
        land_HW = 1 - water_HW.astype(np.float64)
        total_HW = np.nan_to_num(states_SHW).sum(axis=0, dtype=np.float64)
        error_HW = np.where(missing_HW, 0, total_HW - land_HW)
        refuse_cells(
            np.abs(error_HW) > self.tolerance,
            error_HW,
            grid=self.grid,
            box=box,
            where=where,
            found="have states that do not sum to 1 - icwtr (value: the difference)",
            expected=f"a difference of at most {self.tolerance}; the states and "
            f"{self.static.url} do not belong together, or the file is damaged",
        )

        # Where all states are 0 there is nothing to scale.
        scale_HW = np.divide(land_HW, total_HW, out=np.zeros_like(land_HW), where=total_HW > 0)
        closed_SHW: F32 = (np.nan_to_num(states_SHW) * scale_HW).astype(np.float32)
        closed_SHW[:, missing_HW & (land_HW > self.tolerance)] = np.nan
        return closed_SHW


@dataclass(frozen=True)
class Published:
    """A file with what its published name says."""

    url: str
    name: str
    version: int
    """2 or 3; 0 where the name does not say."""
    first: int = 0
    """First year of a scenario's file."""
    last: int = 0


def open_luh2(config: Luh2Config, *, run_years: range, scenario: str) -> Source:
    """Open LUH2 or LUH3 for a run: the history, and from where the scenario begins the scenario.

    A run that ends by the scenario's first year has the history alone. The extension of a scenario
    serves the years after the scenario's last.

    Parameters
    ----------
    config : Luh2Config
        Where the files are, and what is refused.
    run_years : range
        Years of the run.
    scenario : str
        The scenario as the names of its files have it: ssp245 of LUH2, vl of LUH3.

    Raises
    ------
    InputError
        Where a file, a year or a state is lacking, where files of LUH2 and LUH3 would meet, and
        where files do not lie on one 0.25 degree lattice.
    """
    futures, version = _open_scenario(config, run_years, scenario)
    history = _open_history(config, run_years, scenario, futures=futures, version=version)
    parts = [*futures]
    if history:
        parts.insert(0, history.file)
        version = history.version
    static, static_rules = _open_static(config, scenario, version=version)

    states = _states(parts)
    grid = shared_grid(parts)
    require_lattice(grid, where=parts[0].url, step=STEP)
    static_offset = _offset_in(static, grid, where=parts[0].url)

    # A year that no file has may hold the values of another one.
    steps = _steps(history.file if history else None, futures, gaps=config.gaps)
    held = _held(steps, parts, config, run_years, scenario, has_scenario=bool(futures))
    run_steps = {year: steps[held.get(year, year)] for year in run_years}
    places = {year: (file.url, index) for year, (file, index) in run_steps.items()}

    file_rules = rules_of_files([*parts, static])
    encodings = []
    for state in states:
        encoding = encoding_of_netcdf(state, parts)
        encodings.append(replace(encoding, rules=file_rules))
    return Luh2(
        name=config.label,
        about=ABOUT_LUH3 if version == 3 else ABOUT,
        grid=grid,
        variables=_variables(states),
        years=tuple(run_years),
        rules=(
            _join(history, futures, scenario, version=version),
            *hold_rules(held),
            *_unit_rules(parts, states),
            *file_rules,
            *_rules(states, config.closure_tolerance),
            *static_rules,
        ),
        encodings=tuple(encodings),
        static=static,
        static_offset=static_offset,
        files=(*(part.url for part in parts), static.url),
        steps=run_steps,
        held=held_years(places),
        places=places,
        tolerance=config.closure_tolerance,
    )


def _published(config: Luh2Config, pattern: str) -> list[tuple[Published, re.Match[str]]]:
    """Files of a pattern with what their names say, sorted by name."""
    files = []
    for url, match in matching(config, pattern):
        name = match[0].strip("/")
        version = VERSION.search(name)
        published = Published(url, name, int(version[1]) if version else 0)
        files.append((published, match))
    return files


def _open_scenario(
    config: Luh2Config, run_years: range, scenario: str
) -> tuple[list[NetcdfFile], int]:
    """Files of the scenario that the run needs, in order, and their version; none for the past."""
    files = []
    for file, match in _published(config, FUTURE):
        if match[1] == scenario:
            files.append(replace(file, first=int(match[3]), last=int(match[4])))
    files.sort(key=lambda file: file.first)

    for file, following in pairwise(files):
        if following.first < file.last:
            only(  # it raises, as there are two
                [file.url, following.url],
                path=config.where,
                expected=f"LUH states of scenario {scenario!r} in the same years",
            )
    # The first year of a scenario or of its extension is in the file before it, too.
    needed = [file for file in files if file.first < run_years[-1]]
    version = needed[0].version if needed else 0
    return [inspect_netcdf(file.url) for file in needed], version


@dataclass(frozen=True)
class History:
    """The opened file of the past, and which LUH it is of."""

    file: NetcdfFile
    name: str
    version: int


def _open_history(
    config: Luh2Config,
    run_years: range,
    scenario: str,
    *,
    futures: list[NetcdfFile],
    version: int,
) -> History | None:
    """The file of the past, None where the scenario serves the whole run.

    `version` is that of the scenario, 0 where the run has none.
    """
    first = run_years[0]
    begins = futures[0].years[0] if futures else run_years.stop
    if first >= begins:
        return None
    files = [file for file, _ in _published(config, HISTORY)]
    if not files:
        # The years before the scenario may hold its first one, where the run file says so.
        if futures and begins - first <= config.max_held_years:
            return None
        # The run is all future: what is lacking is its scenario, not the history.
        if not futures and first >= JOIN and _scenarios(config):
            raise _no_scenario(config, scenario)
    fitting = _of_version(files, version, config=config, what="history")
    expected = "LUH2 v2h file (states.nc) or LUH3 history (..._CMIP_UofMD-landState-3-*_gn_*.nc)"
    url = only([file.url for file in fitting], path=config.where, expected=expected)

    [published] = [file for file in fitting if file.url == url]
    file = inspect_netcdf(url)
    version_by_states = 3 if "pltns" in file.variables else 2
    history = History(file, published.name, published.version or version_by_states)
    if version and history.version != version:
        raise _mixed(config, f"{url} is of LUH{history.version}", version)
    return history


def _of_version(
    files: list[Published], version: int, *, config: Luh2Config, what: str
) -> list[Published]:
    """Files of a version of LUH, those included whose names say none; of LUH3 only if need be.

    All files for version 0. Raises InputError where there are only those of another version.
    """
    if not version:
        return files
    exact = [file for file in files if file.version == version]
    unversioned = [file for file in files if file.version == 0]
    # luh.umd.edu names files of LUH2 without a version: there they are as good as the versioned
    # ones. Beside files of LUH3 they are a last resort.
    fitting = [*exact, *unversioned]
    if version == 3 and exact:
        fitting = exact
    if files and not fitting:
        raise _mixed(config, f"the {what} {files[0].url} is of LUH{files[0].version}", version)
    return fitting


def _mixed(config: Luh2Config, finding: str, version: int) -> InputError:
    return InputError(
        f"{config.where}: {finding}, expected LUH{version} as the other files of the run; history, "
        "scenario and static file must be of one LUH: get them or correct `scenario`"
    )


def _open_static(
    config: Luh2Config, scenario: str, *, version: int
) -> tuple[NetcdfFile, tuple[str, ...]]:
    """The file with icwtr, and a rule where its name does not say that it is of LUH3.

    LUH3 may have one beside each scenario: that of the history is taken, else the scenario's own.
    """
    files = [file for file, _ in _published(config, STATIC)]
    fitting = _of_version(files, version, config=config, what="static file")
    if version == 3:
        of_history = [file for file in fitting if _scenario_in(file.name) == ""]
        of_scenario = [file for file in fitting if _scenario_in(file.name) == scenario]
        fitting = of_history or of_scenario or fitting
    url = only(
        [file.url for file in fitting],
        path=config.where,
        expected="LUH2 static file (staticData_quarterdeg.nc, for icwtr)",
    )

    static = inspect_netcdf(url)
    static.require("icwtr")
    [name] = [file.name for file in fitting if file.url == url]
    is_borrowed = version == 3 and VERSION.search(name) is None
    return static, ((f"icwtr of LUH3's states is from {name}",) if is_borrowed else ())


def _scenario_in(name: str) -> str:
    """The scenario in the name of a file, empty for none."""
    match = SCENARIO.search(name)
    return match[1] if match else ""


def _offset_in(static: NetcdfFile, grid: Grid, *, where: str) -> tuple[int, int]:
    """Row and column of the states' first cell in a static file that may cover more than they."""
    static_grid = static.layout.grid
    try:
        row, col = static_grid.offset_of(grid)
        states_box = Box(row, col, *grid.shape)
        is_inside = states_box.clip(static_grid.shape) == states_box
    except ValueError:
        is_inside = False
    if not is_inside:
        require_same(grid, static_grid, where=where, other_where=static.url)
    return row, col


def _scenarios(config: Luh2Config) -> list[str]:
    """Scenarios of which there are files."""
    return sorted({match[1] for _, match in _published(config, FUTURE)})


def _no_scenario(config: Luh2Config, scenario: str) -> InputError:
    scenarios = _scenarios(config) or "none"
    return InputError(
        f"{config.where}: found no LUH2 v2f file of scenario {scenario!r} ({ABOUT.files[1]}; LUH3: "
        f"{ABOUT.files[4]}; scenarios there: {scenarios}); get the file or correct `path` or "
        "`scenario`"
    )


def _states(parts: list[NetcdfFile]) -> tuple[str, ...]:
    """States that every file has: the twelve, and the optional ones that are in all of them."""
    always = [state for state in STATES if state not in OPTIONAL]
    for part in parts:
        part.require(*always)

    optional = [state for state in OPTIONAL if state in parts[0].variables]
    for part in parts[1:]:
        optional_of_part = [state for state in OPTIONAL if state in part.variables]
        if optional_of_part != optional:
            raise InputError(
                f"{part.url}: states {optional_of_part} beside the twelve, expected {optional} "
                f"as in {parts[0].url}; history and scenario must be of one LUH version"
            )
    return tuple(state for state in STATES if state in (*always, *optional))


def _variables(states: tuple[str, ...]) -> tuple[Variable, ...]:
    return tuple(
        Variable(
            name=state,
            role="forcing",
            units="1",
            long_name=f"fraction of {STATES[state].meaning}",
            classes=STATES[state].codes,
        )
        for state in states
    )


def _as_shares_of(legend: Legend, variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Return states as shares of the classes of a legend: of another than HILDA+ they are none.

    Equal codes of two legends mean nothing: 11 is urban land in HILDA+, and a crop in ESA CCI-LC.
    """
    if legend == HILDA:
        return variables
    return tuple(replace(variable, classes=()) for variable in variables)


def _steps(
    history: NetcdfFile | None, futures: list[NetcdfFile], *, gaps: Literal["refused", "held"]
) -> dict[int, tuple[NetcdfFile, int]]:
    """File and time index of each year: the scenario's from its first one, the history's before."""
    steps: dict[int, tuple[NetcdfFile, int]] = {}
    for part in futures:
        check_series(part.years, where=part.url, gaps=gaps)
        for index, year in enumerate(part.years):
            # Where an extension begins with the scenario's last year, the scenario serves it.
            steps.setdefault(year, (part, index))

    begins = min(steps, default=None)
    if history is not None:
        check_series(history.years, where=history.url, gaps=gaps)
        for index, year in enumerate(history.years):
            if begins is None or year < begins:
                steps[year] = (history, index)
    return steps


def _held(
    steps: Mapping[int, tuple[NetcdfFile, int]],
    parts: list[NetcdfFile],
    config: Luh2Config,
    run_years: range,
    scenario: str,
    *,
    has_scenario: bool,
) -> dict[int, int]:
    """Years of the run that no file has, with the year that each holds.

    Raises InputError where they are more than the configuration lets be held.
    """
    held = held_by(steps, run_years)
    if len(held) <= config.max_held_years:
        return held
    if not has_scenario and max(held) > max(JOIN - 1, *steps):
        raise _no_scenario(config, scenario)
    names = ", ".join(part.url for part in parts)
    raise InputError(
        f"{names}: years {format_years(held)} of the run are not there, expected at most "
        f"{config.max_held_years} to be held; shorten the run's years or get the files, or set "
        f"max_held_years = {len(held)}"
    )


def _join(
    history: History | None, futures: list[NetcdfFile], scenario: str, *, version: int
) -> str:
    """The years that each file serves, in words."""
    past = "v2h" if version == 2 else "LUH3 history"
    future = "v2f" if version == 2 else "LUH3"
    if not futures:
        assert history is not None
        return f"all years from {past} ({history.name})"
    begins = futures[0].years[0]
    words = [f"{future} {scenario} from {begins}"]
    if history:
        words.insert(0, f"{past} up to {min(begins - 1, history.file.years[-1])}")
    for earlier, extension in pairwise(futures):
        extension_begins = max(earlier.years[-1] + 1, extension.years[0])
        words.append(f"its extension from {extension_begins}")
    return ", ".join(words)


def _unit_rules(parts: Sequence[NetcdfFile], states: tuple[str, ...]) -> tuple[str, ...]:
    """Conversions of states that are declared in another unit, in words."""
    rules: list[str] = []
    for part in parts:
        for state in states:
            units = part.variables[state].units
            to_fractions = conversion(units, "1", where=f"{part.url}: {state}")
            if to_fractions.changes:
                rules.append(to_fractions.rule)
    return tuple(dict.fromkeys(rules))


def _rules(states: tuple[str, ...], tolerance: float) -> tuple[str, ...]:
    """Corrections of the values of every LUH, in words."""
    return (
        "missing (1e20) is 0 over water, missing over land",
        f"states scaled to sum to 1 - icwtr where they miss it by at most {tolerance:g}; refused "
        "beyond",
        "secma and secmb left out: they are no areas",
        *(["LUH3's pltns read as a state"] if "pltns" in states else []),
    )
