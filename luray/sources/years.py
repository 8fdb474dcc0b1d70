"""Years: of a NetCDF time axis, which most libraries cannot decode in these sources, of a series, and in words."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from luray.sources.base import InputError

PLAIN_UNITS = ("", "1", "a", "yr", "year", "years", "calendar year", "calendar years")
PLAIN_RANGE = (500, 3000)
"""Numbers that are taken for calendar years where the units name no epoch."""

DAYS = {"noleap": 365.0, "365_day": 365.0, "360_day": 360.0, "all_leap": 366.0, "366_day": 366.0}
"""Days of a year in the calendars whose years are all alike."""


def years_of(times: NDArray[np.float64], *, units: str, calendar: str, where: str) -> tuple[int, ...]:
    """Calendar year of each time step, shape of `times`; a step within a year belongs to it.

    Understands `years since` and `days since` an epoch, and plain calendar years (HILDA+). Raises InputError for other
    units and for values that are no numbers.
    """
    if not np.isfinite(times).all():
        raise InputError(f"{where}: the time axis has gaps, expected a number for every step")
    epoch = re.match(r"\s*(year|common_year|day)s?\s+since\s+(-?\d+)(?:-(\d+))?(?:-(\d+))?", units)
    if epoch is None:
        return _plain(times, units=units, where=where)
    year, month, day = int(epoch[2]), int(epoch[3] or 1), int(epoch[4] or 1)
    if epoch[1] != "day":
        found = year + np.floor(times + 1e-6)
    elif calendar.lower() in DAYS:
        length = DAYS[calendar.lower()]
        found = year + np.floor(((month - 1) * length / 12 + day - 1 + times + 1e-6) / length)
    else:
        start = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D")
        found = (start + np.floor(times + 1e-6).astype("timedelta64[D]")).astype("datetime64[Y]").astype(int) + 1970
    return tuple(int(y) for y in found)


def _plain(times: NDArray[np.float64], *, units: str, where: str) -> tuple[int, ...]:
    low, high = PLAIN_RANGE
    whole = (times == np.floor(times)) & (times >= low) & (times <= high)
    if units.strip().lower() not in PLAIN_UNITS or not whole.all():
        raise InputError(f"{where}: time is {times[:3].tolist()}... in units {units!r}, expected `years since`, `days "
                         "since` or plain calendar years; correct the units attribute")
    return tuple(int(t) for t in times)


def check_series(years: Sequence[int], *, where: str, wanted: Iterable[int] | None = None) -> None:
    """Raise InputError if the years of a series are empty, repeated, unsorted or have a gap, naming them.

    Of a gap only the `wanted` years count, all of them where none are named.
    """
    if not years:
        raise InputError(f"{where}: no years found, expected an annual series")
    repeated = [year for year, times in Counter(years).items() if times > 1]
    if repeated:
        raise InputError(f"{where}: years {span(repeated)} occur more than once; keep one file a year")
    unsorted = [b for a, b in pairwise(years) if b < a]
    if unsorted:
        raise InputError(f"{where}: years are not in order at {span(unsorted)}, expected ascending years; sort the "
                         "file")
    gap = set(range(years[0], years[-1] + 1)) - set(years)
    if wanted is not None:
        gap &= set(wanted)
    if gap:
        raise InputError(f"{where}: years {span(gap)} are missing between {years[0]} and {years[-1]}; get their files")


def shared_years(held: Sequence[int], run_years: range, *, where: str) -> frozenset[int]:
    """Years of the run that a series holds. Raises InputError if it holds none."""
    shared = frozenset(held) & frozenset(run_years)
    if not shared:
        raise InputError(f"{where}: holds years {span(held)}, none of the run's {span(run_years)}; correct the run's "
                         "years")
    return shared


def span(years: Iterable[int]) -> str:
    """Years in words, runs joined: `1899-1901, 1905`."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
