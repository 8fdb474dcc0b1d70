"""The benchmark of the globe: one year at 0.01 degrees, its time against the bare forward passes,
its peak memory.

Every stage goes on where it was; a stage that had nothing left to do keeps what was measured of it
before.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import xarray as xr

from luray.bench.globe_world import write_globe
from luray.bench.watch import Watch
from luray.core.progress import Progress, no_progress
from luray.cube.cube import Cube
from luray.cube.plan import remaining
from luray.distributed.cluster import cluster
from luray.engine.geometry import Geometry
from luray.model.checkpoint import read_card
from luray.planning.measure import ForwardCost, forward_cost
from luray.sandbox.random_model import save_random_model
from luray.sources import open_source
from luray.stages.build import build as run_build
from luray.stages.build import plan_cube
from luray.stages.config import RunConfig
from luray.stages.infer import infer as run_infer
from luray.stages.infer import inference_of
from luray.stages.run_file import load_run
from luray.storage.places import local_place
from luray.viz.maps import map_of_year

Stage = Literal["inputs", "build", "infer", "picture"]
Show = Callable[[Stage], Progress]
"""The report of a stage."""

MEMORY_GOAL = 8 * 2**30
RATIO_GOAL = 1.1
FORWARD_SECONDS = 20.0
"""Time for which forward passes are measured, before the inference and after it."""
BONUS = 6.0
"""Of the model with random weights: the land use stays recognisable on the map."""


@dataclass
class Cost:
    """What a stage took: wall-clock time, processor time of all processes, their peak memory in
    bytes.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass
class Measurements:
    """Everything that was measured."""

    costs: dict[Stage, Cost] = field(default_factory=dict)
    tiles: int = 0
    """Tiles with land."""
    windows: int = 0
    """Windows that the inference predicted while it was measured."""
    before: ForwardCost | None = None
    """Bare forward passes on as many cores as there were workers, before the inference and after
    it.
    """
    after: ForwardCost | None = None
    land_seconds: float = 0.0
    """Time in which the driver finds the tiles with land."""

    @classmethod
    def at(cls, place: Path) -> "Measurements":
        """What an earlier run wrote, nothing where there was none."""
        if not place.exists():
            return cls()
        text = json.loads(place.read_text(encoding="utf-8"))
        costs = {stage: Cost(**cost) for stage, cost in text.pop("costs").items()}
        before, after = (
            ForwardCost(*text.pop(when)) if text[when] else text.pop(when)
            for when in ("before", "after")
        )
        return cls(costs, text["tiles"], text["windows"], before, after, text["land_seconds"])

    @property
    def bare(self) -> ForwardCost | None:
        """Bare forward passes of all windows, mean of before and after; None until both are
        measured.
        """
        if self.before is None or self.after is None:
            return None
        return ForwardCost(
            *(self.windows * (a + b) / 2 for a, b in zip(self.before, self.after, strict=True))
        )

    @property
    def ratio(self) -> float:
        """Time of the inference over that of the bare forward passes."""
        return self.costs["infer"].seconds / self.bare.seconds if self.bare else float("nan")

    @property
    def cpu_ratio(self) -> float:
        """The same of processor time: what the ratio would be with the cores to itself."""
        return (
            self.costs["infer"].cpu_seconds / self.bare.cpu_seconds if self.bare else float("nan")
        )

    @property
    def peak_bytes(self) -> int:
        """Peak memory of all processes over all stages."""
        return max(cost.peak_bytes for cost in self.costs.values())

    def write(self, place: Path) -> None:
        """Write the numbers as JSON."""
        about = asdict(self)
        if self.bare:
            about |= {
                "ratio": self.ratio,
                "cpu_ratio": self.cpu_ratio,
                "ratio_goal": RATIO_GOAL,
                "peak_bytes": self.peak_bytes,
                "peak_bytes_goal": MEMORY_GOAL,
            }
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(about, indent=1), encoding="utf-8")

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """What was measured, how much, and the verdict where there is a goal."""
        for stage, cost in self.costs.items():
            yield (
                stage,
                (
                    f"{cost.seconds:.1f} s, {cost.cpu_seconds:.1f} s of processor time, "
                    f"peak {cost.peak_bytes / 2**30:.2f} GiB"
                ),
                "",
            )
        yield "tiles with land", f"{self.tiles}, found in {self.land_seconds:.2f} s", ""
        yield "windows", f"{self.windows}", ""
        for when, forward in (("before", self.before), ("after", self.after)):
            if forward:
                yield (
                    f"bare forward {when}",
                    (
                        f"{1000 * forward.seconds:.1f} ms a window, "
                        f"{1000 * forward.cpu_seconds:.1f} ms of processor time"
                    ),
                    "",
                )
        yield (
            "time over bare forward",
            f"{self.ratio:.3f}",
            _verdict(self.ratio, RATIO_GOAL, f"{RATIO_GOAL:g}"),
        )
        yield "the same of processor time", f"{self.cpu_ratio:.3f}", ""
        yield (
            "peak memory",
            f"{self.peak_bytes / 2**30:.2f} GiB",
            _verdict(self.peak_bytes, MEMORY_GOAL, "8 GiB"),
        )


