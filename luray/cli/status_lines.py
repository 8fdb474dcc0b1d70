"""How far a product is, in a few plain lines."""

from collections.abc import Sequence

from luray.core.time_steps import YEARLY, TimeSteps
from luray.product.status import Status

MOST_BEGUN_YEARS = 8
"""Begun years that are named."""


def status_lines(status: Status) -> list[str]:
    """Return what is done of a product, at what rate and by whom."""
    done = sum(status.done.values())
    complete = status.complete
    lines = [
        status.title,
        f"  {done} of {status.total} tile-years, {len(complete)} of {len(status.years)} "
        f"{status.time.plural} whole: {spans(complete, status.time) or 'none'}",
    ]

    several = []
    if status.dims.scenarios:
        several.append(f"scenarios {', '.join(status.dims.scenarios)}")
    if status.dims.members:
        several.append(f"{status.dims.members} members")
    if several:
        lines.append(f"  of {' and '.join(several)}")

    begun = [year for year in status.years if 0 < status.done[year] < status.each]
    if begun:
        named = [
            f"{status.time.label(year)} ({status.done[year]}/{status.each})"
            for year in begun[:MOST_BEGUN_YEARS]
        ]
        more = " ..." if len(begun) > MOST_BEGUN_YEARS else ""
        lines.append(f"  begun: {', '.join(named)}{more}")

    lines.append("  finished" if status.finished else f"  {_writer(status)}; {_pace(status, done)}")
    return lines


def _writer(status: Status) -> str:
    return f"being written by {status.holder}" if status.holder else "nobody is writing it"


def _pace(status: Status, done: int) -> str:
    rate = status.rate()
    if not rate:
        return "none done lately"
    return f"{rate:.2f} tile-years/s, {_hours((status.total - done) / rate)} left"


def spans(years: Sequence[int], time: TimeSteps = YEARLY) -> str:
    """Return ascending years, or other time steps, as spans.

    Examples
    --------
    >>> spans([1850, 1851, 1852, 2001])
    '1850-1852, 2001'
    >>> spans([24048, 24049, 24060], TimeSteps("month"))
    '2004-01 to 2004-02, 2005-01'
    """
    parts: list[list[int]] = []
    for year in years:
        if parts and year == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], year]
        else:
            parts.append([year])
    joint = "-" if time == YEARLY else " to "
    return ", ".join(joint.join(map(time.label, part)) for part in parts)


def _hours(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
