"""Monthly climate from any CF NetCDF on a regular grid, with the variables that a run file names::

    [[sources]]
    kind = "climate"
    name = "era5"
    path = "${LURAY_DATA}/era5"
    variables = [
      { variable = "t2m", name = "temperature", units = "degC", scale = 10.0 },
      { variable = "pr", name = "precipitation", units = "kg m-2 d-1", transform = "log1p" },
    ]

Each variable may be in files of its own, and a series in several files. With `{scenario}` in
`pattern` there is a series for each scenario; that of `history` comes before it.

Shapes: V variables, H W box.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from luray.core.config import Config
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
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
    wanted_files,
)
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_netcdf, rules_of_files
from luray.sources.layout import shared_grid
from luray.sources.netcdf import NetcdfFile, inspect_netcdf, unpack
from luray.sources.time_steps import check_steps, format_steps, require_months, step_of
from luray.sources.units import Conversion, conversion
from luray.storage.errors import InputError

MONTHS = TimeSteps("month")

SCENARIO = "{scenario}"
"""Place of the scenario's name in a `pattern`."""

ABOUT = About(
    title="Monthly climate described in the run file",
    doi="",
    licence="",
    url="",
    files=("CF NetCDF named by `pattern`, monthly, on a grid in longitude and latitude",),
    values="the variables that the run file names, without a missing month",
)

Steps = dict[int, tuple[NetcdfFile, int]]
"""File and time index of each month."""


class ClimateVariable(Config):
    """One variable of the files, and what it becomes."""

    variable: str
    """Its name in the files."""
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Its name in the cube."""
    units: str
    """Unit in which it is stored; values in another one of the kind are converted."""
    long_name: str = ""
    scale: float = Field(1.0, gt=0)
    """The model sees values divided by this, about as large as they vary."""
    transform: Literal["linear", "log1p"] = "linear"
    range: Annotated[tuple[float, float], Field(strict=False)] | None = None
    """Lowest and highest valid value in `units`; others are refused."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(
                f"variable {self.name}: range {list(self.range)}, expected [lowest, highest]; "
                "correct or remove it"
            )
        return self

    @property
    def described(self) -> Variable:
        """The variable as it is stored."""
        return Variable(
            name=self.name,
            role="forcing",
            units=self.units,
            long_name=self.long_name or self.name.replace("_", " "),
            resampling="bilinear",
            transform=self.transform,
            scale=self.scale,
        )


