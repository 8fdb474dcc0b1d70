"""Progress of a stage: bars on a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from luray.cli import console

PLAIN_SECONDS = 10.0
"""Pause between two lines where there is no terminal."""

Show = Callable[..., None]
"""Called with (done, total), and a note and the name of another task where there is one."""


@contextmanager
def progress(task: str) -> Iterator[Show]:
    """Give a function that shows how far a task is.

    Parameters
    ----------
    task : str
        Name of the task. A call with another `name` shows another task beside it.
    """
    if console.out.is_terminal:
        with _bars() as bars:
            yield _Bars(bars, task)
    else:
        yield _Lines(task)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console.out,
    )


class _Bars:
    """A bar for each task."""

    def __init__(self, bars: Progress, task: str) -> None:
        self._bars = bars
        self._task = task
        self._ids: dict[str, TaskID] = {}

    def __call__(self, done: int, total: int, note: str = "", name: str | None = None) -> None:
        task = name or self._task
        if task not in self._ids:
            self._ids[task] = self._bars.add_task(task, total=total, note=note)
        self._bars.update(self._ids[task], completed=done, total=total, note=note)


class _Lines:
    """A line every few seconds, and one when a task is complete."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._started = time.monotonic()
        self._last_line = 0.0
        self._complete: set[str] = set()

    def __call__(self, done: int, total: int, note: str = "", name: str | None = None) -> None:
        task = name or self._task
        now = time.monotonic()
        is_new_end = done == total and task not in self._complete
        if now - self._last_line < PLAIN_SECONDS and not is_new_end:
            return

        self._last_line = now
        if done == total:
            self._complete.add(task)
        elapsed = now - self._started
        parts = [f"{task}: {done}/{total}", f"{elapsed:.0f} s"]
        if 0 < done < total:
            parts.append(f"about {elapsed / done * (total - done):.0f} s left")
        if note:
            parts.append(note)
        console.out.print(", ".join(parts), soft_wrap=True)
