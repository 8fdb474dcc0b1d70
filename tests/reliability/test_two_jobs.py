"""Two jobs on one store: exactly one writes, whatever their clocks say and whoever pauses."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from luray.product.status import status_of
from luray.stages.build import build, plan_cube
from luray.stages.train import train
from luray.storage import lease
from luray.storage.lease import HeldError, Lease, leased
from luray.storage.objects import read_json
from tests.machine import patience, until
from tests.reliability import errands, lives, plain
from tests.reliability.conftest import SmallWorld


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


def test_a_job_that_pauses_while_another_takes_over_writes_no_more(
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
