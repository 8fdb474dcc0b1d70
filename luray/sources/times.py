"""Decode the numbers of a NetCDF time axis into moments of a calendar.

`cftime` decodes every axis that CF defines, in all of its calendars. Here are the units that CF
leaves open: `years since` and `months since` an epoch, in whole numbers only, and plain calendar
years. A number whose rounding may have moved it into another year raises InputError.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import cftime
import numpy as np
from numpy.typing import NDArray

from luray.storage.errors import InputError

PLAIN_UNITS = ("", "1", "a", "yr", "year", "years", "calendar year", "calendar years")
PLAIN_RANGE = (500, 3000)
"""Numbers that are taken for calendar years where the units name no epoch."""

CALENDARS = (
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "julian",
    "noleap",
    "365_day",
    "all_leap",
    "366_day",
    "360_day",
    "tai",
)
"""Calendars of CF that cftime decodes."""

MONTHS: Mapping[str, int] = {
    **dict.fromkeys(("month", "months"), 1),
    **dict.fromkeys(("year", "years", "yr", "yrs", "common_year", "common_years"), 12),
}
"""Months of the units that CF leaves open."""

CF_MONTHS = {("360_day", "month"), ("360_day", "months")}
CF_YEARS = {
    ("noleap", "common_year"),
    ("noleap", "common_years"),
    ("365_day", "common_year"),
    ("365_day", "common_years"),
}
"""Calendars in which CF defines one of those units after all, with fractions."""

SINCE = re.compile(r"\s*(\w+)\s+since\s+(\S.*?)\s*", re.IGNORECASE)
EPOCH = re.compile(
    r"(?P<year>[+-]?\d{1,5})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?)?"
    r"(?:(?:\s+|[Tt])(?P<hour>\d{1,2})"
    r"(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?P<fraction>\.\d*)?)?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|(?P<sign>[+-])(?P<zone_hour>\d{1,2})(?::?(?P<zone_minute>\d{2}))?)?",
    re.IGNORECASE,
)
"""A date with what UDUNITS lets follow it: hours, minutes and seconds, a time zone."""

NOISE = timedelta(microseconds=500)
"""More than rounding in double precision may take from midnight."""

WHOLE = 1e-6
"""Largest difference from a whole number that is rounding, in years or months."""

MOST_YEARS = 100_000
"""More years since an epoch than this are no dates but missing values."""

Moments = NDArray[Any]
"""An array of `cftime.datetime`."""


@dataclass(frozen=True)
class TimeUnits:
    """Unit, epoch and calendar of a time axis.

    Made by `parse_units`.

    Examples
    --------
    >>> units = parse_units("days since 2000-01-01", "noleap", where="a.nc")
    >>> [str(moment) for moment in units.stamps(np.array([0, 365]))]
    ['2000-01-01 00:00:00', '2001-01-01 00:00:00']
    """

    unit: str
    epoch: str
    """The date that the numbers count from, empty for plain calendar years."""
    calendar: str
    months: int
    """Months of a unit that is counted in the calendar; 0 for one that is a length of time."""
    shown: str
    """Units and calendar as the file has them, for messages."""
    where: str
    """The file, for messages."""

    @property
    def plain(self) -> bool:
        """Whether the numbers are calendar years."""
        return not self.epoch

    def stamps(self, times: NDArray[Any]) -> Moments:
        """Decode the stamps of time steps.

        Parameters
        ----------
        times : array, shape (steps,)
            Finite numbers.

        Returns
        -------
        array of cftime.datetime, shape (steps,)

        Raises
        ------
        InputError
            For parts of a year or month, dates that the calendar has not, and numbers whose
            rounding may have carried them across a new year.
        """
        if self.months:
            self._require_whole(times, times)
            return self._count(times)
        moments = self._decode(times)
        if times.dtype.kind == "f":
            self._refuse_single_precision(times, moments)
            moments = self._without_noise(times, moments)
        return moments

    def moments(self, times: NDArray[Any]) -> Moments:
        """Decode the bounds of time steps, or stamps that have bounds, shape (steps,).

        Like `stamps`, but rounding does no harm here, as the middle of the bounds tells the year;
        and a part of a year may be whole months.
        """
        if self.months:
            self._require_whole(times * self.months, times)
            return self._count(times)
        return self._decode(times)

    def _require_whole(self, counted: NDArray[Any], times: NDArray[Any]) -> None:
        """Raise InputError unless counts are whole numbers and `times` are dates or plain years."""
        is_whole = np.abs(counted - np.round(counted)) <= WHOLE
        low, high = PLAIN_RANGE if self.plain else (-MOST_YEARS, MOST_YEARS * 12)
        if not is_whole.all() or (times < low).any() or (times > high).any():
            raise InputError(
                f"{self.where}: time is {times[:3].tolist()}... in {self.shown}, expected `days "
                "since` a date, whole numbers of `years since` or `months since` one (no calendar "
                "says how long a part of them is), or plain calendar years; correct the time axis "
                "or its units attribute"
            )

    def _decode(self, times: NDArray[Any]) -> Moments:
        """Return the moments as cftime has them; its warnings are errors.

        It warns of a year 0 in a calendar that has none.
        """
        units = f"{self.unit} since {self.epoch}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", cftime.CFWarning)
                moments = cftime.num2date(
                    times, units, self.calendar, only_use_cftime_datetimes=True
                )
        except (ValueError, TypeError, OverflowError, cftime.CFWarning) as error:
            raise InputError(
                f"{self.where}: time from {times.min()} to {times.max()} in {self.shown} cannot be "
                f"decoded ({error}), expected `days since` a date of the calendar; correct the "
                "attributes of the time axis"
            ) from error
        return np.asarray(moments, object)

    def _count(self, times: NDArray[Any]) -> Moments:
        """Return the moments whole months after the epoch, at its day and hour.

        Where a month has no such day, it is the last one of the month.
        """
        start = self._start()
        start_month = start.year * 12 + start.month - 1  # counted from January of the year 0
        counts = np.round(times.astype(np.float64) * self.months).astype(int)
        moments = []
        for count in counts.tolist():
            year, month = divmod(start_month + count, 12)
            first_of_month = start.replace(year=year, month=month + 1, day=1)
            day = min(start.day, first_of_month.daysinmonth)
            moments.append(first_of_month.replace(day=day))
        return np.array(moments, object)

    def _start(self) -> cftime.datetime:
        """Return the epoch in a calendar with a year 0.

        Counting passes a year 0 in every calendar: 1850 `years since 0000-01-01` is the year 1850.
        """
        if self.plain:
            return cftime.datetime(0, 1, 1, calendar="proleptic_gregorian", has_year_zero=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return cftime.num2date(
                    0,
                    f"days since {self.epoch}",
                    self.calendar,
                    only_use_cftime_datetimes=True,
                    has_year_zero=True,
                )
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(
                f"{self.where}: the epoch of {self.shown} cannot be decoded ({error}), expected a "
                "date of the calendar; correct the units attribute"
            ) from error

    def _refuse_single_precision(self, times: NDArray[Any], moments: Moments) -> None:
        """Raise InputError for a stamp that single precision may have moved across a new year.

        A stamp that is the new year itself was stored exactly.
        """
        # What is stored in double precision but has only single-precision numbers is doubtful too.
        single = times.astype(np.float32)
        if not np.array_equal(single, times):
            return

        # The neighbours in single precision bracket every moment that may have been meant.
        step = np.spacing(np.abs(single)).astype(np.float64)
        earliest_moments = self._decode(times - step)
        latest_moments = self._decode(times + step)
        for earliest, moment, latest in zip(earliest_moments, moments, latest_moments, strict=True):
            if earliest.year != latest.year and moment != new_year(moment, moment.year):
                raise InputError(
                    f"{self.where}: time is stored in single precision, which cannot tell whether "
                    f"{moment} lies in {earliest.year} or {latest.year}, expected numbers that are "
                    "exact; store the axis in double precision, or in days"
                )

    def _without_noise(self, times: NDArray[Any], moments: Moments) -> Moments:
        """Return moments whose rounding just before a new year is undone.

        A last moment of a year may be a rounded midnight, or be meant. Other steps tell: where one
        lies at a new year, the axis counts midnights. Without any the axis raises InputError.
        """
        at_new_year = []
        just_before = []
        for i, (number, moment) in enumerate(zip(times, moments, strict=True)):
            if moment - new_year(moment, moment.year) <= NOISE:
                at_new_year.append(i)
            # A whole number is exact, whatever moment it is.
            elif number != np.floor(number) and (moment + NOISE).year != moment.year:
                just_before.append(i)

        if just_before and not at_new_year:
            raise InputError(
                f"{self.where}: time steps such as {moments[just_before[0]]} in {self.shown} lie "
                "less than a millisecond before a new year: rounding of midnight or the last "
                "moment of a year; give the axis in whole days, or with time bounds"
            )
        for i in just_before:
            moments[i] = new_year(moments[i], (moments[i] + NOISE).year)
        return moments


def parse_units(units: str, calendar: str, *, where: str) -> TimeUnits:
    """Parse the `units` and `calendar` attributes of a time axis.

    Parameters
    ----------
    units : str
        `<unit> since <date>`, or units of plain calendar years (`PLAIN_UNITS`).
    calendar : str
        One of `CALENDARS`, in any case.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        For calendars that CF does not know, epochs that are no dates, and other units.
    """
    shown = f"units {units!r} and calendar {calendar!r}"
    parts = SINCE.fullmatch(units)
    if parts is None:
        if units.strip().lower() not in PLAIN_UNITS:
            raise InputError(
                f"{where}: time is in units {units!r}, expected `years since`, `days since` or "
                "plain calendar years; correct the units attribute"
            )
        return TimeUnits(
            unit="year",
            epoch="",
            calendar="proleptic_gregorian",
            months=12,
            shown=shown,
            where=where,
        )

    calendar_name = calendar.strip().lower()
    if calendar_name not in CALENDARS:
        raise InputError(
            f"{where}: time is in calendar {calendar!r}, expected one of {', '.join(CALENDARS)}; "
            "correct the calendar attribute"
        )
    # In some calendars all months, or all years, have one length: cftime decodes these.
    unit = parts[1].lower()
    is_length = (calendar_name, unit) in CF_MONTHS | CF_YEARS
    return TimeUnits(
        unit=unit,
        epoch=_epoch(parts[2], units, where=where),
        calendar=calendar_name,
        months=0 if is_length else MONTHS.get(unit, 0),
        shown=shown,
        where=where,
    )


def _epoch(text: str, units: str, *, where: str) -> str:
    """Return the date of an epoch in a form that cftime reads to its end.

    cftime silently leaves out what it does not understand: the hour of `1850-01-01 12`, the zone
    of `1850-1-1 0:0:0 -5`.
    """
    date = EPOCH.fullmatch(text)
    if date is None:
        raise InputError(
            f"{where}: time is in units {units!r}, expected a date such as 850-01-01 00:00:00 "
            "after `since`; correct the units attribute"
        )
    field = date.groupdict(default="")  # what is left out is empty
    day = f"{field['year']}-{field['month'] or 1}-{field['day'] or 1}"
    fraction = field["fraction"] if len(field["fraction"]) > 1 else ""  # a point alone is none
    time = f"{field['hour'] or 0}:{field['minute'] or 0}:{field['second'] or 0}{fraction}"
    if not field["sign"]:
        return f"{day} {time}"

    zone = f"{int(field['zone_hour']):02d}:{int(field['zone_minute'] or 0):02d}"
    return f"{day} {time} {field['sign']}{zone}"


def new_year(like: cftime.datetime, year: int) -> cftime.datetime:
    """Return midnight of 1 January in the calendar of another moment."""
    return cftime.datetime(year, 1, 1, calendar=like.calendar, has_year_zero=like.has_year_zero)
