"""The command line: one verb a stage, each resumable and each usable alone."""

import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from luray.core.types import Direction
from luray.stages.config import RunConfig
from luray.stages.run_file import load_run
from luray.stages.session import session
from luray.storage.objects import no_room
from luray.storage.places import PlaceError, place_of, without_secrets

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Annual land use at 1 km, 1850-2100: learned from fine maps, driven by coarse scenarios.\n\n"
    "The stages of a run, in order: build, train, infer, evaluate, plot, publish. Each reads the "
    "run file, does what is still missing and can be repeated or interrupted at any time.",
)
bench = typer.Typer(no_args_is_help=True, help="Measure luray on this machine.")
app.add_typer(bench, name="bench")
LOG_WIDTH = 160
"""Columns of what is printed where there is no terminal."""
out = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
err = Console(stderr=True, highlight=False)

# text and no path, which would make one slash of the two in a URL
RunFile = Annotated[
    str, typer.Argument(metavar="RUN.toml", help="The run file; catalogs/*/run.toml are examples.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        show_default=False,
        help="Override a value of the run file, such as training.steps=100. "
        "May be given several times.",
    ),
]
STAGES = ("build", "train", "infer", "evaluate", "plot", "publish", "run")
"""What can be submitted as a job."""
PLAIN_SECONDS = 10.0
"""Pause between two progress lines where there is no terminal."""


@contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """A function to call with (done, total[, note]): a bar on a terminal, a line now and then in a
    log.
    """
    started = time.monotonic()
    if out.is_terminal:
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=out) as bars:
            tasks: dict[str, TaskID] = {}

            def show(done: int, total: int, note: str = "", name: str = what) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total, note=note)
                bars.update(tasks[name], completed=done, total=total, note=note)

            yield show
        return
    last, complete = 0.0, set[str]()

    def say(done: int, total: int, note: str = "", name: str = what) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS or (done == total and name not in complete):
            last = now
            complete.update({name} if done == total else ())
            left = (
                f", about {(now - started) / done * (total - done):.0f} s left"
                if 0 < done < total
                else ""
            )
            out.print(
                f"{name}: {done}/{total}, {now - started:.0f} s{left}{note and f', {note}'}",
                soft_wrap=True,
            )

    yield say


@app.command()
def sources(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN.toml]",
            show_default=False,
            help="A run file: list its sources, and what is found where it says.",
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """List the inputs: what each is, its DOI and licence, where to get it, and the files expected.

    Files are read as their publishers ship them, from a folder, a URL or a
    STAC catalog; nothing is converted by hand.

    With a run file: its own sources, and what was found of each (files,
    years, grid) or why it is refused. Only the headers of the files are
    read; `luray build RUN.toml --check` reads every value.
    """
    _sources(None if file is None else load_run(file, set_ or ()))


@app.command()
def virtualize(
    urls: Annotated[
        list[str],
        typer.Argument(
            metavar="URL...",
            help="NetCDF and GeoTIFF files, or folders of them: local, s3://, gs:// or https://.",
        ),
    ],
    collection: Annotated[
        str,
        typer.Option(
            help="What they are: a STAC collection, such as catalogs/luh2/collection.json."
        ),
    ],
    output: Annotated[
        str, typer.Option(help="Folder of the catalog, made or extended: local, s3:// or gs://.")
    ],
    format_: Annotated[
        str, typer.Option("--format", metavar="parquet|json", help="How references are written.")
    ] = "parquet",
) -> None:
    """Catalogue files where they lie in STAC, with references by which NetCDF is read chunk by
    chunk.
    """
    from luray.catalog.virtual import places, virtualize

    with progress("virtualize") as show:
        where = virtualize(
            urls, collection=collection, output=output, format=format_, progress=show
        )
    out.print(f"STAC catalog: {where}", soft_wrap=True)
    for line in (
        "in the run file:",
        "[catalog]",
        f'url = "{where}"',
        "[storage]",
        f"allow = {json.dumps(places(urls, output=output))}",
    ):
        out.print(escape(line), soft_wrap=True)


