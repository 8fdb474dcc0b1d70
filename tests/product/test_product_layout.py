"""Names of receipts, and back to what they are for."""

from hypothesis import given
from hypothesis import strategies as st

from luray.core.tiling import Tile, Tiling
from luray.product.dimensions import ONE_MAP, MemberIndex, ProductDims
from luray.product.layout import ProductLayout
from luray.product.trajectories import OverviewYear, TileYear
from luray.storage.receipts import year_of
from tests.product.products import ALL, DIMS, NAMES, WALK

TILING = Tiling(8, 8, 8, 4, 8, periodic=False)


@given(
    year=st.integers(-99, 3000),
    row=st.integers(0, 30),
    col=st.integers(0, 30),
    dims=st.sampled_from(DIMS),
    data=st.data(),
)
def test_receipt_names_its_unit(year, row, col, dims, data):
    layout = ProductLayout(WALK, TILING, dims)
    member_index = data.draw(st.sampled_from(dims.member_indices))
    across = bool(dims.members) and data.draw(st.booleans())
    if across:
        member_index = member_index._replace(member=0)
    unit = TileYear(year, Tile(row, col), member_index, across)
    assert layout.unit_of(layout.key(unit)) == unit
    overviews = OverviewYear(year, member_index)
    assert layout.unit_of(layout.key(overviews)) == overviews
    assert year_of(layout.key(overviews)) == year_of(layout.key(unit)) == year


def test_keys_name_scenario_and_member():
    unit = TileYear(2001, Tile(3, 4), MemberIndex(1, 2))
    for dims, key in (
        (ONE_MAP, "2001/3.4"),
        (ProductDims(NAMES), "ssp585/2001/3.4"),
        (ProductDims((), 3), "m2/2001/3.4"),
        (ALL, "ssp585/m2/2001/3.4"),
    ):
        layout = ProductLayout(WALK, TILING, dims)
        assert layout.key(unit) == key
    assert layout.key(unit._replace(across=True)) == "ssp585/across/2001/3.4"
