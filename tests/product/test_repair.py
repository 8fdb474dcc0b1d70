"""Damaged shards are named, withdrawn alone, and written again."""

import pytest

from luray.core.tiling import Tile
from luray.product.dimensions import ONE_MAP, MemberIndex
from luray.product.repair import damaged, withdraw
from luray.product.trajectories import OverviewYear, TileYear
from tests.product.products import ALL, OVERVIEWS, WALK, created, fill


@pytest.mark.parametrize("dims", [ONE_MAP, ALL])
def test_damage_is_named_and_withdrawn_alone(cube, tmp_path, dims):
    url = tmp_path / "product.zarr"
    product = created(cube, url, span=WALK, dims=dims, tiles=6, overviews=OVERVIEWS)
    fill(product)
    units = list(product.units(product.tiling.tiles()))
    member_index = product.member_indices[-1]
    harmed = [(TileYear(2003, Tile(1, 1), member_index), "confidence/c/{}3/1/1")]
    if dims is ALL:
        harmed += [
            (TileYear(2003, Tile(0, 1), MemberIndex(0, 2)), "probability/c/0/2/0/0/0/1"),
            (
                TileYear(2000, Tile(0, 0), MemberIndex(1), across=True),
                "class_probability/c/1/0/0/0/0",
            ),
            (TileYear(2003, Tile(0, 0), MemberIndex(1), across=True), "entropy/c/1/3/0/0"),
            (TileYear(2000, Tile(0, 0), MemberIndex(1)), "transition/c/1/0/1/0/0/0/0"),
            (TileYear(2003, Tile(0, 1), MemberIndex(1)), "2/land_use/c/1/0/3/0/1"),
            (OverviewYear(2002, MemberIndex(0, 1)), "3/confidence/c/0/1/2/0/0"),
        ]
    places = [
        tmp_path / "product.zarr" / place.format("1/2/" if dims is ALL else "")
        for _, place in harmed
    ]
    for place in places:
        place.write_bytes(place.read_bytes()[:-5] + b"\0" * 5)
    unsound = damaged(product, units)
    assert set(unsound) == {unit for unit, _ in harmed}
    withdraw(product, unsound)
    assert not any(place.exists() for place in places)
    coarser = {
        OverviewYear(unit.year, unit.member_index) for unit in unsound if not unit.across
    }  # they follow from the maps
    gone = {*unsound, *coarser}
    assert product.done().units == frozenset(units) - gone
    assert not any(
        (tmp_path / "product.zarr" / product.layout.shard(unit, "3/land_use")).exists()
        for unit in coarser
    )
    with pytest.raises(OSError, match=f"{len(units) - len(gone)} of {len(units)} receipts"):
        product.finish()
    fill(product)
    assert damaged(product, units) == []
