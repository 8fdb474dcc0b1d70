from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec

from luray.storage.arrays import COMPRESSORS, tile_array
from luray.storage.shards import LatestShards, ShardFormat

SHUFFLED = (BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec())


def array_of(folder, *, shape, tile, lead, dtype="uint8", fill_value=0):
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    tile_array(
        group,
        "values",
        lead=lead,
        shape=shape,
        tile=tile,
        attributes={},
        fill_value=fill_value,
        dtype=dtype,
        compressors=COMPRESSORS if dtype == "uint8" else SHUFFLED,
        classes_of_a_chunk="all" if dtype == "float32" else "one",
    )
    return group["values"]


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 600),
    cols=st.integers(1, 600),
    tile=st.sampled_from([8, 300]),
    lead=st.sampled_from([{}, {"year": 2}, {"member": 1, "year": 2, "class": 3}, {"class": 1}]),
    dtype=st.sampled_from(["uint8", "float32"]),
    share_of_fill=st.sampled_from([0, 0.5, 1]),
    seed=st.integers(0, 99),
)
def test_shards_are_those_of_zarr(
    tmp_path_factory, rows, cols, tile, lead, dtype, share_of_fill, seed
):
    folder = tmp_path_factory.mktemp("shards")
    rows, cols = min(rows, 2 * tile), min(cols, 2 * tile)
    fill_value = 7 if dtype == "uint8" else np.nan
    array = array_of(
        folder, shape=(rows, cols), tile=tile, lead=lead, dtype=dtype, fill_value=fill_value
    )
    random = np.random.default_rng(seed)
    shard_format = ShardFormat.of(array)
    one_each = tuple(slice(0, n if name == "class" else 1) for name, n in lead.items())
    for row in range(-(-rows // tile)):
        for col in range(-(-cols // tile)):
            cells = (slice(row * tile, (row + 1) * tile), slice(col * tile, (col + 1) * tile))
            values = random.integers(0, 9, array[(*one_each, *cells)].shape).astype(dtype)
            # Patches of the fill value: some chunks are empty, and some shards.
            patch = random.random((-(-tile // 50), -(-tile // 50))) < share_of_fill
            patch = np.kron(patch, np.ones((50, 50), bool))
            values[..., patch[: values.shape[-2], : values.shape[-1]]] = fill_value
            array[(*one_each, *cells)] = values

            place = Path(folder, "values/c", *("0" for _ in lead), str(row), str(col))
            shard = shard_format.encode(values)
            assert shard == (place.read_bytes() if place.exists() else None)
            if shard is not None:
                decoded = shard_format.decode(shard)[..., : values.shape[-2], : values.shape[-1]]
                np.testing.assert_array_equal(decoded.reshape(values.shape), values)


@pytest.mark.parametrize("at", [3, -1])
def test_a_damaged_shard_is_no_shard(tmp_path, at):
    shard_format = ShardFormat.of(array_of(tmp_path, shape=(16, 16), tile=16, lead={"year": 1}))
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    shard = bytearray(shard_format.encode(values))
    np.testing.assert_array_equal(shard_format.decode(bytes(shard)), values)
    shard[at] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        shard_format.decode(bytes(shard))
    with pytest.raises(ValueError, match="damaged"):
        shard_format.decode(b"")


def test_values_that_come_again_keep_their_shard(tmp_path):
    shard_format = ShardFormat.of(array_of(tmp_path, shape=(16, 16), tile=16, lead={"year": 1}))
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    latest = LatestShards()
    latest.put("maps", values, b"moved as it is")
    assert latest.encode("maps", values.copy(), shard_format) == b"moved as it is"
    assert latest.encode("others", values, shard_format) == shard_format.encode(values)
    assert latest.encode("maps", values + np.uint8(1), shard_format) == shard_format.encode(
        values + np.uint8(1)
    )
