"""The demo: the whole job on a small simulated world that lies beside its outputs."""

from collections.abc import Sequence
from pathlib import Path

from luray.core.progress import NamedProgress, no_named_progress
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import (
    LAND_COVER,
    LEAF_AREA,
    demo_run,
    land_cover_runs,
    leaf_area_run,
    write_sandbox,
)
from luray.stages.config import RunConfig
from luray.stages.run_file import load_run
from luray.storage.places import local_place

LAND_COVER_YEARS = (1992, 2020)
"""Years of the maps of land cover in its demo; those of the real ones begin there."""


LEAF_AREA_CELLS = (100, 150)
"""Cells of 0.01 degrees of the world of leaf area index: 112 x 168 of its maps."""


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


def load_land_cover_demo(
    folder: str = LAND_COVER, overrides: Sequence[str] = ()
) -> tuple[RunConfig, RunConfig]:
    """Load the run files of the demo of land cover.

    Parameters
    ----------
    folder : str
        Where the simulated world and the outputs of both runs are to lie, on this machine.
    overrides : sequence of str, optional
        Values of the run file of land cover as `a.b=value`.

    Returns
    -------
    land_use, land_cover : RunConfig
        The second takes the product of the first as its forcing.
    """
    runs = []
    for file, more in zip(land_cover_runs(), ((), overrides), strict=True):
        run = load_run(file)
        places = [f"output={_moved(run.output, folder)}"]
        for number, source in enumerate(run.sources):
            places.append(f"sources.{number}.path={_moved(source.path, folder)}")
        runs.append(load_run(file, [*places, *more]))
    land_use, land_cover = runs
    return land_use, land_cover


def load_leaf_area_demo(folder: str = LEAF_AREA, overrides: Sequence[str] = ()) -> RunConfig:
    """Load the run file of the demo of leaf area index.

    Parameters
    ----------
    folder : str
        Where the simulated world and the outputs are to lie, on this machine.
    overrides : sequence of str, optional
        Values of the run file as `a.b=value`.
    """
    run = load_run(leaf_area_run())
    places = [f"output={_moved(run.output, folder, LEAF_AREA)}"]
    for number, source in enumerate(run.sources):
        if source.path:
            places.append(f"sources.{number}.path={_moved(source.path, folder, LEAF_AREA)}")
    return load_run(leaf_area_run(), [*places, *overrides])


def write_leaf_area_world(run: RunConfig, *, progress: NamedProgress = no_named_progress) -> Path:
    """Write the world that the demo of leaf area index reads; returns its folder."""
    height, width = LEAF_AREA_CELLS
    years = run.years
    config = SandboxConfig(
        height=height,
        width=width,
        first_map=years[0],
        leaf_area=(years[0], years[-1]),
    )
    return write_sandbox(Path(run.output).parent / "world", config, progress=progress)


def _moved(place: str, folder: str, usual: str = LAND_COVER) -> str:
    """Return a place below the usual folder of a demo, below another folder."""
    return folder.rstrip("/") + place.removeprefix(usual)


def write_land_cover_world(
    land_use: RunConfig, *, progress: NamedProgress = no_named_progress
) -> Path:
    """Write the world that both runs of the demo of land cover read; returns its folder."""
    height, width = land_use.grid.shape
    config = SandboxConfig(height=height, width=width, first_map=1980, land_cover=LAND_COVER_YEARS)
    return write_sandbox(Path(land_use.output).parent / "world", config, progress=progress)
