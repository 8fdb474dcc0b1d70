from itertools import pairwise

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.regrid import joined
from luray.cube import chunks
from luray.cube.chunks import Chunks
from luray.cube.schema import compressors_of
from luray.storage.arrays import whole_shards


@pytest.mark.parametrize("scheme", ["", "memory://"])
@given(data=st.data())
def test_strips_are_the_rows_of_the_array_from_the_top_down(data, scheme, tmp_path_factory):
    height, width, high = (data.draw(st.integers(1, n)) for n in (40, 12, 6))
    array = np.random.default_rng(height).integers(0, 1000, (2, height, width), dtype=np.int16)
    url = scheme + str(tmp_path_factory.mktemp("chunks"))
    stored = zarr.create_array(
        f"{url}/a",
        shape=array.shape,
        dtype="i2",
        chunks=(2, high, 5),
        shards=whole_shards((2, 2 * high, 10)),
        compressors=compressors_of("static", "i2"),
    )
    stored[:] = array
    rows = slice(
        *sorted(data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    )
    edges = sorted(data.draw(st.sets(st.integers(0, width), min_size=2, max_size=4)))
    cols = [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    expected = np.concatenate([array[:, rows, c] for c in cols], axis=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "STRIP_BYTES", data.draw(st.integers(1, 4000)))
        found, above = [], None
        for strip in Chunks(url, most_bytes=0).strips("a", rows, cols):
            n = strip.rows.stop - strip.rows.start
            if above is not None:
                np.testing.assert_array_equal(strip.values[:, 0], above)
            found.append(strip.values[:, 1 : 1 + n].copy())
            above = found[-1][:, -1]
            assert strip.rows.start == rows.start + sum(f.shape[1] for f in found[:-1])
    np.testing.assert_array_equal(np.concatenate(found, axis=1), expected)


@given(st.sets(st.integers(0, 60), min_size=2, max_size=12), st.integers(1, 20))
def test_joined_pieces_hold_the_pieces_and_lie_a_gap_apart(edges, gap):
    edges = sorted(edges)[: len(edges) // 2 * 2]
    pieces = [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    found = joined(pieces, gap=gap)
    assert all(b.start - a.stop >= gap for a, b in pairwise(found))
    cells = {i for piece in found for i in range(piece.start, piece.stop)}
    wanted = {i for piece in pieces for i in range(piece.start, piece.stop)}
    between = {
        i for a, b in pairwise(pieces) if b.start - a.stop < gap for i in range(a.stop, b.start)
    }
    assert cells == wanted | between


@given(data=st.data())
def test_rectangles_are_those_of_zarr(data, tmp_path_factory):
    height, width, high = (data.draw(st.integers(1, n)) for n in (40, 22, 6))
    dtype = data.draw(st.sampled_from(["i2", "f4", "u1"]))
    url = str(tmp_path_factory.mktemp("chunks"))
    stored = zarr.create_array(
        f"{url}/a",
        shape=(3, 2, height, width),
        dtype=dtype,
        chunks=(1, 2, high, 5),
        shards=whole_shards((1, 2, 2 * high, 10)),
        compressors=compressors_of("static", dtype),
        fill_value=7,
    )
    # The middle year is not stored; in the last one some chunks are not.
    values = np.random.default_rng(height).integers(0, 99, stored.shape).astype(dtype)
    stored[0] = values[0]
    stored[2, :, : height // 2] = values[2, :, : height // 2]
    reader = Chunks(url, most_bytes=data.draw(st.sampled_from([0, 300, 2**20])))
    for _ in range(4):
        year = data.draw(st.integers(0, 2))
        rows, cols = (
            slice(*sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))))
            for n in (height, width)
        )
        found = reader.read("a", (year,), rows, cols)
        assert found.dtype == stored.dtype
        np.testing.assert_array_equal(found, stored[year, :, rows, cols])


@pytest.mark.parametrize("at", [3, -1])
def test_a_damaged_shard_is_named(at, tmp_path):
    stored = zarr.create_array(
        f"{tmp_path}/a",
        shape=(8, 8),
        dtype="u1",
        chunks=(8, 8),
        shards=whole_shards((8, 8)),
        compressors=compressors_of("static", "u1"),
    )
    stored[:] = np.arange(64).reshape(8, 8)
    shard = tmp_path / "a/c/0/0"
    damaged = bytearray(shard.read_bytes())
    damaged[at] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a/c/0/0: .* damaged; delete .* build it again"):
        Chunks(str(tmp_path), most_bytes=2**20).read("a", (), slice(0, 4), slice(0, 4))
