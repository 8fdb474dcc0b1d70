import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.tiling import Tile
from luray.cube.cube import Cube
from luray.cube.land import NOTED, note_tiles, tiles_with_land
from tests.cube.cubes import make_cube


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("land") / "cube.zarr"), "globe")


@given(bits=st.lists(st.booleans(), min_size=15, max_size=15), tile=st.sampled_from([4, 8]))
def test_noted_tiles_are_those_that_the_mask_has(made, bits, tile):
    mask = zarr.open_array(f"{made.cube.url}/state/land", mode="r+")
    mask.attrs.pop(NOTED, None)
    wanted = np.array(bits).reshape(3, 5)
    mask[:] = np.kron(wanted, np.eye(8, dtype=np.uint8)[::-1])[:20, :40]
    cube = Cube.open(made.cube.url)
    tiling = cube.tiling(window=6, stride=4, tile=tile)
    read = tiles_with_land(cube, tiling)
    note_tiles(mask, (Tile(*where) for where in np.argwhere(wanted).tolist()))
    assert tiles_with_land(cube, tiling) == read == tuple(sorted(read))


def test_the_mask_is_not_read_where_tiles_are_noted(made, monkeypatch):
    mask = zarr.open_array(f"{made.cube.url}/state/land", mode="r+")
    note_tiles(mask, [Tile(1, 2), Tile(0, 4)])
    monkeypatch.setattr(Cube, "land", lambda *_: pytest.fail("the mask was read"))
    assert tiles_with_land(made.cube, made.cube.tiling(window=6, stride=4, tile=8)) == (
        Tile(0, 4),
        Tile(1, 2),
    )
