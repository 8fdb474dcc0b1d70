"""Coarse fractions of the fine map: blocks, edges, and rasters smaller than the run grid."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE, LandClass, Legend
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.sources import open_source
from luray.sources.aggregated import (
    CAVEAT,
    AggregatedConfig,
    block_counts,
    fraction_variables,
    open_aggregated,
)
from luray.sources.hilda import HildaConfig, open_hilda
from tests.sources.writers import write_tif

CODES = np.array([0, 99, 11, 22, 33, 44, 55, 66, 77], np.uint8)
NAME = "hilda_plus_states_{}_GLOB-v2_wgs84.tif"


def codes(shape=(7, 11), seed=0):
    return CODES[np.random.default_rng(seed).integers(0, 9, shape)]


@dataclass
class Maps:
    """Maps of a legend other than HILDA+, the same every year."""

    grid: Grid
    legend: Legend
    codes: np.ndarray
    name = "maps"
    years = (2000,)
    files = ()

    def read(self, year, box):
        return self.codes[box.slices(origin=Box(0, 0, 0, 0))][None]


def naive(fine, block, k, row, col):
    """Share of class k in the land cells of one block of a whole run grid of published codes."""
    cells = [
        HILDA.encode(np.array([c], np.uint8))[0]
        for c in fine[row * block : (row + 1) * block, col * block : (col + 1) * block].ravel()
    ]
    land = [c for c in cells if c != OUTSIDE]
    return land.count(k) / len(land) if land else 0.0


@pytest.fixture
def state(tmp_path):
    for year in (2000, 2001):
        write_tif(tmp_path / NAME.format(year), codes(seed=year), north=36, west=23, step=0.01)
    return open_hilda(HildaConfig(kind="hilda", path=str(tmp_path)), run_years=range(1990, 2010))


def test_fractions_are_of_land_cells(state):
    source = pickle.loads(
        pickle.dumps(
            open_aggregated(
                AggregatedConfig(kind="aggregated", block=5), state=state, grid=state.grid
            )
        )
    )
    assert source.grid == Grid(36, 23, 0.05, 2, 3)
    assert source.years == (2000, 2001)
    assert [v.name for v in source.variables] == [c.name for c in HILDA.classes]
    assert {(v.role, v.units, v.resampling) for v in source.variables} == {
        ("forcing", "1", "nearest")
    }
    assert (
        source.caveat
        == CAVEAT
        == "forcing: class fractions aggregated from the target maps, an upper bound"
    )
    got = source.read(2001, Box(0, 0, 2, 3))
    expected = [
        [[naive(codes(seed=2001), 5, k, r, c) for c in range(3)] for r in range(2)]
        for k in range(7)
    ]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(source.read(2001, Box(1, 1, 1, 2)), got[:, 1:, 1:])


@given(
    block=st.integers(2, 6),
    north=st.integers(-2, 3),
    west=st.integers(-2, 3),
    height=st.integers(3, 12),
    width=st.integers(3, 12),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_raster_may_cross_the_run_grid(state, block, north, west, height, width):
    run = Grid(36 + 0.01 * north, 23 - 0.01 * west, 0.01, height, width)
    source = open_aggregated(
        AggregatedConfig(kind="aggregated", block=block), state=state, grid=run
    )
    n_lat, n_lon = source.grid.shape
    fine = np.zeros((n_lat * block, n_lon * block), np.uint8)
    for (row, col), code in np.ndenumerate(codes(seed=2000)):
        if 0 <= row + north < height and 0 <= col + west < width:
            fine[row + north, col + west] = code
    expected = [
        [[naive(fine, block, k, r, c) for c in range(n_lon)] for r in range(n_lat)]
        for k in range(7)
    ]
    np.testing.assert_allclose(source.read(2000, Box(0, 0, n_lat, n_lon)), expected, atol=1e-6)


def test_blocks_without_land_are_zero(state):
    counts = block_counts(np.full((4, 4), OUTSIDE, np.uint8), 2, n_classes=7)
    assert counts.shape == (7, 2, 2)
    assert (counts == 0).all()

    north = Grid(36.05, 23, 0.01, 10, 5)  # the maps begin five rows further south
    source = open_aggregated(AggregatedConfig(kind="aggregated", block=5), state=state, grid=north)
    fractions = source.read(2000, Box(0, 0, 2, 1))
    assert fractions.sum(axis=0).ravel().tolist() == [0, pytest.approx(1)]


def test_another_lattice_or_no_state_is_refused(state):
    with pytest.raises(ValueError, match=r"shifted by 0\.500 of a cell"):
        open_aggregated(
            AggregatedConfig(kind="aggregated", block=5),
            state=state,
            grid=Grid(36.005, 23, 0.01, 5, 5),
        )
    with pytest.raises(ValueError, match=r"made from the maps of the state source .* not open"):
        open_source(
            AggregatedConfig(kind="aggregated", block=5), run_years=range(2000, 2002), scenario=""
        )
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        AggregatedConfig(kind="aggregated", block=1)


def test_fractions_name_their_classes():
    assert [(v.classes, v.share_of) for v in fraction_variables(HILDA)] == [
        ((11,), "land"),
        ((22,), "land"),
        ((33,), "land"),
        ((44,), "land"),
        ((55, 66), "land"),
        ((55, 66), "land"),
        ((), "land"),
    ]


def test_the_states_legend_names_the_fractions(state):
    legend = Legend(
        "two", (LandClass(1, "bare", "#000000"), LandClass(2, "lake", "#0000ff")), nodata=9, water=2
    )
    maps = Maps(state.grid, legend, np.random.default_rng(3).integers(0, 3, (7, 11), np.uint8))
    source = open_aggregated(
        AggregatedConfig(kind="aggregated", block=4), state=maps, grid=maps.grid
    )
    assert [(v.name, v.classes) for v in source.variables] == [("bare", (1,)), ("lake", ())]

    corner = maps.codes[:4, :4]
    land = np.count_nonzero(corner)
    fractions = source.read(2000, Box(0, 0, 2, 3))
    assert fractions.shape == (2, 2, 3)
    assert fractions[0, 0, 0] == pytest.approx(np.count_nonzero(corner == 1) / land)
    assert fractions[1, 0, 0] == pytest.approx(np.count_nonzero(corner == 2) / land)


def test_real_maps_keep_class_areas():
    if "LURAY_DATA" not in os.environ:
        pytest.skip("LURAY_DATA is not set: the real HILDA+ maps of Crete are not here")
    path = str(Path(os.environ["LURAY_DATA"]) / "hildaplus_crete")
    state = open_hilda(HildaConfig(kind="hilda", path=path), run_years=range(1960, 2016))
    source = open_aggregated(
        AggregatedConfig(kind="aggregated", block=25), state=state, grid=state.grid
    )
    assert source.grid.shape == (4, 12)
    assert source.grid.step == pytest.approx(0.25)
    fine = state.read(2000, Box(0, 0, 90, 288))[0]
    land = [
        [np.count_nonzero(fine[r : r + 25, c : c + 25]) for c in range(0, 288, 25)]
        for r in range(0, 90, 25)
    ]
    got = source.read(2000, Box(0, 0, 4, 12))
    cells = (got * np.array(land)).sum(axis=(1, 2))
    np.testing.assert_allclose(cells, [(fine == code).sum() for code in HILDA.codes], rtol=1e-5)
