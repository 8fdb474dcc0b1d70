"""The command line: one verb a stage, each resumable and each usable alone.

A verb parses its options and calls a stage of `luray.stages`; the function below it, of the same
name with an underscore, runs the stage and prints. Stages are imported where they are called,
because they take seconds: neither `--help` nor a mistake in the options waits for torch or Ray.
"""

import gc
import io
import json
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape
from rich.table import Table

import luray
from luray.cli import console
from luray.cli.console import say, show
from luray.cli.progress import progress
from luray.core.interruption import (
    InterruptedBySignal,
    interruption_behind,
    raise_on_signals,
)

if TYPE_CHECKING:
    from luray.model.card import ModelCard
    from luray.model.operating_point import OperatingPoint
    from luray.product.trajectories import Unit
    from luray.stages.config import RunConfig
    from luray.stages.view import Viewed

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Annual land use at 1 km, 1850-2100: learned from fine maps, driven by coarse scenarios."
        "\n\n"
        "A run file says what to compute from which inputs; catalogs/*/run.toml are examples. The "
        "stages of a run are, in this order: build, train, infer, evaluate, plot, report, publish. "
        "Each does what is still missing, so that it can be interrupted at any time and repeated. "
        "`luray run RUN.toml` does them all; `luray demo` needs no inputs."
    ),
)
bench = typer.Typer(no_args_is_help=True, help="Measure luray on this machine.")
app.add_typer(bench, name="bench")

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


GARBAGE_THRESHOLD = 20_000
"""New objects after which Python looks for cycles among them; by default 700."""


def _print_version(asked: bool) -> None:
    if asked:
        say(f"luray {luray.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options of all verbs."""


STAGES = ("build", "train", "infer", "evaluate", "plot", "report", "publish", "run")
"""What can be submitted as a job: the stages, and all of them."""


@app.command()
def sources(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN.toml]",
            show_default=False,
            help="A run file: list its sources, and what is found where it looks for them.",
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """List the inputs: what each is, its DOI and licence, where to get it, and the files expected.

    Files are read as their publishers ship them, from a folder, a URL or a
    STAC catalog; nothing is converted by hand.

    With a run file: the sources of that run, and what was found of each
    (files, years, grid) or why it is refused. Only the headers of the files
    are read; `luray build RUN.toml --check` reads every value.
    """
    _sources(None if file is None else luray.load_run(file, set_ or ()))


def _sources(run: "RunConfig | None") -> None:
    from luray.cli.tables import Listed, sources_lines, sources_table
    from luray.sources import kinds

    if run is None:
        listed = [Listed(kind, about) for kind, about in kinds().items()]
    else:
        from luray.sources.verdict import files_of
        from luray.stages.inputs import open_or_refuse

        listed = []
        for opened in open_or_refuse(run):
            files = files_of(opened.source) if opened.source else ""
            listed.append(
                Listed(opened.name, opened.config.described, opened.where, files, opened.fault)
            )
    show(sources_table(listed), sources_lines(listed))
    if any(source.refused for source in listed):
        raise typer.Exit(1)


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
            help="What the files are: a STAC collection, such as catalogs/luh2/collection.json."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            help="Folder of the catalog, which is made or extended: local, s3:// or gs://."
        ),
    ],
    format_: Annotated[
        str, typer.Option("--format", metavar="parquet|json", help="How references are written.")
    ] = "parquet",
) -> None:
    """Catalogue files in STAC where they lie, so that a run can read them without a copy.

    NetCDF files get references by which single chunks of them are read.
    What to write into the run file is printed at the end.
    """
    from luray.catalog.virtualize import places, virtualize

    with progress("virtualize") as progressed:
        catalog = virtualize(
            urls, collection=collection, output=output, format=format_, progress=progressed
        )
    say(f"STAC catalog: {catalog}")
    for line in (
        "in the run file:",
        "[catalog]",
        f'url = "{catalog}"',
        "[storage]",
        f"allow = {json.dumps(places(urls, output=output))}",
    ):
        say(line)


