"""The small world, its cube and its product, made once without Ray for all tests of this folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from luray.stages.config import RunConfig
from tests.conftest import Once
from tests.reliability import plain


@dataclass(frozen=True)
class SmallWorld:
    """A world, and the output of a run that was never interrupted."""

    world: Path
    output: Path

    @property
    def product(self) -> str:
        """The product that every other one must equal."""
        return self.run(self.output).product

    def run(self, output: Path, *settings: str) -> RunConfig:
        """The run with another output."""
        return plain.run_of(self.world, output, *settings)

    def copy(self, output: Path, *, product: bool = False) -> Path:
        """Copy cube and models, and the product as well, to another output."""
        leave = shutil.ignore_patterns() if product else shutil.ignore_patterns("product.zarr*")
        shutil.copytree(self.output, output, ignore=leave)
        return output


def small_world_in(folder: Path) -> SmallWorld:
    """The world that `make` has made in a folder."""
    return SmallWorld(folder / "world", folder / "out")


def make(folder: Path) -> None:
    """Make the world with its cube, models and product."""
    small = small_world_in(folder)
    plain.small_world(small.world)
    plain.infer(plain.prepared(small.world, small.output))


@pytest.fixture(scope="session")
def small_world(once: Once) -> SmallWorld:
    """The small world with its cube, models and product."""
    folder = once("reliability", make)
    return small_world_in(folder)
