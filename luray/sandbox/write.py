"""Writing the simulated world once, and knowing it again.

luray then reads it through the same sources as the real files.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from luray.core.progress import NamedProgress, no_named_progress
from luray.sandbox import writers
from luray.sandbox.files import replacing
from luray.sandbox.leaf_area import leaf_area
from luray.sandbox.world import SandboxConfig, World, simulate

__all__ = [
    "LAND_COVER",
    "LEAF_AREA",
    "SandboxConfig",
    "World",
    "demo_run",
    "land_cover_runs",
    "leaf_area_run",
    "simulate",
    "write_sandbox",
]

SANDBOX_VERSION = 2
"""Raised whenever the same configuration would give other files."""

PARTS = (
    "luh2",
    "hilda",
    "isimip",
    "koppen",
    "gebco",
    "pnnl",
    "cci_lc",
    "c3s_lai",
    "climate",
    "truth*.zarr",
    ".truth*.zarr.partial",
)
"""Names under which the sandbox puts things into its directory; everything else there is left
alone.
"""

OWNED = ".luray-sandbox"
"""Says that the parts in this directory are a sandbox's and may be replaced."""

FINISHED = "sandbox.json"
"""Written last: the configuration, and the size of every file."""


def write_sandbox(
    directory: str | os.PathLike[str],
    config: SandboxConfig,
    *,
    progress: NamedProgress = no_named_progress,
) -> Path:
    """Write a simulated world into a directory.

    A finished sandbox of the same configuration is left as it is; a half-written one and one of
    another configuration are replaced.

    Parameters
    ----------
    directory : path
        Made where it does not exist. Other files in it stay.
    config : SandboxConfig
        Extent, seed, years of the fine maps and scenarios.
    progress : callable, optional
        Called with steps done, steps in all and the name of the next.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    ValueError
        If the directory holds files of the same names that no sandbox has written, such as the real
        LUH2 in `luh2/`. They are never touched.
    """
    directory = Path(directory)
    if _is_finished(directory, config):
        progress(1, 1, "is there")
        return directory
    _claim(directory)
    progress(0, 1, "simulate")
    world = simulate(config)
    steps = list(_steps(world, directory))
    for done, (step, write) in enumerate(steps):
        progress(done, len(steps), step)
        write()
    record = {**_identity(config), "files": _sizes(directory)}
    with replacing(directory / FINISHED) as path:
        path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    progress(len(steps), len(steps), "")
    return directory


def demo_run() -> Path:
    """Return the run file of the demo, which reads a default sandbox in `build/demo/world`."""
    return Path(__file__).with_name("run.toml")


LAND_COVER = "build/land-cover"
"""Folder below which the run files of land cover have all their places."""


LEAF_AREA = "build/leaf-area"
"""Folder below which the run file of leaf area index has all its places."""


def land_cover_runs() -> tuple[Path, Path]:
    """Return the run files of the demo of land cover: that of its land use, and its own."""
    folder = Path(__file__).with_name("land_cover_runs")
    return folder / "land_use.toml", folder / "land_cover.toml"


def leaf_area_run() -> Path:
    """Return the run file of the demo of leaf area index."""
    return Path(__file__).with_name("leaf_area_run.toml")


def _steps(world: World, directory: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The files to write, as a name and a function that writes one or two."""
    config = world.config
    yield "luh2 850-2015", partial(writers.write_luh2_history, world, directory)
    yield "luh2 static", partial(writers.write_luh2_static, world, directory)
    for scenario in config.scenario:
        yield f"luh2 {scenario}", partial(writers.write_luh2_scenario, world, directory, scenario)
        yield f"truth {scenario}", partial(writers.write_truth, world, directory, scenario)
    for year in config.maps:
        yield f"hilda {year}", partial(writers.write_hilda, world, directory, year)
    for year in config.land_cover_maps:
        yield f"land cover {year}", partial(writers.write_land_cover, world, directory, year)
    if config.leaf_area:
        yield "climate", partial(writers.write_climate, world, directory)
        leaves = leaf_area(world, config.leaf_area_maps)
        for year in config.leaf_area_maps:
            yield f"leaf area {year}", partial(writers.write_leaf_area, world, directory, leaves)
    yield "isimip", partial(writers.write_population, world, directory)
    yield "koppen", partial(writers.write_koeppen, world, directory)
    yield "gebco and pnnl topography", partial(writers.write_relief, world, directory)
    yield "pnnl soil", partial(writers.write_soil, world, directory)


def _identity(config: SandboxConfig) -> dict[str, Any]:
    """Everything that decides the bytes of the files."""
    # Without land cover and leaf area the identity is that of sandboxes from before there were any.
    settings = config.model_dump(mode="json", exclude_none=True)
    return {"version": SANDBOX_VERSION, "config": settings}


def _parts(directory: Path) -> list[Path]:
    """What a sandbox has put into `directory`, finished or not."""
    return sorted(path for pattern in PARTS for path in directory.glob(pattern))


def _sizes(directory: Path) -> dict[str, int]:
    """Bytes of every file of the sandbox by its path below `directory`."""
    files = sorted(path for part in _parts(directory) for path in part.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.stat().st_size for path in files}


def _is_finished(directory: Path, config: SandboxConfig) -> bool:
    """True when exactly the files that a finished sandbox of `config` recorded are there, with
    their sizes.
    """
    try:
        record = json.loads((directory / FINISHED).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return False
    return bool(record == {**_identity(config), "files": _sizes(directory)})


def _claim(directory: Path) -> None:
    """Make `directory` ready for a sandbox, removing an earlier one."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(
            f"{directory} is a file, expected a directory; give the sandbox a directory of its own"
        )
    parts = _parts(directory)
    if parts and not (directory / OWNED).exists():
        raise ValueError(
            f"{directory} holds {parts[0].name}, which no sandbox has written and which would be "
            "lost; give the sandbox a directory of its own"
        )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / OWNED).touch()
    (directory / FINISHED).unlink(missing_ok=True)
    for part in parts:
        shutil.rmtree(part)