@app.command()
def build(
    file: RunFile,
    set_: Set = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Write nothing: read every value of every input once, "
            "and say for each variable what was found, what was expected, and the "
            "verdict. The last line begins with `verdict:`. Exit code 1 if any "
            "is refused.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="With --check: print the findings as JSON and nothing else on standard output.",
        ),
    ] = False,
) -> None:
    """Build the predictor cube from the source files, each variable on its native grid.

    On new files run it with --check first: it names what is wrong, in which
    file, and what to do, before anything is written.
    """
    if as_json and not check:
        raise typer.BadParameter(
            "goes with --check, whose findings it prints; add --check", param_hint="--json"
        )
    run = load_run(file, set_ or ())
    with session(run):
        if check:
            _check(run, as_json=as_json)
        else:
            _build(run)


@app.command()
def train(
    file: RunFile,
    set_: Set = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Discard models and checkpoints of other trainings first."),
    ] = False,
) -> None:
    """Train a U-Net for every direction of travel that the run needs.

    One line an epoch: loss, scores beside the null model, Figure of Merit,
    time left. For curves: tensorboard --logdir OUTPUT/model
    """
    run = load_run(file, set_ or ())
    with session(run):
        _train(run, restart=restart)


@app.command()
def infer(
    file: RunFile,
    set_: Set = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete an earlier product first.")
    ] = False,
    from_year: Annotated[
        int | None,
        typer.Option(
            metavar="YEAR",
            show_default=False,
            help="Compute the maps of this predicted year and on again.",
        ),
    ] = None,
) -> None:
    """Walk year by year, forward and backward, and write the product.

    Interrupted, it goes on where it was. One job at a time writes a product;
    `luray status RUN.toml` says how far it is.
    """
    run = load_run(file, set_ or ())
    with session(run):
        _infer(run, restart=restart, from_year=from_year)


@app.command()
def plan(
    file: RunFile,
    set_: Set = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Workers; by default inference.workers.max of the run.", show_default=False
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="What a worker computes on: cpu, h100, a100, l4, t4, or another one "
            "of the price table."
        ),
    ] = "cpu",
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="WINDOWS_PER_SECOND",
            show_default=False,
            help="Of one worker, in place of what is measured or assumed of the device.",
        ),
    ] = None,
    prices: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Your own price table; luray/planning/prices.toml is one to copy.",
        ),
    ] = None,
) -> None:
    """What `infer` will take: windows, bytes, objects, memory, wall time and cost, before anything
    runs.

    Needs no inputs: the land is that of the cube, or, before that is built,
    of the package global-land-mask. On cpu a forward pass is measured on
    this machine first, for 10 seconds; GPUs are reckoned from the FLOPs of a
    window. Everything that is not counted is a range.
    """
    _plan(
        load_run(file, set_ or (), unset="kept"),
        workers=workers,
        device=device,
        rate=rate,
        prices=prices,
    )


@app.command()
def status(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PRODUCT|RUN.toml", help="A product.zarr on any store, or a run file."
        ),
    ],
    set_: Set = None,
) -> None:
    """How far a product is: years, tiles, rate, time left; also while it is being written."""
    from luray.cli.tables import status_lines
    from luray.product.status import status_of

    if place.endswith(".toml"):
        url = load_run(place, set_ or ()).product
    else:
        try:
            url = place_of(place)
        except PlaceError as error:
            raise PlaceError(f"PRODUCT: {error}") from None
    for line in status_lines(status_of(url)):
        out.print(escape(line), soft_wrap=True)


@app.command()
def evaluate(file: RunFile, set_: Set = None) -> None:
    """Score rollouts against maps that training has not seen, beside persistence."""
    run = load_run(file, set_ or ())
    with session(run):
        _evaluate(run)


@app.command(name="run")
def run_(file: RunFile, set_: Set = None) -> None:
    """Every stage that is not done yet: build, train, infer, evaluate, plot, publish."""
    run = load_run(file, set_ or ())
    with session(run):
        _stages(run, restart=False)


