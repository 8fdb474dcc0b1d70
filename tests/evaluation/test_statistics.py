"""Sums over the cells of a map equal those cell by cell, and tiles merge to the whole map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.evaluation.metrics import change_parts, figure_of_merit
from luray.evaluation.statistics import (
    TwoYears,
    block_change,
    cross_tabulate,
    scored_cells,
    statistics_of_year,
    tile_statistics,
)
from tests import reference
from tests.evaluation.cases import WATER, K, bordered, maps


@given(maps())
def test_cross_table_equals_cell_by_cell_sums(case):
    initial, truth, predicted, _, area = case
    table = cross_tabulate(initial, truth, predicted, cell_area=area, n_classes=K)
    assert table.dtype == np.float64
    np.testing.assert_array_equal(
        table, reference.cross_tabulate(initial, truth, predicted, area, K)
    )


def change_of(case, *, block):
    """The change in blocks of all cells that are land in all maps."""
    initial, truth, predicted, _, area = case
    scored = scored_cells(initial, truth, predicted, water=None)
    return block_change(
        initial, truth, predicted, scored=scored, cell_area=area, n_classes=K, block=block
    )


@given(maps(), st.integers(1, 6))
def test_block_change_equals_cell_by_cell_sums(case, block):
    initial, truth, predicted, _, area = case
    parts, net = change_of(case, block=block)
    np.testing.assert_array_equal(
        parts, reference.block_parts(initial, truth, predicted, area, block)
    )
    if net[:, 1].sum():
        error = net[:, 0].sum() / net[:, 1].sum()
        assert error == pytest.approx(
            reference.net_change_error(initial, truth, predicted, area, K, block)
        )


@given(maps())
def test_blocks_of_one_cell_are_the_three_map_comparison(case):
    initial, truth, predicted, _, area = case
    parts, _ = change_of(case, block=1)
    np.testing.assert_array_equal(parts, reference.change_parts(initial, truth, predicted, area))


@given(maps(max_size=20))
def test_figure_of_merit_cannot_fall_from_blocks_to_blocks_of_blocks(case):
    merits = []
    for block in (1, 2, 6, 12):
        parts, _ = change_of(case, block=block)
        merits.append(figure_of_merit(parts))
    assert np.isnan(merits).all() or (np.diff(merits) >= 0).all()


@given(maps())
def test_true_water_counts_in_the_table_only(case):
    initial, truth, predicted, confidence, area = case
    statistics = tile_statistics(
        initial, truth, predicted, cell_area=area, n_classes=K, water=WATER, confidence=confidence
    )
    np.testing.assert_array_equal(
        statistics.table, reference.cross_tabulate(initial, truth, predicted, area, K)
    )
    np.testing.assert_array_equal(
        statistics.blocks[0], reference.block_parts(initial, truth, predicted, area, 5, WATER)
    )
    scored = list(reference.judged_cells(initial, truth, predicted, area, WATER))
    total, right = statistics.reliability.sum(axis=0)
    assert total == sum(a for _, _, a, *_ in scored)
    assert right == sum(a for _, _, a, _, t, p in scored if t == p)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([25, 50]), st.integers(30, 60), st.integers(30, 60))
def test_tiles_merge_to_the_whole_map_bit_for_bit(seed, tile, n_lat, n_lon):
    rng = np.random.default_rng(seed)
    initial, truth, predicted = rng.integers(0, K, (3, n_lat, n_lon)).astype(np.uint8)
    confidence = rng.integers(0, 101, (n_lat, n_lon)).astype(np.uint8)
    area = rng.uniform(1e5, 1e6, n_lat)

    def part(rows, cols):
        cut = [m[rows, cols] for m in (initial, truth, predicted)]
        return tile_statistics(
            *cut, cell_area=area[rows], n_classes=K, water=WATER, confidence=confidence[rows, cols]
        )

    whole = part(slice(None), slice(None))
    parts = []
    for row in range(0, n_lat, tile):
        rows = slice(row, row + tile)
        parts.extend(part(rows, slice(col, col + tile)) for col in range(0, n_lon, tile))
    rng.shuffle(parts)
    merged = sum(parts[1:], parts[0])
    for name in ("table", "blocks", "net_change", "reliability"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name), err_msg=name)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 12))
def test_what_lies_among_tiles_and_years_merges_for_tiles_of_any_size(seed, tile, side):
    """A tile sees one row and one column of its neighbours, so each pair of cells counts once."""
    rng = np.random.default_rng(seed)
    n_lat, n_lon = rng.integers(2, 30, 2)
    classes = np.array([*range(K), OUTSIDE], np.uint8)
    initial, *others = rng.choice(classes, (5, n_lat, n_lon))
    confidence = rng.integers(0, 101, (n_lat, n_lon)).astype(np.uint8)
    area = rng.uniform(1e5, 1e6, n_lat)

    def part(row, col, height, width):
        rows, cols = slice(row, row + height), slice(col, col + width)
        with_border = slice(row, row + height + 1), slice(col, col + width + 1)
        first, *four = [bordered(m)[with_border] for m in (initial, *others)]
        return statistics_of_year(
            first,
            TwoYears(*four[:2]),
            TwoYears(*four[2:]),
            cell_area=area[rows],
            n_classes=K,
            water=WATER,
            confidence=confidence[rows, cols],
            corner=(row, col),
            side=side,
        )

    whole = part(0, 0, n_lat, n_lon)
    parts = []
    for row in range(0, n_lat, tile):
        height = min(tile, n_lat - row)
        columns = range(0, n_lon, tile)
        parts.extend(part(row, col, height, min(tile, n_lon - col)) for col in columns)
    rng.shuffle(parts)
    merged = sum(parts[1:], parts[0])
    for name in ("table", "pace", "pairs"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name), err_msg=name)
    assert merged.by_block.to_dict() == whole.by_block.to_dict()

    three = initial, others[1], others[3]
    np.testing.assert_array_equal(whole.pairs, reference.unlike_pairs(*three, area, WATER))


def test_a_change_moved_inside_its_block_is_a_hit_there_and_nowhere_else():
    initial = np.zeros((10, 10), np.uint8)
    truth = initial.copy()
    predicted = initial.copy()
    truth[0, 0] = 1
    predicted[4, 4] = 1
    area = np.ones(10)
    cells = cross_tabulate(initial, truth, predicted, cell_area=area, n_classes=2)
    np.testing.assert_array_equal(change_parts(cells), [0, 0, 1, 1])
    near = tile_statistics(initial, truth, predicted, cell_area=area, n_classes=2, water=None)
    np.testing.assert_array_equal(near.blocks, [[1, 0, 0, 0], [1, 0, 0, 0]])

    predicted[4, 4] = 0
    predicted[5, 4] = 1
    far = tile_statistics(initial, truth, predicted, cell_area=area, n_classes=2, water=None)
    np.testing.assert_array_equal(far.blocks, [[0, 0, 1, 1], [1, 0, 0, 0]])


def test_a_class_beyond_the_legend_is_refused():
    a = np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match=r"true map has class index 44, the legend has 0\.\.3"):
        cross_tabulate(a, a + np.uint8(44), a, cell_area=np.ones(2), n_classes=K)


def test_maps_of_unequal_shapes_are_refused():
    a = np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        cross_tabulate(a, a, a[:, :2], cell_area=np.ones(2), n_classes=K)
    with pytest.raises(ValueError, match="one area a row"):
        cross_tabulate(a, a, a, cell_area=np.ones(3), n_classes=K)


def test_a_confidence_above_100_percent_is_refused():
    a = np.zeros((2, 3), np.uint8)
    high = a + np.uint8(101)
    with pytest.raises(ValueError, match="confidence of 101, expected"):
        tile_statistics(a, a, a, cell_area=np.ones(2), n_classes=K, water=None, confidence=high)
