"""The plan of samples: sample k is a pure function of seed and k, drawn by the stated weights."""

import gc
import pickle
import random
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.tiling import Box, Core, Tiling
from luray.training.held_out_blocks import hold_out
from luray.training.sample_plan import SamplePlan
from luray.training.sampling_config import SamplingConfig
from tests.training.counts import COLS, COUNTS, ROWS, TILING, YEARS, counts_of


def plan_of(sampling=None, **options):
    defaults = {
        "tiling": TILING,
        "change_counts": COUNTS,
        "first_year": 1960,
        "last_year": 1969,
        "rollout_years": 3,
        "direction": "forward",
        "sampling": SamplingConfig(**sampling or {}),
    }
    return SamplePlan(**defaults | options)


TRAINING = plan_of()
VALIDATION = plan_of(use="held-out blocks")


def first_samples(plan, n):
    return [plan[k] for k in range(n)]


def core_of(window):
    """The core that a window on the lattice is of."""
    row = (window.box.row + TILING.margin) // TILING.stride
    col = (window.box.col + TILING.margin) // TILING.stride
    return row, col


@given(k=st.integers(0, 2**40), seed=st.integers(0, 2**31))
def test_a_sample_is_a_pure_function_of_seed_and_number(k, seed):
    plan = plan_of(seed=seed)
    window = plan[k]
    for other in random.Random(k).sample(range(100), 5):
        _ = plan[other]
    assert plan[k] == window == pickle.loads(pickle.dumps(plan_of(seed=seed)))[k]


@given(k=st.integers(0, 2**40))
def test_backward_sees_the_same_window_in_reverse(k):
    forward = TRAINING[k]
    backward = plan_of(direction="backward")[k]
    assert forward.box == backward.box
    assert forward.years == backward.years[::-1]
    assert list(np.diff(forward.years)) == [1, 1, 1]


@given(k=st.integers(0, 2**40))
def test_a_sample_has_land_and_years_of_training(k):
    box, years, *_ = TRAINING[k]
    assert set(years) <= set(range(1960, 1970))
    assert len(years) == 4
    assert box.shape == (48, 48)

    with_land = np.argwhere((COUNTS.land_RC > 0) & ~TRAINING.held_out_RC)
    homes = [TILING.window_box(Core(r, c)) for r, c in with_land.tolist()]
    assert any(abs(box.row - home.row) <= 16 and abs(box.col - home.col) <= 16 for home in homes)


def require_even(counts, n):
    """Chi-squared test, with a margin of five standard deviations."""
    expected = n / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * (2 * len(counts)) ** 0.5