@app.command()
def submit(
    file: RunFile,
    set_: Set = None,
    stage: Annotated[
        str,
        typer.Option(
            metavar="STAGE",
            help="build, train, infer, evaluate, plot, publish, or run, which is all of them.",
        ),
    ] = "run",
    address: Annotated[
        str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard.")
    ] = "http://127.0.0.1:8265",
    wait: Annotated[
        bool, typer.Option(help="Show the job's log to its end; exit code 1 if it fails.")
    ] = True,
) -> None:
    """Run a stage on a Ray cluster, as a job: with this code, this run file and this machine
    asleep.

    Nothing else has to be on the cluster but luray's dependencies. Inputs of a
    build that are given as relative paths travel with it, up to 100 MiB. A job
    that failed or was stopped goes on where it was when it is submitted again.
    """
    if stage not in STAGES:
        raise typer.BadParameter(
            f"{stage!r} is no stage; expected one of {', '.join(STAGES)}", param_hint="--stage"
        )
    os.environ["RAY_ADDRESS"] = address  # no cluster of our own, and no token of its own
    from luray.distributed.submit import follow
    from luray.stages.submit import submit

    run = load_run(file, set_ or ())
    job, n_bytes = submit(run, file, stage=stage, overrides=set_ or (), address=address)
    out.print(f"{stage} of {run.name} is job {job}, {n_bytes / 2**20:.1f} MiB", soft_wrap=True)
    for what in ("logs --follow", "stop"):
        out.print(f"  ray job {what} --address {address} {job}", soft_wrap=True)
    if wait:
        ended = follow(job, address=address, say=partial(print, end="", flush=True))
        out.print(f"job {job}: {ended}", soft_wrap=True)
        if ended != "SUCCEEDED":
            raise typer.Exit(1)


@app.command()
def plot(file: RunFile, set_: Set = None) -> None:
    """Draw maps, changes, area by class over the years, and an animation."""
    _plot(load_run(file, set_ or ()))


@app.command()
def publish(file: RunFile, set_: Set = None) -> None:
    """Publish the finished product as a static STAC catalog."""
    _publish(load_run(file, set_ or ()))


@app.command()
def verify(
    file: RunFile,
    set_: Set = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Withdraw what is damaged, so that the next `luray infer` computes it again.",
        ),
    ] = False,
) -> None:
    """Check every tile-year of the product against its receipt; exit code 1 names what is damaged."""
    run = load_run(file, set_ or ())
    from luray.stages.verify import damaged, withdraw

    with progress("verify") as show:
        found = damaged(run, progress=show)
    if not found:
        out.print(f"{run.product}: every tile-year matches its receipt")
        return
    for unit in found:
        member_index = (
            f", scenario {run.scenarios[unit.member_index.scenario]}" if run.scenarios else ""
        )
        if run.inference.members:
            member_index += (
                ", across members" if unit.across else f", member {unit.member_index.member}"
            )
        err.print(f"damaged: year {unit.year}, tile {unit.tile.row}.{unit.tile.col}{member_index}")
    if repair:
        withdraw(run, found)
        err.print("withdrawn: `luray infer` computes these tile-years again")
    raise typer.Exit(1)


@app.command()
def demo(set_: Set = None) -> None:
    """The main job on a simulated world: every stage on 251 years, in a few minutes."""
    from luray.stages.demo import load_demo, write_demo_world

    started = time.monotonic()
    run = load_demo(set_ or ())
    with progress("sandbox") as show:
        world = write_demo_world(run, progress=show)
    with session(run):
        _stages(run, restart=True)
    _summary(run, world, time.monotonic() - started)


