import pytest

from luray.planning import land_mask


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(land_mask, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed; run `pip install luray\[bench\]`"):
        land_mask.land_mask()
