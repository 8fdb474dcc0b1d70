"""Every stage of a run, one after the other."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from luray.stages.build import build, plan_cube
from luray.stages.config import RunConfig
from luray.stages.evaluate import evaluate, is_evaluated
from luray.stages.infer import infer, is_of_another_run
from luray.stages.plot import plot
from luray.stages.publish import publish
from luray.stages.report import report
from luray.stages.run_file import load_run
from luray.stages.session import session
from luray.stages.train import train
from luray.training.progress_events import ProgressEvent

Stage = Literal["build", "train", "infer", "evaluate", "plot", "report", "publish"]

STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in their order."""

StageProgress = Callable[[str, int, int], None]
"""Called with the name of a stage, the work done and the work in all."""


def no_stage_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


def needs_evaluation(run: RunConfig) -> bool:
    """Return whether a run has tests that its report does not score as the models are now.

    Every other stage finds out by itself what is missing.
    """
    return bool(run.evaluation.tests) and not is_evaluated(run)


def run(
    config: RunConfig | Path | str,
    stages: Iterable[Stage] = STAGES,
    *,
    restart: bool = False,
    progress: StageProgress = no_stage_progress,
) -> dict[Stage, str]:
    """Run stages of a run file, in the order in which they depend on each other.

    Each stage does what is still missing, so that an interrupted call is repeated to continue.

    Parameters
    ----------
    config : RunConfig or path
        A run, or the place of its run file.
    stages : iterable of str, optional
        Any of build, train, infer, evaluate, plot, report and publish; all of them by default.
    restart : bool, optional
        Discard models, and the product, that an earlier version of this run has left at the same
        place. Without it they raise an error that names what differs.
    progress : callable, optional
        Called with the name of a stage, the work done and the work in all.

    Returns
    -------
    dict of str to str
        For each stage that was asked for, the place of what it made.

    Raises
    ------
    ValueError
        If the run file, an input or a finished output is at fault; the message says what to do.
    OSError
        If a store is out of reach or full.

    Examples
    --------
    >>> import luray
    >>> config = luray.load_run("catalogs/crete/run.toml")  # doctest: +SKIP
    >>> places = luray.run(config, ["build", "train", "infer"])  # doctest: +SKIP
    >>> luray.open_product(places["infer"]).land_use.sel(year=2010).plot()  # doctest: +SKIP
    """
    run_config = config if isinstance(config, RunConfig) else load_run(config)
    requested = set(stages)
    unknown = sorted(requested - set(STAGES))
    if unknown:
        raise ValueError(f"stages has {unknown}, expected any of {', '.join(STAGES)}; correct it")

    # In the order of `STAGES`, whatever the order in which they were asked for.
    places: dict[Stage, str] = {}
    with session(run_config):
        for stage in STAGES:
            if stage in requested:
                places[stage] = _run_stage(run_config, stage, restart=restart, progress=progress)
    return places


def _run_stage(run: RunConfig, stage: Stage, *, restart: bool, progress: StageProgress) -> str:
    """Run one stage; returns the place of what it makes."""
    tell = partial(progress, stage)

    if stage == "build":
        build(plan_cube(run), progress=tell)
        return run.cube

    if stage == "train":

        def after_step(event: ProgressEvent) -> None:
            progress(f"train {event.direction}", event.step, run.training.steps)

        train(run, restart=restart, progress=after_step)
        return run.path("model")

    if stage == "infer":
        infer(run, restart=restart and is_of_another_run(run), progress=tell)
        return run.product

    if stage == "evaluate":
        if needs_evaluation(run):
            evaluate(run, progress=tell)
        return run.path("report")

    if stage == "plot":
        plot(run, progress=lambda done, total, _: progress(stage, done, total))
        return run.path("pictures")

    if stage == "report":
        # A run without tests has nothing to report.
        return report(run) if run.evaluation.tests else run.path("report")

    return publish(run, progress=tell)