@app.command()
def build(
    file: RunFile,
    set_: Set = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Write nothing: read every value of every input once, and say for each variable "
            "what was found, what was expected, and the verdict. The last line begins with "
            "`verdict:`. Exit code 1 if any is refused.",
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
    from luray.stages.session import session

    run = luray.load_run(file, set_ or ())
    with session(run):
        if check:
            _check(run, as_json=as_json)
        else:
            _build(run)


def _check(run: "RunConfig", *, as_json: bool) -> None:
    from luray.cli.tables import check_lines, check_table, refusals_of, verdict_line
    from luray.stages.check import check as run_check

    if as_json:
        report = run_check(run)
        print(report.to_json())
    else:
        with progress("check") as progressed:
            report = run_check(run, progress=progressed)
        show(check_table(report, width=console.out.width), check_lines(report))
        for source, message in refusals_of(report):
            console.err.print(f"[bold red]refused[/]: {source}: {escape(message)}", soft_wrap=True)
        say(verdict_line(report))
    if report.refused:
        raise typer.Exit(1)


def _build(run: "RunConfig") -> None:
    from luray.cli.tables import plan_table
    from luray.stages.build import build as run_build
    from luray.stages.build import plan_cube

    build_plan = plan_cube(run)
    console.out.print(plan_table(build_plan))
    with progress("build") as progressed:
        run_build(build_plan, progress=progressed)
    say(f"predictor cube: {run.cube}")


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

    It prints one line an epoch: loss, scores beside the null model, Figure
    of Merit, time left. For curves: tensorboard --logdir OUTPUT/model
    """
    from luray.stages.session import session

    run = luray.load_run(file, set_ or ())
    with session(run):
        _train(run, restart=restart)


def _train(run: "RunConfig", *, restart: bool) -> None:
    from luray.cli.training_lines import TrainingLines
    from luray.model.card import read_card
    from luray.stages.train import train as run_train

    with progress("train") as progressed:
        lines = TrainingLines(run.training, progressed)
        trained = run_train(run, restart=restart, progress=lines)
    for direction in run.directions:
        folder = run.model_folder(direction)
        earlier = "" if direction in trained else " (trained earlier)"
        say(f"{direction} model: {folder}{earlier}")
        card = read_card(folder)
        if card:
            _validation(card)


def _validation(card: "ModelCard") -> None:
    """Print the scores of a model at each of its operating points."""
    for point, scores in card.training["validation"].items():
        say(
            f"  {point} on held-out cells, one year: accuracy {scores['accuracy']:.4f} "
            f"(persistence {scores['persistence']:.4f}), "
            f"Figure of Merit {scores['figure_of_merit']:.3f}, "
            f"change predicted / observed {scores['predicted_over_observed']:.2f}"
        )


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
            help="Compute the maps of this predicted year again, and all that follow from them.",
        ),
    ] = None,
) -> None:
    """Walk year by year, forward and backward, and write the product.

    Each map is predicted from that of the year before. Interrupted, it
    continues with what is missing. One job at a time writes a product;
    `luray status RUN.toml` says how far it is.
    """
    from luray.stages.session import session

    run = luray.load_run(file, set_ or ())
    with session(run):
        _infer(run, restart=restart, from_year=from_year)


def _infer(run: "RunConfig", *, restart: bool, from_year: int | None = None) -> None:
    from luray.stages.infer import infer as run_infer

    with progress("infer") as progressed:
        shortfall = run_infer(run, restart=restart, from_year=from_year, progress=progressed)
    if shortfall.blocks:
        say(
            f"demand: in {shortfall.blocks} coarse cell-years the scenario asks for more than can "
            f"change: {shortfall.cut + shortfall.missed} fine cells short"
        )
    first, last = run.inference.years
    say(f"product: {run.product}, {first}-{last}")


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
            help="Speed of one worker, in place of what is measured or assumed of the device.",
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
    """Estimate the cost, memory and time of `infer` before any data exist.

    It needs no inputs: the land is that of the cube, or, before that is
    built, of the package global-land-mask. On cpu a forward pass is measured
    on this machine first, for 10 seconds; for GPUs it is estimated from the
    FLOPs of a window. Whatever is not counted is given as a range.
    """
    _plan(
        luray.load_run(file, set_ or (), unset="kept"),
        workers=workers,
        device=device,
        rate=rate,
        prices=prices,
    )


def _plan(
    run: "RunConfig", *, workers: int | None, device: str, rate: float | None, prices: str | None
) -> None:
    from luray.cli.sizing import inference_lines, inference_table
    from luray.planning.prices import PRICES
    from luray.stages.plan import plan_of

    if device == "cpu" and rate is None:
        console.err.print("measuring forward passes on this machine for about 10 s")
    inference_plan = plan_of(
        run, workers=workers, device=device, rate=rate, prices=prices or PRICES
    )
    show(inference_table(inference_plan), inference_lines(inference_plan))


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
    """Show how far a product is: years, tiles, rate, time left; also while it is being written."""
    from luray.storage.places import PlaceError, place_of

    if place.endswith(".toml"):
        url = luray.load_run(place, set_ or ()).product
    else:
        try:
            url = place_of(place)
        except PlaceError as error:
            raise PlaceError(f"PRODUCT: {error}") from None

    from luray.cli.status_lines import status_lines
    from luray.product.status import status_of

    for line in status_lines(status_of(url)):
        say(line)


@app.command()
def view(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PRODUCT|RUN.toml|STAC",
            help="A product.zarr on any store, a run file, or a STAC item, collection or catalog.",
        ),
    ],
    set_: Set = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. The default is this machine alone; 0.0.0.0 lets everybody "
            "in who reaches it, without a login."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, show_default=False, help="By default 8850, or a free one beside it."
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Look at a product in the browser: maps, years, scenarios, change; stop it with Ctrl-C.

    The page is drawn straight from the Zarr store, without a tile server or
    the internet. Products on s3://, gs:// and https:// are read with the
    credentials of this machine. `luray publish` puts the same page beside a
    product, for a bucket that is a web site.
    """
    from luray.stages.view import find_product

    _view(find_product(place, tuple(set_ or ())), host=host, port=port, browser=browser)


def _view(viewed: "Viewed", *, host: str, port: int | None, browser: bool) -> None:
    import webbrowser

    from luray.stages.view import address_of, make_server

    with make_server(viewed, host=host, port=port) as server:
        address = address_of(server, viewed)
        for note in viewed.notes:
            console.err.print(f"note: {escape(note)}", soft_wrap=True)
        say(f"explorer: {address}")
        if browser:
            webbrowser.open(address)
        server.serve_forever()


@app.command()
def evaluate(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[RUN.toml]", show_default=False, help="The run file."),
    ] = None,
    set_: Set = None,
    product: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            show_default=False,
            help="Judge these maps instead: a product, or a run file for its product. Maps of "
            "another group are built into a predictor cube first, with `luray build`.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            show_default=False,
            help="Against these maps: a predictor cube, a run file for its cube, or a product.",
        ),
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            metavar="YEAR", show_default=False, help="Year of the reference to count change from."
        ),
    ] = None,
    years: Annotated[
        str,
        typer.Option(
            metavar="A-B", help="Years to be scored; all later ones that both have by default."
        ),
    ] = "",
    output: Annotated[str, typer.Option(metavar="PLACE", help="Folder of the scores.")] = "",
) -> None:
    """Score the model on years that training has not seen, beside persistence.

    Persistence, the null model, predicts that nothing changes. The tests
    are those of the run file; what they need is predicted first.

    With --product and --reference any maps are judged against any others
    by the same scores, on the grid that they have in common:

      luray evaluate --product theirs.zarr --reference run.toml --start 2000
    """
    if product or reference or start:
        if file or not (product and reference and start):
            raise typer.BadParameter(
                "give a run file, or all of --product, --reference and --start"
            )
        _compare(product, reference, start=start, years=years, output=output)
        return
    if file is None:
        raise typer.BadParameter("give a run file, or --product, --reference and --start")

    from luray.stages.session import session

    run = luray.load_run(file, set_ or ())
    with session(run):
        _evaluate(run)


