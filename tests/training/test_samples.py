import gc
import pickle
import random
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import HILDA
from luray.core.tiling import Box, Core, Tiling
from luray.training.samples import SamplePlan, class_weights, hold_out, require_classes
from luray.training.sampling_config import SamplingConfig
from luray.training.survey_counts import ChangeCounts, TileCounts

TILING = Tiling(400, 800, 48, 32, 64)
ROWS, COLS = 13, 25
YEARS = tuple(range(1955, 1975))


def survey_of(*, land=None, seed=0, quiet=0.5):
    """A survey of 13 x 25 cores: land in lumps, change in half of the pairs of a core and a year,
    zones in bands.
    """
    chance = np.random.default_rng(seed)
    if land is None:
        land = np.kron(chance.random((7, 13)) < 0.6, np.full((2, 2), 500))[:ROWS, :COLS]
        land[0, 0] = 500
    changed = chance.integers(1, 200, (len(YEARS) - 1, ROWS, COLS)) * (
        chance.random((ROWS, COLS)) > quiet
    )
    zone = np.where(np.arange(ROWS) < 11, 1, 7)[:, None] + np.zeros((ROWS, COLS), int)
    cells = np.full((len(YEARS), len(HILDA)), 1000)
    changed = (changed * (land > 0)).astype(np.int32)
    return ChangeCounts(YEARS, 32, land.astype(np.int32), changed, cells, zone.astype(np.int16))


SURVEY = survey_of()


def plan_of(sampling=None, **options):
    numbers = {
        "tiling": TILING,
        "survey": SURVEY,
        "first_year": 1960,
        "last_year": 1969,
        "rollout_years": 3,
        "direction": "forward",
        "sampling": SamplingConfig(**sampling or {}),
    }
    return SamplePlan(**numbers | options)


PLANS = {use: plan_of(use=use) for use in ("training", "validation")}


def core_of(draw):
    """The core that a window on the lattice is of."""
    return (draw.box.row + TILING.margin) // TILING.stride, (
        draw.box.col + TILING.margin
    ) // TILING.stride


@given(k=st.integers(0, 2**40), seed=st.integers(0, 2**31))
def test_a_sample_is_a_pure_function_of_seed_and_number(k, seed):
    plan = plan_of(seed=seed)
    draw = plan[k]
    for other in random.Random(k).sample(range(100), 5):
        _ = plan[other]
    assert plan[k] == draw == pickle.loads(pickle.dumps(plan_of(seed=seed)))[k]


@given(k=st.integers(0, 2**40))
def test_directions_see_the_same_window_and_the_same_years_the_other_way(k):
    forward, backward = PLANS["training"][k], plan_of(direction="backward")[k]
    assert forward.box == backward.box
    assert forward.years == backward.years[::-1]
    assert list(np.diff(forward.years)) == [1, 1, 1]


@given(k=st.integers(0, 2**40))
def test_a_sample_lies_within_the_years_and_touches_a_core_with_land(k):
    plan = PLANS["training"]
    box, years, _ = plan[k]
    assert set(years) <= set(range(1960, 1970))
    assert len(years) == 4
    assert box.shape == (48, 48)
    cores = map(
        TILING.window_box,
        (Core(r, c) for r, c in np.argwhere((SURVEY.land_RC > 0) & ~plan.held_RC).tolist()),
    )
    assert any(abs(box.row - w.row) <= 16 and abs(box.col - w.col) <= 16 for w in cores)


def require_even(counts, n):
    expected = n / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * (2 * len(counts)) ** 0.5


