"""Ctrl-C and SIGTERM, and a Ray cluster that dies: one line that says what is kept."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from luray.core.interruption import (
    WORDS,
    InterruptedBySignal,
    interruption_behind,
    keyboard_interrupts,
    raise_on_signals,
)
from tests.machine import patience
from tests.reliability.conftest import SmallWorld
from tests.reliability.signals import begin_verb, started_ray, stop

SLEEPS = """if True:
    import sys, time
    from luray.cli import app as cli
    from luray.cli.verbs import inputs
    def wait(_):
        print("waiting", flush=True)
        time.sleep(600)
    inputs._sources = wait
    sys.argv = ["luray", "sources"]
    cli.main()"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_verb_that_is_stopped_says_how_to_go_on(number, code):
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as verb:
        assert verb.stdout.readline() == "waiting\n"
        verb.send_signal(number)
        _, said = verb.communicate(timeout=patience(30))
    assert verb.returncode == code
    assert re.fullmatch(
        r"stopped by (Ctrl-C|SIGTERM); what is finished is kept: run the same command again to go "
        r"on\n",
        said,
    )


def test_a_signal_is_known_behind_what_a_library_makes_of_it():
    try:
        try:
            raise InterruptedBySignal(signal.SIGTERM)
        except InterruptedBySignal as interrupted:
            raise SystemError("returned a result with an exception set") from interrupted
    except SystemError as error:
        found = interruption_behind(error)
    assert found is not None
    assert found.exit_code == 143
    assert interruption_behind(ValueError("other")) is None


def test_a_wait_for_ray_ends_by_the_exception_that_ray_knows():
    handlers = {number: signal.getsignal(number) for number in WORDS}
    seen = []

    def wait() -> None:
        with keyboard_interrupts():
            try:
                signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt as error:
                seen.append(type(error))
                raise

    try:
        raise_on_signals()
        with pytest.raises(InterruptedBySignal) as found:
            wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert seen == [KeyboardInterrupt]
    assert found.value.exit_code == 143


def test_ctrl_c_ends_every_process_of_ray(small_world: SmallWorld, tmp_path: Path):
    with begin_verb(small_world, tmp_path, "infer") as verb:
        ray = started_ray(verb)
        verb.send_signal(signal.SIGINT)
        _, said = verb.communicate(timeout=patience(60))
    assert verb.returncode == 130, said
    assert said.endswith("what is finished is kept: run the same command again to go on\n"), said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(ray, timeout=patience(5))
    assert not alive, "processes of Ray are left"


def test_a_node_manager_that_dies_is_told_in_one_line(small_world: SmallWorld, tmp_path: Path):
    with begin_verb(small_world, tmp_path, "infer") as verb:
        ray = started_ray(verb)
        [raylet] = [process for process in ray if process.name() == "raylet"]
        raylet.kill()
        _, said = verb.communicate(timeout=patience(60))
    assert verb.returncode == 1
    told = [line for line in said.splitlines() if not line.startswith("WARNING worker")]
    assert re.fullmatch(
        rf"error: Ray's node manager \(raylet, process {raylet.pid}\) died, perhaps because memory "
        r"was short; what is finished is kept: run the same command again to go on",
        "\n".join(told),
    ), said
    _, alive = psutil.wait_procs(ray, timeout=patience(15))
    assert not alive, "processes of Ray are left"


@pytest.mark.slow  # `make chaos` stops trainings, too
def test_a_training_that_is_stopped_does_not_end_as_if_it_were_done(
    small_world: SmallWorld, tmp_path: Path
):
    """Ray Train answers Ctrl-C itself, with exit code 0, unless it is kept from that."""
    code, _ = stop(small_world, tmp_path, "train", signal.SIGINT)
    assert code == 130
