"""Stages as jobs of a real head node with a token, submitted, stopped, killed and submitted again."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import requests

import luray
from luray.cli.app import STAGES, app
from luray.core.tables import IN_PACKAGE
from luray.distributed.metrics import EXPORTED
from luray.product.status import status_of
from luray.sandbox.write import demo_run
from luray.stages.run_file import load_run
from luray.stages.submit import CARRIED, pack
from tests.distributed.conftest import give_models, settings_of
from tests.distributed.processes import named
from tests.distributed.test_infer import assert_equals_serial, serial
from tests.head import Head, head_node
from tests.machine import patience, until

ROOT = Path(luray.__file__).parents[1]
AHEAD = ("inference.years=[2000, 2030]", "inference.operating_point=unbiased")


@pytest.fixture(scope="module")
def head():
    with head_node(cpus=2, stop_seconds=round(patience(60))) as found:
        yield found


def test_stages_run_as_jobs_are_stopped_and_killed_and_change_no_bit(place, tmp_path, head):
    settings = settings_of(place.world, tmp_path / "out", *AHEAD)
    run = load_run(demo_run(), settings)
    done = submit(head, "build_cube", settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^build: \d+/\d+, \d+ s", done.stdout, re.MULTILINE), (
        "plain lines of progress"
    )
    done = luray_submit(head, tmp_path, "train", settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "forward model:" in done.stdout

    job = begin(head, settings)
    wait_for_share(run.product, 0.3)
    stop(head, job)
    log = head.call("ray", "job", "logs", f"--address={head.dashboard}", job, cwd=ROOT).stdout
    told = re.search(r"stopped with (\d+) of (\d+) tile-years done", log)
    assert told, log
    after = status_of(run.product)
    assert int(told[1]) == sum(after.done.values()) < int(told[2]) == after.total
    assert after.holder == "", "the lease is given back"

    begin(head, settings)
    wait_for_share(run.product, 0.7)
    os.kill(driver_of("jobs/infer.py"), signal.SIGKILL)
    failed = luray_submit(head, tmp_path, "publish", settings)
    assert failed.returncode == 1
    assert "FAILED" in failed.stdout
    assert "expected a finished product, found luray.finished = false" in failed.stdout

    done = submit(head, "infer", settings)
    assert done.returncode == 0, done.stdout + done.stderr
    first = re.search(r"^infer: (\d+)/", done.stdout, re.MULTILINE)
    assert first
    assert int(first[1]) >= 0.7 * after.total, "it goes on where it was"
    assert_equals_serial(run, serial(run))


def test_an_inference_exports_what_the_dashboard_draws(place, tmp_path, head):
    run = place.run(tmp_path / "out", "inference.workers=1")
    give_models(run)
    command = [
        sys.executable,
        "-m",
        "tests.distributed.half_way",
        str(place.world),
        run.output,
        "inference.workers=1",
    ]
    with subprocess.Popen(
        command,
        env={**head.env, "RAY_ADDRESS": head.address},
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as inference:
        left = int(inference.stdout.readline())
        until(
            lambda: exported(head).keys() | {"ray_luray_retries_total"} == set(EXPORTED),
            expected="all is exported, a counter once it has counted",
        )
        until(
            lambda: exported(head)["ray_luray_tile_years_left"] == left,
            expected=f"{left} tile-years are left",
        )
        inference.communicate("go on\n")
    assert inference.returncode == 0
    assert status_of(run.product).finished


def exported(head):
    """Metrics of luray that the head shows, by name."""
    text = requests.get(head.metrics, timeout=patience(10)).text
    return {
        name: float(value)
        for name, value in re.findall(r"^(ray_luray_\w+)\{.*\} (\S+)$", text, re.MULTILINE)
    }


def test_workers_of_a_cluster_that_is_joined_wait_asleep(head):
    """Its nodes know nothing of it: the head is started without the variable."""
    assert "OMP_WAIT_POLICY" not in head.env
    code = (
        "import os, ray\nfrom luray.distributed.cluster import cluster\nwith cluster(cpus=1):\n    "
        "print(ray.get(ray.remote(lambda: os.environ['OMP_WAIT_POLICY']).remote()))"
    )
    done = replace(head, env={**head.env, "RAY_ADDRESS": head.address}).call(
        "python", "-c", code, cwd=ROOT
    )
    assert done.stdout.split() == ["PASSIVE"], done.stderr


def test_a_job_without_the_token_is_refused(head, tmp_path):
    assert requests.get(f"{head.dashboard}/api/jobs/", timeout=patience(10)).status_code in (
        401,
        403,
    )
    thief = replace(head, env=head.env | {"RAY_AUTH_TOKEN": "0" * 64})
    refused = luray_submit(thief, tmp_path, "infer", [f"output={tmp_path}"])
    assert refused.returncode == 1
    assert "wants another token: set RAY_AUTH_TOKEN" in refused.stderr
    assert head.env["RAY_AUTH_TOKEN"] not in refused.stderr + refused.stdout


def test_an_output_that_would_go_with_the_job_is_refused_by_the_job_and_before_it(head, tmp_path):
    for refused in (submit(head, "infer", []), luray_submit(head, tmp_path, "infer", [])):
        assert refused.returncode == 1
        assert "--set output=s3://bucket/demo" in " ".join(
            (refused.stdout + refused.stderr).split()
        )


def test_where_no_cluster_is_the_address_is_named(tmp_path):
    nobody = Head("http://127.0.0.1:9", "", "", dict(os.environ))
    refused = luray_submit(nobody, tmp_path, "infer", [f"output={tmp_path}"])
    assert refused.returncode == 1
    assert "http://127.0.0.1:9: no Ray dashboard answers" in refused.stderr


def test_a_job_carries_the_code_the_run_file_and_the_inputs_beside_it_and_no_more(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    inputs, other = tmp_path / "inputs", tmp_path / "other"
    for folder in (inputs, other):
        folder.mkdir()
        (folder / "map.tif").write_bytes(b"1234")
    run = load_run(
        demo_run(), ["output=/shared/out", "sources.0.path=inputs", f"sources.1.path={other}"]
    )
    for stage, expected in (
        ("infer", {"luray", "run.toml"}),
        ("build", {"luray", "run.toml", "inputs"}),
    ):
        folder = tmp_path / stage
        folder.mkdir()
        pack(run, demo_run(), folder, stage=stage)
        assert {path.name for path in folder.iterdir()} == expected
        assert not list(folder.rglob("__pycache__"))
        for name, place in IN_PACKAGE.items():
            assert sorted(path.name for path in (folder / "luray" / place).iterdir()) == sorted(
                path.name for path in (ROOT / "catalogs" / name).iterdir()
            )
    assert (folder / "inputs/map.tif").read_bytes() == b"1234"
    with (inputs / "large.tif").open("wb") as file:
        file.truncate(CARRIED)
    with pytest.raises(
        ValueError,
        match=r"can carry 100 MiB: inputs \(100 MiB\); put them where the cluster can read",
    ):
        pack(run, demo_run(), tmp_path / "full", stage="run")
    above = load_run(
        demo_run(), ["output=/shared/out", "sources.0.path=../" + tmp_path.name + "/inputs"]
    )
    with pytest.raises(ValueError, match="lies above the working directory"):
        pack(above, demo_run(), tmp_path / "full", stage="build")


def test_the_legend_of_a_run_travels_with_every_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "catalogs/legends/hilda.toml", "mine.toml")
    run = load_run(demo_run(), ["output=/shared/out", "target.legend=mine.toml"])
    folder = tmp_path / "job"
    folder.mkdir()
    pack(run, demo_run(), folder, stage="train")
    assert (folder / "mine.toml").read_bytes() == (tmp_path / "mine.toml").read_bytes()


def test_every_job_is_a_verb_of_the_command_line():
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    called = {
        path.stem: re.search(r'main\("(\w+)"\)', path.read_text())[1]
        for path in (ROOT / "jobs").glob("*.py")
    }
    assert called == {
        "build_cube": "build",
        "train": "train",
        "infer": "infer",
        "evaluate": "evaluate",
        "publish": "publish",
        "pipeline": "run",
    }
    assert set(called.values()) | set(STAGES) <= verbs


def submit(head: Head, job: str, settings: list[str]) -> subprocess.CompletedProcess[str]:
    """What the guide says: `ray job submit --working-dir . -- python jobs/<job>.py RUN.toml`, to
    its end.
    """
    return head.call(*words(head, job, settings), cwd=ROOT)


def begin(head: Head, settings: list[str]) -> str:
    """Submit an inference and do not wait for it; returns its id."""
    started = head.call(*words(head, "infer", settings, "--no-wait"), cwd=ROOT)
    found = re.search(r"raysubmit_\w+", started.stdout)
    assert found, started.stdout + started.stderr
    return found[0]


def words(head: Head, job: str, settings: list[str], *options: str) -> list[str]:
    return [
        "ray",
        "job",
        "submit",
        f"--address={head.dashboard}",
        *options,
        "--working-dir",
        ".",
        "--",
        "python",
        f"jobs/{job}.py",
        "luray/sandbox/run.toml",
        *(part for setting in settings for part in ("--set", setting)),
    ]


def luray_submit(
    head: Head, folder: Path, stage: str, settings: list[str]
) -> subprocess.CompletedProcess[str]:
    """Submit a stage with `luray submit` from a folder that has nothing of luray in it."""
    return head.call(
        "luray",
        "submit",
        str(demo_run()),
        "--stage",
        stage,
        "--address",
        head.dashboard,
        *(part for setting in settings for part in ("--set", setting)),
        cwd=folder,
    )


def wait_for_share(product: str, share: float) -> None:
    """Wait until so much of a product is done."""

    def is_done() -> bool:
        with suppress(ValueError, OSError):  # it is only being created
            found = status_of(product)
            return sum(found.done.values()) >= share * found.total
        return False

    until(is_done, expected=f"{share} of {product} is done", seconds=240)


def stop(head: Head, job: str) -> None:
    """Stop a job as a user does. Its driver stands still until it is asked to, lest it be done
    before that.
    """
    driver = driver_of("jobs/infer.py")
    os.kill(driver, signal.SIGSTOP)
    command = head.words("ray", "job", "stop", f"--address={head.dashboard}", job)
    with subprocess.Popen(command, env=head.env, cwd=ROOT, stdout=subprocess.DEVNULL) as stopping:
        until(lambda: is_asked_to_end(driver), expected="the driver is asked to end")
        os.kill(driver, signal.SIGCONT)
    assert stopping.returncode == 0


def is_asked_to_end(process: int) -> bool:
    """True while a SIGTERM waits for a process that stands still."""
    [pending] = re.findall(
        r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE
    )
    return bool(int(pending, 16) >> (signal.SIGTERM - 1) & 1)


def driver_of(script: str) -> int:
    """The one process that runs a script as a job."""
    [process] = named(f"python\0{script}")
    return process