def _compare(product: str, reference: str, *, start: int, years: str, output: str) -> None:
    from luray.cli.score_tables import render_report
    from luray.stages.compare import compare

    folder = output or "build/comparison"
    with progress("evaluate") as progressed:
        report = compare(
            product, reference, start=start, years=years, folder=folder, progress=progressed
        )
    console.out.print(render_report(report))
    say(f"scores: {folder} (metrics.json, metrics.csv, metrics.parquet)")


def _evaluate(run: "RunConfig") -> None:
    from luray.cli.score_tables import render_report
    from luray.stages.evaluate import evaluate as run_evaluate

    with progress("evaluate") as progressed:
        report = run_evaluate(run, progress=progressed)
    console.out.print(render_report(report))
    say(f"scores: {run.path('report')} (metrics.json, metrics.csv, metrics.parquet)")


@app.command(name="run")
def run_(file: RunFile, set_: Set = None) -> None:
    """Run every stage that is not done yet, from build to publish."""
    from luray.stages.session import session

    run = luray.load_run(file, set_ or ())
    with session(run):
        _stages(run, restart=False)


def _stages(run: "RunConfig", *, restart: bool) -> None:
    """Run every stage; `restart` discards models and a product of another run, else refused."""
    from luray.stages.infer import is_of_another_run
    from luray.stages.run import needs_evaluation

    _build(run)
    _train(run, restart=restart)
    _infer(run, restart=restart and is_of_another_run(run))
    if needs_evaluation(run):
        _evaluate(run)
    _plot(run)
    if run.evaluation.tests:
        _report(run)
    _publish(run)


