"""Progress in a log: a line now and then, and one at the end."""

import io

import pytest
from rich.console import Console

from luray.cli import console
from luray.cli import progress as module
from luray.cli.progress import progress


@pytest.fixture
def log(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=stream, width=160))
    return stream


def test_the_end_of_a_task_is_a_line_once(log):
    with progress("build") as show:
        show(0, 4)
        show(1, 4)
        show(4, 4)
        show(4, 4)
    first, last = log.getvalue().splitlines()
    assert first == "build: 0/4, 0 s"
    assert last == "build: 4/4, 0 s"


def test_a_line_has_time_left_and_a_note(log, monkeypatch):
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0)
    with progress("train") as show:
        show(1, 2, "loss 0.5", name="train forward")
    assert log.getvalue() == "train forward: 1/2, 0 s, about 0 s left, loss 0.5\n"


def test_a_terminal_has_a_bar_a_task(monkeypatch):
    stream = io.StringIO()
    terminal = Console(file=stream, width=160, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", terminal)
    with progress("train") as show:
        show(1, 2, "loss 0.5", name="train forward")
        show(2, 2, "loss 0.4", name="train backward")
    text = stream.getvalue()
    for expected in ("train forward", "1/2", "loss 0.5", "train backward", "2/2", "loss 0.4"):
        assert expected in text
