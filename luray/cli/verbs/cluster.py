"""Verbs for what runs elsewhere: estimate an inference, submit a stage to a Ray cluster."""

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

import luray
from luray.cli import console
from luray.cli.console import say, show
from luray.cli.verbs.options import Overrides, RunFile
from luray.cli.verbs.stages import STAGES

if TYPE_CHECKING:
    from luray.stages.config import RunConfig


def plan(
    file: RunFile,
    set_: Overrides = None,
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


def submit(
    file: RunFile,
    set_: Overrides = None,
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
