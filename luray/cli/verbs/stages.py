"""Verbs for the stages of a run, in their order, and for all of them at once."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

import luray
from luray.cli import console
from luray.cli.console import say, show
from luray.cli.progress import progress
from luray.cli.verbs.options import Overrides, RunFile

if TYPE_CHECKING:
    from luray.model.card import ModelCard
    from luray.stages.config import RunConfig

STAGES = ("build", "train", "infer", "evaluate", "plot", "report", "publish", "run")
"""Verbs that can be submitted as a job: each stage, and `run` for all of them."""


def build(
    file: RunFile,
    set_: Overrides = None,
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


def train(
    file: RunFile,
    set_: Overrides = None,
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
        if "rmse" in scores:
            say(
                f"  on held-out cells, one step: RMSE {scores['rmse']:.3f} (persistence "
                f"{scores['persistence_rmse']:.3f}, climatology by class "
                f"{scores['class_climatology_rmse']:.3f}), bias {scores['bias']:+.3f}, R2 "
                f"{scores['r2']:.3f}, {100 * scores['within_1_spread']:.0f} % within one spread"
            )
            return  # of values all points are the same
        say(
            f"  {point} on held-out cells, one year: accuracy {scores['accuracy']:.4f} "
            f"(persistence {scores['persistence']:.4f}), "
            f"Figure of Merit {scores['figure_of_merit']:.3f}, "
            f"change predicted / observed {scores['predicted_over_observed']:.2f}"
        )


def infer(
    file: RunFile,
    set_: Overrides = None,
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


def evaluate(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[RUN.toml]", show_default=False, help="The run file."),
    ] = None,
    set_: Overrides = None,
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


def plot(file: RunFile, set_: Overrides = None) -> None:
    """Draw maps, changes, area by class over the years, and an animation of a finished product."""
    _plot(luray.load_run(file, set_ or ()))


def _plot(run: "RunConfig") -> None:
    from luray.stages.plot import plot as run_plot

    with progress("plot") as progressed:
        pictures = run_plot(run, progress=progressed)
    say(f"pictures: {run.path('pictures')} ({', '.join(sorted(pictures))})")


def report(file: RunFile, set_: Overrides = None) -> None:
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


def publish(file: RunFile, set_: Overrides = None) -> None:
    """Publish the finished product as a static STAC catalog, which readers and tools can open."""
    _publish(luray.load_run(file, set_ or ()))


def _publish(run: "RunConfig") -> None:
    from luray.stages.publish import publish as run_publish

    with progress("publish") as progressed:
        place = run_publish(run, progress=progressed)
    say(f"STAC catalog: {place}")


def run_(file: RunFile, set_: Overrides = None) -> None:
    """Run every stage that is not done yet, from build to publish."""
    from luray.stages.session import session

    run = luray.load_run(file, set_ or ())
    with session(run):
        run_stages(run, restart=False)


def run_stages(run: "RunConfig", *, restart: bool) -> None:
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
