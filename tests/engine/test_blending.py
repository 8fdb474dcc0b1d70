import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import OUTSIDE
from luray.core.tiling import Tiling
from luray.engine.blending import ONE, add_strip, add_window, decide, frame, window_weights
from tests import reference

TAPERS = ["uniform", "linear"]


@st.composite
def tilings(draw):
    stride = draw(st.sampled_from([2, 3, 4]))
    n_lat, n_lon = draw(st.integers(1, 11)), stride * draw(st.integers(1, 4))
    margin = draw(st.integers(0, min(stride, (n_lon - stride) // 2)))
    return Tiling(n_lat, n_lon, stride + 2 * margin, stride, stride, periodic=draw(st.booleans()))


def windows_of(tiling, seed, n_classes=3):
    """{core: probabilities (K, window, window)} of every core of the grid."""
    random = np.random.default_rng(seed)
    p = {
        core: random.dirichlet(np.full(n_classes, 0.5), (tiling.window, tiling.window)).astype(
            np.float32
        )
        for core in tiling.cores(tiling.everything)
    }
    return {core: np.moveaxis(x, -1, 0) for core, x in p.items()}


def heads_of(p):
    """What a model without a bonus for the prior says whose softmax is `p`, (H, W, K + 1)."""
    with np.errstate(divide="ignore"):
        return np.ascontiguousarray(
            np.moveaxis(np.log(np.concatenate([p, np.zeros_like(p[:1])])), 0, -1)
        )


def sums_of(tiling, windows, taper):
    """Sums over the grid (K, lat, lon) in the order in which the windows come; a wrapped column
    adds to its home.
    """
    weights = window_weights(tiling, taper=taper)
    padded = tiling.padded(tiling.everything)
    margin = tiling.margin
    n_classes = next(iter(windows.values())).shape[0]
    sums = np.zeros((n_classes, *padded.shape), np.int32)
    for core, p in windows.items():
        window = tiling.window_box(core)
        nowhere = np.full(p.shape[1:], OUTSIDE, np.uint8)
        add_window(
            sums,
            heads_of(p),
            nowhere,
            weights,
            at=(window.row - padded.row, window.col - padded.col),
            temperature=1.0,
            bias=0.0,
        )
    inner = sums[:, margin : margin + tiling.n_lat]
    home = inner[:, :, margin : margin + tiling.n_lon].copy()
    if tiling.periodic:
        home[:, :, tiling.n_lon - margin :] += inner[:, :, :margin]
        home[:, :, :margin] += inner[:, :, margin + tiling.n_lon :]
    return home


@pytest.mark.parametrize("taper", TAPERS)
@given(tiling=tilings(), seed=st.integers(0, 99))
def test_sums_follow_the_average_in_floats(taper, tiling, seed):
    windows = windows_of(tiling, seed)
    sums = sums_of(tiling, windows, taper)
    share = sums / sums.sum(axis=0)
    assert np.allclose(share, reference.blend(tiling, windows, taper), atol=2 / ONE)


@pytest.mark.parametrize("taper", TAPERS)
@given(tiling=tilings(), seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_bits_ignore_the_order_of_arrival(taper, tiling, seed, order):
    windows = windows_of(tiling, seed)
    shuffled = list(windows.items())
    order.shuffle(shuffled)
    assert np.array_equal(sums_of(tiling, windows, taper), sums_of(tiling, dict(shuffled), taper))


@pytest.mark.parametrize("taper", TAPERS)
@given(tiling=tilings(), p=arrays.arrays(np.float64, 3, elements=st.floats(0, 1)))
def test_constant_probabilities_stay_constant(taper, tiling, p):
    p = ((p + 1e-3) / (p + 1e-3).sum()).astype(np.float32)
    constant = np.broadcast_to(p[:, None, None], (3, tiling.window, tiling.window))
    sums = sums_of(tiling, dict.fromkeys(tiling.cores(tiling.everything), constant), taper)
    classes, confidence = decide(sums, np.full(tiling.shape, True))
    assert len(np.unique(classes)) == len(np.unique(confidence)) == 1
    shown = np.moveaxis(heads_of(p[:, None, None]), -1, 0)
    q = reference.quantise(reference.probabilities(shown, np.full((1, 1), OUTSIDE)))[
        :, 0, 0
    ].tolist()
    assert int(classes[0, 0]) == q.index(max(q))
    assert int(confidence[0, 0]) == (200 * max(q) + sum(q)) // (2 * sum(q))


@given(tiling=tilings(), seed=st.integers(0, 99), share=st.sampled_from([0.02, 0.3]))
def test_active_windows_cover_all_land(tiling, seed, share):
    land = np.random.default_rng(seed).random(tiling.shape) < share
    flat = np.full((1, tiling.window, tiling.window), 1, np.float32)
    active = tiling.active_cores(tiling.everything, land)
    if active:
        assert (sums_of(tiling, dict.fromkeys(active, flat), "linear")[0][land] >= ONE).all()


def test_the_taper_rises_over_the_overlap():
    tiling = Tiling(9, 9, 7, 3, 3)
    assert window_weights(tiling, taper="uniform").tolist() == np.ones((7, 7)).tolist()
    axis = np.array([1, 2, 3, 4, 3, 2, 1])
    assert window_weights(tiling, taper="linear").tolist() == np.outer(axis, axis).tolist()
    flat = window_weights(Tiling(8, 8, 8, 6, 6), taper="linear")[4]
    assert (flat // flat[0]).tolist() == [1, 2, 2, 2, 2, 2, 2, 1]
    assert (
        window_weights(Tiling(8, 8, 4, 4, 4), taper="linear").tolist() == np.ones((4, 4)).tolist()
    )


def test_overflowing_weights_are_refused():
    with pytest.raises(
        ValueError, match="overlap of 128 cells overflow 32 bits; use taper = 'uniform'"
    ):
        window_weights(Tiling(512, 512, 256, 128, 256), taper="linear")
    window_weights(Tiling(512, 512, 256, 128, 256), taper="uniform")
    window_weights(Tiling(18000, 36000, 256, 200, 2000), taper="linear")


@given(tiling=tilings(), taper=st.sampled_from(TAPERS))
def test_certain_windows_do_not_overflow(tiling, taper):
    certain = np.zeros((2, tiling.window, tiling.window), np.float32)
    certain[1] = 1
    sums = sums_of(tiling, dict.fromkeys(tiling.cores(tiling.everything), certain), taper)
    assert (sums[0] == 0).all()
    assert (sums[1] > 0).all()


def test_the_largest_allowed_overlap_does_not_overflow():
    tiling = next(
        t
        for margin in range(64, 0, -1)
        if _allowed(t := Tiling(600, 600, 100 + 2 * margin, 100, 100))
    )
    certain = np.ones((1, tiling.window, tiling.window), np.float32)
    assert (
        sums_of(tiling, dict.fromkeys(tiling.cores(tiling.everything), certain), "linear") > 0
    ).all()


def _allowed(tiling):
    try:
        return window_weights(tiling, taper="linear") is not None
    except ValueError:
        return False


@given(
    logits=arrays.arrays(np.float32, (4, 6, 5), elements=st.floats(-90, 90, width=32)),
    data=st.data(),
    temperature=st.sampled_from([1.0, 0.7, 2.5]),
    bias=st.sampled_from([0.0, 1.5]),
)
def test_a_window_adds_its_calibrated_softmax(logits, data, temperature, bias):
    prior = data.draw(arrays.arrays(np.uint8, (6, 5), elements=st.sampled_from([0, 1, 2, OUTSIDE])))
    weights = data.draw(arrays.arrays(np.int32, (6, 5), elements=st.integers(1, 50)))
    sums = np.full((3, 8, 9), 7, np.int32)
    add_window(
        sums,
        np.ascontiguousarray(np.moveaxis(logits, 0, -1)),
        prior,
        weights,
        at=(1, 2),
        temperature=temperature,
        bias=bias,
    )
    p = reference.probabilities(logits, prior, temperature, bias)
    assert np.array_equal(sums[:, 1:7, 2:7] - 7, reference.quantise(p) * weights)
    sums[:, 1:7, 2:7] = 7
    assert (sums == 7).all(), "nothing is added beside the window"
    exact = logits[:-1].astype(np.float64)
    own = prior == np.arange(3)[:, None, None]
    exact = np.exp(
        (exact + np.logaddexp(0, logits[-1].astype(np.float64)) * own) / temperature + bias * own
    )
    assert np.allclose(p, exact / exact.sum(axis=0), atol=1e-5)


@given(
    sums=arrays.arrays(np.int32, (3, 4, 5), elements=st.integers(0, 2**31 - 1) | st.integers(0, 3)),
    land=arrays.arrays(np.bool_, (4, 5)),
)
def test_decide_is_the_slow_twin(sums, land):
    land &= sums.sum(axis=0, dtype=np.int64) > 0
    classes, confidence = decide(sums, land)
    expected_classes, expected_confidence = reference.decide(sums, land)
    assert classes.dtype == confidence.dtype == np.uint8
    assert np.array_equal(classes, expected_classes)
    assert np.array_equal(confidence, expected_confidence)
    assert (classes[~land] == OUTSIDE).all()


def test_uncovered_land_is_a_mistake():
    with pytest.raises(AssertionError, match="covered by no window"):
        decide(np.zeros((2, 1, 1), np.int32), np.array([[True]]))


@given(
    height=st.integers(1, 12), width=st.integers(1, 12), margin=st.integers(0, 7), data=st.data()
)
def test_bands_take_strips_as_the_tile_does(height, width, margin, data):
    inside, bands = frame((height, width), margin)
    times = np.zeros((height, width), int)
    for rectangle in (inside, *bands):
        times[rectangle] += 1
    assert (times == 1).all(), "bands and inside must cover every cell once"
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    whole = random.integers(0, 99, (3, height, width)).astype(np.int32)
    parts = [whole[:, *band].copy() for band in bands]
    for _ in range(data.draw(st.integers(0, 4))):
        side = data.draw(st.sampled_from("NESW"))
        rows, cols = slice(0, height), slice(0, width)
        rows = {
            "N": slice(0, min(margin, height)),
            "S": slice(max(0, height - margin), height),
        }.get(side, rows)
        cols = {"W": slice(0, min(margin, width)), "E": slice(max(0, width - margin), width)}.get(
            side, cols
        )
        strip = random.integers(0, 99, (3, rows.stop - rows.start, cols.stop - cols.start)).astype(
            np.int32
        )
        whole[:, rows, cols] += strip
        for band, part in zip(bands, parts, strict=True):
            add_strip(part, strip, band=band, at=(rows, cols))
    for band, part in zip(bands, parts, strict=True):
        assert np.array_equal(part, whole[:, *band])
