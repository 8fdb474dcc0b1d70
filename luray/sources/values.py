"""Any series of maps of values as the state of a run, as its run file describes them.

GeoTIFFs are dated by their names, NetCDF files by their time axes, or by their names where they
have none::

    [[sources]]
    kind = "values"
    name = "my_lai"
    path = "${LURAY_DATA}/my_lai"
    pattern = "lai_{date}.tif"
    units = "m2 m-2"
    scale_factor = 0.1
    valid_range = [0, 100]
    no_value = [254, 255]

What a file declares (scale and offset, fill value, valid range, unit) need not be said again.
"""

import re
from typing import Annotated, ClassVar, Literal, Self

import cftime
from pydantic import Field, model_validator

from luray.core.config import Config
from luray.core.legend import Legend
from luray.core.legend_files import read_legend
from luray.core.time_steps import Interval, TimeSteps
from luray.core.variable import Variable
from luray.sources.base import About, FilesConfig, Request, Source, state_variable, wanted_files
from luray.sources.discover import matching, published_name
from luray.sources.value_maps import FlagMask, Packing
from luray.sources.value_series import (
    DatedFile,
    MissingSteps,
    Outside,
    SeriesFiles,
    open_series,
)
from luray.storage.errors import InputError

DATE = (
    r"(?P<year>\d{4})(?:(?P<month>\d{2})(?P<day>\d{2})|(?P<doy>\d{3})|[-._](?P<month2>\d{2})"
    r"[-._](?P<day2>\d{2}))(?!\d)"
)
"""Regular expression that `{date}` stands for: a date, or a year and the day of it."""

YEAR = r"(?P<year>\d{4})"
"""Regular expression that `{year}` stands for."""

ABOUT = About(
    title="Maps of values described in the run file",
    doi="",
    licence="",
    url="",
    files=("GeoTIFF or NetCDF named by `pattern`, a map each time step",),
    values="numbers within the range of the target, or declared missing",
)