@app.command()
def submit(
    file: RunFile,
    set_: Set = None,
    stage: Annotated[
        str,
        typer.Option(
            metavar="STAGE",
            help="build, train, infer, evaluate, plot, report, publish, or run, which is all.",
        ),
    ] = "run",
    address: Annotated[
        str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard.")
    ] = "http://127.0.0.1:8265",
    wait: Annotated[
        bool, typer.Option(help="Show the job's log to its end; exit code 1 if it fails.")
    ] = True,
) -> None:
    """Run a stage as a job on a Ray cluster, with this code and this run file.

    The cluster needs luray's dependencies and nothing else, and this machine
    may sleep meanwhile. Inputs of a build that are given as relative paths
    travel with the job, up to 100 MiB. A job that failed or was stopped
    continues with what is missing when it is submitted again.
    """
    if stage not in STAGES:
        raise typer.BadParameter(
            f"{stage!r} is no stage; expected one of {', '.join(STAGES)}", param_hint="--stage"
        )
    run = luray.load_run(file, set_ or ())
    # Set before Ray is imported: it then starts no cluster here, and makes no token of its own.
    os.environ["RAY_ADDRESS"] = address
    from luray.distributed.submit import follow
    from luray.stages.submit import submit

    job, n_bytes = submit(run, file, stage=stage, overrides=set_ or (), address=address)
    say(f"{stage} of {run.name} is job {job}, {n_bytes / 2**20:.1f} MiB")
    for command in ("logs --follow", "stop"):
        say(f"  ray job {command} --address {address} {job}")
    if wait:
        end = follow(job, address=address, say=partial(print, end="", flush=True))
        say(f"job {job}: {end}")
        if end != "SUCCEEDED":
            raise typer.Exit(1)