def _verdict(value: float, goal: float, named: str) -> str:
    return f"{'reached' if value <= goal else 'missed'}: at most {named}"


def globe_run(output: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The run of the globe with all outputs, and the inputs it writes, below `output`."""
    output = local_place(output, what="the output of the benchmark")
    names = ("hilda", "luh2", "isimip")
    places = [
        f"output={output}",
        *(f"sources.{i}.path={output}/inputs/{name}" for i, name in enumerate(names)),
    ]
    run = load_run(Path(__file__).with_name("globe.toml"), [*places, *overrides])
    local_place(run.output, what="the output of the benchmark")
    return run


def bench(
    run: RunConfig, *, show: Show = lambda _: no_progress, forward: float = FORWARD_SECONDS
) -> Measurements:
    """Measure a run of `globe_run` from its inputs to the picture; the numbers go to `globe.json`
    in its output.

    Raises ValueError without the package of the land mask, and what the stages raise.
    """
    place = Path(run.path("globe.json"))
    found = Measurements.at(place)
    write_inputs(run, found, show("inputs"))
    found.write(place)
    with cluster(cpus=_cores(run)):
        build(run, found, show("build"))
        found.write(place)
    cube = Cube.open(run.cube)
    for direction in run.directions:
        if read_card(run.model_folder(direction)) is None:
            save_random_model(cube, direction, run.model, run.model_folder(direction), bonus=BONUS)
    infer(run, found, show("infer"), forward=forward)
    found.write(place)
    with _measured(found, "picture"):
        picture(run)
    found.write(place)
    return found


def _cores(run: RunConfig) -> int:
    return run.inference.workers.max * run.inference.threads


@contextmanager
def _measured(found: Measurements, stage: Stage) -> Iterator[None]:
    started = time.perf_counter()
    with Watch() as watch:
        yield
    found.costs[stage] = Cost(time.perf_counter() - started, watch.cpu_seconds, watch.peak)


def write_inputs(run: RunConfig, found: Measurements, report: Progress) -> None:
    """Write what is missing of the inputs."""
    configs = {config.label: config for config in run.sources}
    fixed = {
        label: open_source(configs[label], run_years=run.years, scenario=run.scenario)
        for label in ("relief", "climate")
    }
    kept = found.costs.get("inputs")
    with _measured(found, "inputs"):
        wrote = write_globe(
            Path(run.path("inputs")),
            grid=run.grid.grid,
            year=run.inference.observed[0],
            relief=fixed["relief"],
            climate=fixed["climate"],
            progress=report,
        )
    if not wrote and kept:
        found.costs["inputs"] = kept


def build(run: RunConfig, found: Measurements, report: Progress) -> None:
    """Build what is missing of the cube."""
    kept = found.costs.get("build")
    with _measured(found, "build"):
        plan = plan_cube(run)
        left = any(remaining(plan, pieces) for pieces in plan.pieces())
        run_build(plan, progress=report)
    if not left and kept:
        found.costs["build"] = kept


def infer(run: RunConfig, found: Measurements, report: Progress, *, forward: float) -> None:
    """Predict what is missing of the year, between two measurements of the bare forward pass."""
    windows = _windows_left(run, found)
    if not windows:
        with cluster(cpus=_cores(run)):
            run_infer(run)
        return
    [direction] = run.directions

    def bare() -> ForwardCost:
        return forward_cost(
            run.model_folder(direction),
            batch=run.inference.batch,
            window=run.inference_tiles.window,
            processes=run.inference.workers.max,
            threads=run.inference.threads,
            seconds=forward,
        )

    found.windows, found.before = windows, bare()
    with cluster(cpus=_cores(run)), _measured(found, "infer"):
        run_infer(run, progress=report)
    found.after = bare()


def _windows_left(run: RunConfig, found: Measurements) -> int:
    """Active windows of the tile-years without a receipt; takes note of the tiles with land."""
    cube, started = Cube.open(run.cube), time.perf_counter()
    found.tiles, found.land_seconds = (
        len(Geometry.of(cube, run.inference_tiles).tiles),
        time.perf_counter() - started,
    )
    plan = inference_of(run, run.inference.span, run.product)
    done, windows = plan.product.done(), 0
    for trajectory in plan.product.trajectories:
        finished = done.of(trajectory.member_indices)
        for tile in plan.geometry.tiles:
            left = sum((year, tile) not in finished for year in trajectory.years[1:])
            box = run.inference_tiles.tile_box(tile)
            windows += left * len(run.inference_tiles.active_cores(box, cube.land(box)))
    return windows


def picture(run: RunConfig) -> str:
    """Draw the map of the predicted year; returns its place."""
    place = run.path("pictures", f"map_{run.inference.years[1]}.png")
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    map_of_year(xr.open_zarr(run.product), run.inference.years[1], place)
    return place
