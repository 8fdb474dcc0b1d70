"""Held-out blocks: whole, of about the wanted share of land, in quiet and busy places alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.training.held_out_blocks import hold_out


@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.05, 0.1, 0.5]),
)
def test_blocks_are_held_out_whole_and_never_all(shape, seed, share):
    random = np.random.default_rng(seed)
    land = random.integers(0, 2500, shape) * (random.random(shape) < 0.5)
    change = random.integers(0, 99, shape) * (land > 0)
    held_out = hold_out(land, change, blocks=(30, 30), share=share, seed=seed)

    block_row, block_col = (np.arange(n) * min(n, 30) // n for n in shape)
    blocks = {}
    for r, c in np.ndindex(shape):
        blocks.setdefault((block_row[r], block_col[c]), []).append((r, c))
    assert all(len({held_out[plot] for plot in plots}) == 1 for plots in blocks.values())

    with_land = [plots for plots in blocks.values() if any(land[plot] for plot in plots)]
    held_out_blocks = [plots for plots in with_land if held_out[plots[0]]]
    assert held_out.sum() == sum(len(plots) for plots in held_out_blocks), (
        "blocks without land are not held out"
    )
    assert (0 < len(held_out_blocks) < len(with_land)) == (len(with_land) > 1)
    if len(with_land) > 100:
        assert land[held_out].sum() / land.sum() == pytest.approx(share, rel=0.35)


def test_quiet_and_busy_blocks_are_held_out_alike():
    land = np.full((30, 30), 1000)
    change = np.arange(900).reshape(30, 30)
    held_out = hold_out(land, change, blocks=(30, 30), share=0.1, seed=3)
    assert held_out.sum() == 90
    assert (np.bincount(change[held_out] // 10, minlength=90) == 1).all()
    assert (held_out != hold_out(land, change, blocks=(30, 30), share=0.1, seed=4)).any()


def test_blocks_of_little_land_are_rarely_held_out():
    crete = np.array([[608, 1425, 658, 686, 376, 21, 13], [21, 212, 555, 1545, 1250, 870, 49]])
    shares = []
    for seed in range(40):
        held_out = hold_out(crete, crete // 9, blocks=(30, 30), share=0.1, seed=seed)
        shares.append(crete[held_out].sum() / crete.sum())
    assert np.median(shares) == pytest.approx(0.12, abs=0.04)