def test_windows_years_and_shifts_are_drawn_evenly():
    land = np.zeros((ROWS, COLS))
    land[::4, ::8] = 1
    without_strata = {"change_share": 0.0, "validation_share": 0.0, "zone_balance": 0.0}
    plan = plan_of(without_strata, change_counts=counts_of(land=land, quiet=0))
    samples = first_samples(plan, 4000)
    assert len(set(samples)) > 3000

    firsts = np.bincount([sample.years[0] - 1960 for sample in samples])
    assert len(firsts) == 7, "the last start leaves room for the whole rollout"
    corners = np.array([(s.box.row + 8 + 16, s.box.col + 8 + 16) for s in samples])
    homes = np.unique(corners // (128, 256), axis=0, return_counts=True)[1]
    shifts = np.bincount(corners[:, 0] % 128)
    assert (len(homes), len(shifts)) == (16, 33)
    for counts in (firsts, homes, shifts):
        require_even(counts, len(samples))


def test_change_rich_rollouts_are_drawn_by_their_changed_cells():
    only_change = {"change_share": 1.0, "validation_share": 0.0, "zone_balance": 0.0}
    unshifted = Tiling(13, 25, 3, 1, 1)  # half a stride is no cell
    plan = plan_of(only_change, tiling=unshifted, change_counts=replace(COUNTS, plot=1))
    three_years = np.lib.stride_tricks.sliding_window_view(COUNTS.changed_YRC[5:14], 3, axis=0)
    changed = three_years.sum(axis=-1)
    drawn = [
        changed[s.years[0] - 1960, s.box.row + 1, s.box.col + 1] for s in first_samples(plan, 4000)
    ]
    mean = (changed.astype(float) ** 2).sum() / changed.sum()
    assert mean > 1.5 * changed.mean()
    assert min(drawn) > 0
    assert np.mean(drawn) == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize(("balance", "expected"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_zones_are_balanced_by_the_power_of_their_land(balance, expected):
    options = {"change_share": 0.0, "validation_share": 0.0, "zone_balance": balance}
    unshifted = Tiling(13, 25, 3, 1, 1)
    plan = plan_of(options, tiling=unshifted, change_counts=replace(COUNTS, plot=1))
    rare = np.mean([sample.box.row + 1 >= 11 for sample in first_samples(plan, 4000)])
    rare_land = (COUNTS.land_RC[11:] > 0).sum()
    other_land = (COUNTS.land_RC[:11] > 0).sum()
    assert rare / (1 - rare) == pytest.approx((rare_land / other_land) ** expected, rel=0.15)


@given(
    k=st.integers(0, 2**40),
    direction=st.sampled_from(["forward", "backward"]),
    history=st.integers(1, 12),
)
def test_a_sample_remembers_the_maps_that_it_comes_from(k, direction, history):
    plan = plan_of(
        direction=direction,
        history=history,
        remembered_years=(1955, 1972),
        left_out=frozenset({1957, 1971}),
    )
    sample = plan[k]
    step = -1 if direction == "forward" else 1
    assert len(sample.older_years) == history - 1
    wanted = [sample.years[0] + step * (n + 1) for n in range(history - 1)]
    there = [1958 <= year <= 1970 for year in wanted]
    assert sample.older_years == tuple(
        year if is_there else None for year, is_there in zip(wanted, there, strict=True)
    )


@given(k=st.integers(0, 2**40))
def test_validation_lies_on_the_lattice_in_held_out_blocks(k):
    sample = VALIDATION[k]
    row, col = core_of(sample)
    assert sample.box == TILING.window_box(Core(row, col))
    assert VALIDATION.held_out_RC[row, col]
    assert COUNTS.land_RC[row, col]


@given(k=st.integers(0, 2**40), other=st.integers(0, 2**40))
def test_no_cell_counts_in_training_and_in_validation(k, other):
    assert (TRAINING.held_out_RC == VALIDATION.held_out_RC).all()
    box = TRAINING[k].box
    rows = np.clip(np.arange(box.row, box.row + 48), 0, 399) // 32
    cols = np.clip(np.arange(box.col, box.col + 48), 0, 799) // 32
    counted = TRAINING.counted(box)
    for i, j in np.ndindex(counted.shape):
        assert counted[i, j] == (not TRAINING.held_out_RC[rows[i], cols[j]])
    assert (VALIDATION.counted(box) == ~counted).all()

    held_out = VALIDATION[other].box
    core = Box(held_out.row + 8, held_out.col + 8, 32, 32)
    assert VALIDATION.counted(core).all()
    assert not TRAINING.counted(core).any()


def test_cells_across_the_dateline_count_as_they_are():
    plan = plan_of(tiling=Tiling(400, 800, 48, 32, 160, periodic=True))
    west_of_grid = plan.counted(Box(0, -40, 400, 80))
    east_of_grid = plan.counted(Box(0, 760, 400, 80))
    assert (west_of_grid == east_of_grid).all()
    assert (west_of_grid[:, :40] == plan.counted(Box(0, 760, 400, 40))).all()
    assert (west_of_grid[:, 40:] == plan.counted(Box(0, 0, 400, 40))).all()


def test_plots_smaller_than_cores_are_blocks_of_their_own():
    options = {
        "tiling": Tiling(208, 400, 48, 32, 64),
        "change_counts": replace(COUNTS, plot=16),  # a core of 32 cells is 2 x 2 plots
    }
    training = plan_of({"validation_share": 0.3}, **options)
    validation = plan_of({"validation_share": 0.3}, **options, use="held-out blocks")
    held_out = training.held_out_RC
    corners = [(r, c) for r in range(0, 12, 2) for c in range(0, 24, 2)]
    assert any(0 < held_out[r : r + 2, c : c + 2].sum() < 4 for r, c in corners)
    for k in range(200):
        box = validation[k].box
        row, col = (box.row + 8) // 16, (box.col + 8) // 16
        assert (row % 2, col % 2) == (0, 0), "on the lattice of cores"
        assert held_out[row : row + 2, col : col + 2].any()
        assert validation.counted(box).any()


def test_seeds_differ():
    assert first_samples(plan_of(seed=1), 20) != first_samples(plan_of(seed=2), 20)


def peak_memory(n):
    """Bytes that a plan and `n` of its samples take, one after the other."""
    plan = plan_of()
    tracemalloc.start()
    for k in range(n):
        _ = plan[k]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.fixture
def no_collection():
    """A garbage collection empties the interpreter's store of some 2,000 free tuples, which then
    fills again and would be counted.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_many_samples_take_no_more_memory_than_few():
    peak_memory(8_000)  # what is imported on first use, and free tuples
    assert peak_memory(20_000) < peak_memory(800) + 20_000


def test_training_without_land_years_or_change_is_refused():
    no_land = counts_of(land=np.zeros((ROWS, COLS)))
    with pytest.raises(ValueError, match="no window of the grid has land to train on"):
        plan_of(change_counts=no_land)
    with pytest.raises(
        ValueError, match=r"training years 1960-1962 are fewer than a rollout of 3 years needs"
    ):
        plan_of(last_year=1962)
    assert plan_of(last_year=1963)[5].years == (1960, 1961, 1962, 1963)
    with pytest.raises(
        ValueError,
        match=r"training years 1960-1969 hold 0 changed cells outside the validation blocks"
        r", expected at least 100",
    ):
        plan_of(change_counts=counts_of(quiet=1))
    with pytest.raises(ValueError, match="no block is held out for validation"):
        plan_of({"validation_share": 0.0}, use="held-out blocks")


def test_change_that_is_all_held_out_is_none():
    changed = np.zeros_like(COUNTS.changed_YRC)
    changed[:, 0, 0] = 500
    counts = replace(COUNTS, changed_YRC=changed)
    outcomes = set()
    for seed in range(60):
        held_out = hold_out(
            COUNTS.land_RC, changed[5:14].sum(axis=0), blocks=(30, 30), share=0.4, seed=seed
        )
        hidden = bool(held_out[0, 0])
        outcomes.add(hidden)
        if hidden:
            with pytest.raises(
                ValueError, match="hold 0 changed cells outside the validation blocks"
            ):
                plan_of({"validation_share": 0.4}, change_counts=counts, seed=seed)
    assert outcomes == {True, False}


def test_only_training_sees_symmetries():
    counts = np.bincount([sample.symmetry for sample in first_samples(TRAINING, 800)], minlength=8)
    assert counts.min() > 60
    fixed = first_samples(plan_of({"orientation": "fixed"}), 50)
    assert {sample.symmetry for sample in fixed} == {0}
    assert {sample.symmetry for sample in first_samples(VALIDATION, 50)} == {0}
    assert [sample[:2] for sample in fixed] == [s[:2] for s in first_samples(TRAINING, 50)]


def test_held_out_years_see_all_land():
    plan = plan_of(use="held-out years", first_year=1968, last_year=1969, rollout_years=1)
    samples = first_samples(plan, 3000)
    assert {sample.years for sample in samples} == {(1968, 1969)}
    assert {sample.symmetry for sample in samples} == {0}

    cores = {core_of(sample) for sample in samples}
    held_out = {core_of(sample) for sample in first_samples(VALIDATION, 300)}
    assert len(held_out & cores) > 0.8 * len(held_out)
    assert len(cores) > 3 * len(held_out), "blocks that are held out from training, and the others"
    assert all(plan.counted(sample.box).all() for sample in samples[:50])


BASE = 1964
WITHOUT_BASE = frozenset({BASE})


@given(
    k=st.integers(0, 2**40),
    rollout_years=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    direction=st.sampled_from(["forward", "backward"]),
)
def test_no_rollout_meets_a_map_that_is_left_out(k, rollout_years, share, direction):
    plan = plan_of(
        {"change_share": share},
        rollout_years=rollout_years,
        direction=direction,
        left_out=WITHOUT_BASE,
    )
    years = plan[k].years
    assert BASE not in years
    assert set(years) <= set(range(1960, 1970))
    assert len(years) == rollout_years + 1


def test_every_other_rollout_is_still_drawn():
    plan = plan_of({"change_share": 0.3}, rollout_years=2, left_out=WITHOUT_BASE)
    starts = {sample.years[0] for sample in first_samples(plan, 500)}
    assert starts == {1960, 1961, 1965, 1966, 1967}, (
        "1962-1964 would meet 1964, and later starts end after 1969"
    )
    with_base = plan_of({"change_share": 0.3}, rollout_years=2)
    starts = {sample.years[0] for sample in first_samples(with_base, 500)}
    assert starts == set(range(1960, 1968))


def test_change_into_and_out_of_a_base_map_does_not_count():
    base_change = np.zeros_like(COUNTS.changed_YRC)
    base = YEARS.index(BASE)
    base_change[base - 1 : base + 1] = 200  # both transitions of the base map, and nothing else
    counts = replace(COUNTS, changed_YRC=base_change)
    assert plan_of(change_counts=counts)
    with pytest.raises(ValueError, match="hold 0 changed cells outside the validation blocks"):
        plan_of(change_counts=counts, left_out=WITHOUT_BASE)

    change = np.zeros_like(base_change)
    change[:, ::2] = np.arange(1, ROWS // 2 + 2)[:, None]
    plain = plan_of(change_counts=replace(COUNTS, changed_YRC=change), left_out=WITHOUT_BASE)
    spoilt_counts = replace(COUNTS, changed_YRC=change + base_change)
    spoilt = plan_of(change_counts=spoilt_counts, left_out=WITHOUT_BASE)
    assert (plain.held_out_RC == spoilt.held_out_RC).all(), (
        "blocks are held out by the change that counts"
    )
    assert first_samples(plain, 50) == first_samples(spoilt, 50)


def test_leaving_out_a_map_of_other_years_changes_nothing():
    assert first_samples(plan_of(left_out=frozenset({1971})), 50) == first_samples(plan_of(), 50)


def test_years_without_any_clear_rollout_are_refused():
    years = {"first_year": 1962, "last_year": 1966}
    with pytest.raises(
        ValueError, match=r"1962-1966 hold no rollout of 3 years that does not meet a base map"
    ):
        plan_of(**years, left_out=WITHOUT_BASE)
    plan = plan_of(**years, rollout_years=1, left_out=WITHOUT_BASE)
    assert plan[0].years in ((1962, 1963), (1965, 1966))
