"""Verbs of the command line in the small world, as processes that are sent signals."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from luray.sandbox.write import demo_run
from tests.distributed.conftest import settings_of
from tests.machine import until
from tests.reliability import plain
from tests.reliability.conftest import SmallWorld

WORKS = {
    "build": "ray::_write",
    "train": "ray::RayTrainWorker",
    "infer": "ray::Worker",
}
"""The beginning of the command line of a process that is at work for a verb."""


@contextmanager
def begin_verb(small: SmallWorld, folder: Path, verb: str) -> Iterator[subprocess.Popen[str]]:
    """Begin a verb in a copy of the small world's output; it is killed at the end of the block."""
    output = small.copy(folder / "out")
    settings = settings_of(small.world, output, *plain.YEARS)
    command = [sys.executable, "-m", "luray.cli", verb, str(demo_run())]
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
        for each in descendants_of(process):
            with suppress(psutil.Error):
                if each.cmdline()[:1] and each.cmdline()[0].startswith(WORKS[verb]):
                    return True
        assert process.poll() is None, f"the verb has ended: {process.stderr.read()}"
        return False

    until(works, expected=f"{verb} is at work", seconds=240)
    return descendants_of(process)