@app.command()
def plot(file: RunFile, set_: Set = None) -> None:
    """Draw maps, changes, area by class over the years, and an animation of a finished product."""
    _plot(luray.load_run(file, set_ or ()))


def _plot(run: "RunConfig") -> None:
    from luray.stages.plot import plot as run_plot

    with progress("plot") as progressed:
        pictures = run_plot(run, progress=progressed)
    say(f"pictures: {run.path('pictures')} ({', '.join(sorted(pictures))})")


@app.command()
def report(file: RunFile, set_: Set = None) -> None:
    """Write one HTML page that says what the run is worth: verdict, scores, maps and charts.

    It needs no network and no other file, so it can be sent, put on a web
    server or printed. The run is evaluated before: `luray evaluate RUN.toml`.
    """
    _report(luray.load_run(file, set_ or ()))


def _report(run: "RunConfig") -> None:
    from luray.stages.report import report as run_report

    with progress("report") as progressed:
        place = run_report(run, progress=progressed)
    say(f"report: {place}")


@app.command()
def publish(file: RunFile, set_: Set = None) -> None:
    """Publish the finished product as a static STAC catalog, which readers and tools can open."""
    _publish(luray.load_run(file, set_ or ()))


def _publish(run: "RunConfig") -> None:
    from luray.stages.publish import publish as run_publish

    with progress("publish") as progressed:
        place = run_publish(run, progress=progressed)
    say(f"STAC catalog: {place}")


@app.command()
def export(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RUN.toml|PRODUCT", help="A run file, or a product.zarr on any store."
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="luh2: states.nc, transitions.nc and staticData_quarterdeg.nc in LUH2's layout, "
            "0.25 degrees. fates: LUH2's states and transitions as shares of the land. ctsm-raw: "
            "percent of plant and crop types, a file a year. lpj-guess: a text table of land cover "
            "fractions. ecland: cover and type of low and high vegetation for ecLand, a file a "
            "year. cog: a cloud-optimised GeoTIFF a year. netcdf: a NetCDF file a year, after CF.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Folder, which is made: local, s3:// or gs://. Of a run file by default "
            "export/FORMAT in its output.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="W,S,E,N",
            show_default=False,
            help="West, south, east and north in degrees, edges of whole coarse cells, such as "
            "--region=-10,35,30,60. By default the whole product.",
        ),
    ] = None,
    years: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Such as 1850-2100 or 1900,1950,2000. By default all of the product. luh2 and "
            "fates have the change from each year to the next, so they take years in a row.",
        ),
    ] = None,
    grid: Annotated[
        float | None,
        typer.Option(
            metavar="DEGREES",
            show_default=False,
            help="Size of a coarse cell, whole cells of the product; 0.25 by default. Not for "
            "luh2, which has 0.25, and not for cog and netcdf, which have the maps as they are.",
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(show_default=False, help="Which scenario, where the product has several."),
    ] = None,
    member: Annotated[
        int | None,
        typer.Option(
            show_default=False, help="Which member, where the product has several; from 0."
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="auto|forcing|default",
            help="How luh2 and fates split a class into LUH2's states. forcing: by each coarse "
            "cell's shares in the LUH2 of the run that year. default: one state stands for each "
            "class (catalogs/crosswalks/luh2.toml). auto: the forcing, or where the run has no "
            "LUH2 the default, which the files say.",
        ),
    ] = "auto",
    set_: Set = None,
) -> None:
    """Write a finished product in the layout that a model or a map tool reads.

    `luray export catalogs/crete/run.toml --format luh2` writes every year of
    the whole product. Files get their names when they have been read back:
    sums are right, and states and transitions close. Interrupted, it
    continues with what is missing. What is left out or assumed stands in the
    attributes of the files; export.json in the folder has their checksums.

    Given a product and no run file, there is no forcing to split classes by
    and no climate zone to choose plant types by: luh2 and fates then need
    --split default. ctsm-raw needs the run file, and so does ecland where
    the maps are those of HILDA+.

    ecland takes maps of land cover, too (ESA CCI-LC, IGBP). It has no leaf
    area index, because luray does not predict one yet.
    """
    # First, so that a wrong run file is answered before the rest is imported.
    source = luray.load_run(place, set_ or ()) if place.endswith(".toml") else place
    from typing import get_args

    from luray.export.job import Split
    from luray.stages.export import export as run_export

    if split not in get_args(Split):
        raise typer.BadParameter(
            f"{split!r}; expected one of {', '.join(get_args(Split))}", param_hint="--split"
        )
    with progress("export") as progressed:
        exported = run_export(
            source,
            form,
            region=region,
            years=years,
            grid=grid,
            scenario=scenario,
            member=member,
            split=cast("Split", split),
            output=output,
            progress=lambda done, total, name: progressed(done, total, name=name),
        )
    if not exported.files:
        say(f"{exported.place}: exported already")
        return
    say(f"exported: {exported.place} ({_shortened(exported.files)})")