def test_windows_years_and_shifts_are_drawn_evenly_without_strata():
    land = np.zeros((ROWS, COLS))
    land[::4, ::8] = 1
    options = {"change_share": 0.0, "validation_share": 0.0, "zone_balance": 0.0}
    plan = plan_of(options, survey=survey_of(land=land, quiet=0))
    draws = [plan[k] for k in range(4000)]
    assert len(set(draws)) > 3000
    firsts = np.bincount([d.years[0] - 1960 for d in draws])
    assert len(firsts) == 7, "the last start leaves room for the whole rollout"
    corners = np.array([(d.box.row + 8 + 16, d.box.col + 8 + 16) for d in draws])
    homes = np.unique(corners // (128, 256), axis=0, return_counts=True)[1]
    shifts = np.bincount(corners[:, 0] % 128)
    assert (len(homes), len(shifts)) == (16, 33)
    for counts in (firsts, homes, shifts):
        require_even(counts, len(draws))


def test_change_rich_rollouts_are_drawn_by_their_changed_cells():
    options = {"change_share": 1.0, "validation_share": 0.0, "zone_balance": 0.0}
    unshifted = Tiling(13, 25, 3, 1, 1)  # by half a stride, which is no cell
    plan = plan_of(options, tiling=unshifted, survey=replace(SURVEY, plot=1))
    changed = np.lib.stride_tricks.sliding_window_view(SURVEY.changed_YRC[5:14], 3, axis=0).sum(
        axis=-1
    )
    found = [
        changed[d.years[0] - 1960, d.box.row + 1, d.box.col + 1]
        for d in (plan[k] for k in range(4000))
    ]
    mean = (changed.astype(float) ** 2).sum() / changed.sum()
    assert mean > 1.5 * changed.mean()
    assert min(found) > 0
    assert np.mean(found) == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize(("balance", "expected"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_zones_are_balanced_by_the_power_of_their_land(balance, expected):
    options = {"change_share": 0.0, "validation_share": 0.0, "zone_balance": balance}
    plan = plan_of(options, tiling=Tiling(13, 25, 3, 1, 1), survey=replace(SURVEY, plot=1))
    rare = np.mean([plan[k].box.row + 1 >= 11 for k in range(4000)])
    land = [(SURVEY.land_RC[rows] > 0).sum() for rows in (slice(11, None), slice(11))]
    assert rare / (1 - rare) == pytest.approx((land[0] / land[1]) ** expected, rel=0.15)


@given(k=st.integers(0, 2**40))
def test_validation_lies_on_the_lattice_in_held_out_blocks(k):
    plan = PLANS["validation"]
    draw = plan[k]
    row, col = core_of(draw)
    assert draw.box == TILING.window_box(Core(row, col))
    assert plan.held_RC[row, col]
    assert SURVEY.land_RC[row, col]


@given(k=st.integers(0, 2**40), other=st.integers(0, 2**40))
def test_no_cell_counts_both_in_training_and_in_validation(k, other):
    training, validation = PLANS["training"], PLANS["validation"]
    assert (training.held_RC == validation.held_RC).all()
    box = training[k].box
    rows = np.clip(np.arange(box.row, box.row + 48), 0, 399) // 32
    cols = np.clip(np.arange(box.col, box.col + 48), 0, 799) // 32
    counted = training.counted(box)
    for i, j in np.ndindex(counted.shape):
        assert counted[i, j] == (not training.held_RC[rows[i], cols[j]])
    assert (validation.counted(box) == ~counted).all()
    held = validation[other].box
    core = Box(held.row + 8, held.col + 8, 32, 32)
    assert validation.counted(core).all()
    assert not training.counted(core).any()


def test_a_window_across_the_dateline_counts_by_the_cells_it_sees():
    plan = plan_of(tiling=Tiling(400, 800, 48, 32, 160, periodic=True))
    far, near = plan.counted(Box(0, -40, 400, 80)), plan.counted(Box(0, 760, 400, 80))
    assert (far == near).all()
    assert (far[:, :40] == plan.counted(Box(0, 760, 400, 40))).all()
    assert (far[:, 40:] == plan.counted(Box(0, 0, 400, 40))).all()


@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.05, 0.1, 0.5]),
)
def test_blocks_are_held_out_whole_in_their_share_of_the_land_and_never_all(shape, seed, share):
    chance = np.random.default_rng(seed)
    land = chance.integers(0, 2500, shape) * (chance.random(shape) < 0.5)
    change = chance.integers(0, 99, shape) * (land > 0)
    held = hold_out(land, change, blocks=(30, 30), share=share, seed=seed)
    edges = [np.arange(n) * min(n, 30) // n for n in shape]
    blocks = {}
    for r, c in np.ndindex(shape):
        blocks.setdefault((edges[0][r], edges[1][c]), []).append((r, c))
    assert all(len({held[at] for at in cells}) == 1 for cells in blocks.values())
    with_land = [cells for cells in blocks.values() if any(land[at] for at in cells)]
    n = sum(held[cells[0]] for cells in with_land)
    assert held.sum() == sum(len(cells) for cells in with_land if held[cells[0]]), (
        "blocks without land are not held"
    )
    assert (0 < n < len(with_land)) == (len(with_land) > 1)
    if len(with_land) > 100:
        assert land[held].sum() / land.sum() == pytest.approx(share, rel=0.35)


def test_quiet_and_busy_blocks_are_held_out_alike_and_slivers_hardly():
    land, change = np.full((30, 30), 1000), np.arange(900).reshape(30, 30)
    held = hold_out(land, change, blocks=(30, 30), share=0.1, seed=3)
    assert held.sum() == 90
    assert (np.bincount(change[held] // 10, minlength=90) == 1).all()
    assert (held != hold_out(land, change, blocks=(30, 30), share=0.1, seed=4)).any()
    crete = np.array([[608, 1425, 658, 686, 376, 21, 13], [21, 212, 555, 1545, 1250, 870, 49]])
    shares = [
        crete[hold_out(crete, crete // 9, blocks=(30, 30), share=0.1, seed=seed)].sum()
        / crete.sum()
        for seed in range(40)
    ]
    assert np.median(shares) == pytest.approx(0.12, abs=0.04)


def test_plots_smaller_than_cores_are_blocks_of_their_own():
    survey = replace(SURVEY, plot=16)  # a core of 32 cells is 2 x 2 plots
    plans = {
        use: plan_of(
            {"validation_share": 0.3}, tiling=Tiling(208, 400, 48, 32, 64), survey=survey, use=use
        )
        for use in ("training", "validation")
    }
    held = plans["training"].held_RC
    assert any(
        0 < held[r : r + 2, c : c + 2].sum() < 4 for r in range(0, 12, 2) for c in range(0, 24, 2)
    )
    for k in range(200):
        box = plans["validation"][k].box
        row, col = (box.row + 8) // 16, (box.col + 8) // 16
        assert (row % 2, col % 2) == (0, 0), "on the lattice of cores"
        assert held[row : row + 2, col : col + 2].any()
        assert plans["validation"].counted(box).any()


def test_seeds_differ():
    assert [plan_of(seed=1)[k] for k in range(20)] != [plan_of(seed=2)[k] for k in range(20)]


def peak(n):
    plan = plan_of()
    tracemalloc.start()
    for k in range(n):
        _ = plan[k]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.fixture
def no_collection():
    """A collection empties the interpreter's own store of free tuples, of some 2,000, which fills
    again afterwards.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_many_samples_take_no_more_memory_than_few():
    peak(8_000)  # what is imported on first use, and free tuples
    assert peak(20_000) < peak(800) + 20_000


def test_training_without_land_years_or_change_is_refused():
    nothing = survey_of(land=np.zeros((ROWS, COLS)))
    with pytest.raises(ValueError, match="no window of the grid has land to train on"):
        plan_of(survey=nothing)
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
        plan_of(survey=survey_of(quiet=1))
    with pytest.raises(ValueError, match="no block is held out for validation"):
        plan_of({"validation_share": 0.0}, use="validation")


def test_change_that_is_all_held_out_is_none():
    changed = np.zeros_like(SURVEY.changed_YRC)
    changed[:, 0, 0] = 500
    survey, outcomes = (
        ChangeCounts(YEARS, 32, SURVEY.land_RC, changed, SURVEY.cells_YK, SURVEY.zone_RC),
        set(),
    )
    for seed in range(60):
        hidden = hold_out(
            SURVEY.land_RC, changed[5:14].sum(axis=0), blocks=(30, 30), share=0.4, seed=seed
        )[0, 0]
        outcomes.add(bool(hidden))
        if hidden:
            with pytest.raises(
                ValueError, match="hold 0 changed cells outside the validation blocks"
            ):
                plan_of({"validation_share": 0.4}, survey=survey, seed=seed)
    assert outcomes == {True, False}


def test_classes_absent_from_the_training_years_are_named():
    cells = np.full((len(YEARS), len(HILDA)), 10)
    cells[5:15, [0, 5]] = 0
    cells[:, 6] = 0
    survey = ChangeCounts(YEARS, 32, SURVEY.land_RC, SURVEY.changed_YRC, cells, SURVEY.zone_RC)
    with pytest.raises(
        ValueError,
        match=r"class 11 \(urban\), 66 \(sparse_or_no_vegetation\) is in maps of the cube "
        r"but in none of training\.years 1960-1969",
    ):
        require_classes(survey, HILDA, years=(1960, 1969))
    require_classes(survey, HILDA, years=(1960, 1970))


@given(cells=st.lists(st.integers(0, 10**6), min_size=2, max_size=7), balance=st.floats(0, 1))
def test_class_weights_keep_the_mean_and_follow_rarity(cells, balance):
    weights = class_weights(cells, balance=balance)
    some = np.array(cells) > 0
    assert (weights[~some] == 1).all()
    if some.any():
        assert np.average(weights, weights=np.array(cells)) == pytest.approx(1, rel=1e-4)
    for (n, w), (m, v) in zip(
        zip(cells, weights, strict=True), list(zip(cells, weights, strict=True))[1:], strict=False
    ):
        if n and m:
            assert w / v == pytest.approx((n / m) ** -balance, rel=1e-3)


def test_a_survey_is_put_together_from_tiles_in_any_order():
    chance = np.random.default_rng(0)
    parts = [
        TileCounts(
            box,
            chance.integers(1, 9, box.shape),
            chance.integers(0, 9, (3, *box.shape)),
            chance.integers(0, 9, (4, 2)),
            chance.integers(0, 9, box.shape),
        )
        for box in (Box(0, 0, 2, 2), Box(0, 2, 2, 1), Box(2, 0, 1, 2), Box(2, 2, 1, 1))
    ]
    tiling, years = Tiling(50, 60, 20, 20, 40), (1, 2, 3, 4)
    one = ChangeCounts.of(parts, years=years, plot=20, tiling=tiling, n_classes=2)
    other = ChangeCounts.of(parts[::-1], years=years, plot=20, tiling=tiling, n_classes=2)
    for name in ("land_RC", "changed_YRC", "cells_YK", "zone_RC"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert one.land_RC[2, 2] == parts[3].land_RC[0, 0]
    assert (one.cells_YK == sum(p.cells_YK for p in parts)).all()
    assert (one.changed_between(2, 4) == one.changed_YRC[1:3]).all()
    assert (one.cells_in(2, 3) == one.cells_YK[1:3].sum(axis=0)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"change_share": 1.5}, r"training\.sampling\.change_share is 1\.5, expected 0 to 1"),
        ({"zone_balance": -1.0}, "zone_balance is -1.0"),
        ({"validation_share": 0.9}, "expected 0 to 0.5"),
        ({"blocks": (0, 3)}, "must be at least 1"),
        ({"least_change": 0}, "must be at least 1"),
    ],
)
def test_sampling_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        SamplingConfig(**options)


def test_samples_of_training_come_in_every_symmetry_and_those_of_validation_as_they_lie():
    counts = np.bincount([PLANS["training"][k].symmetry for k in range(800)], minlength=8)
    assert counts.min() > 60
    fixed = plan_of({"orientation": "fixed"})
    assert {fixed[k].symmetry for k in range(50)} == {0}
    assert {PLANS["validation"][k].symmetry for k in range(50)} == {0}
    assert [fixed[k][:2] for k in range(50)] == [plan_of()[k][:2] for k in range(50)]


def test_later_samples_come_from_all_land_as_it_lies_and_count_everywhere():
    plan = plan_of(use="later", first_year=1968, last_year=1969, rollout_years=1)
    draws = [plan[k] for k in range(3000)]
    assert {d.years for d in draws} == {(1968, 1969)}
    assert {d.symmetry for d in draws} == {0}
    cores = {core_of(d) for d in draws}
    held = {core_of(PLANS["validation"][k]) for k in range(300)}
    assert len(held & cores) > 0.8 * len(held)
    assert len(cores) > 3 * len(held), "blocks that are held out from training, and the others"
    assert all(plan.counted(d.box).all() for d in draws[:50])


@given(
    first=st.integers(1900, 1950),
    n=st.integers(1, 60),
    share=st.sampled_from([0.0, 0.1, 0.5]),
    k=st.integers(1, 4),
)
def test_held_years_are_a_share_at_least_one_and_leave_a_rollout(first, n, share, k):
    held = SamplingConfig(validation_years=share).held_years(first, first + n, rollout_years=k)
    assert 0 <= held <= max(0, n - k)
    if share and n > k:
        assert held == min(max(1, round(share * n)), n - k)
    else:
        assert held == 0


BASE = 1964


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
        left_out=frozenset({BASE}),
    )
    draw = plan[k]
    assert BASE not in draw.years
    assert set(draw.years) <= set(range(1960, 1970))
    assert len(draw.years) == rollout_years + 1


def test_every_other_rollout_is_still_drawn():
    plan = plan_of({"change_share": 0.3}, rollout_years=2, left_out=frozenset({BASE}))
    starts = {plan[k].years[0] for k in range(500)}
    assert starts == {1960, 1961, 1965, 1966, 1967}, (
        "1962-1964 would meet 1964, and later starts end after 1969"
    )
    without = plan_of({"change_share": 0.3}, rollout_years=2)
    assert {without[k].years[0] for k in range(500)} == set(range(1960, 1968))


def test_change_into_and_out_of_a_map_that_is_left_out_does_not_count():
    changed = np.zeros_like(SURVEY.changed_YRC)
    changed[YEARS.index(BASE) - 1 : YEARS.index(BASE) + 1] = (
        200  # both transitions of the base map, and nothing else
    )
    survey = replace(SURVEY, changed_YRC=changed)
    assert plan_of(survey=survey)
    with pytest.raises(ValueError, match="hold 0 changed cells outside the validation blocks"):
        plan_of(survey=survey, left_out=frozenset({BASE}))
    busy = np.zeros_like(changed)
    busy[:, ::2] = np.arange(1, ROWS // 2 + 2)[:, None]
    noisy = busy + changed
    calm, spoilt = (
        plan_of(survey=replace(SURVEY, changed_YRC=c), left_out=frozenset({BASE}))
        for c in (busy, noisy)
    )
    assert (calm.held_RC == spoilt.held_RC).all(), "blocks are held out by the change that counts"
    assert [calm[k] for k in range(50)] == [spoilt[k] for k in range(50)]


def test_leaving_out_no_map_of_the_years_draws_the_same_samples():
    assert [plan_of(left_out=frozenset({1971}))[k] for k in range(50)] == [
        plan_of()[k] for k in range(50)
    ]


def test_years_without_any_clear_rollout_are_refused():
    with pytest.raises(
        ValueError, match=r"1962-1966 hold no rollout of 3 years that does not meet a base map"
    ):
        plan_of(first_year=1962, last_year=1966, left_out=frozenset({BASE}))
    assert plan_of(first_year=1962, last_year=1966, rollout_years=1, left_out=frozenset({BASE}))[
        0
    ].years in ((1962, 1963), (1965, 1966))


def test_a_class_that_only_a_base_map_has_is_absent():
    cells = np.full((len(YEARS), len(HILDA)), 10)
    cells[:, 5] = 0
    cells[[YEARS.index(BASE), -1], 5] = 10
    survey = replace(SURVEY, cells_YK=cells)
    require_classes(survey, HILDA, years=(1960, 1969))
    with pytest.raises(
        ValueError, match=r"class 66 \(sparse_or_no_vegetation\) is in maps of the cube but in none"
    ):
        require_classes(survey, HILDA, years=(1960, 1969), left_out={BASE})
    without = survey.cells_in(1960, 1969) - cells[YEARS.index(BASE)]
    assert (survey.cells_in(1960, 1969, left_out={BASE}) == without).all()
