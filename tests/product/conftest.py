import pytest

from tests.cube.cubes import make_cube


@pytest.fixture(scope="session")
def cube(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), "region").cube
