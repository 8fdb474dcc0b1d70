"""The demo: the whole job on a small simulated world that lies beside its outputs."""

from collections.abc import Sequence
from pathlib import Path

from luray.core.progress import NamedProgress, no_named_progress
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import demo_run, write_sandbox
from luray.stages.config import RunConfig
from luray.stages.run_file import load_run
from luray.storage.places import local_place


def load_demo(overrides: Sequence[str] = ()) -> RunConfig:
    """Load the run file of the demo.

    Parameters
    ----------
    overrides : sequence of str, optional
        Values of the run file as `a.b=value`. With another `output`, the simulated inputs are
        expected there as well, unless paths of sources are overridden, too.

    Raises
    ------
    PlaceError
        If the output is not on this machine, where the inputs are written.
    """
    file = demo_run()
    run = load_run(file, overrides)
    local_place(run.output, what="the output of the demo")
    if run.output == load_run(file).output:
        return run

    inputs = []
    for number, source in enumerate(run.sources):
        if source.path:
            place = run.path("world", Path(source.path).name)
            inputs.append(f"sources.{number}.path={place}")
    return load_run(file, [*inputs, *overrides])


def write_demo_world(run: RunConfig, *, progress: NamedProgress = no_named_progress) -> Path:
    """Write the simulated world that the demo reads, unless it is there; returns its folder."""
    height, width = run.grid.shape
    config = SandboxConfig.model_validate(
        {"height": height, "width": width, "scenario": run.scenario_names}
    )
    return write_sandbox(run.path("world"), config, progress=progress)