@bench.command(name="globe")
def bench_globe(
    output: Annotated[
        str,
        typer.Option(
            help="Folder of the inputs, the cube, the product, the picture and globe.json."
        ),
    ] = "build/globe",
    set_: Set = None,
) -> None:
    """One year of the whole globe at 1 km on two workers: its time against bare forward passes, and
    its peak memory.

    Inputs are written first, on the land mask of the package
    global-land-mask; relief and climate zones are read from the folder that
    LURAY_DATA names. Interrupted, it goes on where it was.
    """
    from luray.bench import globe

    run = globe.globe_run(output, set_ or ())
    with progress("globe") as show:
        found = globe.bench(run, show=lambda stage: partial(show, name=stage))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    rows = list(found.rows())
    for row in rows:
        table.add_row(*row)
    _show(table, "\n".join(": ".join(filter(None, row)) for row in rows))
    for name in ("globe.json", "pictures"):
        out.print(run.path(name), soft_wrap=True)


def _stages(run: RunConfig, *, restart: bool) -> None:
    """Run every stage; `restart` discards models and a product of another run, else refused."""
    from luray.stages.infer import is_of_another_run
    from luray.stages.run import is_needed

    _build(run)
    _train(run, restart=restart)
    _infer(run, restart=restart and is_of_another_run(run))
    if is_needed(run, "evaluate"):
        _evaluate(run)
    _plot(run)
    _publish(run)


def _sources(run: RunConfig | None) -> None:
    from luray.cli.tables import Listed, sources_lines, sources_table
    from luray.sources import kinds

    if run is None:
        listed = [Listed(kind, about) for kind, about in kinds().items()]
    else:
        from luray.sources.verdict import files_of
        from luray.stages.inputs import open_or_refuse

        listed = [
            Listed(
                one.name,
                one.config.described,
                one.where,
                files_of(one.source) if one.source else "",
                one.fault,
            )
            for one in open_or_refuse(run)
        ]
    _show(sources_table(listed), sources_lines(listed))
    if any(one.refused for one in listed):
        raise typer.Exit(1)


def _plan(
    run: RunConfig, *, workers: int | None, device: str, rate: float | None, prices: str | None
) -> None:
    from luray.cli.sizing import inference_lines, inference_table
    from luray.planning.prices import PRICES
    from luray.stages.plan import plan_of

    if device == "cpu" and rate is None:
        err.print("measuring forward passes on this machine for about 10 s")
    found = plan_of(run, workers=workers, device=device, rate=rate, prices=prices or PRICES)
    _show(inference_table(found), inference_lines(found))


def _show(table: RenderableType, lines: str) -> None:
    """A table on a terminal, plain lines that are not wrapped in a pipe or a log."""
    if out.is_terminal:
        out.print(table)
    else:
        out.print(escape(lines), soft_wrap=True)


def _check(run: RunConfig, *, as_json: bool) -> None:
    from luray.cli.tables import check_lines, check_table, refusals_of, verdict_line
    from luray.stages.check import check as run_check

    if as_json:
        report = run_check(run)
        print(report.to_json())
    else:
        with progress("check") as show:
            report = run_check(run, progress=show)
        _show(check_table(report, width=out.width), check_lines(report))
        for source, message in refusals_of(report):
            err.print(f"[bold red]refused[/]: {source}: {escape(message)}", soft_wrap=True)
        out.print(escape(verdict_line(report)), soft_wrap=True)
    if report.refused:
        raise typer.Exit(1)


def _build(run: RunConfig) -> None:
    from luray.cli.tables import plan_table
    from luray.stages.build import build as run_build
    from luray.stages.build import plan_cube

    plan = plan_cube(run)
    out.print(plan_table(plan))
    with progress("build") as show:
        run_build(plan, progress=show)
    out.print(f"predictor cube: {run.cube}")


