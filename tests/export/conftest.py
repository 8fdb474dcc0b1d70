import pytest

from tests.export.exports import TWELVE, small_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A finished product whose cube has LUH2 and climate groups."""
    return small_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def world_of_luh3(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("luh3"), states=(*TWELVE, "pltns"))


@pytest.fixture(scope="session")
def world_without_forcing(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("bare"), states=(), climate=False)