@app.command("export-model")
def export_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Folder of a trained model, such as build/demo/model/forward; local, s3:// or "
            "gs://.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Folder, which is made. By default export in the model's folder.",
        ),
    ] = None,
    cube: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="The cube that the model was trained on, for the grids of its inputs. By default "
            "cube.zarr of the run that the model lies in.",
        ),
    ] = None,
    point: Annotated[
        str,
        typer.Option(
            metavar="cautious|unbiased",
            help="How much change it predicts: as much as costs no accuracy, or as much as is "
            "observed.",
        ),
    ] = "cautious",
) -> None:
    """Write a trained model as ONNX and as a torch program that other languages run.

    `luray export-model build/demo/model/forward` writes model.onnx,
    model.pt2 and card.json. Both files take the last maps as class codes and
    forcing in its units, and give the probability of every class:
    scaling, memory and calibration are inside. Batch and window may have any
    size; the card says of what number the sides of a window are multiples,
    and has the name, unit, grid and order of every input.

    Each file is run beside the model before it has its name, with
    onnxruntime and with torch: probabilities agree to 1e-5.

    A host in Fortran or C is in infra/coupling. A host in Python rather
    takes `luray.emulator.LandSurface`, which reads a cube, does the windows
    and equals the product to the bit. It needs onnx, onnxscript and
    onnxruntime, which are the extra `onnx` of luray.
    """
    from typing import get_args

    from luray.model.operating_point import OperatingPoint
    from luray.stages.export_model import export_model as run_export_model

    if point not in get_args(OperatingPoint):
        raise typer.BadParameter(
            f"{point!r}; expected one of {', '.join(get_args(OperatingPoint))}",
            param_hint="--point",
        )
    exported = run_export_model(
        model,
        cube=cube,
        point=cast("OperatingPoint", point),
        output=output,
        progress=lambda name: say(f"export-model: {name}"),
    )
    if not exported.files:
        say(f"{exported.place}: exported already")
        return
    say(
        f"exported: {exported.place} ({', '.join(exported.files)}); probabilities agree to "
        f"{exported.difference:.1g}"
    )


def _shortened(names: tuple[str, ...]) -> str:
    """Some names in full, many by the first, the last and their number."""
    if len(names) <= 4:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]}, {len(names)} files"


@app.command()
def verify(
    file: RunFile,
    set_: Set = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Withdraw what is damaged, so that the next `luray infer` computes it again, and "
            "the next `luray publish` describes it.",
        ),
    ] = False,
) -> None:
    """Compare all that the product holds with its receipts; exit code 1 if anything is damaged.

    That is every tile-year with its fractions, transitions and overviews, the
    metadata and coordinates, and what `luray publish` has written.
    """
    run = luray.load_run(file, set_ or ())
    if _verify(run, repair=repair):
        raise typer.Exit(1)
    say(f"{run.product}: every tile-year matches its receipt, and all else its checksum")


