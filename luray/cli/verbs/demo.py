"""Verbs that need no inputs: the demo, and the benchmark of one year of the globe."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from luray.cli import console
from luray.cli.console import say, show
from luray.cli.progress import progress
from luray.cli.verbs.options import Overrides
from luray.cli.verbs.stages import run_stages

if TYPE_CHECKING:
    from luray.stages.config import RunConfig


def demo(
    set_: Overrides = None,
    land_cover: Annotated[
        bool,
        typer.Option(
            "--land-cover",
            help="Land cover of 1990-2020 that follows the land use of another run, in place of "
            "land use; --set changes the run file of land cover.",
        ),
    ] = False,
    leaf_area: Annotated[
        bool,
        typer.Option(
            "--leaf-area",
            help="Leaf area index by months, 1990-2020, that follows climate, season and land use, "
            "in place of land use.",
        ),
    ] = False,
) -> None:
    """Run every stage on a small simulated world, 251 years in a few minutes; needs no inputs."""
    from luray.stages.demo import load_demo, write_demo_world
    from luray.stages.session import session

    started = time.monotonic()
    if land_cover and leaf_area:
        raise typer.BadParameter("--land-cover and --leaf-area are two demos; give one of them")
    if leaf_area:
        _leaf_area_demo(set_ or [], started)
        return
    if land_cover:
        _land_cover_demo(set_ or [], started)
        return
    run = load_demo(set_ or ())
    with progress("sandbox") as progressed:
        world = write_demo_world(run, progress=progressed)
    with session(run):
        run_stages(run, restart=True)
    _summary(run, world, time.monotonic() - started)


def _land_cover_demo(overrides: list[str], started: float) -> None:
    """Run the demo of land cover: the land use that it follows, then land cover itself."""
    from luray.stages.demo import load_land_cover_demo, write_land_cover_world
    from luray.stages.session import session

    land_use, run = load_land_cover_demo(overrides=overrides)
    with progress("sandbox") as progressed:
        world = write_land_cover_world(land_use, progress=progressed)
    for each in (land_use, run):
        with session(each):
            run_stages(each, restart=True)
    _summary(run, world, time.monotonic() - started)


def _leaf_area_demo(overrides: list[str], started: float) -> None:
    """Run the demo of leaf area index."""
    from luray.stages.demo import load_leaf_area_demo, write_leaf_area_world
    from luray.stages.session import session

    run = load_leaf_area_demo(overrides=overrides)
    with progress("sandbox") as progressed:
        world = write_leaf_area_world(run, progress=progressed)
    with session(run):
        run_stages(run, restart=True)
    _summary(run, world, time.monotonic() - started)


def _summary(run: "RunConfig", world: Path, seconds: float) -> None:
    """Print where everything lies that the demo has made."""
    minutes, rest = divmod(seconds, 60)
    table = Table(
        title=f"{run.title}, in {minutes:.0f} min {rest:.0f} s",
        title_justify="left",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_row("inputs", str(world))
    table.add_row("predictor cube", run.cube)
    table.add_row("models", run.path("model"))
    table.add_row("product", run.product)
    table.add_row("report", run.path("report"))
    table.add_row("pictures", run.path("pictures"))
    table.add_row("STAC catalog", run.path("stac", "catalog.json"))
    console.out.print()
    console.out.print(table)
    say(
        f"look at {run.path('pictures', 'overview.png')}, or in Python: "
        f"luray.open_product({run.product!r})"
    )


def bench_globe(
    output: Annotated[
        str,
        typer.Option(
            help="Folder of the inputs, the cube, the product, the picture and globe.json."
        ),
    ] = "build/globe",
    set_: Overrides = None,
) -> None:
    """Measure one year of the whole globe at 1 km: time beside bare forward passes, peak memory.

    It runs on two workers. Inputs are written first, on the land mask of the
    package global-land-mask; relief and climate zones are read from the
    folder that LURAY_DATA names. Interrupted, it continues with what is
    missing.
    """
    from luray.bench import globe

    run = globe.globe_run(output, set_ or ())
    with progress("globe") as progressed:
        measurements = globe.bench(run, show=lambda stage: partial(progressed, name=stage))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    lines = []
    for row in measurements.rows():
        table.add_row(*row)
        lines.append(": ".join(cell for cell in row if cell))
    show(table, "\n".join(lines))
    for name in ("globe.json", "pictures"):
        say(run.path(name))
