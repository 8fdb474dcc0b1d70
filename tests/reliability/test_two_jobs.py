"""Two jobs on one store: exactly one writes, whatever their clocks say and whoever pauses."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from luray.model.card import read_card
from luray.product.status import status_of
from luray.stages.build import build, plan_cube
from luray.stages.train import train, trainings
from luray.storage import lease
from luray.storage.lease import HeldError, Lease, leased
from luray.storage.objects import exists, read_json
from tests.machine import patience, until
from tests.reliability import errands, lives, plain
from tests.reliability.conftest import SmallWorld
from tests.reliability.signals import begin_verb, is_at_work


@pytest.fixture(params=["local", "s3", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place on each kind of store."""
    if request.param == "local":
        return str(tmp_path / "p.zarr")
    return f"{request.getfixturevalue(request.param).url}/{tmp_path.name}/p.zarr"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are renewed every tenth of a second."""
    monkeypatch.setattr(lease, "RENEWED_EVERY", 0.1)
    monkeypatch.setattr(lease, "PATIENCE", patience(1))


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("year", [1970, 2100])
def test_clocks_that_are_apart_decide_nothing(store: str, monkeypatch, year: int):
    """A holder is alive while it renews, and dead when it does not, whatever it calls the time."""
    elsewhere = {"host": "another machine", "pid": 1}
    moment = time.strptime(str(year), "%Y")
    with monkeypatch.context() as patch:
        patch.setattr(lease.time, "gmtime", lambda: moment)
        with leased(store) as held:
            held.about |= elsewhere
            until(lambda: read_json(held.place)["host"] == "another machine", expected="renewal")
            with pytest.raises(HeldError, match=rf"being written by .* since {year}"):
                Lease(store).take()
            held.require()
        dead = Lease(store)
        dead.about |= elsewhere
        dead.take()
    Lease(store).take()


@pytest.mark.usefixtures("hurried")
def test_a_paused_holder_that_wakes_finds_out_before_it_works_on(store: str):
    """Also when the thread that renews has not come round to it yet."""
    paused = Lease(store)
    paused.about |= {"host": "another machine"}
    paused.take()
    other = Lease(store)
    other.take()
    with pytest.raises(HeldError, match=r"was taken over by process .*; this job stops"):
        paused.require()
    other.require()


@pytest.mark.usefixtures("hurried")
def test_a_job_that_cannot_renew_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: Lease) -> None:
        raise ValueError("the library is broken")

    with leased(str(tmp_path / "p.zarr")) as held:
        monkeypatch.setattr(Lease, "renew", fail)

        def is_lost() -> bool:
            try:
                held.require()
            except HeldError as error:
                return "the library is broken" in str(error)
            return False

        until(is_lost, expected="the job learns that it holds nothing")


@pytest.mark.usefixtures("hurried")
def test_build_and_train_are_leased_too(small_world: SmallWorld, tmp_path: Path):
    run = small_world.run(small_world.copy(tmp_path / "out"))
    with leased(run.cube), pytest.raises(HeldError, match=r"cube\.zarr is being written by"):
        build(plan_cube(run))
    with leased(run.path("model")), pytest.raises(HeldError, match="model is being written by"):
        train(run)


def test_of_two_inferences_at_once_one_writes(small_world: SmallWorld, tmp_path: Path):
    output = small_world.copy(tmp_path / "out")
    logs = [tmp_path / "first", tmp_path / "second"]
    jobs = [lives.begin(errands.infer, small_world.world, output, log=log) for log in logs]
    codes = [lives.ended(job) for job in jobs]
    said = [log.read_text() for log in logs]
    assert sorted(codes) == [0, 1], said
    loser = codes.index(1)
    assert "product.zarr is being written by process" in said[loser], said
    assert errands.BEGUN not in said[loser], "it has written nothing"
    product = small_world.run(output).product
    assert said[1 - loser].count(errands.BEGUN) == sum(status_of(product).done.values())
    assert plain.differing_cells(product, small_world.product) == 0


def test_an_inference_that_pauses_while_another_takes_over_writes_no_more(
    small_world: SmallWorld, tmp_path: Path
):
    output = small_world.copy(tmp_path / "out")
    log = tmp_path / "paused"
    paused = lives.begin(errands.infer, small_world.world, output, log=log)
    n_copied = 3 * 6  # observed years of a tile are copied in one go
    until(lambda: log.read_text().count(errands.BEGUN) > n_copied, expected="it predicts")
    psutil.Process(paused.pid).send_signal(signal.SIGSTOP)
    assert lives.live(errands.infer, small_world.world, output, log=tmp_path / "other") == 0

    begun = log.read_text().count(errands.BEGUN)
    psutil.Process(paused.pid).send_signal(signal.SIGCONT)
    assert lives.ended(paused) == 1
    assert log.read_text().count(errands.BEGUN) <= begun + 1, "at most the tile-year in hand"
    assert "HeldError" in log.read_text()
    product = small_world.run(output).product
    assert plain.differing_cells(product, small_world.product) == 0


def test_a_training_that_pauses_while_another_takes_over_writes_no_more(
    small_world: SmallWorld, tmp_path: Path
):
    """Two trainings of different length, so that the models tell which of them wrote them."""
    output = small_world.copy(tmp_path / "out")
    log = tmp_path / "paused"
    other = tmp_path / "other"
    paused = lives.begin(
        errands.train,
        small_world.world,
        output,
        environment=lives.armed("before checkpoint", "hang", tmp_path, passage=2),
        log=log,
    )
    with lives.hanging(paused):
        shorter = ("training.steps=4", "training.epochs=2")
        code = lives.live(errands.train, small_world.world, output, *shorter, log=other)
        assert code == 0, other.read_text()
        models = states_of(output / "model")

    assert lives.ended(paused) == 1
    assert (
        "model was taken over by nobody: its lease was deleted; this job stops" in log.read_text()
    )
    assert states_of(output / "model") == models, "it has written nothing since"
    for direction in ("forward", "backward"):
        card = read_card(str(output / "model" / direction))
        assert card.identity["training"]["steps"] == 4


def test_a_build_that_pauses_while_another_takes_over_writes_no_more(
    small_world: SmallWorld, tmp_path: Path
):
    """The other one builds a cube of another tile size: a late shard would be a wrong one."""
    output = tmp_path / "out"
    log = tmp_path / "paused"
    other = tmp_path / "other"
    paused = lives.begin(
        errands.build,
        small_world.world,
        output,
        environment=lives.armed("before shard", "hang", tmp_path, passage=5),
        log=log,
    )
    with lives.hanging(paused):
        code = lives.live(errands.build, small_world.world, output, "tiling.tile=100", log=other)
        assert code == 0, other.read_text()
        cube = states_of(output / "cube.zarr")

    assert lives.ended(paused) == 1
    assert log.read_text().count(errands.WRITTEN) == 4
    assert "cube.zarr was taken over by nobody: its lease was deleted; this job" in log.read_text()
    assert states_of(output / "cube.zarr") == cube, "it has written nothing since"


def states_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file: they change whenever one is written again.

    What Ray Train keeps for itself, in a folder of each job, is left out.
    """
    files = [
        file for file in sorted(folder.rglob("*")) if file.is_file() and "ray" not in file.parts
    ]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


@pytest.mark.usefixtures("hurried")  # here, not in the driver: who stands still renews nothing
def test_workers_of_a_training_whose_driver_stands_still_write_no_more(
    small_world: SmallWorld, tmp_path: Path
):
    """The driver cannot see that it lost its lease; the workers of its cluster look themselves."""
    settings = ("training.steps=4000", "training.epochs=2000")
    with begin_verb(small_world, tmp_path, "train", *settings, module="tests.forked_cli") as driver:
        run = small_world.run(tmp_path / "out", *settings)
        [first, *_] = trainings(run)
        until(lambda: exists(first.checkpoint.path), expected="a checkpoint", seconds=240)
        driver.send_signal(signal.SIGSTOP)
        with leased(run.path("model")):
            until(lambda: not is_at_work(driver, "train"), expected="the workers have stopped")
            saved = states_of(tmp_path / "out/model")
            driver.send_signal(signal.SIGCONT)
            _, said = driver.communicate(timeout=patience(60))
        assert driver.returncode == 1, said
        assert "model was taken over by process" in said
        assert "this job stops, what it finished is kept" in said
        assert "Traceback" not in said
        assert states_of(tmp_path / "out/model") == saved
