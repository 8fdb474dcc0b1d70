"""Bytes flipped in each kind of object that a product holds: named, and only that is made again."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from luray.cli.app import app
from luray.stages.config import RunConfig
from luray.stages.publish import publish
from tests.reliability import plain
from tests.reliability.conftest import SmallWorld
from tests.reliability.damage import KINDS, Kind, flip


@pytest.fixture(scope="module")
def published(small_world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A finished and published run, which tests damage and mend."""
    output = small_world.copy(tmp_path_factory.mktemp("damage") / "out", product=True)
    run = small_world.run(output)
    publish(run)
    return run


@pytest.fixture
def verify(published: RunConfig, small_world: SmallWorld, monkeypatch: pytest.MonkeyPatch):
    """The verb, with the run of the fixture in place of a run file."""
    monkeypatch.setattr("luray.load_run", lambda *_: published)

    def call(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["verify", "run.toml", *options])
        return result.exit_code, result.output

    return call


CHOSEN = ("transition", "coarser overview", "array metadata", "checksums", "catalog")
"""Some of the kinds: `make chaos` damages all of them."""


@pytest.mark.parametrize("kind", [KINDS[name] for name in CHOSEN], ids=CHOSEN)
def test_damage_of_every_kind_is_named_and_mended_alone(
    published: RunConfig, small_world: SmallWorld, verify, kind: Kind
):
    place = Path(published.path()) / kind.place
    before = stamps(published)
    flip(place)
    code, said = verify()
    assert code == 1
    assert re.findall(r"damaged: (.*)", said) == [kind.damaged], said

    assert verify("--repair")[0] == 1
    plain.infer(published)
    publish(published)
    code, said = verify()
    assert (code, "damaged" in said) == (0, False), said
    assert plain.differing_cells(published.product, small_world.product) == 0
    changed = {name for name, stamp in stamps(published).items() if before[name] != stamp}
    assert changed <= {*kind.redone, *(kind.place,)}, "nothing else is computed again"


def stamps(run: RunConfig) -> dict[str, int]:
    """When each shard of a product was written."""
    root = Path(run.path())
    shards = (root / "product.zarr").rglob("c/*/*/*")
    return {
        shard.relative_to(root).as_posix(): shard.stat().st_mtime_ns
        for shard in shards
        if shard.is_file()
    }
