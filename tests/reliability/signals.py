"""Verbs of the command line in the small world, as processes that are sent signals."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from luray.sandbox.write import demo_run
from tests.distributed.conftest import settings_of
from tests.machine import patience, until
from tests.reliability import plain
from tests.reliability.conftest import SmallWorld

WORKS = {
    "build": "ray::_write",
    "train": "ray::RayTrainWorker",
    "infer": "ray::Worker",
}
"""The beginning of the command line of a process that is at work for a verb."""


@contextmanager
def begin_verb(
    small: SmallWorld, folder: Path, verb: str, *further: str, module: str = "luray.cli"
) -> Iterator[subprocess.Popen[str]]:
    """Begin a verb in a copy of the small world's output; it is killed at the end of the block.

    The verb is one of the command line, as users have it or as `tests.forked_cli` has it.
    """
    output = small.copy(folder / "out")
    made = {"build": "cube.zarr", "train": "model"}
    if verb in made:
        shutil.rmtree(output / made[verb])
    settings = settings_of(small.world, output, *plain.YEARS, *further)
    command = [sys.executable, "-m", module, verb, str(demo_run())]
    for setting in settings:
        command += ["--set", setting]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            left = descendants_of(process)
            process.kill()
            for each in left:
                with suppress(psutil.Error):
                    each.kill()


def descendants_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that a process has started, and those that they have."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def started_ray(process: subprocess.Popen[str], verb: str = "infer") -> list[psutil.Process]:
    """Wait until Ray is at work for a verb, and return all of its processes."""

    def works() -> bool:
        if is_at_work(process, verb):
            return True
        assert process.poll() is None, f"the verb has ended: {process.stderr.read()}"
        return False

    until(works, expected=f"{verb} is at work", seconds=240)
    return descendants_of(process)


def is_at_work(process: subprocess.Popen[str], verb: str) -> bool:
    """Tell whether a worker of Ray is at work for a verb."""
    for each in descendants_of(process):
        with suppress(psutil.Error):
            if each.cmdline()[:1] and each.cmdline()[0].startswith(WORKS[verb]):
                return True
    return False


def stop(small: SmallWorld, folder: Path, verb: str, number: signal.Signals) -> tuple[int, float]:
    """Stop a verb at its work; return its exit code and the seconds until all of Ray had ended."""
    with begin_verb(small, folder, verb) as process:
        ray = started_ray(process, verb)
        started = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=patience(60))
        psutil.wait_procs(ray, timeout=patience(15))
        seconds = time.monotonic() - started
    assert "Traceback" not in said, said
    assert "run" in said.splitlines()[-1], said
    return process.returncode, seconds