class ClimateConfig(FilesConfig):
    """Where the files are, and the variables that are read of them."""

    about: ClassVar[About] = ABOUT
    by_scenario: ClassVar[bool] = True
    reads_other_years: ClassVar[bool] = True

    kind: Literal["climate"]
    name: str = Field("climate", pattern=r"^[a-z][a-z0-9_]*$")
    """Group of the cube: a run may have several sources of this kind."""
    pattern: str = "*.nc*"
    """File names below `path`: `*` stands for anything, `?` for one character, `{scenario}` for the
    run's scenario.
    """
    history: str = "historical"
    """What stands in place of `{scenario}` in the names of files before the scenarios begin."""
    variables: Annotated[tuple[ClimateVariable, ...], Field(strict=False, min_length=1)]
    title: str = ""
    doi: str = ""
    licence: str = ""
    url: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [variable.name for variable in self.variables]
        if len(set(names)) < len(names):
            raise ValueError(f"source {self.name}: variables {names} name one twice")
        return self

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def wanted(self) -> str:
        """The pattern of the files, and what the run file says of who publishes them."""
        return wanted_files(self.where, self.pattern, self.title, self.url or self.doi)

    @property
    def described(self) -> About:
        """Where the data come from, as the run file says."""
        ranges = {}
        for variable in self.variables:
            if variable.range is not None:
                low, high = variable.range
                ranges[variable.name] = f"{low:g}..{high:g} {variable.units}"
        return About(
            title=self.title or self.name,
            doi=self.doi,
            licence=self.licence,
            url=self.url,
            files=(self.pattern,),
            values=ABOUT.values,
            ranges=ranges,
        )

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The variables that the run file names."""
        return tuple(variable.described for variable in self.variables)

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the year, and the scenario where the files depend on it."""
        return year, scenario if SCENARIO in self.pattern else ""

    def values_a_year(self, time: TimeSteps) -> int:
        """Return 12, whatever the time steps of the run."""
        return MONTHS.per_year

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_climate`."""
        return open_climate(
            self, run_years=request.run_years, scenario=request.scenario, time=request.time
        )


@dataclass(frozen=True)
class OpenVariable:
    """A variable of the run file in open files."""

    config: ClimateVariable
    steps: Mapping[int, tuple[NetcdfFile, int]]
    """File and time index of each month of the run."""
    to_units: Mapping[str, Conversion]
    """Conversion into the unit of the run file, by file."""


@dataclass(frozen=True, kw_only=True)
class Climate(Described):
    """Monthly values on their native grid."""

    opened: tuple[OpenVariable, ...]

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the values of a month, shape (V, H, W), float32; see `Source.read`."""
        assert year is not None
        return np.stack([self._values(variable, year, box) for variable in self.opened])

    def _values(self, variable: OpenVariable, step: int, box: Box) -> F32:
        """Return one variable of a month in its unit; missing is NaN."""
        config = variable.config
        file, index = variable.steps[step]
        [raw_HW] = file.read((config.variable,), box, **{file.time_axis: index})
        unpacked_HW = unpack(raw_HW, file.variables[config.variable])
        values_HW = variable.to_units[file.url](unpacked_HW).astype(np.float32)
        low, high = config.range or (-np.inf, np.inf)
        refuse_cells(
            np.isinf(values_HW) | (values_HW < low) | (values_HW > high),
            values_HW,
            grid=self.grid,
            box=box,
            where=f"{file.url}: {config.variable}, {MONTHS.label(step)}",
            found="lie outside the valid range",
            expected=f"{low:g}..{high:g} {config.units}; correct `range` of {config.name}, its "
            "`units`, or the file",
        )
        return values_HW


def open_climate(
    config: ClimateConfig, *, run_years: range, scenario: str, time: TimeSteps
) -> Source:
    """Open the monthly climate of a run.

    Parameters
    ----------
    config : ClimateConfig
        Where the files are, and which variables are read.
    run_years : range
        Years of the run: every month of them must be there.
    scenario : str
        Of the run, for files that have it in their name.
    time : TimeSteps
        Time steps of the run, a month or shorter.

    Raises
    ------
    InputError
        Where no file has a variable, months are missing, there twice or out of order, the time
        stamps are of another calendar than the file declares, a unit is of another kind, or the
        files differ in their grid.
    """
    if time.per_year < MONTHS.per_year:
        raise InputError(
            f"source {config.name}: holds a value a month, the run has {time.per_year} map a year "
            f"(target.time_step = {time.interval!r}); set it to 'month' or shorter"
        )
    run_months = MONTHS.of_years(run_years.start, run_years.stop - 1)
    past = _files(config, config.history) if SCENARIO in config.pattern else []
    files = _files(config, scenario)
    if not past and not files:
        raise InputError(
            f"{config.where}: no file is named {config.pattern}"
            f"{f' with {scenario} or {config.history}' if SCENARIO in config.pattern else ''}; "
            "get the files, or correct `path` or `pattern`"
        )

    opened = []
    for variable in config.variables:
        steps = _joined(config, variable, past, files, run_months)
        opened.append(OpenVariable(variable, steps, _conversions(variable, steps)))

    # Each file once, in the order of its first month.
    used: dict[str, NetcdfFile] = {}
    for open_variable in opened:
        used.update({file.url: file for file, _ in open_variable.steps.values()})
    grid = shared_grid(list(used.values()))
    encodings = []
    rules = []
    for open_variable in opened:
        name = open_variable.config.variable
        files_of_variable = {file.url: file for file, _ in open_variable.steps.values()}
        encodings.append(encoding_of_netcdf(name, list(files_of_variable.values())))
        changes = {each.rule for each in open_variable.to_units.values() if each.changes}
        rules += [f"{open_variable.config.name}: {change}" for change in sorted(changes)]
    places = {
        month: tuple((each.steps[month][0].url, each.steps[month][1]) for each in opened)
        for month in run_months
    }
    return Climate(
        name=config.label,
        about=config.described,
        grid=grid,
        variables=config.declared,
        years=tuple(run_months),
        per_year=MONTHS.per_year,
        rules=(*rules, *rules_of_files(used.values())),
        files=tuple(used),
        encodings=tuple(encodings),
        held=held_years(places),
        places=places,
        opened=tuple(opened),
    )


def _files(config: ClimateConfig, scenario: str) -> list[NetcdfFile]:
    """Open the files whose names have a scenario in its place."""
    expression = re.escape(config.pattern)
    wildcards = ((SCENARIO, re.escape(scenario)), ("*", "[^/]*"), ("?", "[^/]"))
    for wildcard, stands_for in wildcards:
        expression = expression.replace(re.escape(wildcard), stands_for)
    return [inspect_netcdf(url) for url, _ in matching(config, expression)]


def _joined(
    config: ClimateConfig,
    variable: ClimateVariable,
    past: Sequence[NetcdfFile],
    files: Sequence[NetcdfFile],
    run_months: range,
) -> Steps:
    """Return file and time index of each month of the run: the scenario's from where it begins."""
    steps = _steps(config, variable, past)
    of_scenario = _steps(config, variable, files)
    if not steps and not of_scenario:
        found: dict[str, None] = {}
        for file in (*past, *files):
            gridded = [name for name, v in file.variables.items() if set(file.axes) <= set(v.dims)]
            found.update(dict.fromkeys(gridded))
        raise InputError(
            f"{config.where}: no file has the variable {variable.variable}, found "
            f"{', '.join(found)}; correct `variables` of source {config.name}"
        )
    begins = min(of_scenario, default=run_months.stop)
    steps = {month: place for month, place in steps.items() if month < begins} | of_scenario
    check_steps(
        sorted(steps), MONTHS, where=f"{config.where}: {variable.variable}", wanted=run_months
    )
    return {month: steps[month] for month in run_months}


def _steps(config: ClimateConfig, variable: ClimateVariable, files: Sequence[NetcdfFile]) -> Steps:
    """Return file and time index of each month of the files that have a variable."""
    steps: Steps = {}
    for file in files:
        if variable.variable not in file.variables:
            continue
        file.require(variable.variable)
        dims = file.variables[variable.variable].dims
        if not file.time_axis or set(dims) != {file.time_axis, *file.axes}:
            raise InputError(
                f"{file.url}: {variable.variable} has the dimensions {dims}, expected time, "
                "latitude and longitude; take the others away"
            )
        moments = file.moments
        require_months(moments, where=file.url)
        months = [step_of(moment, MONTHS, where=file.url) for moment in moments]
        check_steps(months, MONTHS, where=file.url)
        twice = set(months) & set(steps)
        if twice:
            other, _ = steps[min(twice)]
            raise InputError(
                f"{file.url}: {format_steps(twice, MONTHS)} of {variable.variable} are also in "
                f"{other.url}, expected each month once; remove one of them from {config.where}"
            )
        steps |= {month: (file, index) for index, month in enumerate(months)}
    return steps


def _conversions(variable: ClimateVariable, steps: Steps) -> dict[str, Conversion]:
    """Return the conversion of each file's unit. Raises InputError for one of another kind."""
    conversions = {}
    for file, _ in steps.values():
        if file.url not in conversions:
            declared = file.variables[variable.variable].units
            where = f"{file.url}: {variable.variable}"
            conversions[file.url] = conversion(declared, variable.units, where=where)
    return conversions
