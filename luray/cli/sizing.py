"""The plan of an inference as a table and as plain lines."""

from collections.abc import Callable, Iterator

from rich.markup import escape
from rich.table import Table

from luray.cli.tables import QUIET, size
from luray.planning.inference import InferencePlan
from luray.planning.ranges import Range
from luray.planning.workload import cube_bytes

DURATIONS = (
    (2 * 86400.0, 86400.0, "days"),
    (2 * 3600.0, 3600.0, "h"),
    (120.0, 60.0, "min"),
    (0.0, 1.0, "s"),
)
"""From how many seconds on a duration is said in a unit, and its seconds."""


def inference_rows(plan: InferencePlan) -> Iterator[tuple[str, str, str]]:
    """What, how much, and what it rests on."""
    workload = plan.workload
    output = plan.output
    tiling = workload.tiling
    n_tiles = sum(1 for _ in tiling.tiles())
    n_maps_copied = len(plan.product.span.copied) * len(plan.product.member_indices)
    names = plan.product.scenarios or (plan.product.scenario,)
    yield "inference", f"{plan.title}: {', '.join(names)}", ("an estimate, of inference alone")
    yield (
        "windows",
        f"{workload.windows:,} a year in {workload.tiles} of {n_tiles} tiles",
        (f"{tiling.window} cells at a stride of {tiling.stride}; {plan.land_source}"),
    )
    yield "years", _years(plan), f"{workload.windows * workload.steps:,} windows in all"
    yield (
        "tile-years",
        f"{output.receipts:,} written, {workload.predictions:,} predicted",
        f"{n_maps_copied * workload.tiles:,} copied from observed maps",
    )
    yield (
        "bytes in",
        _range(plan.inputs.n_bytes, size),
        (
            f"decoded; {size(cube_bytes(plan.cube))} in the cube; static inputs of a tile are read "
            f"{_range(plan.inputs.reads * (1 / workload.tiles), '{:.3g}'.format)} times"
        ),
    )
    yield (
        "bytes out",
        f"{size(output.n_bytes)}, compressed {_range(output.compressed, size)}",
        ("at the ratios of earlier products"),
    )
    yield (
        "objects",
        f"{output.objects:,}",
        f"{output.shards:,} shards, {output.receipts:,} receipts, and metadata",
    )
    yield (
        "memory a worker",
        f"about {size(sum(plan.memory.values()))}",
        (", ".join(f"{what} {size(n)}" for what, n in plan.memory.items())),
    )
    fastest = Range(1 / plan.rate.window.high, 1 / plan.rate.window.low)
    yield "rate of a worker", f"{_range(fastest, '{:.3g}'.format)} windows/s", plan.rate.source
    yield from _times(plan)


def _times(plan: InferencePlan) -> Iterator[tuple[str, str, str]]:
    """Rows of time and cost."""
    longest = max(len(trajectory.years) - 1 for trajectory in plan.workload.trajectories)
    low, high = plan.device.dollars
    work = plan.time.work
    shares = [f"{what} {part.low / work.low:.0%}" for what, part in plan.time.parts.items()]
    yield (
        "critical path",
        _durations(plan.time.critical_path),
        (
            f"a tile of {max(load.windows for load in plan.loads)} windows, {longest} of the "
            f"{len(plan.product.span.years)} years in turn; the driver takes "
            f"{_duration(plan.time.driver)}"
        ),
    )
    yield (
        "work",
        _durations(work),
        f"of one worker: {', '.join(shares)}",
    )
    yield (
        "wall time",
        _durations(plan.time.wall),
        (
            f"{plan.workers:,} workers "
            f"{f'of {plan.threads} threads' if plan.on_cpu else 'with a GPU each'}; more than "
            f"{plan.time.most_workers:,} would not shorten it"
        ),
    )
    requests = _range(plan.costs.requests, _dollars)
    yield (
        "cost",
        f"{_range(plan.costs.compute, _dollars)} and {requests} of requests",
        (
            f"{'a thread' if plan.on_cpu else 'a GPU'} at ${low:g} (spot) to ${high:g} (on demand) "
            "an hour, approximate, "
            f"{plan.as_of}"
        ),
    )
    yield (
        "storage",
        f"{_range(plan.costs.storage_a_month, _dollars)} a month",
        "for the product on an object store",
    )


def inference_lines(plan: InferencePlan) -> str:
    """A line a row."""
    return "\n".join(
        f"{what + ':':<18}{value} ({note})" for what, value, note in inference_rows(plan)
    )


def inference_table(plan: InferencePlan) -> Table:
    """The same for a terminal."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold", ratio=2)
    table.add_column(style=QUIET, overflow="fold", ratio=3)
    for what, value, note in inference_rows(plan):
        table.add_row(what, escape(value), escape(note))
    return table


def _years(plan: InferencePlan) -> str:
    """How many are copied and predicted, and how often."""
    span, scenarios = plan.product.span, len(plan.product.scenarios)
    said = [f"{len(span.copied)} copied"]
    for direction, years in span.chains.items():
        shared = (
            ("once for all" if direction == "backward" else f"in each of {scenarios}")
            if scenarios > 1
            else ""
        )
        what = "hindcast" if direction == "backward" else "forecast"
        said.append(
            " ".join(filter(None, (f"{len(years) - 1} {what}", shared and f"{shared} scenarios")))
        )
    members = f", of {plan.product.members} members" if plan.product.members else ""
    return f"{len(span.years)}: {', '.join(said)}{members}"


def _range(value: Range, said: Callable[[float], str]) -> str:
    low, high = said(value.low), said(value.high)
    if low == high:
        return low
    (first, _, unit), (last, _, other) = low.partition(" "), high.partition(" ")
    return f"{first}-{last} {unit}".rstrip() if unit == other else f"{low} - {high}"


def _durations(value: Range) -> str:
    """Both ends in one unit."""
    return _range(value, lambda seconds: _duration(seconds, unit_of=value.high))


def _duration(seconds: float, *, unit_of: float = 0.0) -> str:
    length, unit = next(
        (length, unit) for least, length, unit in DURATIONS if (unit_of or seconds) >= least
    )
    return f"{_rounded(seconds / length)} {unit}"


def _dollars(value: float) -> str:
    return f"${_rounded(value)}" if value >= 0.01 else "under $0.01"


def _rounded(value: float) -> str:
    """Two digits below 100, all of them from there on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