def _verify(run: "RunConfig", *, repair: bool) -> bool:
    """Name what is damaged, and withdraw it where asked to; return whether anything is."""
    from luray.stages import verify as stage
    from luray.stages.infer import unpublish

    published = stage.damaged_publication(run)
    for name in published:
        console.err.print(f"damaged: publication, {escape(name)}", soft_wrap=True)
    if published and repair:
        unpublish(run)
        console.err.print("withdrawn: `luray publish` writes it again")

    metadata = stage.damaged_metadata(run)
    for name in metadata:
        console.err.print(f"damaged: metadata, {escape(name)}", soft_wrap=True)
    if metadata and not repair:
        console.err.print(
            "tile-years are not compared, as they are read through the metadata: run "
            "`luray verify --repair`"
        )
        return True
    if metadata:
        stage.restore(run, metadata)
        console.err.print("written again: `luray infer` finishes the product")

    with progress("verify") as progressed:
        units = stage.damaged(run, progress=progressed)
    for unit in units:
        console.err.print(f"damaged: {_named(run, unit)}")
    if units and repair:
        stage.withdraw(run, units)
        console.err.print("withdrawn: `luray infer` computes these tile-years again")
    return bool(units or metadata or published)


def _named(run: "RunConfig", unit: "Unit") -> str:
    """A tile-year in words, with its scenario and member where a run has several."""
    from luray.engine.jobs import in_words
    from luray.product.trajectories import TileYear

    place = in_words(unit.tile) if isinstance(unit, TileYear) else "coarser overviews"
    parts = [f"year {unit.year}", place]
    if run.scenarios:
        parts.append(f"scenario {run.scenarios[unit.member_index.scenario]}")
    if run.inference.members:
        parts.append("across members" if unit.across else f"member {unit.member_index.member}")
    return ", ".join(parts)


@app.command()
def demo(
    set_: Set = None,
    land_cover: Annotated[
        bool,
        typer.Option(
            "--land-cover",
            help="Land cover of 1990-2020 that follows the land use of another run, in place of "
            "land use; --set changes the run file of land cover.",
        ),
    ] = False,
) -> None:
    """Run every stage on a small simulated world, 251 years in a few minutes; needs no inputs."""
    from luray.stages.demo import load_demo, write_demo_world
    from luray.stages.session import session

    started = time.monotonic()
    if land_cover:
        _land_cover_demo(set_ or [], started)
        return
    run = load_demo(set_ or ())
    with progress("sandbox") as progressed:
        world = write_demo_world(run, progress=progressed)
    with session(run):
        _stages(run, restart=True)
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
            _stages(each, restart=True)
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


def main(*verb: str) -> None:
    """Run the command line, of one verb or all.

    An error of the user is one message on standard error and exit code 1, without a traceback. So
    are Ctrl-C and SIGTERM, with exit codes 130 and 143.
    """
    # Two searches that would take a tenth of the time in which a wrong run file is answered: for
    # plugins of pydantic in every installed package, and for garbage in what imports make.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(GARBAGE_THRESHOLD)
    raise_on_signals()
    for stream in (sys.stdout, sys.stderr):
        # A degree sign or a title with an umlaut must not end a command where the terminal has no
        # letter for it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    # gcsfs logs, with a traceback, what it raises as well.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    try:
        app([*verb, *sys.argv[1:]])
    except (Exception, InterruptedBySignal) as error:
        interruption = interruption_behind(error)
        if interruption is not None:
            console.err.print(str(interruption), soft_wrap=True)
            sys.exit(interruption.exit_code)
        if not isinstance(error, (ValueError, OSError, RuntimeError)):
            raise
        from luray.storage.errors import no_room
        from luray.storage.places import without_secrets

        full = no_room(error, place="the output of the run, or the folder for temporary files")
        message = without_secrets(str(full or error))
        console.err.print(f"[bold red]error[/]: {escape(message)}", soft_wrap=True)
        sys.exit(1)
