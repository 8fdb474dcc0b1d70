"""A product is read as a picture needs it."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.product.dimensions import ProductDims
from luray.viz import view as module
from luray.viz.gallery import draw_pictures
from luray.viz.view import View, shares
from tests import reference
from tests.viz.pictures import COLOURS, GRID, ORIGINS, YEARS, image_of, random_codes, write_product


def in_memory(codes, *, grid=GRID):
    """A product that was never stored: enough for reading."""
    return xr.Dataset(
        {
            "land_use": (("year", "lat", "lon"), codes, HILDA.cf_attributes()),
            "origin": (
                "year",
                np.zeros(len(codes), np.uint8),
                {"flag_values": [0, 1, 2], "flag_meanings": "observed hindcast forecast"},
            ),
        },
        {"year": np.arange(2000, 2000 + len(codes)), "lat": grid.lat, "lon": grid.lon},
    )


def test_attributes_give_palette_grid_years_and_origins(product):
    view = View.of(product)
    assert view.grid == GRID
    assert view.years == YEARS
    assert view.observed == (1999, 2001)
    assert view.origins[1998] == "hindcast"
    assert view.origins[2002] == "forecast"
    assert (view.title, view.caveats) == ("a small world", ("forcing: aggregated target",))
    for code, colour in COLOURS.items():
        assert tuple(view.palette.rgb[code]) == colour
    assert [view.palette.label(k) for k in view.palette.land] == [
        c.name.replace("_", " ") for c in HILDA.classes
    ]
    assert COLOURS[0] != (255, 255, 255), "the ocean is not white paper"
    assert tuple(view.palette.rgb[98]) not in COLOURS.values(), (
        "an unknown code does not pass for a class"
    )


def test_of_scenarios_and_members_one_is_shown(tmp_path):
    codes = np.stack([random_codes(seed) for seed in range(6)]).reshape(2, 3, 5, 12, 16)
    names = ("ssp126", "ssp585")
    product = write_product(
        tmp_path / "p.zarr",
        codes,
        grid=GRID,
        years=YEARS,
        origins=ORIGINS,
        dims=ProductDims(names, 3),
    )
    for chosen, at, title in (
        (product, (0, 0), "a small world, ssp126, member 0"),
        (product.sel(scenario="ssp585"), (1, 0), "a small world, ssp585, member 0"),
        (product.sel(scenario="ssp585", member=2), (1, 2), "a small world, ssp585, member 2"),
    ):
        view = View.of(chosen)
        assert view.title == title
        assert np.array_equal(view.map(2001, at_most=100).values, codes[at][3])
        assert np.array_equal(view.areas([2000]), View.of(in_memory(codes[at])).areas([2002]))
    places = draw_pictures(
        product,
        str(tmp_path / "pictures"),
        metrics=str(tmp_path / "none.json"),
        validations={},
        progress=lambda *_: None,
    )
    assert {"overview", "overview_ssp585", "animation", "map_1998"} <= set(places)
    assert image_of(places["overview"]).shape == image_of(places["overview_ssp585"]).shape
    assert not np.array_equal(image_of(places["overview"]), image_of(places["overview_ssp585"]))


def test_another_dataset_is_refused(product):
    with pytest.raises(ValueError, match="no land_use with flag_values"):
        View.of(xr.Dataset())
    bare = product.copy()
    bare["land_use"].attrs = {
        k: v for k, v in product["land_use"].attrs.items() if k != "flag_colors"
    }
    with pytest.raises(ValueError, match="no land_use with flag_colors"):
        View.of(bare)
    bare["land_use"].attrs = {**product["land_use"].attrs, "flag_colors": "#000000"}
    with pytest.raises(ValueError, match="1 flag_colors"):
        View.of(bare)
    with pytest.raises(ValueError, match="north first"):
        View.of(product.isel(lat=slice(None, None, -1)))
    with pytest.raises(ValueError, match="1 x 1 cells"):
        View.of(product.isel(lat=[0], lon=[0]))
    with pytest.raises(ValueError, match=r"year 1900 .* has 1998-2002"):
        View.of(product).map(1900, at_most=100)


@given(
    st.integers(1, 14),
    st.integers(2, 14),
    st.integers(1, 15),
    st.integers(0, 999),
    st.sampled_from([4, 60, 9999]),
)
def test_a_mode_is_the_most_frequent_code_of_a_block(n_lat, n_lon, at_most, seed, band):
    codes = random_codes(seed, years=1, shape=(n_lat, n_lon))
    view = View.of(in_memory(codes, grid=Grid(50, 10, 0.5, n_lat, n_lon)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BAND_BYTES", band)
        values, found_factor = view.map(2000, at_most=at_most, method="mode")
    factor = -(-max(n_lat, n_lon) // at_most)
    np.testing.assert_array_equal(
        values, reference.mode_blocks(codes[0], factor, view.palette.codes)
    )
    assert max(values.shape) <= at_most
    assert found_factor == factor


def test_nearest_takes_the_middle_cell_of_a_block(product, codes):
    values, factor = View.of(product).map(1999, at_most=6)
    np.testing.assert_array_equal(values, codes[1][1::3, 1::3])
    assert factor == 3
    np.testing.assert_array_equal(View.of(product).map(2002, at_most=100).values, codes[4])


def test_areas_are_the_sums_of_cell_areas_in_km2(product, codes):
    areas = View.of(product).areas([1998, 2002])
    for n, year in ((0, 0), (1, 4)):
        for k, code in enumerate(HILDA.codes):
            expected = (
                sum(GRID.cell_area[row] for row, col in np.argwhere(codes[year] == code)) / 1e6
            )
            assert areas[n, k] == pytest.approx(expected)


def test_sampled_areas_keep_the_total_area(product, monkeypatch):
    view = View.of(product)
    monkeypatch.setattr(module, "SAMPLE", 5)
    values, area = view.sample(2000)
    assert values.shape == (3, 4)
    assert area.sum() * values.shape[1] == pytest.approx(GRID.cell_area.sum() * GRID.n_lon / 1e6)
    assert area[0] < area[-1], "cells are smaller in the north"


def test_a_chart_reads_fewer_years_of_a_huge_product():
    assert View.of(in_memory(random_codes(years=9))).chart_years() == tuple(range(2000, 2009))
    huge = View.of(in_memory(random_codes(years=251)))
    object.__setattr__(huge, "grid", Grid(90, -180, 0.01, 18000, 36000))
    years = huge.chart_years()
    assert len(years) < 60
    assert (years[0], years[-1]) == (2000, 2250)


def test_a_thinned_year_needs_little_memory(tmp_path):
    size = 3000
    land_use = np.broadcast_to(np.uint8(44), (2, size, size))
    opened = write_product(
        tmp_path / "p.zarr",
        land_use,
        grid=Grid(60, 0, 0.01, size, size),
        years=(2000, 2001),
        origins=(0, 0),
        tile=500,
    )
    view = View.of(opened)
    view.map(2000, at_most=10)
    tracemalloc.start()
    nearest = view.map(2001, at_most=100).values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert nearest.shape == (100, 100)
    assert (nearest == 44).all()
    assert peak < size * size / 2, "a year of 9 MB was read whole"


def test_shares_of_nothing_are_zero():
    np.testing.assert_array_equal(
        shares(np.array([[1.0, 3.0], [0.0, 0.0]])), [[0.25, 0.75], [0, 0]]
    )
