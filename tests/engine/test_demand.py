import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from luray.core.legend import OUTSIDE
from luray.core.random import RandomStream
from luray.core.tiling import Box
from luray.engine.blending import decide
from luray.engine.demand import DemandConfig, Shortfall, constrain
from luray.engine.demand_counts import demanded_counts, target_counts
from luray.engine.ensemble import perturbed, sample
from tests import reference

GROUPS = ((0,), (1, 3), (4,))
"""Of six classes; 2 and 5 are in no group."""
K, G = 6, len(GROUPS)
WATER = 2
GROUP_OF = np.full(256, -1, np.int8)
GROUP_OF[[0, 1, 3, 4]] = 0, 1, 1, 2


class Block:
    """Sums, prior and land of a random tile; `zeros` is the share of probabilities that are 0."""

    def __init__(self, seed, height, width, *, zeros=0.0, land=0.8, water=0.1, levels=65535):
        random = np.random.default_rng(seed)
        probable = random.integers(1, levels + 1, (K, height, width))
        probable[random.random(probable.shape) < zeros] = 0
        probable[WATER] *= random.random((height, width)) < water
        probable[5] = 0
        probable[0] += probable.sum(axis=0) == 0
        self.sums = (probable * random.integers(1, 5, (height, width))).astype(np.int32)
        self.land = random.random((height, width)) < land
        self.prior = np.where(
            self.land, random.choice([0, 1, WATER, 3, 4], self.land.shape), OUTSIDE
        ).astype(np.uint8)
        self.free, self.confidence = decide(self.sums, self.land)
        self.random = random

    def constrain(self, change, *, block, strength=1.0, at=(slice(None), slice(None))):
        return constrain(
            self.sums[:, *at],
            self.prior[at],
            self.land[at],
            np.asarray(change, np.float32),
            block=block,
            groups=GROUPS,
            strength=strength,
        )

    def shape(self, block):
        return G, *(-(-n // block) for n in self.land.shape)

    def random_change(self, block, scale=0.5):
        return self.random.normal(size=self.shape(block)) * scale

    def possible_counts(self, block):
        """Counts of a random map of the cells that are in play."""
        future = self.random.choice(
            [0, 1, 3, 4], self.land.shape, p=self.random.dirichlet(np.ones(4))
        )
        return counts(np.where(in_play(self.free), future, OUTSIDE).astype(np.uint8), block)

    def change_to(self, wanted, block):
        """The change that leads from the prior to the wanted counts."""
        land = counts(np.where(self.land, 0, OUTSIDE).astype(np.uint8), block)[0]
        return (wanted - counts(self.prior, block)) / np.maximum(land, 1)

    def scores(self):
        """Logarithm of each cell's largest probability in each group, relative to its own class,
        (cells, G).
        """
        cells = in_play(self.free)
        with np.errstate(divide="ignore"):
            return np.log(
                np.stack([self.sums[list(g)].max(axis=0)[cells] for g in GROUPS], axis=1)
                / self.sums.max(axis=0)[cells][:, None]
            )


def in_play(classes):
    return np.isin(classes, [k for group in GROUPS for k in group])


def counts(classes, block):
    """Cells of each group in each block (G, Y, X)."""
    found = np.zeros((G, *(-(-n // block) for n in classes.shape)), int)
    for row, col in np.argwhere(in_play(classes)).tolist():
        found[GROUP_OF[classes[row, col]], row // block, col // block] += 1
    return found


def total_score(classes, tile):
    cells = in_play(tile.free)
    return tile.scores()[np.arange(cells.sum()), GROUP_OF[classes[cells]]].sum()


tiles = st.builds(
    Block,
    st.integers(0, 9999),
    st.integers(1, 11),
    st.integers(1, 11),
    zeros=st.sampled_from([0, 0.5]),
    levels=st.sampled_from([3, 65535]),
)
blocks = st.integers(2, 6)


@given(tile=tiles, block=blocks)
def test_strength_0_is_the_identity(tile, block):
    classes, confidence, short = tile.constrain(tile.random_change(block), block=block, strength=0)
    assert np.array_equal(classes, tile.free)
    assert np.array_equal(confidence, tile.confidence)
    assert short == Shortfall()


@given(tile=tiles, block=blocks)
def test_blocks_without_demand_stay(tile, block):
    change = tile.random_change(block)
    change[1, 0, 0] = np.nan
    classes, confidence, _ = tile.constrain(change, block=block)
    corner = slice(block), slice(block)
    assert np.array_equal(classes[corner], tile.free[corner])
    assert np.array_equal(confidence[corner], tile.confidence[corner])


@given(seed=st.integers(0, 9999), block=blocks, water=st.sampled_from([0, 0.3]))
def test_a_consistent_demand_is_met_to_the_cell(seed, block, water):
    tile = Block(seed, 11, 8, water=water)
    wanted = tile.possible_counts(block)
    classes, _, short = tile.constrain(tile.change_to(wanted, block), block=block)
    assert np.array_equal(counts(classes, block), wanted)
    assert short == Shortfall()


@given(tile=tiles, block=blocks, share=st.sampled_from([0, 0.5, 1]))
def test_certain_cells_never_change(tile, block, share):
    certain = tile.random.random(tile.land.shape) < share
    tile.sums[:] = np.where(
        certain & (np.arange(K)[:, None, None] != tile.sums.argmax(axis=0)), 0, tile.sums
    )
    for change in (np.zeros(tile.shape(block)), tile.random_change(block)):
        classes, _, _ = tile.constrain(change, block=block)
        assert np.array_equal(classes[certain], tile.free[certain])


@given(
    tile=tiles,
    block=blocks,
    strength=st.sampled_from([0.3, 1.0]),
    order=st.randoms(use_true_random=False),
)
def test_bits_ignore_the_tiling(tile, block, strength, order):
    change = tile.random_change(block, 0.2)
    whole = tile.constrain(change, block=block, strength=strength)
    classes, confidence, short = np.zeros_like(tile.free), np.zeros_like(tile.free), Shortfall()
    pieces = [(y, x) for y in range(change.shape[1]) for x in range(change.shape[2])]
    order.shuffle(pieces)
    for y, x in pieces:
        at = slice(y * block, (y + 1) * block), slice(x * block, (x + 1) * block)
        classes[at], confidence[at], missing = tile.constrain(
            change[:, y : y + 1, x : x + 1], block=block, strength=strength, at=at
        )
        short += missing
    assert np.array_equal(classes, whole[0])
    assert np.array_equal(confidence, whole[1])
    assert short == whole[2]


@given(tile=tiles, block=blocks, strength=st.floats(0, 1))
def test_counts_lie_between_free_and_target(tile, block, strength):
    change = tile.random_change(block, 0.2)
    classes, _, short = tile.constrain(change, block=block, strength=strength)
    before, after = counts(tile.free, block), counts(classes, block)
    settled = np.where(in_play(tile.prior) & in_play(tile.free), tile.prior, tile.free)
    land = counts(np.where(tile.land, 0, OUTSIDE).astype(np.uint8), block)[0]
    demanded, _ = demanded_counts(
        counts(tile.prior, block), counts(settled, block), land, change.astype(np.float32)
    )
    target = target_counts(before, demanded, strength=strength)
    assert (np.minimum(before, target) <= after).all()
    assert (after <= np.maximum(before, target)).all()
    assert (np.abs(target - ((1 - strength) * before + strength * demanded)) < 1 + 1e-9).all()
    assert (target.sum(axis=0) == before.sum(axis=0)).all()
    if strength:
        assert np.abs(after - target).sum() == 2 * short.missed


@given(tile=tiles, block=blocks)
def test_a_cell_takes_its_groups_best_class(tile, block):
    classes, confidence, _ = tile.constrain(tile.random_change(block), block=block)
    assert np.array_equal(classes[~in_play(tile.free)], tile.free[~in_play(tile.free)])
    for row, col in np.argwhere(in_play(tile.free)).tolist():
        sums = tile.sums[:, row, col].tolist()
        group = GROUPS[GROUP_OF[classes[row, col]]]
        assert classes[row, col] == max(group, key=lambda k, sums=sums: (sums[k], -k))
        assert sums[classes[row, col]] > 0
        assert confidence[row, col] == (200 * sums[classes[row, col]] + sum(sums)) // (
            2 * sum(sums)
        )


@given(
    seed=st.integers(0, 9999), zeros=st.sampled_from([0.3, 0.6]), levels=st.sampled_from([2, 65535])
)
def test_the_map_is_the_best_of_all(seed, zeros, levels):
    tile = Block(seed, 2, 3, zeros=zeros, levels=levels, land=1)
    wanted = tile.possible_counts(3)
    classes, _, short = tile.constrain(tile.change_to(wanted, 3), block=3)
    missed, total = reference.every_assignment(tile.scores().tolist(), wanted[:, 0, 0].tolist())
    assert short == Shortfall(int(missed > 0), 0, missed)
    assert total_score(classes, tile) == pytest.approx(total, abs=1e-9)


@given(seed=st.integers(0, 9999), side=st.integers(1, 12), levels=st.sampled_from([4, 65535]))
def test_the_map_is_the_optimal_assignment(seed, side, levels):
    tile = Block(seed, side, side, levels=levels)
    wanted = tile.possible_counts(side)
    classes, _, _ = tile.constrain(tile.change_to(wanted, side), block=side)
    best = reference.assignment(tile.scores(), wanted[:, 0, 0])
    assert total_score(classes, tile) == pytest.approx(best, abs=1e-9)


@given(seed=st.integers(0, 9999), side=st.integers(1, 10), zeros=st.sampled_from([0.0, 0.3]))
def test_a_sampled_map_is_the_best_of_its_scores(seed, side, zeros):
    tile = Block(seed, side, side, zeros=zeros)
    draws, box = RandomStream(seed, "ssp126", 1), Box(20, 30, side, side)
    scores = perturbed(tile.sums, draws, year=2050, box=box)
    change = tile.random_change(side)
    free, confidence = sample(tile.sums, tile.land, draws, year=2050, box=box)

    def imposed(strength):
        return constrain(
            tile.sums,
            tile.prior,
            tile.land,
            change.astype(np.float32),
            block=side,
            groups=GROUPS,
            strength=strength,
            scores_KHW=scores,
        )

    unconstrained = imposed(0)
    assert np.array_equal(unconstrained[0], free)
    assert np.array_equal(unconstrained[1], confidence)
    classes, confidence, _ = imposed(1)
    with np.errstate(divide="ignore"):
        logs = np.log(scores.astype(float))
    cells = in_play(free)
    relative = (
        np.stack([logs[list(g)].max(axis=0)[cells] for g in GROUPS], axis=1)
        - logs.max(axis=0)[cells][:, None]
    )
    reached = counts(classes, side)[:, 0, 0]
    rows = np.arange(len(relative))
    assert relative[rows, GROUP_OF[classes[cells]]].sum() == pytest.approx(
        reference.assignment(relative, reached), abs=1e-6
    )
    total = tile.sums.sum(axis=0, dtype=np.int64)
    chosen = np.take_along_axis(tile.sums, np.minimum(classes, K - 1)[None].astype(int), axis=0)[0]
    expected = (200 * chosen.astype(np.int64) + total) // (2 * total)
    assert np.array_equal(confidence, np.where(tile.land, expected, 0))


@given(seed=st.integers(0, 9999), scale=st.sampled_from([0, 0.02, 0.5]))
def test_demanded_counts_are_the_slow_twin(seed, scale):
    random = np.random.default_rng(seed)
    prior, settled = random.integers(0, 9, (2, G, 2, 3))
    land = np.maximum(prior.sum(axis=0), settled.sum(axis=0)) + random.integers(0, 4, (2, 3))
    change = (random.normal(size=(G, 2, 3)) * scale).astype(np.float32)
    if seed % 2:
        change[-1] = -change[:-1].sum(axis=0)
    demanded, _ = demanded_counts(prior, settled, land, change)
    for y, x in np.ndindex(2, 3):
        exact = reference.demanded_counts(
            prior[:, y, x].tolist(), settled[:, y, x].tolist(), int(land[y, x]), change[:, y, x]
        )
        assert demanded[:, y, x] == pytest.approx([float(e) for e in exact], abs=1e-5)
        rounded = target_counts(
            settled[:, y : y + 1, x : x + 1], demanded[:, y : y + 1, x : x + 1], strength=1.0
        )
        total = int(settled[:, y, x].sum())
        assert rounded.ravel().tolist() == reference.largest_remainder(
            demanded[:, y, x].tolist(), total
        )


@pytest.mark.parametrize(
    ("prior", "settled", "change", "demanded", "cut"),
    [
        ([50, 30, 20], [50, 30, 20], [0.1, -0.1, 0], [60, 20, 20], 0),
        (
            [50, 3, 47],
            [50, 3, 47],
            [0.1, -0.1, 0],
            [53, 0, 47],
            7,
        ),  # a group has less than it should lose: others keep all
        ([50, 30, 20], [50, 30, 20], [0.1, 0, 0], [50, 30, 20], 10),  # a gain that is nobody's loss
        ([50, 30, 20], [50, 30, 20], [0.05, -0.1, 0], [55, 25, 20], 5),
        ([50, 30, 20], [50, 24, 20], [0, 0, 0], [50, 24, 20], 0),  # six cells flooded: as they are
        (
            [50, 30, 20],
            [50, 24, 20],
            [0, -0.06, 0],
            [50, 24, 20],
            0,
        ),  # the same, demanded: counted once
        ([50, 30, 20], [50, 24, 20], [0.1, -0.1, 0], [60, 14, 20], 0),
    ],
)
def test_impossible_demands_are_cut(prior, settled, change, demanded, cut):
    columns = [np.array(x)[:, None, None] for x in (prior, settled)]
    found, lacking = demanded_counts(
        *columns, np.array([[100]]), np.array(change, np.float32)[:, None, None]
    )
    assert found.ravel() == pytest.approx(demanded, abs=1e-5)
    assert lacking.item() == cut


def test_strength_mixes_free_and_demanded_counts():
    free, demanded = np.array([10, 0, 0])[:, None, None], np.array([2.0, 8.0, 0.0])[:, None, None]
    for strength, expected in (
        (0, [10, 0, 0]),
        (0.25, [8, 2, 0]),
        (0.5, [6, 4, 0]),
        (1, [2, 8, 0]),
    ):
        assert target_counts(free, demanded, strength=strength).ravel().tolist() == expected


def test_of_equal_cells_the_first_in_the_block_move():
    sums = np.array([6, 3, 1, 1, 3, 0], np.int32)[:, None, None] * np.arange(
        1, 13, dtype=np.int32
    ).reshape(1, 2, 6)
    change = np.array([-4 / 6, 2 / 6, 2 / 6], np.float32)[:, None, None].repeat(2, axis=2)
    classes, confidence, _ = constrain(
        sums,
        np.zeros((2, 6), np.uint8),
        np.full((2, 6), True),
        change,
        block=3,
        groups=GROUPS,
        strength=1.0,
    )
    assert classes.tolist() == [[1, 1, 4] * 2, [4, 0, 0] * 2]
    assert confidence.tolist() == [[21, 21, 21] * 2, [21, 43, 43] * 2]


def test_of_equal_moved_cells_the_first_moves_on():
    sums = np.array([[8, 4, 0, 0, 1, 0], [8, 4, 0, 0, 1, 0], [8, 4, 0, 0, 0, 0]], np.int32).T[
        :, None
    ]
    change = np.array([-1, 2 / 3, 1 / 3], np.float32)[:, None, None]
    classes, _, _ = constrain(
        sums,
        np.zeros((1, 3), np.uint8),
        np.full((1, 3), True),
        change,
        block=3,
        groups=GROUPS,
        strength=1.0,
    )
    assert classes.tolist() == [[4, 1, 1]]


def test_the_more_probable_demand_wins_a_cell():
    sums = np.array([[8, 2, 0, 0, 3, 0], [8, 0, 0, 0, 0, 0]], np.int32).T[:, None]
    change = np.array([-1, 1 / 2, 1 / 2], np.float32)[:, None, None]
    classes, _, short = constrain(
        sums,
        np.zeros((1, 2), np.uint8),
        np.full((1, 2), True),
        change,
        block=2,
        groups=GROUPS,
        strength=1.0,
    )
    assert classes.tolist() == [[4, 0]]
    assert short == Shortfall(blocks=1, cut=0, missed=1)


def test_a_demand_that_no_cell_can_meet_is_reported():
    certain = np.zeros((K, 2, 4), np.int32)
    certain[4] = 65535
    change = np.array([1 / 2, 0, -1 / 2], np.float32)[:, None, None].repeat(2, axis=2)
    classes, _, short = constrain(
        certain,
        np.full((2, 4), 4, np.uint8),
        np.full((2, 4), True),
        change,
        block=2,
        groups=GROUPS,
        strength=1.0,
    )
    assert (classes == 4).all()
    assert short == Shortfall(blocks=2, cut=0, missed=4)


def test_what_does_not_fit_is_refused():
    tile = Block(0, 4, 6)
    with pytest.raises(
        ValueError, match=r"change of shape \(3, 2, 2\).*expected change of \(3, 2, 3\)"
    ):
        tile.constrain(np.zeros((3, 2, 2)), block=2)
    with pytest.raises(ValueError, match=r"demand strength 1\.5, expected 0"):
        tile.constrain(np.zeros((3, 2, 3)), block=2, strength=1.5)
    for groups in ([[0], [0, 1], [2]], [[0], [1], [6]], []):
        with pytest.raises(ValueError, match=r"expected each of 0\.\.5 at most once"):
            constrain(
                tile.sums,
                tile.prior,
                tile.land,
                np.zeros((len(groups), 2, 3), np.float32),
                block=2,
                groups=groups,
                strength=1.0,
            )
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        DemandConfig(strength=2.0)
    assert DemandConfig().strength == 0
