"""The plan of an inference as a table and as plain lines."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from luray.cli.tables import QUIET, format_bytes
from luray.planning.inference import InferencePlan
from luray.planning.ranges import Range
from luray.planning.workload import cube_bytes

DURATIONS = (
    (2 * 86400.0, 86400.0, "days"),
    (2 * 3600.0, 3600.0, "h"),
    (120.0, 60.0, "min"),
    (0.0, 1.0, "s"),
)
"""Least seconds of a duration that is given in a unit, the seconds of the unit, and its name."""


class PlanRow(NamedTuple):
    """A row of the plan: what is counted, how much of it, and on what the number rests."""

    name: str
    value: str
    note: str


def inference_rows(plan: InferencePlan) -> Iterator[PlanRow]:
    """Yield the rows of a plan: amounts, then times and costs."""
    yield from _amounts(plan)
    yield from _times(plan)
    yield from _costs(plan)


def _amounts(plan: InferencePlan) -> Iterator[PlanRow]:
    """Rows of what is read, computed and written."""
    workload = plan.workload
    output = plan.output
    tiling = workload.tiling
    span = plan.product.span
    time = plan.product.time
    per_map = "a year" if time.per_year == 1 else "a map"
    names = plan.product.scenarios or (plan.product.scenario,)
    n_tiles = sum(1 for _ in tiling.tiles())
    copied = len(span.copied) * workload.tiles * len(plan.product.member_indices)
    reads_of_tile = plan.inputs.reads * (1 / workload.tiles)
    seconds = plan.rate.window
    rate = Range(1 / seconds.high, 1 / seconds.low)

    yield PlanRow(
        "inference", f"{plan.title}: {', '.join(names)}", "an estimate, of inference alone"
    )
    yield PlanRow(
        "windows",
        f"{workload.windows:,} {per_map} in {workload.tiles} of {n_tiles} tiles",
        f"{tiling.window} cells at a stride of {tiling.stride}; {plan.land_source}",
    )
    yield PlanRow(
        time.plural, _years(plan), f"{workload.windows * workload.steps:,} windows in all"
    )
    yield PlanRow(
        "tile-years",
        f"{output.tile_years:,} written, {workload.predictions:,} predicted",
        f"{copied:,} copied from observed maps",
    )
    yield PlanRow(
        "bytes in",
        _range(plan.inputs.n_bytes, format_bytes),
        f"decoded; {format_bytes(cube_bytes(plan.cube))} in the cube; static inputs of a tile are "
        f"read {_range(reads_of_tile, _three_digits)} times",
    )
    yield PlanRow(
        "bytes out",
        f"{format_bytes(output.n_bytes)}, compressed {_range(output.compressed, format_bytes)}",
        "at the ratios of earlier products",
    )
    yield PlanRow(
        "objects",
        f"{output.objects:,}",
        f"{output.shards:,} shards, {output.receipts:,} receipts, and metadata",
    )
    yield PlanRow(
        "memory a worker",
        f"about {format_bytes(sum(plan.memory.values()))}",
        ", ".join(f"{part} {format_bytes(size)}" for part, size in plan.memory.items()),
    )
    yield PlanRow("rate of a worker", f"{_range(rate, _three_digits)} windows/s", plan.rate.source)


def _times(plan: InferencePlan) -> Iterator[PlanRow]:
    """Rows of time."""
    longest = max(len(trajectory.years) - 1 for trajectory in plan.workload.trajectories)
    largest_tile = max(load.windows for load in plan.loads)
    n_steps = f"{len(plan.product.span.years)} {plan.product.time.plural}"
    work = plan.time.work
    shares = [f"{part} {time.low / work.low:.0%}" for part, time in plan.time.parts.items()]
    kind = f"of {plan.threads} threads" if plan.on_cpu else "with a GPU each"

    yield PlanRow(
        "critical path",
        _durations(plan.time.critical_path),
        f"a tile of {largest_tile} windows, {longest} of the {n_steps} in turn; the driver takes "
        f"{_duration(plan.time.driver)}",
    )
    yield PlanRow("work", _durations(work), f"of one worker: {', '.join(shares)}")
    yield PlanRow(
        "wall time",
        _durations(plan.time.wall),
        f"{plan.workers:,} workers {kind}; more than {plan.time.most_workers:,} would not shorten "
        "it",
    )


def _costs(plan: InferencePlan) -> Iterator[PlanRow]:
    """Rows of what it costs."""
    low, high = plan.device.dollars
    device = "a thread" if plan.on_cpu else "a GPU"
    compute = _range(plan.costs.compute, _dollars)
    requests = _range(plan.costs.requests, _dollars)
    yield PlanRow(
        "cost",
        f"{compute} and {requests} of requests",
        f"{device} at ${low:g} (spot) to ${high:g} (on demand) an hour, approximate, {plan.as_of}",
    )
    yield PlanRow(
        "storage",
        f"{_range(plan.costs.storage_a_month, _dollars)} a month",
        "for the product on an object store",
    )


def inference_lines(plan: InferencePlan) -> str:
    """Return a plan as plain text, a line a row."""
    rows = inference_rows(plan)
    return "\n".join(f"{name + ':':<18}{value} ({note})" for name, value, note in rows)


def inference_table(plan: InferencePlan) -> Table:
    """Return a plan as a table for a terminal."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold", ratio=2)
    table.add_column(style=QUIET, overflow="fold", ratio=3)
    for name, value, note in inference_rows(plan):
        table.add_row(name, escape(value), escape(note))
    return table


def _years(plan: InferencePlan) -> str:
    """How many years are copied and predicted, and how often."""
    span = plan.product.span
    n_scenarios = len(plan.product.scenarios)
    parts = [f"{len(span.copied)} copied"]
    for direction, years in span.chains.items():
        n_predicted = len(years) - 1  # the first is observed
        part = f"{n_predicted} {'hindcast' if direction == 'backward' else 'forecast'}"
        if n_scenarios > 1 and direction == "backward":
            part += " once for all scenarios"  # they have one past
        elif n_scenarios > 1:
            part += f" in each of {n_scenarios} scenarios"
        parts.append(part)
    members = f", of {plan.product.members} members" if plan.product.members else ""
    return f"{len(span.years)}: {', '.join(parts)}{members}"


def _range(value: Range, text_of: Callable[[float], str]) -> str:
    """Both ends of a range, with the unit once where they share it."""
    low = text_of(value.low)
    high = text_of(value.high)
    if low == high:
        return low
    low_number, _, low_unit = low.partition(" ")
    high_number, _, high_unit = high.partition(" ")
    if low_unit == high_unit:
        return f"{low_number}-{high_number} {high_unit}".rstrip()
    return f"{low} - {high}"


def _durations(value: Range) -> str:
    """Both ends of a range of seconds, in the unit of the larger."""
    return _range(value, lambda seconds: _duration(seconds, unit_of=value.high))


def _duration(seconds: float, *, unit_of: float = 0.0) -> str:
    """Seconds in the unit that fits them, or another duration."""
    size = unit_of or seconds
    for least, unit_seconds, unit in DURATIONS:
        if size >= least:
            return f"{_rounded(seconds / unit_seconds)} {unit}"
    raise AssertionError(f"a duration of {size} s")


def _dollars(value: float) -> str:
    return f"${_rounded(value)}" if value >= 0.01 else "under $0.01"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _rounded(value: float) -> str:
    """Two digits below 100, all of them from there on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