def _train(run: RunConfig, *, restart: bool) -> None:
    from luray.cli.tables import training_head, training_line
    from luray.model.checkpoint import read_card
    from luray.stages.train import train as run_train
    from luray.training.training import ProgressEvent

    recipe, headed = run.training, set[Direction]()
    with progress("train") as show:

        def report(news: ProgressEvent) -> None:
            left = (recipe.steps - news.step) * recipe.batch / news.metrics["samples_per_second"]
            if news.epoch:
                if news.direction not in headed:
                    out.print(f"{news.direction} model\n{training_head()}", soft_wrap=True)
                headed.add(news.direction)
                out.print(
                    training_line(
                        news.metrics,
                        news.held_out,
                        epoch=news.epoch,
                        step=news.step,
                        seconds_left=left,
                    ),
                    soft_wrap=True,
                )
            show(
                news.step,
                recipe.steps,
                f"loss {news.metrics['loss']:.4f}",
                name=f"train {news.direction}",
            )

        trained = run_train(run, restart=restart, progress=report)
    for direction in run.directions:
        earlier = "" if direction in trained else " (trained earlier)"
        out.print(f"{direction} model: {run.model_folder(direction)}{earlier}")
        card = read_card(run.model_folder(direction))
        for point, scored in card.training["validation"].items() if card else ():
            out.print(
                f"  {point} on held-out cells, one year: accuracy {scored['accuracy']:.4f} "
                "(persistence "
                f"{scored['persistence']:.4f}), Figure of Merit {scored['figure_of_merit']:.3f}, "
                "change "
                f"predicted / observed {scored['predicted_over_observed']:.2f}"
            )


def _infer(run: RunConfig, *, restart: bool, from_year: int | None = None) -> None:
    from luray.stages.infer import infer as run_infer

    with progress("infer") as show:
        missed = run_infer(run, restart=restart, from_year=from_year, progress=show)
    if missed.blocks:
        out.print(
            f"demand: in {missed.blocks} coarse cell-years the scenario asks for more than can "
            "change: "
            f"{missed.cut + missed.missed} fine cells short"
        )
    out.print(f"product: {run.product}, {run.inference.years[0]}-{run.inference.years[1]}")


def _evaluate(run: RunConfig) -> None:
    from luray.stages.evaluate import evaluate as run_evaluate

    with progress("evaluate") as show:
        scored = run_evaluate(run, progress=show)
    out.print(scored.render())
    out.print(f"report: {run.path('report', 'metrics.json')}, {run.path('report', 'metrics.csv')}")


def _plot(run: RunConfig) -> None:
    from luray.stages.plot import plot as run_plot

    with progress("plot") as show:
        pictures = run_plot(run, progress=show)
    out.print(f"pictures: {run.path('pictures')} ({', '.join(sorted(pictures))})")


def _publish(run: RunConfig) -> None:
    from luray.stages.publish import publish as run_publish

    out.print(f"STAC catalog: {run_publish(run)}")


def _summary(run: RunConfig, world: Path, seconds: float) -> None:
    table = Table(
        title=f"{run.title}, in {seconds // 60:.0f} min {seconds % 60:.0f} s",
        title_justify="left",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    for what, where in (
        ("inputs", str(world)),
        ("predictor cube", run.cube),
        ("models", run.path("model")),
        ("product", run.product),
        ("report", run.path("report")),
        ("pictures", run.path("pictures")),
        ("STAC catalog", run.path("stac", "catalog.json")),
    ):
        table.add_row(what, where)
    out.print()
    out.print(table)
    out.print(
        f"look at {run.path('pictures', 'overview.png')}, or in Python: "
        f"xarray.open_zarr({run.product!r})"
    )


def main(*verb: str) -> None:
    """Entry point, of one verb or all: an error of the user is one message on stderr and exit code
    1, no traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        # a degree sign or a title with an umlaut must not end a command where the terminal has no
        # letter for it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("gcsfs").setLevel(
        logging.CRITICAL
    )  # it logs, with a traceback, what it raises as well
    try:
        app([*verb, *sys.argv[1:]])
    except (ValueError, OSError, RuntimeError) as error:
        said = (
            no_room(error, place="the output of the run, or the folder for temporary files")
            or error
        )
        err.print(f"[bold red]error[/]: {escape(without_secrets(str(said)))}", soft_wrap=True)
        sys.exit(1)