class ValuesConfigBase(FilesConfig):
    """What all sources of values have in common.

    Clouds leave gaps in every map, so that gaps are no fault: `max_missing` is 1.
    """

    max_missing: float = Field(default=1.0, ge=0, le=1)
    outside: Outside = "refused"
    """Treatment of values outside the range of the target: refused, missing or clipped."""
    missing_steps: MissingSteps = "refused"
    """Treatment of maps that are lacking between others: refused, or left out of the mean of a
    longer step.
    """

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The map of leaf area index; of a run's target see `declared_for`."""
        return (state_variable(read_legend("lai")),)

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return the map; ValueError in a run that predicts classes."""
        if legend.scale is None:
            raise ValueError(
                f"source {self.label} has values, and the run's target classes, those of "
                f"{legend.name}; set target.kind = 'continuous' and target.legend to a legend of "
                "values such as 'lai'"
            )
        return (state_variable(legend),)


def date_of(match: re.Match[str], *, where: str) -> cftime.datetime | None:
    """Return the date that a name matches, None where its pattern has none.

    Groups are `year`, and `month` and `day`, or `doy`, the day of the year. A name with a year
    alone has its first day. Raises InputError for what is no date.
    """
    groups = {name: text for name, text in match.groupdict().items() if text is not None}
    if "year" not in groups:
        return None
    year = int(groups["year"])
    month = int(groups.get("month", groups.get("month2", 1)))
    day = int(groups.get("day", groups.get("day2", 1)))
    calendar = "proleptic_gregorian"
    try:
        if "doy" not in groups:
            return cftime.datetime(year, month, day, calendar=calendar)
        doy = int(groups["doy"])
        moment = cftime.num2date(doy - 1, f"days since {year}-01-01", calendar)
        if not 1 <= doy <= 366 or moment.year != year:
            raise ValueError(f"day {doy} of {year}")
    except ValueError as error:
        raise InputError(
            f"{where}: the name has no date ({error}), expected year, month and day, or year and "
            "day of the year; correct `pattern` or rename the file"
        ) from error
    return moment


def dated_files(config: FilesConfig, pattern: str) -> list[DatedFile]:
    """Return the files of a source whose names match a pattern, with the date in each."""
    files = []
    for url, match in matching(config, pattern):
        date = date_of(match, where=url)
        has_day = any(match.groupdict().get(group) for group in ("day", "day2", "doy"))
        files.append(DatedFile(url, published_name(match.string), date, has_day))
    return files


class FlagConfig(Config):
    """Flags beside the values of NetCDF files."""

    variable: str
    mask: int = Field(gt=0)
    """Bits of which any makes a cell a gap."""


class ValuesConfig(ValuesConfigBase):
    """Where the files are, and what their numbers mean."""

    about: ClassVar[About] = ABOUT

    kind: Literal["values"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    pattern: str
    """File name below `path`: `{date}` stands for a date (20040131, 2004-01-31 or 2004031),
    `{year}` for four digits, `*` for anything, `?` for one character. Without a date the time axis
    of the files has them.
    """
    variable: str = ""
    """Variable of NetCDF files."""
    band: int | str | None = None
    """Band of GeoTIFFs with several: number from 1, or its description."""
    file_step: Interval | None = None
    """How long a map of the files holds; by default as long as those of the run. The maps of a
    longer step of the run are averaged.
    """
    scale_factor: float | None = None
    add_offset: float | None = None
    """Value = stored number times `scale_factor` plus `add_offset`, in place of the file's own."""
    valid_range: Annotated[tuple[float, float], Field(strict=False)] | None = None
    """Lowest and highest stored number that is a value, in place of the file's own."""
    no_value: Annotated[tuple[float, ...], Field(strict=False)] = ()
    """Stored numbers that say that there is no value, beside the file's own fill value."""
    flags: Annotated[tuple[FlagConfig, ...], Field(strict=False)] = ()
    reproject: bool = False
    """Warp projected files onto the run grid; without it they are refused."""
    crs: str = ""
    """Coordinate reference system of projected NetCDF files that declare none."""
    title: str = ""
    doi: str = ""
    licence: str = ""
    url: str = ""

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
        title = self.title or self.name
        return About(title, self.doi, self.licence, self.url, (self.pattern,), ABOUT.values)

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_series`."""
        packing = Packing(self.scale_factor, self.add_offset, self.valid_range, self.no_value)
        files = SeriesFiles(
            label=self.label,
            about=self.described,
            where=self.where,
            files=dated_files(self, _expression(self.pattern)),
            variable=self.variable,
            band=self.band,
            interval=TimeSteps(self.file_step) if self.file_step else None,
            packing=lambda dtype: packing,
            flags=tuple(FlagMask(flag.variable, flag.mask) for flag in self.flags),
            outside=self.outside,
            missing_steps=self.missing_steps,
            reproject=self.reproject,
            crs=self.crs,
        )
        return open_series(files, request)

    @model_validator(mode="after")
    def _check(self) -> Self:
        dates = self.pattern.count("{date}") + self.pattern.count("{year}")
        if dates > 1:
            raise ValueError(
                f"source {self.name}: pattern {self.pattern!r} has several dates, expected "
                "{date} or {year} once; put * in place of the others"
            )
        if self.valid_range is not None and not self.valid_range[0] < self.valid_range[1]:
            raise ValueError(
                f"source {self.name}: valid_range {list(self.valid_range)}, expected [lowest, "
                "highest] in stored numbers; correct or remove it"
            )
        is_netcdf = bool(re.search(r"\.(nc4?|cdf|zarr)\*?$", self.pattern))
        if is_netcdf and not self.variable:
            raise ValueError(
                f"source {self.name}: NetCDF files ({self.pattern!r}) need `variable`, the name of "
                "the values in them"
            )
        return self


def _expression(pattern: str) -> str:
    """Return the regular expression of a `pattern`."""
    expression = re.escape(pattern)
    wildcards: tuple[tuple[str, str], ...] = (
        ("{date}", DATE),
        ("{year}", YEAR),
        ("*", "[^/]*"),
        ("?", "[^/]"),
    )
    for wildcard, stands_for in wildcards:
        expression = expression.replace(re.escape(wildcard), stands_for)
    return expression
