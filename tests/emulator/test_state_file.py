import numpy as np
import pytest

from tests.emulator.conftest import assert_same, maps_of, run


def test_restored_run_equals_one_that_went_on(globe, tmp_path):
    state = tmp_path / "state.npz"
    emulator = globe.land_surface()
    emulator.set_value("people", np.full(128, 3.0))
    emulator.update()
    emulator.set_value("urban", np.full(128, 0.5))  # of the year to come
    emulator.save_state(state)
    maps = run(emulator, 1)

    another = globe.land_surface()
    another.restore_state(state)
    assert another.get_current_time() == 1.0
    assert_same(run(another, 1), maps)

    # and the same one goes back, whatever it has seen since
    emulator.restore_state(state)
    assert_same(run(emulator, 1), maps)
    emulator.restore_state(state)
    emulator.set_value("urban", np.zeros(128))
    assert (run(emulator, 1)[2003][0] != maps[2003][0]).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"taper": "uniform"}, "taper: expected 'uniform', found 'linear'"),
        ({"region": (-180.0, -90.0, 0.0, 90.0), "edge": "observed"}, "region: expected"),
        ({"operating_point": "unbiased"}, ""),
    ],
)
def test_state_of_another_configuration_is_refused(globe, tmp_path, settings, message):
    emulator = globe.land_surface()
    emulator.update()
    emulator.save_state(tmp_path / "state.npz")
    another = globe.land_surface(**settings)
    if not message:  # uncalibrated: both points are the same, and so are all maps
        another.restore_state(tmp_path / "state.npz")
        return
    before = maps_of(another)
    with pytest.raises(ValueError, match=message):
        another.restore_state(tmp_path / "state.npz")
    assert another.year == 2001
    assert all(np.array_equal(a, b) for a, b in zip(maps_of(another), before, strict=True))


def test_state_of_another_model_is_refused(globe, patch, tmp_path):
    emulator = patch.land_surface()
    emulator.save_state(tmp_path / "state.npz")
    with pytest.raises(ValueError, match=r"another emulator .*region: expected"):
        globe.land_surface().restore_state(tmp_path / "state.npz")


def test_file_that_is_no_state_is_refused(globe, tmp_path):
    emulator = globe.land_surface()
    with pytest.raises(FileNotFoundError, match="no such state"):
        emulator.restore_state(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("state")
    with pytest.raises(ValueError, match="not a whole state file"):
        emulator.restore_state(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="not a state file"):
        emulator.restore_state(tmp_path / "other.npz")
    emulator.save_state(tmp_path / "state.npz")
    whole = (tmp_path / "state.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole state file"):
        emulator.restore_state(tmp_path / "half.npz")


def test_state_with_codes_that_are_no_class_is_refused(globe, tmp_path):
    emulator = globe.land_surface()
    emulator.update()
    emulator.save_state(tmp_path / "state.npz")
    with np.load(tmp_path / "state.npz") as stored:
        arrays = dict(stored)
    arrays["map 2002"][3, :2] = 200
    np.savez(tmp_path / "damaged.npz", **arrays)
    before = maps_of(emulator)
    with pytest.raises(ValueError, match=r"damaged\.npz, map 2002: 200 \(2 cells\) are no classes"):
        emulator.restore_state(tmp_path / "damaged.npz")
    assert all(np.array_equal(a, b) for a, b in zip(maps_of(emulator), before, strict=True))
