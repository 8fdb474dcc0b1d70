"""The whole engine against the bare forward pass of the same folded model.

Engine: Zarr reads, input assembly, forward passes, averaging, exchange of strips and edges, Zarr
writes, receipts, on 4,000 x 6,000 cells that are all land, over years with the inputs of a global
run. Bare: plain processes outside Ray on random input with the same settings of glibc, their best
of several batches and of one process a core or a thread a core, before and after, the mean of both.
The engine computes the same in less arithmetic (see `luray.engine.stem` and `trunk`). A Ray cluster
is there when its time begins, and the machine code of the kernels; its workers are not.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from luray.bench.watch import Watch
from luray.core.config import Workers
from luray.core.grid import Grid
from luray.core.progress import no_progress
from luray.cube.cube import Cube
from luray.distributed.cluster import cluster
from luray.distributed.infer import Driver
from luray.engine.geometry import Geometry
from luray.engine.jobs import Job, SideTask
from luray.engine.scheduler import Scheduler
from luray.engine.spec import InferenceSpec
from luray.model.unet_config import UNetConfig
from luray.planning.measure import forward_cost
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.sandbox.random_model import save_random_model
from luray.storage.lease import leased
from tests.benchmarks.ratio import Ratio, alone
from tests.benchmarks.runtimes import seconds_by_runtime
from tests.benchmarks.schedule import Took, simulated
from tests.benchmarks.windows import YEARS, write_cube

REGION = Grid(60, 0, 0.01, 4000, 6000)
WINDOW, STRIDE = 456, 400
"""The default of inference for models of 256-cell windows, see luray/PERFORMANCE.md."""
LAST = YEARS[6]
"""Last year that is predicted, from the first of `YEARS`."""
CORES = 2
BATCHES = 2, 4
BARE_SECONDS = 6.0
OTHER_RUNTIMES = "OpenVINO", "ONNX Runtime"
GOALS = {16: (0.93, 0.95), 32: (0.95, 0.97)}
"""Goals by width: whole runs, and once static inputs are kept."""
DRIVER_SECONDS = 0.005
"""Most that the driver may cost a tile-year."""


@dataclass(frozen=True)
class Pace:
    """How fast an inference went."""

    windows: int
    windows_a_year: int
    seconds: float
    warm: float
    """Windows a second once all of the first predicted year is there: static inputs are kept."""
    driver: float
    """Seconds of the driver for each tile-year."""
    peak_bytes: int
    took: Took


def measure() -> Iterator[Ratio]:
    """Efficiency at two widths, what the driver costs, and two workers over one."""
    with tempfile.TemporaryDirectory() as folder:
        cube = write_cube(f"{folder}/cube.zarr", grid=REGION)
        small = write_cube(f"{folder}/small.zarr", grid=Grid(60, 0, 0.01, 500, 500))
        save_random_model(small, "forward", UNetConfig(width=16, depth=3), f"{folder}/small")
        alone(
            paced,
            small,
            f"{folder}/small",
            f"{folder}/small_product.zarr",
            workers=1,
            last=YEARS[3],
        )  # compiles
        for width, (goal, warm_goal) in GOALS.items():
            model = f"{folder}/model{width}"
            save_random_model(cube, "forward", UNetConfig(width=width, depth=3), model)
            before = bare(model)
            pace = alone(
                paced, cube, model, f"{folder}/product{width}.zarr", workers=CORES, last=LAST
            )
            rate, trunk = (before + bare(model)) / 2, bare(model, whole=False)
            yield Ratio(
                f"engine over bare forward, width {width}",
                pace.windows / pace.seconds / rate,
                goal,
                f"{pace.windows / pace.seconds:.1f} of {rate:.1f} windows/s, {LAST - YEARS[0]} "
                "years, start and static inputs included",
            )
            yield Ratio(
                f"the same, static inputs kept, width {width}",
                pace.warm / rate,
                warm_goal,
                f"{pace.warm:.1f} of {rate:.1f} windows/s ({trunk:.1f} of the trunk alone); peak "
                f"{pace.peak_bytes / 2**30:.1f} GiB",
            )
            # Generous to the other runtimes: as if two processes did not slow each other down.
            for name, seconds in alone(seconds_by_runtime, width).items():
                if name in OTHER_RUNTIMES:
                    other_rate = CORES / seconds
                    yield Ratio(
                        f"engine, static inputs kept, over {name} bare, width {width}",
                        pace.warm / other_rate,
                        1.15,
                        f"{pace.warm:.1f} and {other_rate:.1f} windows/s",
                    )
            if width == min(GOALS):
                yield from simulated(pace.took)
                yield Ratio(
                    "driver a tile-year",
                    DRIVER_SECONDS / pace.driver,
                    1,
                    f"{1000 * pace.driver:.2f} ms, {1000 * DRIVER_SECONDS:g} ms allowed",
                )
                pair = [
                    alone(paced, cube, model, f"{folder}/workers{n}.zarr", workers=n, last=YEARS[3])
                    for n in (1, CORES)
                ]
                yield Ratio(
                    "two workers over one",
                    pair[1].warm / pair[0].warm,
                    1.85,
                    f"{pair[1].warm:.1f} and {pair[0].warm:.1f} windows/s, one thread each",
                )


def bare(model: str, *, whole: bool = True) -> float:
    """Windows a second of bare forward passes on all cores, the best setting."""
    return max(
        1
        / forward_cost(
            model,
            batch=batch,
            window=WINDOW,
            processes=processes,
            threads=CORES // processes,
            seconds=BARE_SECONDS,
            whole=whole,
        ).seconds
        for batch in BATCHES
        for processes in (1, CORES)
    )


def spec_of(cube: Cube, model: str, url: str, *, last: int, batch: int = 2) -> InferenceSpec:
    """The inference of the years after the first one, up to `last`; its product is created."""
    tiling = cube.tiling(window=WINDOW, stride=STRIDE, tile=2000)
    span = Span(YEARS[0], last, (YEARS[0], YEARS[0]))
    spec = InferenceSpec(
        cube,
        Product(url, span, tiling, "benchmark", legend=cube.legend),
        Geometry.of(cube, tiling),
        {"forward": model},
        "linear",
        batch=batch,
        threads=1,
        history=UNetConfig().history,
    )
    tiles = len(spec.geometry.tiles)
    spec.product.create(cube, title="benchmark", models=spec.models, tiles=tiles)
    return spec


def paced(
    cube: Cube,
    model: str,
    url: str,
    *,
    workers: int,
    last: int,
    batch: int = 2,
    gpu: bool = False,
) -> Pace:
    """Infer the years after the first one, up to `last`."""
    spec = spec_of(cube, model, url, last=last, batch=batch)
    tiles = len(spec.geometry.tiles)
    tiling = spec.geometry.tiling
    everything = tiling.everything
    a_year = len(tiling.active_cores(everything, cube.land(everything)))
    with cluster(cpus=CORES), leased(url) as lease, Watch() as watch:
        started = time.perf_counter()
        driver = Driver(
            spec,
            workers=Workers(min=workers, max=workers),
            gpu=gpu,
            years_in_flight=4,
            progress=no_progress,
        )
        jobs = recorded(driver.scheduler)
        driver.run(lease)
        spec.product.finish()
        seconds = time.perf_counter() - started
    reduced = [job for job in jobs if job.operation == "reduce"]
    kept = max(job.ended for job in reduced if job.step == 0)
    later = [job.ended for job in reduced if job.ended > kept]
    warm = len(later) * a_year / tiles / (max(later) - kept)
    years = len(spec.product.span.years) - 1
    took = Took(
        [job.seconds for job in jobs if job.operation == "predict" and job.step == 0],
        [job.seconds for job in jobs if job.operation == "predict" and job.step > 0],
        [job.seconds for job in reduced],
    )
    return Pace(
        years * a_year, a_year, seconds, warm, driver.seconds / (years * tiles), watch.peak, took
    )


class Done(NamedTuple):
    """A task that a scheduler was told is done."""

    operation: str
    step: int
    seconds: float
    ended: float


def recorded(scheduler: Scheduler) -> list[Done]:
    """A list that gets the tasks which a scheduler is told are done."""
    jobs: list[Done] = []
    finish_job = scheduler.finish

    def finish(worker: int, job: Job | SideTask, now: float) -> bool:
        if isinstance(job, Job):
            began = scheduler.pool.states[worker].running[job]
            jobs.append(Done(job.operation, job.task.step, now - began, now))
        return finish_job(worker, job, now)

    scheduler.finish = finish  # type: ignore[method-assign]
    return jobs
