import json
import shutil
from pathlib import Path

import pytest

from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import SANDBOX_VERSION, write_sandbox

CONFIG = SandboxConfig(height=50, width=50, first_map=2000, last_map=2002)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sandbox, to be copied."""
    return write_sandbox(tmp_path_factory.mktemp("pattern"), CONFIG)


@pytest.fixture
def finished(pattern: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pattern, tmp_path / "finished"))


def steps(directory: Path, config: SandboxConfig = CONFIG) -> list[str]:
    done: list[str] = []
    write_sandbox(directory, config, progress=lambda _done, _total, step: done.append(step))
    return done


def contents(directory: Path) -> dict[str, bytes]:
    return {
        p.relative_to(directory).as_posix(): p.read_bytes()
        for p in directory.rglob("*")
        if p.is_file()
    }


def interrupt_at(directory: Path, step: str) -> None:
    def progress(_done: int, _total: int, now: str) -> None:
        if now == step:
            raise Interrupted

    with pytest.raises(Interrupted):
        write_sandbox(directory, CONFIG, progress=progress)


def test_a_finished_sandbox_is_reused(finished: Path):
    written = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert steps(finished) == ["is there"]
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == written


def test_the_record_is_written_last_and_names_every_file(tmp_path: Path):
    interrupt_at(tmp_path, "pnnl soil")
    assert not (tmp_path / "sandbox.json").exists()
    assert not list(tmp_path.rglob("*.partial"))
    write_sandbox(tmp_path, CONFIG)
    record = json.loads((tmp_path / "sandbox.json").read_text())
    assert record["config"] == CONFIG.model_dump(mode="json", exclude_none=True)
    assert set(record["files"]) == set(contents(tmp_path)) - {"sandbox.json", ".luray-sandbox"}


def test_a_half_written_sandbox_is_written_again(tmp_path: Path):
    interrupt_at(tmp_path, "isimip")
    (tmp_path / "luh2/.states.nc.partial").write_bytes(b"cut short")
    assert len(steps(tmp_path)) > 5
    assert not (tmp_path / "luh2/.states.nc.partial").exists()
    assert steps(tmp_path) == ["is there"]


@pytest.mark.parametrize("damage", ["lost", "cut", "unfinished", "record cut"])
def test_a_damaged_sandbox_is_written_again(finished: Path, damage: str):
    before = contents(finished)
    victim = finished / "gebco/GEBCO_2024.nc"
    if damage == "lost":
        victim.unlink()
    elif damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-100])
    elif damage == "unfinished":
        (finished / "sandbox.json").unlink()
    else:
        (finished / "sandbox.json").write_text("{")
    assert len(steps(finished)) > 5
    assert contents(finished) == before, "the same configuration gives the same bytes"


def test_another_configuration_replaces_all_files(finished: Path):
    steps(finished, CONFIG.model_copy(update={"last_map": 2001, "scenario": ("ssp126",)}))
    names = {path.name for path in finished.rglob("*.tif")}
    assert "hilda_plus_2001_states_GLOB-v1-0_wgs84-nn.tif" in names
    assert "hilda_plus_2002_states_GLOB-v1-0_wgs84-nn.tif" not in names
    assert [path.name for path in finished.glob("luh2/*ssp*")] == [
        "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-IMAGE-ssp126-2-1-f_gn_2015-2100.nc"
    ]


def test_a_world_of_another_law_is_made_anew(finished: Path, monkeypatch):
    monkeypatch.setattr("luray.sandbox.write.SANDBOX_VERSION", SANDBOX_VERSION + 1)
    assert len(steps(finished)) > 5
    assert steps(finished) == ["is there"]


def test_real_data_under_the_same_names_are_never_touched(tmp_path: Path):
    (tmp_path / "luh2").mkdir()
    (tmp_path / "luh2/states.nc").write_bytes(b"precious")
    with pytest.raises(ValueError, match=r"luh2.*directory of its own"):
        write_sandbox(tmp_path, CONFIG)
    assert contents(tmp_path) == {"luh2/states.nc": b"precious"}


def test_other_files_in_the_directory_stay(finished: Path):
    (finished / "notes.txt").write_text("mine")
    assert steps(finished) == ["is there"]
    write_sandbox(finished, CONFIG.model_copy(update={"seed": 1}))
    assert (finished / "notes.txt").read_text() == "mine"


def test_a_file_is_no_directory(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        write_sandbox(tmp_path / "file", CONFIG)
