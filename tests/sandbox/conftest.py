from pathlib import Path

import pytest

from luray.sandbox.world import SandboxConfig, World, simulate
from luray.sandbox.write import write_sandbox

CONFIG = SandboxConfig(
    height=100, width=150, first_map=1990, last_map=2005, scenario=("ssp245", "ssp585"), seed=4
)


@pytest.fixture(scope="session")
def world() -> World:
    return simulate(CONFIG)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written sandbox that tests only read."""
    return write_sandbox(tmp_path_factory.mktemp("sandbox") / "world", CONFIG)
