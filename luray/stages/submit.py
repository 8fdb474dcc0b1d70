"""The verb `submit`: a stage of a run file, sent to a Ray cluster as a job.

With it go the code that runs here and inputs that are given as relative paths. `ray job submit
--working-dir .` would send a whole folder; this sends what the job needs, and refuses what would be
lost.
"""

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import luray
from luray.core.tables import IN_PACKAGE, tables
from luray.stages.config import RunConfig
from luray.stages.run_file import expand, read_text, read_tree, run_file
from luray.storage.places import VARIABLE, is_local

CARRIED = 100 * 2**20
"""Bytes that a cluster accepts with a job."""


def submit(
    run: RunConfig, file: Path | str, *, stage: str, overrides: Sequence[str], address: str
) -> tuple[str, int]:
    """Send a stage of a run file to a cluster, as a job.

    Environment variables that the run file names get the values that they have here.

    Parameters
    ----------
    run : RunConfig
        The run that `file` and `overrides` give.
    file : path
        Its run file.
    stage : str
        A verb of the command line.
    overrides : sequence of str
        Values of the run file as `a.b=value`.
    address : str
        Address of the cluster's dashboard.

    Returns
    -------
    tuple of str and int
        The id of the job, and the bytes that travel with it.

    Raises
    ------
    ValueError
        If the output would be lost with the job, the inputs are too large to travel, or a place
        lies below `~`, which is another folder there.
    ConnectionError
        If no cluster answers.
    PermissionError
        If the cluster wants another token.
    """
    from luray.distributed.submit import submit_folder  # Ray takes seconds to import

    file = run_file(file)
    _require_no_home(file, overrides)
    named = set(re.findall(VARIABLE, read_text(file) + "".join(overrides)))
    options = []
    for override in overrides:
        options += ["--set", override]

    with tempfile.TemporaryDirectory(prefix="luray") as folder:
        pack(run, file, Path(folder), stage=stage)
        job = submit_folder(
            folder,
            entrypoint=shlex.join(["python", "-m", "luray.cli", stage, file.name, *options]),
            env_vars={name: os.environ[name] for name in named & os.environ.keys()},
            metadata={"run": run.name, "stage": stage},
            address=address,
        )
        return job, _size(Path(folder))


def pack(run: RunConfig, file: Path, folder: Path, *, stage: str) -> None:
    """Put into an empty folder what a job needs.

    That is this package, the run file, its legend, and inputs of the build that are given as
    relative paths.
    Raises ValueError where the output would be lost, or the inputs are too large to travel.
    """
    if not run.lasting:
        raise ValueError(lost(run))
    places: list[str | None] = [run.target.legend] if run.target.legend.endswith(".toml") else []
    if stage in ("build", "run"):
        places += _places_of_inputs(run)
    inputs = list(_beside(places))
    sizes = {path: _size(path) for path in inputs}
    if sum(sizes.values()) > CARRIED:
        listed = ", ".join(f"{path} ({size / 2**20:.0f} MiB)" for path, size in sizes.items())
        raise ValueError(
            "inputs given as relative paths travel with the job, which can carry "
            f"{CARRIED // 2**20} MiB: {listed}; put them where the cluster can read them (s3://, "
            "gs://, a path that all its nodes have) and name that place in the run file"
        )
    # in a checkout the explorer may have what it is built with: more than a job may carry
    not_run = shutil.ignore_patterns("__pycache__", "node_modules")
    shutil.copytree(Path(luray.__file__).parent, folder / "luray", ignore=not_run)
    for name, place in IN_PACKAGE.items():
        shutil.copytree(tables(name), folder / "luray" / place, dirs_exist_ok=True)
    for path in inputs:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy2(path, target)
    shutil.copy2(file, folder / file.name)


def lost(run: RunConfig) -> str:
    """Say why the output of a run would not outlive a job, and what to do."""
    return (
        f"output = {run.output!r} is a folder of the job's own copy of the working directory, "
        "which goes with the cluster; set output to s3://, gs:// or an absolute path that all "
        f"nodes have, such as --set output=s3://bucket/{run.name}"
    )


def _require_no_home(file: Path, overrides: Sequence[str]) -> None:
    """Raise ValueError for a place below `~`, which is another folder where the job runs."""
    for key, place in _places_of(expand(read_tree(file, overrides))):
        if place.startswith("~"):
            whole_path = Path(place).expanduser()
            raise ValueError(
                f"{key} = {place!r} is below a home folder, and that of the cluster "
                f"is another; write the whole path, {whole_path} if all nodes have it, or "
                "s3:// or gs://"
            )


def _places_of(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the key and the text of every place that a checked run file names, as written."""
    yield "output", tree["output"]
    if "catalog" in tree:
        yield "catalog.url", tree["catalog"]["url"]
    for place in tree.get("storage", {}).get("allow", ()):
        yield "storage.allow", place
    for number, source in enumerate(tree["sources"]):
        yield f"sources.{number}.path", source.get("path", "")
        for asset in source.get("assets", ()):
            yield f"sources.{number}.assets", asset["href"]


def _places_of_inputs(run: RunConfig) -> list[str | None]:
    """Return where the inputs of a build are, its catalog of them included."""
    places: list[str | None] = [source.path for source in run.sources]
    if run.catalog:
        url = run.catalog.url
        places.append(str(Path(url).parent) if is_local(url) and url.endswith(".json") else url)
    return places


def _beside(places: Sequence[str | None]) -> Iterator[Path]:
    """Yield the places that are given relative to where the command runs, and are there."""
    for place in dict.fromkeys(filter(None, places)):
        path = Path(place)
        if not is_local(place) or path.is_absolute() or not path.exists():
            continue
        if ".." in path.parts:
            raise ValueError(
                f"input {place} lies above the working directory, of which a job has a copy; give "
                "an absolute path that all nodes have, s3:// or gs://"
            )
        yield path


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files)
